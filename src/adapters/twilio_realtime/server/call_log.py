"""The log of one connection: the result of its request, and the events of its call."""

import logging
from collections.abc import Mapping
from statistics import median
from typing import Any, Final, TypeAlias, cast

from attrs import define, field, frozen

from twilio_realtime_core.errors import Fault, FaultKind, redact
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallEnded,
    CallEndsSoon,
    CallerAudioDropped,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallStarted,
    EndReason,
    Interrupted,
    KeyPressed,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SessionRestored,
    SessionRotated,
)
from twilio_realtime_core.transport.http import HttpResponse, RequestRefused

from .event_log import EventLog, LogFieldValue, hide_path

__all__ = ["CallLog", "SignatureRefusal"]

_NORMAL_ENDS: Final = (EndReason.CALLER_HUNG_UP, EndReason.HUNG_UP, EndReason.GOING_AWAY)
"""Ends that are no failure."""

_Line: TypeAlias = tuple[int, str, Peer | None, Mapping[str, LogFieldValue]]
"""The level of a line, the name of its event, its leg, and its fields."""


@frozen
class SignatureRefusal(HttpResponse):
    """A response that refuses a request, with what only the log says of it."""

    checked_url: str | None = field(default=None, repr=False)
    """The URL against which the signature was checked."""


@define(eq=False)
class _Summary:
    """What `call.ended` says of a call."""

    started_ns: int
    turns: int = 0
    interruptions: int = 0
    faults: int = 0
    latencies_ms: list[int] = field(factory=list[int])
    """From the end of the caller's speech to the first sound of the agent, as Twilio reports it."""
    speech_stopped_ns: int | None = None

    def add(self, event: object, now: int) -> None:
        """Count a notification."""
        match event:
            case CallerSpeechStarted():
                self.speech_stopped_ns = None
            case CallerSpeechStopped():
                self.turns += 1
                self.speech_stopped_ns = now
            case PlaybackStarted() if self.speech_stopped_ns is not None:
                self.latencies_ms.append((now - self.speech_stopped_ns) // MS)
                self.speech_stopped_ns = None
            case Interrupted():
                self.interruptions += 1
            case Fault():
                self.faults += 1
            case _:
                pass

    def fields(self, end: CallEnded, now: int) -> dict[str, LogFieldValue]:
        """Return the fields of `call.ended`."""
        return {
            "reason": end.reason.value,
            "detail": end.detail or None,
            "duration_ms": (now - self.started_ns) // MS,
            "turns": self.turns,
            "interruptions": self.interruptions,
            "response_latency_ms": round(median(self.latencies_ms)) if self.latencies_ms else None,
            "input_tokens": end.usage.input.total,
            "output_tokens": end.usage.output.total,
            "faults": self.faults,
        }


@define(eq=False)
class CallLog:
    """Logs the notifications of one connection. It is a call once `begin` was called."""

    _log: EventLog
    _number: int | None = field(init=False, default=None)
    _call_sid: str | None = field(init=False, default=None)
    _summary: _Summary | None = field(init=False, default=None)
    _is_refused: bool = field(init=False, default=False)
    """The request was refused, which says all that a fault would."""

    def begin(self, number: int, now: int) -> None:
        """The connection has become a call, the one with this number."""
        self._number, self._summary = number, _Summary(now)

    def on_notification(self, event: object, now: int) -> None:
        """Log a notification, or leave it out. Transcripts are never logged, nor are the caller's
        keys and the stream's custom parameters, which may hold anything."""
        match event:
            case RequestRefused():
                self._is_refused = True
            case CallStarted(call_sid=call_sid):
                self._call_sid = call_sid
            case Fault() if self._is_refused:
                return
            case _:
                pass
        if self._summary is not None:
            self._summary.add(event, now)
        line = self._describe(event, now)
        if line is None:
            return
        level, name, leg, fields = line
        subject: dict[str, LogFieldValue] = {
            "call": self._number,
            "leg": None if leg is None else leg.value,
            "call_sid": self._call_sid,
        }
        # Lines that say that something is wrong repeat themselves; other events are countable.
        like = tuple(fields.values()) if level > logging.INFO else None
        if isinstance(event, CallEnded):
            self._log.flush(call=self._number)
        self._log.write(level, name, {**subject, **fields}, like=like)

    def _describe(self, event: object, now: int) -> _Line | None:
        match event:
            case CallEnded():
                level = logging.INFO if event.reason in _NORMAL_ENDS else logging.WARNING
                summary = self._summary or _Summary(now)
                return level, "call.ended", None, summary.fields(event, now)
            case RequestRefused():
                return logging.WARNING, "request.refused", None, _describe_refusal(event)
            case Fault(peer, kind, message, code):
                leg = peer if isinstance(peer, Peer) else None
                level = logging.ERROR if kind is FaultKind.APPLICATION else logging.WARNING
                return level, "fault", leg, {"kind": kind.value, "reason": message, "code": code}
            case ResponseFinished() | ResponseRefused():
                return _describe_response(event)
            case _:
                return _describe_progress(event)


def _describe_progress(event: object) -> _Line | None:
    """Describe an event of a call that is as it should be, or that is only too much."""
    fields: Mapping[str, LogFieldValue] = {}
    match event:
        case CallStarted(stream_sid=stream_sid):
            name, leg, fields = "call.started", Peer.TWILIO, {"stream_sid": redact(stream_sid)}
        case SessionReady():
            name, leg = "session.ready", Peer.REALTIME
        case SessionLost(cause, detail, attempt, retry_in_ms):
            fields = {"cause": cause.value, "reason": detail}
            fields |= {"attempt": attempt, "retry_in_ms": retry_in_ms}
            return logging.WARNING, "session.lost", Peer.REALTIME, fields
        case SessionRestored(items, lost):
            name, leg = "session.restored", Peer.REALTIME
            fields = {"items": len(items), "lost": len(lost)}
        case SessionRotated():
            name, leg = "session.rotated", Peer.REALTIME
        case CallEndsSoon(left_ms):
            return logging.WARNING, "call.ends_soon", None, {"left_ms": left_ms}
        case CallerAudioDropped(samples):
            fields = {"ms": samples // 8}
            return logging.WARNING, "caller_audio.dropped", Peer.TWILIO, fields
        case CallerSpeechStarted():
            name, leg = "caller_speech.started", Peer.TWILIO
        case CallerSpeechStopped():
            name, leg = "caller_speech.stopped", Peer.TWILIO
        case ResponseStarted(response):
            name, leg, fields = "response.started", Peer.REALTIME, {"response": redact(response)}
        case PlaybackStarted(item_id=item):
            name, leg, fields = "playback.started", Peer.TWILIO, {"item": redact(item)}
        case PlaybackFinished(item_id=item):
            name, leg, fields = "playback.finished", Peer.TWILIO, {"item": redact(item)}
        case Interrupted(cause, items):
            heard = [f"{each.heard_ms}/{each.sent_ms}" for each in items]
            fields = {"cause": cause.value, "heard_ms": ", ".join(heard) or None}
            name, leg = "interrupted", Peer.TWILIO
        case KeyPressed():
            name, leg = "key.pressed", Peer.TWILIO
        case _:
            return None
    return logging.INFO, name, leg, fields


def _describe_response(event: ResponseFinished | ResponseRefused) -> _Line:
    """Describe the end of a response, with the server's code and reason if it failed."""
    if isinstance(event, ResponseRefused):
        refusal: dict[str, LogFieldValue] = {"code": event.code, "reason": redact(event.message)}
        return logging.WARNING, "response.refused", Peer.REALTIME, refusal
    details = _as_object(event.details)
    failure = _as_object(details.get("error"))
    reasons = [details.get("reason"), failure.get("type"), failure.get("message")]
    fields: dict[str, LogFieldValue] = {
        "response": redact(event.response_id),
        "status": None if event.status is None else redact(event.status),
        "code": _show(failure.get("code")),
        "reason": ": ".join(filter(None, map(_show, reasons))) or None,
    }
    is_failed = event.status == "failed" or failure
    level = logging.WARNING if is_failed else logging.INFO
    return level, "response.finished", Peer.REALTIME, fields


def _as_object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _show(value: object) -> str | None:
    return redact(value) if isinstance(value, str) else None


def _describe_refusal(event: RequestRefused) -> dict[str, LogFieldValue]:
    request, response = event.request, event.response
    reason = response.body.decode(errors="replace").partition("\n")[0]
    checked_url = response.checked_url if isinstance(response, SignatureRefusal) else None
    return {
        "status": response.status,
        "method": None if request is None else redact(request.method),
        "path": None if request is None else hide_path(request.target),
        "reason": reason or None,
        "url": None if checked_url is None else hide_path(checked_url),
    }

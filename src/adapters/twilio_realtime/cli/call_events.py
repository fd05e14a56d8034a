"""Descriptions of a call's notifications for output, without speech, keys and phone numbers."""

from typing import TypeAlias

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.notifications import (
    CallEnded,
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
    ResponseStarted,
    SessionLost,
    SessionReady,
    SessionRestored,
    SessionRotated,
)

from .output import FieldValue, LineStyle

__all__ = ["EventDescription", "describe_notification"]

EventDescription: TypeAlias = tuple[str, LineStyle, dict[str, FieldValue]]
"""The name of an event, the style of its line, and its fields."""

_NORMAL_ENDS = (EndReason.CALLER_HUNG_UP, EndReason.HUNG_UP)


def describe_notification(event: object) -> EventDescription | None:
    """Describe a notification; `None` if it is not printed. Transcripts are not printed, nor are
    the caller's keys and the stream's custom parameters, which may hold anything."""
    fields: dict[str, FieldValue]
    match event:
        case CallStarted(stream_sid=stream, call_sid=call):
            return "call_started", LineStyle.SUCCESS, {"call_sid": call, "stream_sid": stream}
        case SessionReady():
            return "session_ready", LineStyle.PLAIN, {}
        case SessionLost(cause, detail, attempt):
            fields = {"cause": cause.value, "detail": detail, "attempt": attempt}
            return "session_lost", LineStyle.FAILURE, fields
        case SessionRestored(items, lost):
            fields = {"items": len(items), "lost": len(lost)}
            return "session_restored", LineStyle.PLAIN, fields
        case SessionRotated():
            return "session_rotated", LineStyle.PLAIN, {}
        case CallerAudioDropped(samples):
            return "caller_audio_dropped", LineStyle.FAILURE, {"ms": samples // 8}
        case CallerSpeechStarted():
            return "caller_speech_started", LineStyle.PLAIN, {}
        case CallerSpeechStopped():
            return "caller_speech_stopped", LineStyle.DIM, {}
        case ResponseStarted(response):
            return "response_started", LineStyle.DIM, {"response": response}
        case ResponseFinished(response, status):
            return "response_finished", LineStyle.DIM, {"response": response, "status": status}
        case PlaybackStarted(item_id=item):
            return "playback_started", LineStyle.PLAIN, {"item": item}
        case PlaybackFinished(item_id=item):
            return "playback_finished", LineStyle.DIM, {"item": item}
        case Interrupted(cause, items):
            heard = [f"{item.item_id} heard {item.heard_ms} of {item.sent_ms} ms" for item in items]
            fields = {"cause": cause.value, "items": heard or None}
            return "interrupted", LineStyle.INTERRUPTION, fields
        case KeyPressed():
            return "key_pressed", LineStyle.PLAIN, {}
        case _:
            return _describe_failure(event)


def _describe_failure(event: object) -> EventDescription | None:
    match event:
        case Fault(peer, kind, message, code):
            peer_name = getattr(peer, "value", None)
            fields: dict[str, FieldValue] = {"peer": peer_name, "kind": kind.value}
            return "fault", LineStyle.FAILURE, {**fields, "message": message, "code": code}
        case CallEnded(reason, detail):
            style = LineStyle.SUCCESS if reason in _NORMAL_ENDS else LineStyle.FAILURE
            return "call_ended", style, {"reason": reason.value, "detail": detail or None}
        case _:
            return None

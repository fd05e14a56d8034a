"""What happened beside speech: marks, decisions, functions, keys, sessions and faults."""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Final

from attrs import define, evolve, field, frozen

from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import Notify, Open, Send
from twilio_realtime_core.machine.units import samples_to_ms
from twilio_realtime_core.notifications import (
    CallEnded,
    CallEndsSoon,
    CallerAudioDropped,
    CallerAudioPadded,
    CallerTranscriptFailed,
    CallStarted,
    ClipFinished,
    FunctionCallRequested,
    Interrupted,
    InterruptionBlocked,
    KeyPressed,
    McpCallFinished,
    McpCallStarted,
    ModelSilent,
    ResponseFinished,
    ResponseRefused,
    SessionLost,
    SessionRestored,
    SessionRotated,
)
from twilio_realtime_core.protocols import realtime, twilio

from .reader import RecordedReason, ShownStep, UnknownAction, session_number

__all__ = [
    "FunctionSpan",
    "MarkSpan",
    "SessionSpan",
    "ShownEvent",
    "ShownEventKind",
    "ShownEvents",
]


@unique
class ShownEventKind(Enum):
    """The kind of an event."""

    CALL = "call"
    INTERRUPTION = "interruption"
    CLEAR = "clear"
    TRUNCATE = "truncate"
    DELETE = "delete"
    CANCEL = "cancel"
    REQUEST = "request"
    HELD = "held"
    KEY = "key"
    CLIP = "clip"
    SESSION = "session"
    FAULT = "fault"
    WARNING = "warning"
    DECISION = "decision"


@frozen
class ShownEvent:
    """Something that happened at a moment (ns), in words; `reasons` are those of the bridge."""

    at_ns: int
    kind: ShownEventKind
    text: str
    reasons: tuple[RecordedReason, ...] = ()


@frozen
class MarkSpan:
    """A mark: when it was sent and echoed (ns); `None`: never. `is_cleared`: a `clear` was sent in
    between, so the echo says nothing of what was heard."""

    name: str
    sent_ns: int
    echoed_ns: int | None = None
    is_cleared: bool = False


@frozen
class FunctionSpan:
    """A function call: when the model requested it, and when its output was sent (ns)."""

    call_id: str
    name: str
    requested_ns: int
    answered_ns: int | None = None


@frozen
class SessionSpan:
    """A connection to the model: when it was opened, connected, configured and closed (ns)."""

    number: int
    opened_ns: int
    connected_ns: int | None = None
    configured_ns: int | None = None
    closed_ns: int | None = None


_K: Final = ShownEventKind

_KINDS_BY_DECISION: Final[Mapping[str, tuple[ShownEventKind, ...]]] = {
    "interruption_made": (_K.INTERRUPTION, _K.CLEAR),
    "interruption_refused": (_K.HELD,),
    "queue_cleared": (_K.CLEAR,),
    "response_cancelled": (_K.CANCEL,),
    "item_truncated": (_K.TRUNCATE,),
    "item_deleted": (_K.DELETE,),
    "request_sent": (_K.REQUEST,),
    "hang_up_made": (_K.CALL,),
}
"""What shows a decision of the bridge, by its name in recordings."""


@define(eq=False)
class ShownEvents:
    """Takes steps in order."""

    events: list[ShownEvent] = field(init=False, factory=list[ShownEvent])
    unknown_actions: int = field(init=False, default=0)
    """How many actions this version does not know."""
    _marks: dict[str, MarkSpan] = field(init=False, factory=dict[str, MarkSpan])
    _functions: dict[str, FunctionSpan] = field(init=False, factory=dict[str, FunctionSpan])
    _sessions: dict[int, SessionSpan] = field(init=False, factory=dict[int, SessionSpan])

    @property
    def marks(self) -> list[MarkSpan]:
        """The marks, in the order in which they were sent."""
        return list(self._marks.values())

    @property
    def functions(self) -> list[FunctionSpan]:
        """The function calls, in order."""
        return list(self._functions.values())

    @property
    def sessions(self) -> list[SessionSpan]:
        """The connections to the model, in order."""
        return list(self._sessions.values())

    def add_step(self, step: ShownStep) -> None:
        """Take a step."""
        self._take_input(step)
        first = len(self.events)
        for action in step.actions:
            match action:
                case Notify(event):
                    self._take_notification(step.at_ns, event)
                case Open(peer):
                    number = session_number(peer)
                    self._sessions[number] = SessionSpan(number, step.at_ns)
                    self._add(step.at_ns, _K.SESSION, f"session {number} connects")
                case Send(peer, message):
                    self._take_message(step.at_ns, message)
                case UnknownAction():
                    self.unknown_actions += 1
                case _:
                    pass
        if step.problem is not None:
            what = "a command that could not be carried out (misuse)"
            text = what if step.problem == "misuse" else f"a bug: the bridge raised {step.problem}"
            self._add(step.at_ns, _K.FAULT, text)
        self._attach_reasons(step, first)

    def _attach_reasons(self, step: ShownStep, first: int) -> None:
        """Give each reason of a step to what it explains; a decision that nothing else shows is a
        event itself."""
        for reason in step.reasons:
            kinds = _KINDS_BY_DECISION.get(reason.decision, ())
            found = [
                index
                for index in range(first, len(self.events))
                if self.events[index].kind in kinds
            ]
            if not found:
                self._add(step.at_ns, _K.DECISION, reason.decision.replace("_", " "))
                found = [len(self.events) - 1]
            for index in found:
                event = self.events[index]
                if reason not in event.reasons:
                    reasons = (*event.reasons, reason)
                    self.events[index] = evolve(event, reasons=reasons)

    def _add(self, at_ns: int, kind: ShownEventKind, text: str) -> None:
        self.events.append(ShownEvent(at_ns, kind, text))

    def _take_input(self, step: ShownStep) -> None:
        now = step.at_ns
        match step.method, step.event:
            case _, twilio.MarkEvent(name=name) if name in self._marks:
                if self._marks[name].echoed_ns is None:
                    self._marks[name] = evolve(self._marks[name], echoed_ns=now)
            case _, SendFunctionOutput(call_id=call_id) if call_id in self._functions:
                span = self._functions[call_id]
                if step.problem is None and span.answered_ns is None:
                    self._functions[call_id] = evolve(span, answered_ns=now)
            case "opened", _ if step.peer != "twilio":
                self._update_session(step.peer, connected_ns=now)
            case _, realtime.SessionUpdatedEvent():
                session = self._sessions.get(session_number(step.peer))
                if session is not None and session.configured_ns is None:
                    self._update_session(step.peer, configured_ns=now)
            case "closed" | "refused", _ if step.peer != "twilio":
                self._update_session(step.peer, closed_ns=now)
            case _:
                pass

    def _update_session(self, peer: str | None, **times_ns: int) -> None:
        number = session_number(peer)
        if number in self._sessions:
            self._sessions[number] = evolve(self._sessions[number], **times_ns)

    def _take_message(self, now: int, message: object) -> None:
        match message:
            case twilio.Mark(name=name):
                self._marks[name] = MarkSpan(name, now)
            case twilio.Clear():
                for name, mark in self._marks.items():
                    if mark.echoed_ns is None:
                        self._marks[name] = evolve(mark, is_cleared=True)
                self._add(now, _K.CLEAR, "clear sent to Twilio: the sound stops")
            case realtime.TruncateItem(item_id, _, audio_end_ms):
                text = f"truncate sent to the model: {item_id} was heard up to {audio_end_ms:,} ms"
                self._add(now, _K.TRUNCATE, text)
            case realtime.DeleteItem(item_id):
                self._add(now, _K.DELETE, f"delete sent to the model: {item_id}")
            case realtime.CancelResponse():
                self._add(now, _K.CANCEL, "response.cancel sent to the model")
            case realtime.CreateResponse():
                self._add(now, _K.REQUEST, "response.create sent to the model")
            case _:
                pass

    def _take_notification(self, now: int, event: object) -> None:
        known = _describe_call(event) or _describe_session(event) or _describe_trouble(event)
        if known is not None:
            self._add(now, *known)
        match event:
            case FunctionCallRequested(call_id, name):
                self._functions[call_id] = FunctionSpan(call_id, name, now)
            case McpCallStarted(item_id):
                self._functions[item_id] = FunctionSpan(item_id, "MCP tool", now)
            case McpCallFinished(item_id=item_id, name=name):
                started = self._functions.get(item_id, FunctionSpan(item_id, "", now))
                self._functions[item_id] = evolve(
                    started, name=name or started.name, answered_ns=now
                )
            case _:
                pass


def _describe_call(event: object) -> tuple[ShownEventKind, str] | None:
    match event:
        case CallStarted():
            return _K.CALL, "the stream starts"
        case CallEnded(reason):
            return _K.CALL, f"the call ends: {getattr(reason, 'value', reason)}"
        case Interrupted(cause, items):
            who = "the caller" if cause.value == "caller" else "the application"
            heard = ", ".join(f"{item.heard_ms:,} of {item.sent_ms:,} ms heard" for item in items)
            return _K.INTERRUPTION, f"{who} interrupts the agent ({heard or 'before any sound'})"
        case InterruptionBlocked(cause):
            return _K.HELD, f"the caller speaks and does not interrupt: {cause.value}"
        case KeyPressed(digit):
            return _K.KEY, f"key {digit}"
        case ClipFinished(name, heard_ms, sent_ms):
            heard = f"{heard_ms:,} of {sent_ms:,} ms heard"
            return _K.CLIP, f"clip {name} ends: {heard}" if name else f"a clip ends: {heard}"
        case _:
            return None


def _describe_session(event: object) -> tuple[ShownEventKind, str] | None:
    match event:
        case SessionLost(cause, _, attempt):
            then = "another one is tried" if attempt else "no other one is tried"
            return _K.FAULT, f"the session is lost: {cause.value}; {then}"
        case SessionRestored(items, lost):
            text = f"another session goes on, with {len(items)} items"
            return _K.SESSION, text + (f" ({len(lost)} lost)" if lost else "")
        case SessionRotated():
            return _K.SESSION, "the session is replaced before it expires"
        case CallEndsSoon(left_ms):
            return _K.WARNING, f"the call reaches its longest duration in {left_ms // 1000} s"
        case _:
            return None


def _describe_trouble(event: object) -> tuple[ShownEventKind, str] | None:
    match event:
        case Fault(peer, kind, message):
            where = f"{peer}: " if isinstance(peer, str) else ""
            return _K.FAULT, f"{where}{kind.value}: {message}"
        case ResponseFinished(status="failed" | "incomplete" as status):
            return _K.FAULT, f"a response is {status}{_error_of(event)}"
        case ResponseRefused(code=code):
            return _K.FAULT, f"the server refuses a response{f': {code}' if code else ''}"
        case ModelSilent(silent_ms):
            return _K.FAULT, f"the model is silent for {silent_ms:,} ms"
        case CallerTranscriptFailed():
            return _K.WARNING, "speech of the caller could not be transcribed"
        case CallerAudioDropped(samples):
            ms = samples_to_ms(samples)
            return _K.WARNING, f"{ms:,} ms of the caller's audio were dropped: the queue is full"
        case CallerAudioPadded(samples, cause):
            ms = samples_to_ms(samples)
            return _K.WARNING, f"{ms:,} ms of silence sent in the caller's audio ({cause.value})"
        case _:
            return None


def _error_of(event: ResponseFinished) -> str:
    match event.details:
        case {"error": {"code": str(code)}} | {"reason": str(code)} | {"type": str(code)}:
            return f": {code[:80]}"
        case _:
            return ""

"""The invariant of the notifications that follow from one event of a peer.

What follows from several events is judged with its subject.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer, kind_of
from twilio_realtime_core.notifications import (
    AgentText,
    AgentTranscript,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallerTranscriptFailed,
    CallStarted,
    FunctionCallRequested,
    IdleTimeoutTriggered,
    KeyPressed,
    RateLimitsUpdated,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import CancelResponse

from ..expected.call import ExpectedCall
from ..expected.events import is_out_of_band
from ..expected.links import is_pcmu_session
from ..limits import ACTIVE_RESPONSE_CODE, LATE_CANCEL_CODE, MAX_QUEUED_REQUESTS, MAX_RESPONSES
from ..received import (
    ReceivedError,
    ReceivedIdleTimeout,
    ReceivedInputDelta,
    ReceivedInputFailure,
    ReceivedInputTranscript,
    ReceivedItem,
    ReceivedKey,
    ReceivedOutputItemDone,
    ReceivedRateLimits,
    ReceivedResponseEnd,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
    ReceivedTextDelta,
    ReceivedTextEnd,
    ReceivedTranscriptDelta,
    ReceivedTranscriptEnd,
    UnreadableMessage,
)
from ..sent import SentCancel, SentRequest
from ..step_record import Invariant, SocketClosed, StepRecord
from .due_notifications import DueFailure, DueFault, DueRefusal, is_due, name_of
from .items import describe_item
from .notified_values import read_logprobs, read_metadata, read_rate_limits, read_usage

__all__ = ["EventNotifications"]


def _words(kind: Callable[..., object], *, final: bool) -> Callable[[Any], object]:
    return lambda event: kind(
        event.response_id, event.item_id, event.content_index, event.text, final=final
    )


_ALWAYS_DUE: Final[Mapping[type, Callable[[Any], object]]] = {
    ReceivedSpeechStart: lambda event: CallerSpeechStarted(event.item_id, event.at_ms),
    ReceivedSpeechStop: lambda event: CallerSpeechStopped(event.item_id, event.at_ms),
    ReceivedInputDelta: lambda event: CallerTranscript(
        event.item_id,
        event.text,
        final=False,
        logprobs=read_logprobs(event.logprobs),
        content_index=event.content_index,
    ),
    ReceivedInputTranscript: lambda event: CallerTranscript(
        event.item_id,
        event.text,
        final=True,
        logprobs=read_logprobs(event.logprobs),
        content_index=event.content_index,
    ),
    ReceivedIdleTimeout: lambda event: IdleTimeoutTriggered(
        event.item_id, event.start_ms, event.end_ms
    ),
    ReceivedRateLimits: lambda event: RateLimitsUpdated(read_rate_limits(event.limits)),
    ReceivedInputFailure: lambda event: DueFailure(event),  # noqa: PLW0108 - to be typed
    ReceivedTranscriptDelta: _words(AgentTranscript, final=False),
    ReceivedTranscriptEnd: _words(AgentTranscript, final=True),
    ReceivedTextDelta: _words(AgentText, final=False),
    ReceivedTextEnd: _words(AgentText, final=True),
}
"""What is due for an event whenever it is received."""

_JUDGED_FAULTS: Final = (
    FaultKind.NOT_JSON,
    FaultKind.BAD_MESSAGE,
    FaultKind.WRONG_FORMAT,
    FaultKind.SERVER_ERROR,
)
"""Faults that follow from one event. Others are judged with their subjects."""

_STREAM_FAULTS: Final = (
    FaultKind.NOT_JSON,
    FaultKind.BAD_MESSAGE,
    FaultKind.UNEXPECTED,
    FaultKind.WRONG_STREAM,
    FaultKind.UNKNOWN_MARK,
    FaultKind.BAD_AUDIO,
    FaultKind.WRONG_FORMAT,
)
"""Faults of messages from Twilio, which are notified once in a stream."""


class EventNotifications(Invariant):
    """What one event of a peer says by itself is notified in the same step, once and unchanged, and
    nothing else of the kind is notified.

    It is that a stream, a response or speech starts or ends, a key, words, a configuration in
    effect, an error of the server, a request for a response that is refused for good, and what
    cannot be read. An event at a time when it makes no sense is a fault instead. A function call is
    requested as the model has it. Faults of Twilio that differ in numbers alone are notified once
    in a stream.
    """

    number = 14
    name = "Notifications of events"
    inputs = (
        *_ALWAYS_DUE,
        ReceivedStart,
        ReceivedKey,
        ReceivedSession,
        ReceivedResponseStart,
        ReceivedResponseEnd,
        ReceivedError,
        UnreadableMessage,
        CancelResponse,
    )
    outputs = (
        CallStarted,
        KeyPressed,
        SessionReady,
        CallerSpeechStarted,
        CallerSpeechStopped,
        CallerTranscript,
        CallerTranscriptFailed,
        IdleTimeoutTriggered,
        RateLimitsUpdated,
        AgentTranscript,
        AgentText,
        ResponseStarted,
        ResponseFinished,
        ResponseRefused,
        FunctionCallRequested,
        Fault,
        SentRequest,
        SentCancel,
    )

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._requests, self._responses = call.links, call.requests, call.responses
        self._due: list[object] = []
        self._optional: tuple[type, ...] = ()
        """Notifications that may come in this step, or not."""
        self._due_once: set[tuple[type, FaultKind]] = set()
        """The faults of starts and keys that were due in this stream."""
        self._stream_faults: set[tuple[FaultKind, str]] = set()
        """The faults of Twilio that were notified in this stream, without numbers."""
        self._started: set[str] = set()
        self._ended: set[str] = set()
        self._has_unnamed = False
        """A response has started without an id."""
        self._has_unnamed_end = False
        """A response has ended without an id, so it is open which one."""
        self._bridge_cancels: set[str] = set()
        """Event ids of cancels that the bridge initiated."""
        self._command_cancels: set[str | None] = set()
        self._sent_requests: dict[str, bool] = {}
        """Event ids of requests, and whether it is certain what is due when one is refused."""

    def check_input(self, step: StepRecord) -> str | None:
        """Note what is due for an event."""
        if self._links.is_live:
            always = _ALWAYS_DUE.get(type(step.event))
            self._due = self._due_of(step.event) if always is None else [always(step.event)]
        return None

    def _due_of(self, event: object) -> list[object]:
        match event:
            case ReceivedStart():
                return self._due_of_start(event)
            case ReceivedKey(sid, digit):
                is_of_stream = self._links.is_streaming and sid == self._links.stream_sid
                return [KeyPressed(digit)] if is_of_stream else self._due_without_stream()
            case UnreadableMessage():
                return self._due_of_unreadable(event)
            case ReceivedSession(session) if is_pcmu_session(session):
                return [SessionReady(session)]
            case ReceivedSession():
                return [DueFault(Peer.REALTIME, (FaultKind.WRONG_FORMAT,))]
            case ReceivedResponseStart(response_id):
                return self._due_of_response_start(response_id, event.metadata)
            case ReceivedResponseEnd():
                return self._due_of_response_end(event)
            case ReceivedError():
                return self._due_of_error(event)
            case CancelResponse(event_id=event_id):
                self._command_cancels.add(event_id)
                return []
            case _:
                return []

    # Twilio.

    def _due_of_start(self, start: ReceivedStart) -> list[object]:
        if not self._links.is_stream_starting:
            return self._due_once_in_stream(ReceivedStart, FaultKind.UNEXPECTED)
        started = CallStarted(
            start.stream_sid, start.call_sid, start.account_sid, start.custom_parameters
        )
        self._due_once.clear()
        self._stream_faults.clear()
        one_way = [DueFault(Peer.TWILIO, (FaultKind.UNEXPECTED,))] if start.has_outbound else []
        if self._links.is_pcmu_stream:
            return [*one_way, started]
        return [*one_way, DueFault(Peer.TWILIO, (FaultKind.WRONG_FORMAT,)), started]

    def _due_without_stream(self) -> list[object]:
        """A key without a stream, or of another, is reported once in a stream."""
        is_streaming = self._links.is_streaming
        kind = FaultKind.WRONG_STREAM if is_streaming else FaultKind.UNEXPECTED
        return self._due_once_in_stream(ReceivedKey, kind)

    def _due_once_in_stream(self, received: type, kind: FaultKind) -> list[object]:
        if (received, kind) in self._due_once:
            return []
        self._due_once.add((received, kind))
        return [DueFault(Peer.TWILIO, (kind,))]

    def _due_of_unreadable(self, message: UnreadableMessage) -> list[object]:
        """What cannot be read is reported; a message of Twilio may have been in this stream."""
        reported = {kind for kind, _ in self._stream_faults}
        if message.peer is Peer.TWILIO and not reported.isdisjoint(message.kinds):
            self._optional = (Fault,)
            return []
        return [DueFault(message.peer, message.kinds)]

    # The model.

    def _due_of_response_start(self, response_id: str, metadata: object) -> list[object]:
        # It may be the start, once more, of a response that started without an id.
        if not response_id or (self._has_unnamed and response_id in self._requests.known_ids):
            self._has_unnamed = True
            self._optional = (ResponseStarted, Fault)
            return []
        is_misplaced = response_id in self._started or response_id in self._ended
        self._started.add(response_id)
        if len(self._started) > MAX_RESPONSES:
            self._optional = (ResponseStarted,)
            return []
        if is_misplaced:
            return [_unexpected()]
        return [ResponseStarted(response_id, read_metadata(metadata))]

    def _due_of_response_end(self, end: ReceivedResponseEnd) -> list[object]:
        if not end.response_id:
            self._has_unnamed_end = True
            self._ended |= {self._responses.ended_id or ""}
        if self._has_unnamed_end:  # any end may be that of another response, or come again
            self._optional = (ResponseFinished, Fault)
            self._ended.add(end.response_id)
            return []
        is_repeated = end.response_id in self._ended
        self._ended.add(end.response_id)
        if is_repeated and len(self._ended) > MAX_RESPONSES:
            self._optional = (ResponseFinished,)
            return []
        if is_repeated:
            return [_unexpected()]
        usage = read_usage(end.usage)
        metadata = read_metadata(end.metadata)
        items = tuple(
            describe_item(each, is_complete=each.status != "in_progress") for each in end.output
        )
        return [ResponseFinished(end.response_id, end.status, end.details, usage, metadata, items)]

    def _due_of_error(self, error: ReceivedError) -> list[object]:
        """An error is notified, unless it only says that a cancel was too late, or that a request
        for a response has to wait."""
        event_id = error.event_id
        if error.code == LATE_CANCEL_CODE and event_id and event_id not in self._command_cancels:
            # An id that nobody has sent may be taken for one of the bridge.
            self._optional = () if event_id in self._bridge_cancels else (Fault,)
            return []
        fault = DueFault(Peer.REALTIME, (FaultKind.SERVER_ERROR,), error.message, error.code)
        refused = self._requests.sent.refused
        named_id = event_id or ("" if refused is None else refused.event.get("event_id", ""))
        is_certain = self._sent_requests.get(named_id, None)
        is_unclear = not event_id and refused is None and self._may_be_of_request(error)
        is_known = bool(event_id) and refused is not None and not refused.is_automatic
        is_unclear |= self._requests.is_ambiguous and not is_known
        if is_unclear and not event_id:  # the bridge may take it for any of them
            self._sent_requests = dict.fromkeys(self._sent_requests, False)
        if is_certain is False or is_unclear:
            self._optional = (Fault, ResponseRefused)
            return []
        if is_certain is None or refused is None:
            return [fault]
        is_again = error.code == ACTIVE_RESPONSE_CODE and not refused.is_out_of_band
        if not is_again and refused.count > 1:
            return [fault]
        return [] if is_again else [DueRefusal(error, named_id)]

    def _may_be_of_request(self, error: ReceivedError) -> bool:
        is_about_one = error.code == ACTIVE_RESPONSE_CODE or "response.create" in error.message
        return is_about_one and bool(self._sent_requests)

    # What is notified.

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case Fault(Peer.TWILIO, kind) if kind in _STREAM_FAULTS and self._is_repeated(value):
                return "a fault of Twilio is notified twice in a stream"
            case SentRequest(event_id=event_id):
                self._note_request(event_id or "", value)
            case SentCancel(event_id=event_id):
                self._bridge_cancels |= {event_id or ""} - self._command_cancels
            case FunctionCallRequested() if not _is_as_received(value, step.event):
                return "a function call is requested otherwise than the model has it"
            case FunctionCallRequested():
                pass
            case _ if (due := self._find_due(value)) is not None:
                self._due.remove(due)
            case Fault(kind=kind) if kind not in _JUDGED_FAULTS:
                pass
            case ResponseFinished(response_id=id_, status="incomplete") if _is_session_closed(
                step.event
            ) and (not id_ or id_ not in self._ended):
                self._ended.add(id_)  # no more of it will come; several may have no id
            case _ if not isinstance(value, self._optional):
                return f"{type(value).__name__} follows from no event, or was notified before"
            case _:
                pass
        return None

    def _is_repeated(self, fault: Fault) -> bool:
        """Note a fault of the stream; return whether it was notified before."""
        noted = fault.kind, re.sub(r"[0-9]+", "", fault.message)
        is_repeated = noted in self._stream_faults
        self._stream_faults.add(noted)
        return is_repeated

    def _note_request(self, event_id: str, sent: SentRequest) -> None:
        """Note a request. It is not certain whether a response has answered an out-of-band one;
        those long over are forgotten, and ids of commands may be used twice."""
        is_new = event_id not in self._sent_requests
        self._sent_requests[event_id] = is_new and not is_out_of_band(sent.body)
        for old in list(self._sent_requests)[:-MAX_QUEUED_REQUESTS]:
            self._sent_requests[old] = False

    def _find_due(self, value: object) -> object:
        return next((each for each in self._due if is_due(each, value)), None)

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        due, self._due, self._optional = self._due, [], ()
        return f"not notified: {name_of(due[0])}" if due else None


def _unexpected() -> DueFault:
    return DueFault(Peer.REALTIME, (FaultKind.UNEXPECTED,))


def _is_session_closed(event: object) -> bool:
    return isinstance(event, SocketClosed) and kind_of(event.peer) is Peer.REALTIME


def _is_as_received(requested: FunctionCallRequested, event: object) -> bool:
    match event:
        case ReceivedOutputItemDone(response_id, item):
            return requested == _request_of(item, response_id)
        case ReceivedResponseEnd(response_id, output=output):  # perhaps without an id
            id_ = response_id or requested.response_id
            return requested in [_request_of(item, id_) for item in output]
        case _:
            return False


def _request_of(item: ReceivedItem, response_id: str) -> FunctionCallRequested:
    name, arguments = item.name or "", item.arguments or ""
    return FunctionCallRequested(item.call_id or "", name, arguments, response_id, item.id)

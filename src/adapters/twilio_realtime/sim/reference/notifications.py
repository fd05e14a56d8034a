"""What is always true of what the application is told: it follows from what the peers say.

What follows from more than one event has its place with what it is about; here is what one event
says by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.errors import Fault, FaultKind, redact
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallerTranscriptFailed,
    CallStarted,
    FunctionCallRequested,
    KeyPressed,
    RealtimeEvent,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionReady,
    TwilioMessage,
)
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.protocols.realtime import CancelResponse, CreateResponse
from twilio_realtime_core.responses.requests import MAX_REQUESTS
from twilio_realtime_core.responses.responses import MAX_RESPONSES
from twilio_realtime_core.values.usage import Usage

from .facts import Facts
from .links import speaks_pcmu
from .step_record import Invariant, Told, value_of

__all__ = ["Copies", "Notifies"]

_SAYS: Final[Mapping[type, Callable[[Any], object]]] = {
    Fault: lambda wrong: wrong,
    realtime.SpeechStartedEvent: lambda e: CallerSpeechStarted(e.item_id, e.audio_start_ms),
    realtime.SpeechStoppedEvent: lambda e: CallerSpeechStopped(e.item_id, e.audio_end_ms),
    realtime.InputTranscriptDeltaEvent: lambda e: CallerTranscript(
        e.item_id, e.delta or "", final=False
    ),
    realtime.InputTranscriptCompletedEvent: lambda e: CallerTranscript(
        e.item_id, e.transcript, final=True
    ),
    realtime.InputTranscriptFailedEvent: lambda e: CallerTranscriptFailed(
        e.item_id, redact(e.error.message)
    ),
    realtime.OutputTranscriptDeltaEvent: lambda e: AgentTranscript(
        e.response_id, e.item_id, e.content_index, e.delta, final=False
    ),
    realtime.OutputTranscriptDoneEvent: lambda e: AgentTranscript(
        e.response_id, e.item_id, e.content_index, e.transcript, final=True
    ),
    realtime.OutputTextDeltaEvent: lambda e: AgentText(
        e.response_id, e.item_id, e.content_index, e.delta, final=False
    ),
    realtime.OutputTextDoneEvent: lambda e: AgentText(
        e.response_id, e.item_id, e.content_index, e.text, final=True
    ),
}
"""What an event says at any time. (A `Fault`: it could not be read.)"""

_OF_EVENTS: Final = (
    FaultKind.NOT_JSON,
    FaultKind.BAD_MESSAGE,
    FaultKind.WRONG_FORMAT,
    FaultKind.SERVER_ERROR,
)
"""Faults that one event says by itself. What others are about has its judges elsewhere."""

_RAW: Final = (TwilioMessage, RealtimeEvent)

_ACTIVE: Final = "conversation_already_has_active_response"
_CANCELLED_LATE: Final = "response_cancel_not_active"


class Notifies(Invariant):
    """What one event of a peer says by itself, the application is told in the same step, once, and
    as the event has it: that a stream, a response or speech begins or ends, a key, words, a
    configuration in effect, an error of the server, a request for a response that is refused for
    good, and what cannot be read. An event at a time when it makes no sense is a fault instead. Of
    nothing else is any of this told, and a function is requested as the model has it."""

    number = 14
    inputs = (
        *_SAYS,
        twilio.StartEvent,
        twilio.DtmfEvent,
        realtime.SessionUpdatedEvent,
        realtime.ResponseCreatedEvent,
        realtime.ResponseDoneEvent,
        realtime.ErrorEvent,
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
        AgentTranscript,
        AgentText,
        ResponseStarted,
        ResponseFinished,
        ResponseRefused,
        FunctionCallRequested,
        Fault,
        CreateResponse,
        CancelResponse,
    )

    def __init__(self, facts: Facts) -> None:
        self._line, self._asks = facts.line, facts.asks
        self._due: list[object] = []
        self._may: tuple[type, ...] = ()
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._cancels: set[str] = set()
        self._by_hand: set[str | None] = set()
        self._requests: dict[str, bool] = {}  # by event id; whether it is clear what is told of it

    def on_input(self, told: Told) -> str | None:
        """What is to be told of an event."""
        if self._line.live:
            says = _SAYS.get(type(told.event))
            self._due = self._due_of(told.event) if says is None else [says(told.event)]
        return None

    def _due_of(self, event: object) -> list[object]:
        match event:
            case twilio.StartEvent():
                return self._stream(event)
            case twilio.DtmfEvent(sid, digit):
                return [KeyPressed(digit) if self._streams(sid) else self._no_stream()]
            case realtime.SessionUpdatedEvent(session) if speaks_pcmu(session):
                return [SessionReady(session)]
            case realtime.SessionUpdatedEvent():
                return [_fault(FaultKind.WRONG_FORMAT)]
            case realtime.ResponseCreatedEvent(response):
                return self._begins(response.id)
            case realtime.ResponseDoneEvent(response):
                return self._ends(response)
            case realtime.ErrorEvent(error):
                return self._error(error)
            case CancelResponse(event_id=event_id):
                self._by_hand.add(event_id)
                return []
            case _:
                return []

    # Twilio.

    def _stream(self, start: twilio.StartEvent) -> list[object]:
        if not self._line.begins:
            return [Fault(Peer.TWILIO, FaultKind.UNEXPECTED, "")]
        begun = CallStarted(
            start.stream_sid, start.call_sid, start.account_sid, start.custom_parameters
        )
        if self._line.speaks_mulaw:
            return [begun]
        return [Fault(Peer.TWILIO, FaultKind.WRONG_FORMAT, ""), begun]

    def _streams(self, sid: str) -> bool:
        return self._line.streaming and sid == self._line.stream_sid

    def _no_stream(self) -> Fault:
        kind = FaultKind.WRONG_STREAM if self._line.streaming else FaultKind.UNEXPECTED
        return Fault(Peer.TWILIO, kind, "")

    # The model.

    def _begins(self, id_: str) -> list[object]:
        misplaced = id_ in self._begun or id_ in self._done
        self._begun.add(id_)
        if len(self._begun) > MAX_RESPONSES:
            self._may = (ResponseStarted,)
            return []
        return [_fault(FaultKind.UNEXPECTED) if misplaced else ResponseStarted(id_)]

    def _ends(self, response: realtime.Response) -> list[object]:
        again = response.id in self._done
        self._done.add(response.id)
        if again and len(self._done) > MAX_RESPONSES:
            self._may = (ResponseFinished,)
            return []
        if again:
            return [_fault(FaultKind.UNEXPECTED)]
        usage = Usage.from_json(response.usage)
        return [ResponseFinished(response.id, response.status, response.status_details, usage)]

    def _error(self, error: realtime.ServerError) -> list[object]:
        """An error is told, unless it only says that a cancel came too late, or that a request for
        a response has to wait."""
        id_, what = error.event_id, redact(error.message)
        code = None if error.code is None else redact(error.code)
        if error.code == _CANCELLED_LATE and id_ and id_ not in self._by_hand:
            self._may = () if id_ in self._cancels else (Fault,)  # it names what nobody has sent
            return []
        told = Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        clear = self._requests.pop(id_ or "", None)
        if clear is False or (not id_ and self._is_of_a_request(error)):
            self._may = (Fault, ResponseRefused)
            return []
        if clear is None:
            return [told]
        return [] if error.code == _ACTIVE else [ResponseRefused(id_, code, what)]

    def _is_of_a_request(self, error: realtime.ServerError) -> bool:
        about = error.code == _ACTIVE or CreateResponse.type in error.message
        return about and bool(self._requests)

    # What is told.

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge what is told."""
        match value:
            case CreateResponse(response, event_id):
                self._requested(event_id or "", response)
            case CancelResponse(event_id=event_id):
                self._cancels |= {event_id or ""} - self._by_hand
            case FunctionCallRequested() if not _is_as_told(value, told.event):
                return "a function call was requested otherwise than the model has it"
            case FunctionCallRequested():
                pass
            case _ if (due := self._of_the_due(value)) is not None:
                self._due.remove(due)
            case Fault(kind=kind) if kind not in _OF_EVENTS:
                pass
            case _ if not isinstance(value, self._may):
                return f"{type(value).__name__} says what no event does, or what was told already"
            case _:
                pass
        return None

    def _requested(self, event_id: str, response: Mapping[str, Any] | None) -> None:
        """A request is sent. Of one outside of the conversation it is not known whether a response
        has answered it; and nobody remembers what is long over, or has the id of another."""
        aside = (response or {}).get("conversation") == "none"
        self._requests[event_id] = not aside and event_id not in self._requests
        for old in list(self._requests)[:-MAX_REQUESTS]:
            self._requests[old] = False

    def _of_the_due(self, value: object) -> object:
        return next((each for each in self._due if _is_same(each, value)), None)

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        due, self._due, self._may = self._due, [], ()
        return f"nobody is told: {type(due[0]).__name__}" if due else None


def _fault(kind: FaultKind) -> Fault:
    return Fault(Peer.REALTIME, kind, "")


def _is_same(due: object, value: object) -> bool:
    """Whether something is what is due; faults may say more than that."""
    match due, value:
        case Fault(peer, kind, what, code), Fault():
            same = (peer, kind, code) == (value.peer, value.kind, value.code)
            return same and what in value.message
        case _:
            return due == value


def _is_as_told(requested: FunctionCallRequested, event: object) -> bool:
    match event:
        case realtime.OutputItemDoneEvent(response_id, item):
            has = item.call_id, item.name, item.arguments or "", response_id, item.id
            return has == (
                requested.call_id,
                requested.name,
                requested.arguments,
                requested.response_id,
                requested.item_id,
            )
        case _:
            return False


class Copies(Invariant):
    """Where `raw_messages` asks for it, each message of a peer is told as it came, once, and before
    anything else; where `agent_audio` does, all audio of the agent that may be heard, and no other.
    Otherwise none is."""

    number = 14
    inputs = (*get_args(twilio.StreamEvent), *get_args(realtime.ServerEvent), Fault)
    outputs = (TwilioMessage, RealtimeEvent, AgentAudio)

    def __init__(self, facts: Facts) -> None:
        self._line, self._speech, self._asks = facts.line, facts.speech, facts.asks
        self._raw, self._audio = facts.config.raw_messages, facts.config.notify_agent_audio
        if not self._raw:  # then nobody need ask of every frame
            self.inputs = (realtime.OutputAudioDeltaEvent,) if self._audio else ()

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        if self._raw and (due := self._copy(told)) is not None:
            told_of = [value_of(each) for each in told.outputs]
            if told_of[:1] != [due] or any(isinstance(each, _RAW) for each in told_of[1:]):
                return f"{type(due).__name__} is not told once, and first"
        if self._audio and isinstance(told.event, realtime.OutputAudioDeltaEvent):
            return self._judge_audio(told.event, told)
        return None

    def _copy(self, told: Told) -> TwilioMessage | RealtimeEvent | None:
        peer, text = told.arguments
        crossed = not self._line.live and not (
            isinstance(told.event, twilio.StopEvent) and told.outputs
        )
        if crossed or peer not in self._raw:
            return None
        return TwilioMessage(str(text)) if peer is Peer.TWILIO else RealtimeEvent(str(text))

    def _judge_audio(self, event: realtime.OutputAudioDeltaEvent, told: Told) -> str | None:
        copies = [each for each in map(value_of, told.outputs) if isinstance(each, AgentAudio)]
        key = event.item_id, event.content_index
        copy = AgentAudio(event.response_id, *key, event.delta)
        if any(each != copy for each in copies) or len(copies) > 1:
            return "audio of the agent is not told as it came"
        samples = count_samples(event.delta)
        heard = samples is not None and self._speech.kept_back(key) >= samples
        if heard is bool(copies) or self._asks.vague or not self._line.live:
            return None
        return "audio of the agent that may be heard is not told, or audio that may not be is"

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge what is told."""
        match value:
            case AgentAudio():
                asked = self._audio and isinstance(told.event, realtime.OutputAudioDeltaEvent)
            case _:
                asked = type(told.event) in Copies.inputs and value == self._copy(told)
        return None if asked else f"{type(value).__name__} that nobody has asked for"

"""A call for tests: a checked bridge, and the messages of its peers in a line each.

call = Call.ready()
done = call.model(delta(800))
assert done.to_twilio == [...]
"""

import json
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Hashable, Mapping
from typing import Any, Self, TypeVar

from attrs import define, field, frozen
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from twilio_realtime.sim.reference import CallMachine, CheckedBridge
from twilio_realtime_core import Bridge, CallConfig, Command, Fault, FaultKind
from twilio_realtime_core.machine.actions import (
    Action,
    Close,
    Encodable,
    Notify,
    Open,
    Peer,
    Send,
    SendPing,
    kind_of,
)
from twilio_realtime_core.machine.units import MS, samples_to_ns
from twilio_realtime_core.protocols.realtime import RawClientEvent
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media
from twilio_realtime_core.values.items import ConversationItem

E = TypeVar("E")

SID, OTHER_SID = "MZ1", "MZ2"
PCMU = {"type": "audio/pcmu"}
SESSION: dict[str, Any] = {
    "type": "realtime",
    "audio": {
        "input": {"format": PCMU, "turn_detection": {"type": "server_vad"}},
        "output": {"format": PCMU},
    },
}
"""A session as the server describes it."""

_client_event: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)


@frozen
class StepResult:
    """The actions that one step returned."""

    actions: list[Action]

    @property
    def to_twilio(self) -> list[Encodable]:
        return self._sent(Peer.TWILIO)

    @property
    def to_model(self) -> list[Encodable]:
        return self._sent(Peer.REALTIME)

    def _sent(self, peer: Peer) -> list[Encodable]:
        return [
            each.message
            for each in self.actions
            if isinstance(each, Send) and kind_of(each.peer) is peer
        ]

    @property
    def audio_samples(self) -> list[int]:
        """The samples of each media message."""
        return [_samples(each) for each in self.to_twilio if isinstance(each, Media)]

    @property
    def audio_base64(self) -> str:
        """All audio in base64, whatever the number of messages."""
        sent = [each.payload for each in self.to_twilio if isinstance(each, Media)]
        return b64encode(b"".join(map(b64decode, sent))).decode()

    @property
    def marks(self) -> list[str]:
        return [each.name for each in self.to_twilio if isinstance(each, Mark)]

    @property
    def events(self) -> list[object]:
        return [each.event for each in self.actions if isinstance(each, Notify)]

    def notified(self, kind: type[E]) -> list[E]:
        """The notifications of a class."""
        return [each for each in self.events if isinstance(each, kind)]

    @property
    def faults(self) -> list[FaultKind]:
        return [each.kind for each in self.notified(Fault)]

    @property
    def pings(self) -> list[bytes]:
        return [each.payload for each in self.actions if isinstance(each, SendPing)]

    @property
    def closes(self) -> list[Hashable]:
        return [each.peer for each in self.actions if isinstance(each, Close)]

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.actions if isinstance(each, Open)]


@define(eq=False)
class Call:
    """A bridge in a call, driven by hand, with a clock. Every step is checked against the
    invariants, and every event to the model against the types of the `openai` package.

    Time passes with `wait`, in which marks are echoed only by hand, or with `play`, in which a
    phone plays what was sent. Messages to the phone arrive immediately; `start_delay_ns` is how
    much later it starts to play after a pause, `echo_delay_ns` how long an echo takes.
    """

    config: CallConfig | None = None
    start_delay_ns: int = 0
    echo_delay_ns: int = 0
    bridge: CheckedBridge = field(init=False)
    now: int = field(init=False, default=0)
    link: Hashable = field(init=False, default=Peer.REALTIME)
    """The connection to the model that was opened last, on which its events are received."""
    _played_until_ns: int = field(init=False, default=0)
    _marks: deque[tuple[int, Mark]] = field(init=False, factory=deque[tuple[int, Mark]])

    def __attrs_post_init__(self) -> None:
        self.bridge = CheckedBridge(self.build(), self.config)
        self.record(self.bridge.start(0))

    def build(self) -> CallMachine:
        return Bridge(self.config)

    @classmethod
    def answered(cls, config: CallConfig | None = None) -> Self:
        """Twilio's socket is open."""
        call = cls(config)
        call.opened(Peer.TWILIO)
        return call

    @classmethod
    def streaming(cls, config: CallConfig | None = None) -> Self:
        """Twilio has sent `start`."""
        call = cls.answered(config)
        call.phone(connected())
        call.phone(start())
        return call

    @classmethod
    def connected(cls, config: CallConfig | None = None) -> Self:
        """The socket to the model is open."""
        call = cls.streaming(config)
        call.opened(Peer.REALTIME)
        return call

    @classmethod
    def ready(cls, config: CallConfig | None = None, session: Any = None) -> Self:
        """The session is configured, and the round trip to Twilio is measured as zero."""
        call = cls.streaming(config)
        call.phone(mark("0"))
        call.opened_and_configured(session)
        return call

    @classmethod
    def talking(cls, *samples: int) -> Self:
        """The model has started the response `r`, and sent audio deltas of so many samples of the
        item `i`."""
        call = cls.ready()
        call.model(created())
        for each in samples:
            call.model(delta(each))
        return call

    def opened_and_configured(self, session: Any = None) -> StepResult:
        self.opened(self.link)
        self.model(type="session.created", session={})
        return self.model(type="session.updated", session=session or SESSION)

    def opened(self, peer: Hashable) -> StepResult:
        return self.record(self.bridge.opened(peer, self.now))

    def phone(self, message: Mapping[str, Any] | str) -> StepResult:
        """Receive a message from Twilio; a mark that is echoed by hand is not echoed again."""
        match message:
            case {"event": "mark", "mark": {"name": str(echoed)}}:
                self._marks = deque(each for each in self._marks if each[1].name != echoed)
            case _:
                pass
        return self.record(self.bridge.receive_text(Peer.TWILIO, _text(message), self.now))

    def model(self, event: Mapping[str, Any] | str | None = None, **fields: Any) -> StepResult:
        """Receive an event from the model's server."""
        text = _text(fields if event is None else event)
        return self.record(self.bridge.receive_text(self.link, text, self.now))

    def pong(self, payload: bytes) -> StepResult:
        return self.record(self.bridge.pong(Peer.TWILIO, payload, self.now))

    def closed(self, peer: Hashable, code: int = 1000, reason: str = "") -> StepResult:
        return self.record(self.bridge.closed(peer, code, reason, self.now))

    def send(self, command: Command) -> StepResult:
        return self.record(self.bridge.send(command, self.now))

    def timeout(self) -> StepResult:
        """Fire the timer, whether or not it is due."""
        return self.record(self.bridge.handle_timeout(self.now))

    def wait(self, ms: float) -> StepResult:
        """Let time pass; the timer fires whenever it is due."""
        return self.wait_until(self.now + int(ms * MS))

    def wait_until(self, until_ns: int) -> StepResult:
        actions = list[Action]()
        while (deadline := self.bridge.deadline) is not None and deadline <= until_ns:
            self.now = max(self.now, deadline)
            actions += self.timeout().actions
        self.now = until_ns
        return StepResult(actions)

    def play(self, ms: float) -> StepResult:
        """Let time pass as in `wait`, and echo each mark when everything before it has been
        played."""
        return self.play_until(self.now + int(ms * MS))

    def play_until(self, until_ns: int) -> StepResult:
        actions = list[Action]()
        while self._marks and self._marks[0][0] + self.echo_delay_ns <= until_ns:
            at, played = self._marks[0]
            actions += Call.wait_until(self, max(self.now, at + self.echo_delay_ns)).actions
            actions += self.phone(mark(played.name, played.stream_sid)).actions
        return StepResult(actions + Call.wait_until(self, until_ns).actions)

    def record(self, actions: list[Action]) -> StepResult:
        """Record one step; what it sends to the phone is queued there."""
        done = StepResult(actions)
        for action in actions:
            if isinstance(action, Open):
                self.link = action.peer
        for message in done.to_twilio:
            self._enqueue(message)
        for event in done.to_model:
            if not isinstance(event, RawClientEvent):
                _client_event.validate_json(event.encode())
        return done

    def _enqueue(self, message: Encodable) -> None:
        match message:
            case Media():
                idle = self._played_until_ns <= self.now
                begins = self.now + self.start_delay_ns if idle else self._played_until_ns
                self._played_until_ns = begins + samples_to_ns(_samples(message))
            case Mark():
                self._marks.append((max(self.now, self._played_until_ns), message))
            case Clear():
                self._played_until_ns = self.now
                self._marks = deque((min(at, self.now), each) for at, each in self._marks)
            case _:
                pass


@define(eq=False)
class ObservedCall(Call):
    """A call whose items are looked at."""

    _observed: Bridge = field(init=False)

    def build(self) -> CallMachine:
        self._observed = Bridge(self.config)
        return self._observed

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        return self._observed.items


def _samples(message: Media) -> int:
    return len(message.payload) * 3 // 4 - message.payload.count("=")


def _text(message: Mapping[str, Any] | str) -> str:
    return message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))


def audio(samples: int, value: int = 0) -> str:
    """So many samples of one value, in base64."""
    return b64encode(bytes([value % 256]) * samples).decode()


# From Twilio.


def connected() -> dict[str, Any]:
    return {"event": "connected", "protocol": "Call", "version": "1.0.0"}


def start(sid: str = SID, **body: Any) -> dict[str, Any]:
    body = {
        "accountSid": "AC1",
        "streamSid": sid,
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"who": "Ann"},
        **body,
    }
    return {"event": "start", "sequenceNumber": "1", "streamSid": sid, "start": body}


def media(payload: str, sid: str = SID, timestamp_ms: int = 155) -> dict[str, Any]:
    body = {"track": "inbound", "chunk": "1", "timestamp": str(timestamp_ms), "payload": payload}
    return {"event": "media", "sequenceNumber": "2", "streamSid": sid, "media": body}


def mark(name: str, sid: str = SID) -> dict[str, Any]:
    return {"event": "mark", "sequenceNumber": "4", "streamSid": sid, "mark": {"name": name}}


def dtmf(digit: str, sid: str = SID) -> dict[str, Any]:
    return {"event": "dtmf", "streamSid": sid, "dtmf": {"track": "inbound_track", "digit": digit}}


def stop(sid: str = SID) -> dict[str, Any]:
    body = {"accountSid": "AC1", "callSid": "CA1"}
    return {"event": "stop", "sequenceNumber": "9", "streamSid": sid, "stop": body}


# From the model's server: for the response `r` and its item `i` by default.


def created(response: str = "r", conversation: str | None = "conv") -> dict[str, Any]:
    body = {"id": response, "status": "in_progress", "conversation_id": conversation}
    return {"type": "response.created", "response": body}


def delta(
    samples: int, response: str = "r", item: str = "i", content_index: int = 0, value: int = 0
) -> dict[str, Any]:
    return {
        "type": "response.output_audio.delta",
        **_part(response, item, content_index),
        "delta": audio(samples, value),
    }


def audio_done(response: str = "r", item: str = "i", content_index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_audio.done", **_part(response, item, content_index)}


def item_done(response: str = "r", item: str = "i", type_: str = "message") -> dict[str, Any]:
    body = {"id": item, "type": type_, "role": "assistant", "status": "completed"}
    return {"type": "response.output_item.done", "response_id": response, "item": body}


def function_call(
    call_id: str = "f", response: str = "r", status: str | None = "completed", item: str = "i"
) -> dict[str, Any]:
    """A function call that is done."""
    body = {
        "id": item,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": "look_up",
        "arguments": "{}",
    }
    return {"type": "response.output_item.done", "response_id": response, "item": body}


def response_done(
    response: str = "r",
    status: str = "completed",
    conversation: str | None = "conv",
    **fields: Any,
) -> dict[str, Any]:
    body = {
        "id": response,
        "status": status,
        "conversation_id": conversation,
        "usage": {"total_tokens": 7},
        **fields,
    }
    return {"type": "response.done", "response": body}


def speech_started() -> dict[str, Any]:
    return {
        "type": "input_audio_buffer.speech_started",
        "item_id": "u",
        "audio_start_ms": 640,
    }


def speech_stopped() -> dict[str, Any]:
    return {"type": "input_audio_buffer.speech_stopped", "item_id": "u", "audio_end_ms": 1640}


def item_added(item: str = "i", previous: str | None = None, **body: Any) -> dict[str, Any]:
    """A new item of the conversation: a message of the agent, unless `body` says otherwise."""
    body = {"id": item, "type": "message", "role": "assistant", "content": [], **body}
    return {"type": "conversation.item.added", "previous_item_id": previous, "item": body}


def item_complete(item: str = "i", **body: Any) -> dict[str, Any]:
    """The same item, complete."""
    added = item_added(item, **{"status": "completed", **body})
    return {"type": "conversation.item.done", "item": added["item"]}


def item_deleted(item: str = "i") -> dict[str, Any]:
    return {"type": "conversation.item.deleted", "item_id": item}


def server_error(message: str, event_id: str | None = None, code: str | None = None) -> Any:
    error = {
        "type": "invalid_request_error",
        "code": code,
        "message": message,
        "param": None,
        "event_id": event_id,
    }
    return {"type": "error", "error": error}


def _part(response: str, item: str, content_index: int) -> dict[str, Any]:
    return {"response_id": response, "item_id": item, "content_index": content_index}

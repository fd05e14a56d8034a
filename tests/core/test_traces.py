"""Recorded sessions, replayed through a call and to the simulated model.

They were recorded with linear audio. The replayed events name the audio format of a phone instead;
the samples are unchanged, since they are not decoded.
"""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import pytest
from attrs import define, field

from calling import PCMU, Call, StepResult, mark, media
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import FunctionCallReply, Reply, SpokenReply
from twilio_realtime_core import Encodable, FaultKind, Peer, SendEvent, SendFunctionOutput
from twilio_realtime_core.machine.actions import Action, Send
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    AgentText,
    AgentTranscript,
    CallEnded,
    CallerTranscript,
    EndReason,
    FunctionCallRequested,
    ItemAdded,
    PlaybackFinished,
    ResponseFinished,
)
from twilio_realtime_core.protocols.twilio import Media
from twilio_realtime_core.values.usage import Usage

Event = dict[str, Any]
T = TypeVar("T")

TRACES: Final = sorted(Path(__file__).with_name("traces").glob("*.jsonl"))
SPOKEN, TYPED, TOOL = TRACES
TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
SPEECH: Final = "response.output_audio_transcript"


def frames(trace: Path) -> list[tuple[str, Event]]:
    """The events on the socket, in order: `sent` or `received`, and the event."""
    lines = map(json.loads, trace.read_text("utf-8").splitlines())
    return [(line["direction"], as_on_a_phone(line["event"])) for line in lines]


def as_on_a_phone(value: Any) -> Any:
    """The same with µ-law in the place of linear audio."""
    if isinstance(value, dict):
        fields = cast(Event, value)
        if fields.get("type") == "audio/pcm":
            return PCMU
        return {name: as_on_a_phone(inner) for name, inner in fields.items()}
    return [as_on_a_phone(each) for each in cast(list[Any], value)] if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


@define(eq=False)
class Replay:
    """A call in which a recorded session is replayed: what the server sent comes from the model,
    audio that was sent comes from the phone, all else that was sent is a command. The phone echoes
    each mark in time. The bridge configures the session by itself; functions are answered when they
    are requested, with the recorded output, and the model is to respond to it."""

    trace: Path
    call: Call = field(init=False, factory=Call.streaming)
    events: list[object] = field(init=False, factory=list[object])
    to_model: list[Event] = field(init=False, factory=list[Event])
    to_twilio: list[Encodable] = field(init=False, factory=list[Encodable])
    _outputs: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        created = [each["item"] for each in sent(self.trace, "conversation.item.create")]
        self._outputs = {each["call_id"]: each["output"] for each in created if "output" in each}
        self.call.phone(mark("0"))
        self.call.opened(Peer.REALTIME)
        for direction, event in frames(self.trace):
            self._take(self.call.model(event) if direction == "received" else self._send(event))
            self._take(self.call.wait(20))

    def _send(self, event: Event) -> StepResult:
        match event:
            case {"type": "input_audio_buffer.append", "audio": payload}:
                return self.call.phone(media(payload))
            case {"type": "session.update"} | {"item": {"type": "function_call_output"}}:
                return StepResult([])
            case {"type": "response.create"} if self.told(FunctionCallRequested):
                return StepResult([])
            case _:
                return self.call.send(SendEvent(event))

    def _take(self, done: StepResult) -> None:
        self.events += done.events
        self.to_model += [json.loads(each.encode()) for each in done.to_model]
        self.to_twilio += done.to_twilio
        for name in done.marks:
            self._take(self.call.wait(1000))
            self._take(self.call.phone(mark(name)))
        for each in done.notified(FunctionCallRequested):
            answer = SendFunctionOutput(each.call_id, self._outputs[each.call_id])
            self._take(self.call.send(answer))

    def told(self, kind: type[T]) -> list[T]:
        return [each for each in self.events if isinstance(each, kind)]


def sent(trace: Path, kind: str) -> list[Event]:
    """The events of a kind that the client sent."""
    return _of(trace, "sent", kind)


def received(trace: Path, kind: str) -> list[Event]:
    """The events of a kind that the server sent."""
    return _of(trace, "received", kind)


def _of(trace: Path, direction: str, kind: str) -> list[Event]:
    return [event for way, event in frames(trace) if (way, event["type"]) == (direction, kind)]


every_trace = pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.stem)


# From the server.


@every_trace
def test_the_bridge_sends_what_the_recorded_client_sent(trace: Path) -> None:
    """Ids of events are for errors; a recorded client that gave none had none to match."""
    ours = [{**event, "event_id": None} for event in Replay(trace).to_model]
    theirs = [event for way, event in frames(trace) if way == "sent"]
    assert theirs[0]["type"] == "session.update"  # the bridge chooses its event id
    assert ours == [{**event, "event_id": None} for event in theirs[1:]]


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        (
            SPOKEN,
            """SessionReady CallerSpeechStarted CallerSpeechStopped ItemAdded ResponseStarted
            ItemAdded PlaybackStarted ItemUpdated PlaybackFinished ItemUpdated ItemUpdated
            ResponseFinished""",
        ),
        (
            TYPED,
            """SessionReady ItemAdded ResponseStarted ItemAdded PlaybackStarted PlaybackFinished
            ItemUpdated ItemUpdated ResponseFinished""",
        ),
        (
            TOOL,
            """SessionReady ItemAdded ResponseStarted ItemAdded ItemUpdated FunctionCallRequested
            ResponseFinished ItemAdded ResponseStarted ItemAdded ItemUpdated ItemUpdated
            ResponseFinished""",
        ),
    ],
    ids=["spoken", "typed", "tool"],
)
def test_notifications_follow_the_recorded_session_without_a_fault(trace: Path, told: str) -> None:
    """An item of the agent has its words before it is complete."""
    words = (AgentText, AgentTranscript, CallerTranscript)
    events = [each for each in Replay(trace).events if not isinstance(each, words)]
    assert [type(each).__name__ for each in events] == told.split()


@every_trace
def test_items_are_notified_in_the_recorded_order(trace: Path) -> None:
    """S71."""
    told = [each.item.id for each in Replay(trace).told(ItemAdded)]
    assert told == [each["item"]["id"] for each in received(trace, "conversation.item.added")]


@every_trace
def test_words_are_notified_as_received_and_add_up(trace: Path) -> None:
    replay = Replay(trace)
    kinds: list[tuple[type[AgentText | AgentTranscript | CallerTranscript], str, str, str]] = [
        (CallerTranscript, f"{TRANSCRIPTION}.delta", f"{TRANSCRIPTION}.completed", "transcript"),
        (AgentTranscript, f"{SPEECH}.delta", f"{SPEECH}.done", "transcript"),
        (AgentText, "response.output_text.delta", "response.output_text.done", "text"),
    ]
    for kind, delta, done, words in kinds:
        told = replay.told(kind)
        pieces = [each.text for each in told if not each.final]
        assert pieces == [each["delta"] for each in received(trace, delta)]
        whole = [each.text for each in told if each.final]
        assert whole == [each[words] for each in received(trace, done)]
        assert "".join(pieces).strip() == "".join(whole)


@every_trace
def test_all_recorded_audio_is_played(trace: Path) -> None:
    replay = Replay(trace)
    played = [b64decode(each.payload) for each in replay.to_twilio if isinstance(each, Media)]
    said = [b64decode(each["delta"]) for each in received(trace, "response.output_audio.delta")]
    assert b"".join(played) == b"".join(said)
    parts = [each["item_id"] for each in received(trace, "response.output_audio.done")]
    assert [each.item_id for each in replay.told(PlaybackFinished)] == parts


@every_trace
def test_the_usage_of_the_call_is_that_recorded(trace: Path) -> None:
    replay = Replay(trace)
    costs = [each.usage or Usage() for each in replay.told(ResponseFinished)]
    recorded = [each["response"]["usage"] for each in received(trace, "response.done")]
    assert [each.input.total for each in costs] == [each["input_tokens"] for each in recorded]
    assert [each.output.total for each in costs] == [each["output_tokens"] for each in recorded]
    replay.call.closed(Peer.TWILIO)
    (ended,) = replay.call.closed(Peer.REALTIME).notified(CallEnded)
    assert (ended.usage, ended.unanswered_requests) == (sum(costs, Usage()), 0)


@every_trace
def test_a_session_of_another_format_ends_the_call(trace: Path) -> None:
    """As recorded, without a phone's format in its place."""
    lines = map(json.loads, trace.read_text("utf-8").splitlines())
    updated = next(each["event"] for each in lines if each["event"]["type"] == "session.updated")
    call = Call.connected()
    assert call.model(updated).faults == [FaultKind.WRONG_FORMAT]
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.reason is EndReason.SESSION_REFUSED


# From the client.


@every_trace
def test_the_simulated_model_takes_all_that_the_recorded_client_sent(trace: Path) -> None:
    model = Model()
    for direction, event in frames(trace):
        if direction == "sent":
            model.send(event)
    model.wait(2000)
    assert "error" not in model.types
    requested = {"response.create", "input_audio_buffer.append"} & {
        e["type"] for _, e in frames(trace)
    }
    assert requested
    assert ("response.done" in model.types) == ("response.create" in requested)


class Model:
    """The simulated model, and the kinds of events it has sent."""

    def __init__(self) -> None:
        call = FunctionCallReply("get_weather", "{}", "call_uMNE0Myi2tDTPu0w")
        self._peer = RealtimePeer([Reply([call]), Reply([SpokenReply(b"\x20" * 800, "Hello.")])])
        self._now = 0
        self.types = set[str]()
        self._take(self._peer.start(0))
        self._take(self._peer.opened(CLIENT, 0))

    def send(self, event: Event) -> None:
        if event["type"] != "input_audio_buffer.append":
            self.wait(2000)  # of the request before
        self._take(self._peer.receive_text(CLIENT, json.dumps(event), self._now))
        self.wait(20)

    def wait(self, ms: int) -> None:
        until = self._now + ms * MS
        while (deadline := self._peer.deadline) is not None and deadline <= until:
            self._take(self._peer.handle_timeout(deadline))
        self._now = until

    def _take(self, actions: list[Action]) -> None:
        for each in actions:
            if isinstance(each, Send):
                self.types.add(json.loads(each.message.encode())["type"])

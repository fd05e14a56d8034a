"""The events of the simulated server, compared with OpenAI's types and recorded sessions."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, OpeningError, RealtimePeer
from twilio_realtime.sim.model.replies import FunctionCallReply, Reply, SpokenReply, TextReply
from twilio_realtime_core.machine.actions import Action, Send
from twilio_realtime_core.machine.units import MS

Event = dict[str, Any]

TRACES = Path(__file__).parents[3] / "core/traces"
QUIET, LOUD = b"\xff" * 160, b"\x10\x90" * 80
ANSWER = SpokenReply(
    b"\x20" * 8 * 2100, "Hello, Marcelo! Great to meet you. How can I help you today?"
)
PCMU = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}


RECORDED_MODEL = "gpt-realtime"
"""The model of the recorded sessions."""


class Session:
    """A client with an open session; it checks and logs each event of the server."""

    def __init__(self, *replies: Reply, **options: Any) -> None:
        self.peer = RealtimePeer(replies or [Reply([ANSWER])], **options)
        self.events: list[Event] = []
        self.now = 0
        self.peer.start(0)
        self._take(self.peer.opened(CLIENT, 0))
        self.wait(10)

    def wait(self, ms: int) -> None:
        until = self.now + ms * MS
        while (deadline := self.peer.deadline) is not None and deadline <= until:
            self._take(self.peer.handle_timeout(deadline))
        self.now = until

    def send(self, event: Event) -> None:
        self._take(self.peer.receive_text(CLIENT, json.dumps(event), self.now))

    def update(self, **audio_input: Any) -> None:
        audio = {**PCMU, "input": {**PCMU["input"], **audio_input}}
        self.send({"type": "session.update", "session": {"type": "realtime", "audio": audio}})

    def append(self, *frames: bytes) -> None:
        for frame in frames:
            audio = b64encode(frame).decode()
            self.send({"type": "input_audio_buffer.append", "audio": audio})
            self.wait(20)

    def _take(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                event = json.loads(action.message.encode())
                check(event)
                self.events.append(event)


@cache
def server_event() -> TypeAdapter[Any]:
    return TypeAdapter(RealtimeServerEvent)


def check(event: Event) -> None:
    """Check that an event is valid by OpenAI's types."""
    parsed = server_event().validate_json(json.dumps(event), strict=True)
    assert isinstance(parsed, BaseModel)
    assert parsed.model_dump()["type"] == event["type"]


def without_deltas(events: Iterable[Event]) -> list[Event]:
    """Leave out deltas, whose number may differ."""
    return [event for event in events if not event["type"].endswith(".delta")]


def types(events: Iterable[Event]) -> list[str]:
    return [event["type"] for event in without_deltas(events)]


def recorded(name: str) -> list[Event]:
    lines = (TRACES / f"{name}.jsonl").read_text().splitlines()
    frames = [json.loads(line) for line in lines]
    return [frame["event"] for frame in frames if frame["direction"] == "received"]


def in_session(events: Iterable[Event]) -> list[Event]:
    """Leave out events without a fixed position: transcription, and the final rate limits."""
    loose = ("conversation.item.input_audio_transcription.", "rate_limits.")
    return [event for event in events if not event["type"].startswith(loose)]


def skeleton(value: Any) -> Any:
    """The names of an event's fields, in order, without values; only linear audio has a `rate`."""
    if isinstance(value, dict):
        fields = cast(Event, value).items()
        return {name: skeleton(inner) for name, inner in fields if name != "rate"}
    return [skeleton(value[0])] if isinstance(value, list) and value else None


def a_spoken_turn() -> Session:
    session = Session(model=RECORDED_MODEL, transcripts=["Hello, my name is Marcelo."])
    session.update(transcription={"model": "gpt-realtime-whisper"})
    session.wait(50)
    session.append(*[QUIET] * 80, *[LOUD] * 130, *[QUIET] * 20)
    session.wait(3000)
    return session


def a_typed_turn() -> Session:
    session = Session(Reply([SpokenReply(b"\x20" * 6000, "Hi there!")]), model=RECORDED_MODEL)
    session.update()
    session.send(typed("Say a short greeting."))
    session.send({"type": "response.create"})
    session.wait(3000)
    return session


def a_tool_round() -> Session:
    call = FunctionCallReply(
        "get_weather", '{  \n  "city": "London" \n} \n', "call_uMNE0Myi2tDTPu0w"
    )
    answer = Reply([TextReply("It is foggy and 12 degrees in London.")])
    session = Session(Reply([call]), answer, model=RECORDED_MODEL)
    settings = {"type": "realtime", "output_modalities": ["text"]}
    session.send({"type": "session.update", "session": settings})
    session.send(typed("What is the weather in London?"))
    session.send({"type": "response.create"})
    session.wait(2000)
    output = {"type": "function_call_output", "call_id": "call_uMNE0Myi2tDTPu0w", "output": "Fog."}
    session.send({"type": "conversation.item.create", "item": output})
    session.send({"type": "response.create"})
    session.wait(2000)
    return session


def typed(text: str) -> Event:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "item": item}


def test_a_spoken_turn_matches_the_recorded_session() -> None:
    events = a_spoken_turn().events
    trace = recorded("realtime_audio_in_server_vad_turn")
    assert types(in_session(events)) == types(in_session(trace))


def test_a_typed_turn_matches_the_recorded_session() -> None:
    trace = recorded("realtime_text_in_audio_out_turn")
    assert types(in_session(a_typed_turn().events)) == types(trace)


def test_a_tool_round_matches_the_recorded_session() -> None:
    trace = recorded("realtime_tool_call_round")
    assert types(in_session(a_tool_round().events)) == types(trace)


@pytest.mark.parametrize(
    ("play", "name"),
    [
        (a_spoken_turn, "realtime_audio_in_server_vad_turn"),
        (a_typed_turn, "realtime_text_in_audio_out_turn"),
        (a_tool_round, "realtime_tool_call_round"),
    ],
)
def test_events_have_the_recorded_field_names_in_order(
    play: Callable[[], Session], name: str
) -> None:
    made, seen = in_session(play().events), in_session(recorded(name))
    for ours, theirs in zip(without_deltas(made), without_deltas(seen), strict=True):
        if not ours["type"].startswith("session."):
            assert json.dumps(skeleton(ours)) == json.dumps(skeleton(theirs))
    deltas = {event["type"]: event for event in made}
    for theirs in seen:
        assert list(deltas[theirs["type"]]) == list(theirs)


def test_the_session_has_the_recorded_field_names_in_order() -> None:
    trace = recorded("realtime_text_in_audio_out_turn")
    ours = a_typed_turn().events
    assert json.dumps(skeleton(ours[0])) == json.dumps(skeleton(trace[0]))
    made, seen = ours[1]["session"], trace[1]["session"]
    assert list(made) == list(seen)
    assert list(made["audio"]["input"]) == list(seen["audio"]["input"])


def test_the_done_event_of_item_two_names_no_predecessor() -> None:
    named = [
        (event["type"], event["previous_item_id"] is not None)
        for event in a_tool_round().events
        if event["type"] in ("conversation.item.added", "conversation.item.done")
    ]
    trace = [
        (event["type"], event["previous_item_id"] is not None)
        for event in recorded("realtime_tool_call_round")
        if event["type"] in ("conversation.item.added", "conversation.item.done")
    ]
    assert named == trace


def test_ids_contain_the_second_of_their_making() -> None:
    events = a_spoken_turn().events
    digits = [event["event_id"][6:11] for event in events]
    assert digits == sorted(digits)
    assert digits[0] == "E6U0w"
    assert len({event["event_id"] for event in events}) == len(events)
    assert {len(event["event_id"]) for event in events} == {len("event_") + 21}


def test_every_other_event_matches_openais_types() -> None:
    session = Session(
        Reply([ANSWER]),
        Reply.failed(),
        Reply.incomplete(TextReply("So")),
        transcripts=[None, "Yes."],
        pace=Pace(interruption_ns=0),
    )
    session.update(
        transcription={"model": "gpt-4o-transcribe"},
        turn_detection={"type": "server_vad", "idle_timeout_ms": 5000, "create_response": True},
    )
    session.wait(50)
    session.send({"type": "response.create"})
    session.wait(550)
    session.append(*[LOUD] * 20, *[QUIET] * 20)
    item_id = session.peer.conversation[0].id
    for event in (
        {"type": "conversation.item.truncate", "item_id": item_id, "audio_end_ms": 50},
        {"type": "conversation.item.truncate", "item_id": item_id, "audio_end_ms": 5000},
    ):
        session.send({**event, "content_index": 0})
    session.send({"type": "conversation.item.retrieve", "item_id": item_id})
    session.send({"type": "conversation.item.delete", "item_id": item_id})
    session.send({"type": "input_audio_buffer.clear"})
    session.send({"type": "response.create"})
    session.send({"type": "response.create", "response": {"conversation": "none"}})
    session.append(*[LOUD] * 20, *[QUIET] * 400)
    session.wait(2000)
    assert {
        "conversation.item.deleted",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.input_audio_transcription.failed",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "error",
        "input_audio_buffer.cleared",
        "input_audio_buffer.timeout_triggered",
        "rate_limits.updated",
    } <= set(types(session.events))


def test_a_session_with_every_setting_matches_openais_types() -> None:
    session = Session()
    session.send(
        {
            "type": "session.update",
            "session": {
                "type": "realtime",
                "model": "gpt-realtime-2.1",
                "output_modalities": ["audio"],
                "instructions": "Be brief.",
                "tools": [
                    {"parameters": {"type": "object"}, "type": "function", "name": "f"},
                    {"type": "mcp", "server_label": "m", "server_url": "https://x.example"},
                ],
                "tool_choice": {"type": "function", "name": "f"},
                "max_output_tokens": 400,
                "tracing": {"workflow_name": "calls"},
                "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
                "prompt": {"id": "pmpt_1"},
                "include": ["item.input_audio_transcription.logprobs"],
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcma"},
                        "transcription": {"model": "whisper-1", "language": "de"},
                        "noise_reduction": {"type": "near_field"},
                        "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
                    },
                    "output": {
                        "format": {"type": "audio/pcm"},
                        "voice": "marin",
                        "speed": 1.25,
                    },
                },
            },
        }
    )
    session.wait(10)
    updated = session.events[-1]
    assert updated["type"] == "session.updated"
    effective = updated["session"]
    assert list(effective["tools"][0]) == ["type", "name", "parameters"]
    assert effective["audio"]["input"]["transcription"] == {
        "model": "whisper-1",
        "language": "de",
        "prompt": None,
    }
    assert effective["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}


def test_messages_of_reasoning_models_have_a_phase() -> None:
    call = FunctionCallReply("look_up")
    session = Session(Reply([ANSWER, ANSWER]), Reply([ANSWER, call]))
    session.update()
    for _ in range(2):
        session.send({"type": "response.create"})
        session.wait(3000)
    done = [event["response"] for event in session.events if event["type"] == "response.done"]
    phases = [[item.get("phase") for item in response["output"]] for response in done]
    assert phases == [["commentary", "final_answer"], ["commentary", None]]
    created = session.events[0]["session"]
    assert (created["reasoning"], created["parallel_tool_calls"]) == ({"effort": "low"}, True)


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-2025-08-28", "gpt-realtime-mini"])
def test_messages_of_other_models_have_no_phase(model: str) -> None:
    session = Session(Reply([ANSWER, ANSWER]), model=model)
    session.update()
    session.send({"type": "response.create"})
    session.wait(3000)
    assert "reasoning" not in session.events[0]["session"]
    assert not any("phase" in item for item in session.events[-2]["response"]["output"])


def test_transcripts_have_probabilities_where_the_session_asks_for_them() -> None:
    session = Session(transcripts=["Yes, please."])
    session.update(transcription={"model": "gpt-transcribe"})
    include = ["item.input_audio_transcription.logprobs"]
    session.send({"type": "session.update", "session": {"type": "realtime", "include": include}})
    session.wait(50)
    session.append(*[LOUD] * 20, *[QUIET] * 20)
    session.wait(3000)
    prefix = "conversation.item.input_audio_transcription"
    deltas = [event for event in session.events if event["type"] == f"{prefix}.delta"]
    (whole,) = [event for event in session.events if event["type"] == f"{prefix}.completed"]
    assert [each["logprobs"][0]["token"] for each in deltas] == [each["delta"] for each in deltas]
    assert whole["logprobs"] == [each for delta in deltas for each in delta["logprobs"]]
    assert all(each["logprob"] < 0 for each in whole["logprobs"])


def test_noise_reduction_keeps_the_strength_that_an_update_leaves_out() -> None:
    session = Session()
    session.update(noise_reduction={"type": "near_field", "strength": 0.5})
    session.update(noise_reduction={"type": "far_field"})
    session.wait(10)
    effective = session.events[-1]["session"]["audio"]["input"]["noise_reduction"]
    assert effective == {"type": "far_field", "strength": 0.5}


def test_a_refused_connection_gets_an_error_of_openais_types() -> None:
    for error in OpeningError:
        assert types(Session(opening_error=error).events) == ["error"]

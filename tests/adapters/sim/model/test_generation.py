"""Responses of the simulated model: sizes of deltas, pace, early ends."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.model.audio_formats import format_from_wire
from twilio_realtime.sim.model.conversation import StoredConversation
from twilio_realtime.sim.model.event_queue import EventQueue
from twilio_realtime.sim.model.generation import ResponseGeneration, ResponseSettings
from twilio_realtime.sim.model.output_items import PacedEvents, split_tokens
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.replies import FunctionCallReply, Reply, SpokenReply, TextReply
from twilio_realtime.sim.model.server_events import ServerEventWriter
from twilio_realtime_core.machine.units import MS

SENTENCE = "Hello, Marcelo! Great to meet you. How can I help you today?"


def a_generation(
    reply: Reply,
    memory: StoredConversation | None = None,
    *,
    format_type: str = "audio/pcmu",
    modality: str = "audio",
    pace: Pace | None = None,
) -> ResponseGeneration:
    wire: dict[str, Any] = {
        "conversation_id": "conv_1",
        "output_modalities": [modality],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": format_type}, "voice": "alloy"}},
        "metadata": None,
    }
    settings = ResponseSettings(wire, format_from_wire({"type": format_type}), 20, 30)
    writer = ServerEventWriter(EventQueue(), 1, 1_785_214_050)
    return ResponseGeneration("resp_1", reply, settings, pace or Pace(), writer, memory)


def timed(steps: PacedEvents) -> list[tuple[int, dict[str, Any]]]:
    """Each event with the time at which it is sent (ns after the start)."""
    now, events = 0, list[tuple[int, dict[str, Any]]]()
    for step in steps:
        if isinstance(step, int):
            now += step
        else:
            events.append((now, step.body))
    return events


def speech(ms: int) -> SpokenReply:
    return SpokenReply(b"\x10" * (8 * ms), SENTENCE)


def events_of(
    type_: str, events: list[tuple[int, dict[str, Any]]]
) -> list[tuple[int, dict[str, Any]]]:
    return [(at_ns, body) for at_ns, body in events if body["type"] == type_]


@pytest.mark.parametrize(
    ("total_ms", "sizes"),
    [
        (1750, [100, 150, 250, 250, 250, 250, 500]),
        (1800, [100, 150, 250, 250, 250, 250, 550]),
        (2600, [100, 150, *[250] * 7, 600]),
        (4350, [100, 150, *[250] * 14, 600]),
        (5000, [100, 150, *[250] * 17, 500]),
        (6800, [100, 150, *[250] * 24, 550]),
        (50, [50]),
        (200, [100, 100]),
        (250, [100, 150]),
        (0, []),
    ],
)
def test_audio_deltas_have_the_sizes_of_recorded_sessions(total_ms: int, sizes: list[int]) -> None:
    assert list(Pace().delta_sizes_ms(total_ms)) == sizes


@given(st.integers(0, 20_000))
def test_deltas_hold_all_the_audio(total_ms: int) -> None:
    sizes = list(Pace().delta_sizes_ms(total_ms))
    assert sum(sizes) == total_ms
    assert all(size > 0 for size in sizes)


def test_audio_has_the_pace_of_recorded_sessions() -> None:
    events = timed(a_generation(Reply([speech(6800)])).run())
    deltas = events_of("response.output_audio.delta", events)
    assert events_of("response.output_item.added", events)[0][0] == 300 * MS
    assert [when // MS for when, _ in deltas[:4]] == [428, 458, 508, 558]
    assert (deltas[-1][0] - deltas[0][0]) == 6700 * MS // 5
    assert len(deltas) == 27


@pytest.mark.parametrize(
    ("format_type", "bytes_per_ms"), [("audio/pcmu", 8), ("audio/pcma", 8), ("audio/pcm", 48)]
)
def test_audio_is_sent_in_the_sessions_format(format_type: str, bytes_per_ms: int) -> None:
    events = timed(a_generation(Reply([speech(500)]), format_type=format_type).run())
    pieces = [
        base64.b64decode(body["delta"])
        for _, body in events_of("response.output_audio.delta", events)
    ]
    assert [len(piece) // bytes_per_ms for piece in pieces] == [100, 150, 250]
    assert (set(b"".join(pieces)) == {0x10}) is (format_type == "audio/pcmu")


def test_speech_is_padded_to_whole_tokens_of_50_ms() -> None:
    memory = StoredConversation()
    events = timed(a_generation(Reply([speech(120)]), memory).run())
    assert memory.items[0].generated_ms == memory.items[0].audio_ms == 150
    last = base64.b64decode(events_of("response.output_audio.delta", events)[-1][1]["delta"])
    assert last == b"\x10" * 160 + b"\xff" * 240


def test_the_transcript_runs_ahead_of_the_audio() -> None:
    events = timed(a_generation(Reply([speech(3000)])).run())
    kinds = [body["type"] for _, body in events]
    first_audio = kinds.index("response.output_audio.delta")
    assert kinds[:first_audio].count("response.output_audio_transcript.delta") == 4
    spoken = "".join(
        body["delta"] for _, body in events_of("response.output_audio_transcript.delta", events)
    )
    assert spoken == SENTENCE
    assert kinds.index("response.output_audio.done") > first_audio


def test_a_spoken_reply_without_audio_has_no_deltas() -> None:
    events = timed(a_generation(Reply([SpokenReply(b"", "Hm")])).run())
    kinds = [body["type"] for _, body in events]
    assert "response.output_audio.delta" not in kinds
    assert kinds[-1] == "response.done"


def test_text_is_sent_token_by_token() -> None:
    events = timed(a_generation(Reply([TextReply("It is foggy.")])).run())
    deltas = events_of("response.output_text.delta", events)
    assert [body["delta"] for _, body in deltas] == ["It", " is", " foggy", "."]
    assert [when // MS for when, _ in deltas] == [195, 207, 219, 231]


def test_a_text_response_sends_speech_as_text() -> None:
    events = timed(a_generation(Reply([speech(500)]), modality="text").run())
    assert events_of("response.output_text.done", events)[0][1]["text"] == SENTENCE
    assert not events_of("response.output_audio.delta", events)


def test_text_deltas_are_padded_and_audio_deltas_are_not() -> None:
    reply = Reply([speech(300), FunctionCallReply("f", '{"a_very_long_argument_name": 1}')])
    padded = 0
    for _, body in timed(a_generation(reply).run()):
        if body["type"] == "response.output_audio.delta":
            assert "obfuscation" not in body
        elif "delta" in body:
            assert len(body["delta"] + body["obfuscation"]) % 16 == 0
            padded += 1
    assert padded > 20


def test_each_of_several_items_is_added_and_done() -> None:
    memory = StoredConversation()
    reply = Reply(
        [speech(300), TextReply("One moment."), FunctionCallReply("look_up", '{"a": 1}', "call_1")]
    )
    events = timed(a_generation(reply, memory).run())
    added = events_of("response.output_item.added", events)
    assert [body["output_index"] for _, body in added] == [0, 1, 2]
    assert len(events_of("response.output_item.done", events)) == 3
    output = events[-1][1]["response"]["output"]
    assert [item["id"] for item in output] == [item.id for item in memory.items]
    assert {item["status"] for item in output} == {"completed"}
    assert output[2]["arguments"] == '{"a": 1}'
    assert output[2]["call_id"] == "call_1"


def test_a_function_call_without_an_id_gets_one() -> None:
    events = timed(a_generation(Reply([FunctionCallReply("hang_up")])).run())
    done = events_of("response.function_call_arguments.done", events)[0][1]
    assert (done["name"], done["arguments"]) == ("hang_up", "{}")
    assert done["call_id"].startswith("call_")


def test_out_of_band_items_do_not_enter_the_conversation() -> None:
    kinds = [body["type"] for _, body in timed(a_generation(Reply([speech(300)]), None).run())]
    assert not [kind for kind in kinds if kind.startswith("conversation.")]


def test_usage_counts_a_token_for_50_ms_of_audio() -> None:
    response = timed(a_generation(Reply([speech(6800)])).run())[-1][1]["response"]
    words = len(split_tokens(SENTENCE))
    assert response["usage"]["output_token_details"] == {"text_tokens": words, "audio_tokens": 136}
    assert response["usage"]["input_tokens"] == 50
    assert response["usage"]["total_tokens"] == 50 + words + 136


def test_a_response_that_fails_at_once_has_no_output() -> None:
    response = timed(a_generation(Reply.failed(code="rate_limit_exceeded")).run())[-1][1][
        "response"
    ]
    assert (response["status"], response["output"], response["usage"]) == ("failed", [], None)
    assert response["status_details"]["type"] == "failed"
    assert response["status_details"]["error"]["code"] == "rate_limit_exceeded"


def test_an_incomplete_response_has_a_reason_and_an_incomplete_item() -> None:
    reply = Reply.incomplete(TextReply("So:"), speech(300), reason="content_filter")
    response = timed(a_generation(reply).run())[-1][1]["response"]
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "content_filter"}
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def run_for(steps: PacedEvents, duration_ns: int) -> None:
    """Let a response run for a while, and stop there."""
    for step in steps:
        if isinstance(step, int):
            duration_ns -= step
        if duration_ns < 0:
            return


def test_cancelled_speech_closes_with_the_transcript_so_far() -> None:
    memory = StoredConversation()
    generation = a_generation(Reply([speech(3000)]), memory)
    run_for(generation.run(), 470 * MS)
    events = timed(generation.cancel("turn_detected"))
    assert [body["type"] for _, body in events] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert events[1][1]["transcript"] == "Hello, Marcelo!"
    response = events[-1][1]["response"]
    assert response["status"] == "cancelled"
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert response["output"][0]["status"] == "incomplete"
    assert memory.items[0].generated_ms == 250
    assert memory.items[0].transcript == "Hello, Marcelo!"


@pytest.mark.parametrize(
    "item", [TextReply("a b c d e f"), FunctionCallReply("f", '{"a": "b c"}', "call_1")]
)
def test_cancelled_text_closes_with_the_text_so_far(
    item: TextReply | FunctionCallReply,
) -> None:
    generation = a_generation(Reply([item]))
    run_for(generation.run(), 210 * MS)
    output = timed(generation.cancel("client_cancelled"))[-1][1]["response"]["output"]
    assert output[0]["status"] == "incomplete"
    written = output[0].get("arguments") or output[0]["content"][0]["text"]
    assert written in ("a b", '{"a')


def test_cancelled_before_its_first_item_a_response_is_empty() -> None:
    generation = a_generation(Reply([speech(300)]))
    run_for(generation.run(), 100 * MS)
    (only,) = timed(generation.cancel("client_cancelled"))
    assert only[1]["response"]["output"] == []


def test_the_end_of_a_cancelled_response_may_be_late() -> None:
    generation = a_generation(Reply([speech(300)]), pace=Pace(cancelled_done_ns=50 * MS))
    run_for(generation.run(), 100 * MS)
    assert timed(generation.cancel("client_cancelled"))[0][0] == 50 * MS


@given(st.text(max_size=60))
def test_tokens_make_up_the_text(text: str) -> None:
    tokens = split_tokens(text)
    assert "".join(tokens) == text
    assert all(tokens)

"""The agent's speech: audio to the caller, and the events of responses."""

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calling import (
    SID,
    Call,
    StepResult,
    audio,
    audio_done,
    created,
    delta,
    item_done,
    response_done,
    speech_started,
)
from twilio_realtime_core import Encodable, FaultKind, Interrupt
from twilio_realtime_core.downlink.speech_order import MAX_HELD_EVENTS
from twilio_realtime_core.notifications import (
    InterruptedItem,
    InterruptionCause,
    PlaybackFinished,
    ResponseFinished,
    ResponseStarted,
)
from twilio_realtime_core.protocols.realtime import (
    DeleteItem,
    TruncateItem,
)
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media
from twilio_realtime_core.values.usage import Usage

CALLER, APPLICATION = InterruptionCause.CALLER, InterruptionCause.APPLICATION
CLEAR = Clear(SID)


def cut(heard_ms: int, sent_ms: int, item: str = "i", response: str = "r", part: int = 0) -> Any:
    return InterruptedItem(response, item, part, heard_ms=heard_ms, sent_ms=sent_ms)


def interrupt(call: Call) -> StepResult:
    return call.send(Interrupt())


# To the caller.


def test_the_first_frame_is_sent_with_a_separate_mark() -> None:
    call = Call.ready()
    call.model(created())
    assert call.model(delta(800, value=7)).to_twilio == [
        Media(SID, audio(160, 7)),
        Mark(SID, "1"),
        Media(SID, audio(640, 7)),
    ]


def test_a_delta_of_whole_frames_is_sent_unchanged() -> None:
    call = Call.talking(160)
    assert call.model(delta(800, value=7)).to_twilio == [Media(SID, audio(800, 7))]


def test_other_deltas_are_aligned_to_frames() -> None:
    call = Call.ready()
    assert [call.model(delta(each)).audio_samples for each in (100, 100, 800, 5)] == [
        [],
        [160],
        [800],
        [],
    ]
    assert call.model(audio_done()).audio_samples == [45]


@pytest.mark.parametrize("event", [audio_done(), response_done(), delta(160, item="j")])
def test_the_rest_is_sent_when_its_part_ends(event: dict[str, Any]) -> None:
    call = Call.talking(170)
    assert call.model(event).audio_samples[0] == 10


@pytest.mark.parametrize("event", [audio_done(item="j"), response_done("other")])
def test_the_end_of_another_part_keeps_the_rest(event: dict[str, Any]) -> None:
    call = Call.talking(170)
    assert call.model(event).audio_samples == []
    assert call.model(delta(150)).audio_samples == [160]


@given(st.lists(st.integers(1, 3000), max_size=8))
def test_all_audio_is_sent_in_order_in_whole_frames(sizes: list[int]) -> None:
    call = Call.ready()
    deltas = [delta(size, value=value) for value, size in enumerate(sizes)]
    messages = [each for event in deltas for each in call.model(event).to_twilio]
    assert all(len(each) % 160 == 0 for each in _audio(messages))
    messages += call.model(audio_done()).to_twilio
    assert b"".join(_audio(messages)) == b"".join(b64decode(each["delta"]) for each in deltas)


def _audio(messages: list[Encodable]) -> list[bytes]:
    return [b64decode(each.payload) for each in messages if isinstance(each, Media)]


def test_marks_follow_the_first_audio_and_every_250_ms() -> None:
    call = Call.ready()
    done = [call.model(delta(each)) for each in (160, 800, 1280, 160)]
    assert [each.marks for each in done] == [["1"], [], ["2"], []]
    assert call.model(audio_done()).marks == ["3"]
    assert call.model(response_done()).marks == []


@pytest.mark.parametrize(
    "payload", ["", "A", "AAA", "====", "AA\nAA", '"}],"x":"', "ÄÄÄÄ", "AAAA AAA"]
)
def test_audio_that_is_not_base64_is_a_fault(payload: str) -> None:
    call = Call.ready()
    done = call.model({**delta(1), "delta": payload})
    assert done.faults == [FaultKind.BAD_AUDIO]
    assert len(done.actions) == 1
    assert call.model(delta(160)).audio_samples == [160]


def test_audio_beyond_what_can_be_held_is_dropped_and_reported() -> None:
    call = Call.ready()
    call.model(created("o", None))
    call.model(delta(160, "o", "x"))
    call.model(created())
    for _ in range(MAX_HELD_EVENTS):
        assert call.model(delta(1)).faults == []
    assert call.model(delta(1)).faults == [FaultKind.OVERFLOW]


def test_more_than_ten_minutes_of_audio_is_dropped_and_reported() -> None:
    call = Call.ready()
    for _ in range(5):
        assert sum(call.model(delta(960_000)).audio_samples) == 960_000
    done = call.model(delta(160))
    assert (done.audio_samples, done.faults) == ([], [FaultKind.OVERFLOW])
    call.wait(20)
    assert call.model(delta(160)).audio_samples == [160]


# Responses.


def test_the_start_and_end_of_a_response_are_notified() -> None:
    call = Call.ready()
    assert call.model(created()).events == [ResponseStarted("r")]
    assert call.model(response_done()).events == [ResponseFinished("r", "completed", None, Usage())]


def test_the_start_of_a_response_is_notified_once() -> None:
    call = Call.ready()
    call.model(delta(160))
    assert call.model(created()).events == [ResponseStarted("r")]
    again = call.model(created())
    assert again.notified(ResponseStarted) == []
    assert again.faults == [FaultKind.UNEXPECTED]


@pytest.mark.parametrize("event", [created(), delta(160), response_done()])
def test_events_of_a_finished_response_are_faults(event: dict[str, Any]) -> None:
    call = Call.ready()
    call.model(response_done())
    done = call.model(event)
    assert done.faults == [FaultKind.UNEXPECTED]
    assert len(done.actions) == 1


def test_a_response_that_was_not_announced_is_played() -> None:
    assert Call.ready().model(delta(160, response="unannounced")).audio_samples == [160]


# Interrupted items.


def test_an_unheard_item_is_deleted_when_it_is_done() -> None:
    call = Call.talking(800)
    assert call.model(speech_started()).to_model == []
    assert call.model(item_done()).to_model == [DeleteItem("i")]


def test_an_item_heard_in_part_stays_when_it_is_done() -> None:
    call = Call.talking(800)
    call.wait(1)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 1)]
    assert call.model(item_done()).to_model == []


def test_an_item_confirmed_as_heard_stays_when_it_is_done() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    assert call.play(100).notified(PlaybackFinished) == [PlaybackFinished("r", "i", 0)]
    call.model(speech_started())
    assert call.model(item_done()).to_model == []


def test_a_function_call_of_an_interrupted_response_stays() -> None:
    call = Call.talking(800)
    call.model(speech_started())
    assert call.model(item_done(item="f", type_="function_call")).actions == []


def test_the_rest_of_an_interrupted_frame_is_dropped() -> None:
    call = Call.talking(170)
    interrupt(call)
    call.model(created("s"))
    assert call.model(delta(160, "s", "j")).audio_samples == [160]


def test_audio_after_the_end_of_its_part_is_a_fault() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    late = call.model(delta(800))
    assert late.faults == [FaultKind.UNEXPECTED]
    assert late.to_twilio == []
    assert call.model(delta(800, content_index=1)).to_twilio


def test_an_item_done_twice_is_deleted_once() -> None:
    call = Call.ready()
    call.model(created())
    call.model(speech_started())
    assert call.model(item_done()).to_model == [DeleteItem("i")]
    assert call.model(item_done()).to_model == []

"""What the agent says on its way to the caller, what comes back, and what an interruption does."""

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calling import (
    OTHER_SID,
    SESSION,
    SID,
    Call,
    StepResult,
    audio,
    audio_done,
    created,
    delta,
    item_done,
    mark,
    response_done,
    server_error,
    speech_started,
    start,
)
from twilio_realtime_core import Encodable, FaultKind, Interrupt, SendEvent
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    Interrupted,
    InterruptedItem,
    InterruptionCause,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
)
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    ClearInputAudio,
    CreateItem,
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


def test_the_first_frame_goes_alone_with_a_mark_of_its_own() -> None:
    call = Call.ready()
    call.model(created())
    assert call.model(delta(800, value=7)).to_twilio == [
        Media(SID, audio(160, 7)),
        Mark(SID, "1"),
        Media(SID, audio(640, 7)),
    ]


def test_a_delta_of_whole_frames_that_goes_on_is_passed_on_as_it_is() -> None:
    call = Call.talking(160)
    assert call.model(delta(800, value=7)).to_twilio == [Media(SID, audio(800, 7))]


def test_other_deltas_are_cut_to_whole_frames_and_the_rest_is_carried_on() -> None:
    call = Call.ready()
    assert [call.model(delta(each)).audio_samples for each in (100, 100, 800, 5)] == [
        [],
        [160],
        [800],
        [],
    ]
    assert call.model(audio_done()).audio_samples == [45]


@pytest.mark.parametrize("event", [audio_done(), response_done(), delta(160, item="j")])
def test_the_rest_of_a_frame_goes_out_when_its_part_has_ended(event: dict[str, Any]) -> None:
    call = Call.talking(170)
    assert call.model(event).audio_samples[0] == 10


@pytest.mark.parametrize("event", [audio_done(item="j"), response_done("other")])
def test_the_end_of_another_part_leaves_the_rest_of_a_frame(event: dict[str, Any]) -> None:
    call = Call.talking(170)
    assert call.model(event).audio_samples == []
    assert call.model(delta(150)).audio_samples == [160]


@given(st.lists(st.integers(1, 3000), max_size=8))
def test_whatever_the_sizes_all_audio_arrives_in_order_in_whole_frames(sizes: list[int]) -> None:
    call = Call.ready()
    deltas = [delta(size, value=value) for value, size in enumerate(sizes)]
    messages = [each for event in deltas for each in call.model(event).to_twilio]
    assert all(len(each) % 160 == 0 for each in _audio(messages))
    messages += call.model(audio_done()).to_twilio
    assert b"".join(_audio(messages)) == b"".join(b64decode(each["delta"]) for each in deltas)


def _audio(messages: list[Encodable]) -> list[bytes]:
    return [b64decode(each.payload) for each in messages if isinstance(each, Media)]


def test_marks_follow_the_first_audio_then_each_quarter_of_a_second_and_the_tail() -> None:
    call = Call.ready()
    done = [call.model(delta(each)) for each in (160, 800, 1280, 160)]
    assert [each.marks for each in done] == [["1"], [], ["2"], []]
    assert call.model(audio_done()).marks == ["3"]
    assert call.model(response_done()).marks == []


@pytest.mark.parametrize(
    "payload", ["", "A", "AAA", "====", "AA\nAA", '"}],"x":"', "ÄÄÄÄ", "AAAA AAA"]
)
def test_audio_that_is_no_base64_is_a_fault_and_cannot_inject_json(payload: str) -> None:
    call = Call.ready()
    done = call.model({**delta(1), "delta": payload})
    assert done.faults == [FaultKind.BAD_AUDIO]
    assert len(done.actions) == 1
    assert call.model(delta(160)).audio_samples == [160]


def test_more_than_ten_minutes_of_audio_is_dropped_and_reported() -> None:
    call = Call.ready()
    for _ in range(5):
        assert sum(call.model(delta(960_000)).audio_samples) == 960_000
    done = call.model(delta(160))
    assert (done.audio_samples, done.faults) == ([], [FaultKind.OVERFLOW])
    call.wait(20)
    assert call.model(delta(160)).audio_samples == [160]


# Responses.


def test_a_response_is_told_when_it_begins_and_when_it_ends() -> None:
    call = Call.ready()
    assert call.model(created()).events == [ResponseStarted("r")]
    assert call.model(response_done()).events == [ResponseFinished("r", "completed", None, Usage())]


def test_the_begin_of_a_response_is_told_once_and_also_behind_its_first_audio() -> None:
    call = Call.ready()
    call.model(delta(160))
    assert call.model(created()).events == [ResponseStarted("r")]
    again = call.model(created())
    assert again.notified(ResponseStarted) == []
    assert again.faults == [FaultKind.UNEXPECTED]


@pytest.mark.parametrize("event", [created(), delta(160), response_done()])
def test_what_comes_after_a_response_was_done_is_a_fault(event: dict[str, Any]) -> None:
    call = Call.ready()
    call.model(response_done())
    done = call.model(event)
    assert done.faults == [FaultKind.UNEXPECTED]
    assert len(done.actions) == 1


def test_a_response_that_was_not_announced_is_played_too() -> None:
    assert Call.ready().model(delta(160, response="unannounced")).audio_samples == [160]


# What the caller has heard.


def test_the_first_echo_starts_a_part_and_the_last_ends_it() -> None:
    call = Call.talking(800, 1600)
    call.model(audio_done())
    assert call.play(299).events == [PlaybackStarted("r", "i", 0)]
    assert call.play(1).events == [PlaybackFinished("r", "i", 0)]


def test_the_echo_may_come_before_the_model_says_that_the_part_has_ended() -> None:
    call = Call.talking(160)
    assert call.play(20).events == [PlaybackStarted("r", "i", 0)]
    assert call.model(audio_done()).events == [PlaybackFinished("r", "i", 0)]
    assert call.model(response_done()).notified(PlaybackFinished) == []


@pytest.mark.parametrize("name", ["1", "", "x", "-1", "00", "99999999999", "²"])
def test_s18_an_echo_of_a_mark_that_is_not_under_way_is_a_fault_that_keeps_its_name(
    name: str,
) -> None:
    done = Call.ready().phone(mark(name))
    assert done.faults == [FaultKind.UNKNOWN_MARK]
    assert getattr(done.events[0], "message", "") == "mark: an echo of no mark that is under way"


def test_an_echo_that_comes_twice_is_a_fault() -> None:
    assert Call.ready().phone(mark("0")).faults == [FaultKind.UNKNOWN_MARK]


# Interruptions.


def test_s01_with_nothing_ever_played_an_interruption_sends_nothing() -> None:
    call = Call.ready()
    assert interrupt(call).actions == []
    assert call.model(speech_started()).to_twilio == []


def test_s02_an_item_sent_whole_is_truncated_where_it_was_when_the_clear_takes_effect() -> None:
    call = Call.talking(800, 800)
    call.model(audio_done())
    call.play(150)
    done = interrupt(call)
    assert done.to_twilio == [CLEAR]
    assert done.to_model == [CancelResponse("r", "bridge-cancel-r"), TruncateItem("i", 0, 150)]
    assert done.events == [Interrupted(APPLICATION, (cut(150, 200),))]


@pytest.mark.parametrize("by_the_caller", [True, False])
def test_s03_interrupting_twice_sends_one_clear_one_cancel_one_truncate(
    *, by_the_caller: bool
) -> None:
    audio_ = {**SESSION["audio"], "input": {**SESSION["audio"]["input"], "turn_detection": None}}
    call = Call.ready(session={"audio": audio_})  # nobody but us cancels
    call.model(created())
    call.model(delta(800))
    call.play(40)
    done = call.model(speech_started()) if by_the_caller else interrupt(call)
    assert done.to_twilio == [CLEAR]
    assert done.to_model == [CancelResponse("r", "bridge-cancel-r"), TruncateItem("i", 0, 40)]
    assert interrupt(call).actions == []
    again = call.model(speech_started())
    assert (again.to_twilio, again.to_model, again.notified(Interrupted)) == ([], [], [])


def test_s04_a_position_is_a_whole_number_of_ms_rounded_down() -> None:
    call = Call.talking(161)
    call.model(audio_done())
    call.play(20.07)
    call.model(response_done())
    assert interrupt(call).to_model == [TruncateItem("i", 0, 20)]


def test_s05_queued_items_are_each_corrected_by_their_own_position() -> None:
    call = Call.talking(1600)
    call.model(audio_done())
    call.model(item_done())
    call.model(delta(800, item="j"))
    call.model(audio_done(item="j"))
    call.model(item_done(item="j"))
    call.play(150)
    done = call.model(speech_started())
    assert done.to_model == [TruncateItem("i", 0, 150), DeleteItem("j")]
    assert done.notified(Interrupted) == [Interrupted(CALLER, (cut(150, 200), cut(0, 100, "j")))]


def test_s06_the_echo_of_a_cleared_mark_says_nothing_of_what_comes_next() -> None:
    call = Call.talking(800)
    call.wait(20)
    interrupt(call)
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    assert call.phone(mark("1")).actions == []  # of the first response
    call.play(30)
    assert interrupt(call).to_model[1:] == [TruncateItem("j", 0, 30)]


def test_s08_audio_of_a_response_that_was_interrupted_before_any_is_dropped() -> None:
    call = Call.ready()
    call.model(created())
    done = call.model(speech_started())
    assert done.to_twilio == done.to_model == []
    assert done.notified(Interrupted) == [Interrupted(CALLER, ())]
    assert call.model(delta(800)).actions == []
    assert call.model(audio_done()).actions == []
    assert call.model(item_done()).to_model == [DeleteItem("i")]
    assert call.model(response_done()).notified(ResponseFinished)
    assert call.model(delta(800)).actions == []


def test_s13_an_item_heard_to_the_end_is_left_alone() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.play(100)
    call.model(delta(800, item="j"))
    call.play(60)
    assert call.model(speech_started()).to_model == [TruncateItem("j", 0, 60)]


def test_s46_after_all_was_heard_and_done_an_interruption_sends_nothing() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.play(100)
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model, done.notified(Interrupted)) == ([], [], [])


def test_s56_what_has_been_heard_by_the_clock_though_no_echo_says_so_is_cleared_not_cut() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.play(99)
    call.wait(31)  # the last echo is not there yet
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model) == ([CLEAR], [])
    assert done.notified(PlaybackFinished) == [PlaybackFinished("r", "i", 0)]
    assert done.notified(Interrupted) == []


@pytest.mark.parametrize("by_the_caller", [True, False])
def test_s57_while_the_model_goes_on_the_position_is_at_most_what_was_sent(
    *, by_the_caller: bool
) -> None:
    call = Call.talking(800)
    call.play(700)
    done = call.model(speech_started()) if by_the_caller else interrupt(call)
    assert done.to_model[-1] == TruncateItem("i", 0, 100)


def test_s61_the_server_cancels_by_itself_when_it_hears_the_caller() -> None:
    call = Call.talking(800)
    call.play(40)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 40)]


def test_s61_the_application_cancels_even_where_the_server_would() -> None:
    call = Call.talking(800)
    call.play(40)
    cancel, truncate = interrupt(call).to_model
    assert (cancel, truncate) == (CancelResponse("r", "bridge-cancel-r"), TruncateItem("i", 0, 40))


def test_the_application_may_let_the_model_finish_unheard() -> None:
    call = Call.talking(800)
    call.play(40)
    assert call.send(Interrupt(cancel=False)).to_model == [TruncateItem("i", 0, 40)]
    assert call.model(delta(800)).actions == []


def test_s91_a_cancel_that_came_too_late_is_no_fault() -> None:
    call = Call.talking(800)
    interrupt(call)
    late = server_error("no active response found", "bridge-cancel-r", "response_cancel_not_active")
    assert call.model(late).actions == []
    other = {**late, "error": {**late["error"], "event_id": "another"}}
    assert call.model(other).faults == [FaultKind.SERVER_ERROR]


def test_an_item_that_was_not_heard_is_deleted_once_it_is_done() -> None:
    call = Call.talking(800)
    assert call.model(speech_started()).to_model == []
    assert call.model(item_done()).to_model == [DeleteItem("i")]


def test_an_item_that_was_heard_in_part_stays_when_it_is_done() -> None:
    call = Call.talking(800)
    call.wait(1)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 1)]
    assert call.model(item_done()).to_model == []


def test_an_item_that_echoes_say_was_heard_stays_though_its_response_is_interrupted() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    assert call.play(100).notified(PlaybackFinished) == [PlaybackFinished("r", "i", 0)]
    call.model(speech_started())
    assert call.model(item_done()).to_model == []


def test_a_function_call_of_an_interrupted_response_is_not_deleted() -> None:
    call = Call.talking(800)
    call.model(speech_started())
    assert call.model(item_done(item="f", type_="function_call")).actions == []


def test_a_response_outside_the_conversation_is_cleared_and_not_corrected() -> None:
    call = Call.ready()
    call.model(created(conversation=None))
    call.model(delta(800))
    call.play(40)
    done = call.model(speech_started())
    assert done.to_twilio == [CLEAR]
    assert done.to_model == [CancelResponse("r", "bridge-cancel-r")]
    assert done.notified(Interrupted) == [Interrupted(CALLER, (cut(40, 100),))]
    assert call.model(delta(800)).actions == []
    assert call.model(item_done()).actions == []


def test_the_rest_of_a_frame_of_what_is_interrupted_is_dropped() -> None:
    call = Call.talking(170)
    interrupt(call)
    call.model(created("s"))
    assert call.model(delta(160, "s", "j")).audio_samples == [160]


def test_what_the_application_sends_with_an_interruption_comes_behind_it() -> None:
    call = Call.talking(800)
    call.wait(20)
    kinds = [type(each) for each in interrupt(call).to_model]
    assert kinds == [CancelResponse, TruncateItem]
    item = CreateItem({"type": "message", "role": "user", "content": []})
    assert call.send(SendEvent(item)).to_model == [item]
    assert call.send(SendEvent(ClearInputAudio())).to_model == [ClearInputAudio()]


# The round trip.


def test_the_round_trip_is_measured_at_the_start_and_every_five_seconds() -> None:
    call = Call.ready()
    assert call.wait(4999).actions == []
    measured = call.wait(1)
    assert measured.pings == [b"round-trip-2"]
    assert measured.marks == ["1"]
    call.phone(mark("1"))
    call.model(delta(160))
    assert [call.wait(5000).marks, call.phone(mark("2")).marks, call.wait(5000).marks] == [
        [],
        [],
        ["3"],
    ]


def test_a_hidden_delay_of_the_player_is_learned_from_late_echoes() -> None:
    call = Call.ready()
    call.start_delay_ns = 120 * MS
    call.model(created())
    call.model(delta(1920))
    call.play(500)
    call.model(delta(1920))  # it begins late again
    call.play(120 + 10)  # so that no echo has told of it
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 240 + 10)]


def test_the_echo_of_the_first_frame_tells_how_late_the_player_has_begun() -> None:
    call = Call.ready()
    call.start_delay_ns = 120 * MS
    call.model(created())
    call.model(delta(1920))
    call.play(120 + 50)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 50)]


def test_a_pong_counts_until_an_echo_is_there() -> None:
    call = Call.streaming()
    call.wait(80)
    call.pong(b"round-trip-1")
    call.pong(b"another")
    call.opened_and_configured()
    call.model(created())
    first = call.model(delta(1920)).marks[0]
    call.wait(20 + 100 + 80)  # of which 80 ms are the way
    call.phone(mark(first))
    call.wait(220)
    call.model(delta(1920))
    call.wait(100 + 50)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 240 + 50)]


def test_another_stream_is_measured_anew() -> None:
    call = Call.ready()
    assert call.phone(start(OTHER_SID)).pings == [b"round-trip-2"]


def test_audio_after_the_end_of_its_part_is_a_fault_and_is_not_played() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    late = call.model(delta(800))
    assert late.faults == [FaultKind.UNEXPECTED]
    assert late.to_twilio == []
    assert call.model(delta(800, content_index=1)).to_twilio


def test_an_item_that_is_done_twice_is_deleted_once() -> None:
    call = Call.ready()
    call.model(created())
    call.model(speech_started())
    assert call.model(item_done()).to_model == [DeleteItem("i")]
    assert call.model(item_done()).to_model == []


def test_what_the_application_has_cancelled_is_played_and_not_cancelled_again() -> None:
    call = Call.talking(800)
    own = CancelResponse("r", event_id="mine")
    assert call.send(SendEvent(own)).to_model == [own]
    assert call.model(delta(800)).audio_samples == [800]
    call.play(150)
    assert interrupt(call).to_model == [TruncateItem("i", 0, 150)]

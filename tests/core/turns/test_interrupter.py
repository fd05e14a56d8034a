"""What an interruption does to the sound, and to what the model knows."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calling import (
    SESSION,
    SID,
    Call,
    StepResult,
    audio_done,
    created,
    delta,
    item_done,
    mark,
    response_done,
    server_error,
    speech_started,
    speech_stopped,
)
from twilio_realtime_core import (
    Bridge,
    FaultKind,
    Interrupt,
    Play,
    SendEvent,
)
from twilio_realtime_core.notifications import (
    Interrupted,
    InterruptedItem,
    InterruptionCause,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
)
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    ClearInputAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    TruncateItem,
)
from twilio_realtime_core.protocols.twilio import Clear
from twilio_realtime_core.values.playback_position import PlaybackPosition

CALLER, APPLICATION = InterruptionCause.CALLER, InterruptionCause.APPLICATION
CLEAR = Clear(SID)


def cut(heard_ms: int, sent_ms: int, item: str = "i", response: str = "r", part: int = 0) -> Any:
    return InterruptedItem(response, item, part, heard_ms=heard_ms, sent_ms=sent_ms)


def interrupt(call: Call) -> StepResult:
    return call.send(Interrupt())


def test_s01_an_interruption_of_nothing_sends_nothing() -> None:
    call = Call.ready()
    assert interrupt(call).actions == []
    assert call.model(speech_started()).to_twilio == []


def test_s02_a_whole_item_is_truncated_where_it_was_cleared() -> None:
    call = Call.talking(800, 800)
    call.model(audio_done())
    call.play(150)
    done = interrupt(call)
    assert done.to_twilio == [CLEAR]
    assert done.to_model == [CancelResponse("r", "bridge-cancel-r"), TruncateItem("i", 0, 150)]
    assert done.events == [Interrupted(APPLICATION, (cut(150, 200),))]


@pytest.mark.parametrize("by_caller", [True, False])
def test_s03_two_interruptions_send_one_clear_cancel_and_truncate(*, by_caller: bool) -> None:
    audio_ = {**SESSION["audio"], "input": {**SESSION["audio"]["input"], "turn_detection": None}}
    call = Call.ready(session={"audio": audio_})  # only the bridge cancels
    call.model(created())
    call.model(delta(800))
    call.play(40)
    done = call.model(speech_started()) if by_caller else interrupt(call)
    assert done.to_twilio == [CLEAR]
    assert done.to_model == [CancelResponse("r", "bridge-cancel-r"), TruncateItem("i", 0, 40)]
    assert interrupt(call).actions == []
    again = call.model(speech_started())
    assert (again.to_twilio, again.to_model, again.notified(Interrupted)) == ([], [], [])


def test_s04_a_position_is_in_ms_rounded_down() -> None:
    call = Call.talking(161)
    call.model(audio_done())
    call.play(20.07)
    call.model(response_done())
    assert interrupt(call).to_model == [TruncateItem("i", 0, 20)]


def test_s05_queued_items_are_each_corrected_by_their_position() -> None:
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


def test_s06_the_echo_of_a_cleared_mark_changes_nothing() -> None:
    call = Call.talking(800)
    call.wait(20)
    interrupt(call)
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    assert call.phone(mark("1")).actions == []  # of the first response
    call.play(30)
    assert interrupt(call).to_model[1:] == [TruncateItem("j", 0, 30)]


def test_s08_audio_of_a_response_interrupted_before_it_is_dropped() -> None:
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


def test_s13_an_item_heard_to_the_end_is_not_corrected() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.play(100)
    call.model(delta(800, item="j"))
    call.play(60)
    assert call.model(speech_started()).to_model == [TruncateItem("j", 0, 60)]


def test_s46_an_interruption_after_all_was_heard_sends_nothing() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.play(100)
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model, done.notified(Interrupted)) == ([], [], [])


def test_s56_audio_heard_without_an_echo_is_not_truncated() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.play(99)
    call.wait(31)  # before the last echo
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model) == ([CLEAR], [])
    assert done.notified(PlaybackFinished) == [PlaybackFinished("r", "i", 0)]
    assert done.notified(Interrupted) == []


def test_a_part_without_echoes_starts_before_it_is_finished() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    call.wait(3000)  # all marks are lost, and it must have been played
    call.model(created("r2"))
    done = call.model(speech_started())
    playback = PlaybackStarted, PlaybackFinished
    assert [each for each in done.events if isinstance(each, playback)] == [
        PlaybackStarted("r", "i", 0),
        PlaybackFinished("r", "i", 0),
    ]


def test_a_part_that_has_started_does_not_start_again() -> None:
    call = Call.talking(800)
    call.play(20)  # the echo of its first frame
    call.model(audio_done())
    call.model(response_done())
    call.wait(3000)
    call.model(created("r2"))
    done = call.model(speech_started())
    assert done.notified(PlaybackStarted) == []
    assert done.notified(PlaybackFinished) == [PlaybackFinished("r", "i", 0)]


@pytest.mark.parametrize("by_caller", [True, False])
def test_s57_the_position_is_at_most_what_was_sent(*, by_caller: bool) -> None:
    call = Call.talking(800)
    call.play(700)
    done = call.model(speech_started()) if by_caller else interrupt(call)
    assert done.to_model[-1] == TruncateItem("i", 0, 100)


def test_s61_the_server_cancels_for_the_caller() -> None:
    call = Call.talking(800)
    call.play(40)
    assert call.model(speech_started()).to_model == [TruncateItem("i", 0, 40)]


def test_s61_the_bridge_cancels_for_the_application() -> None:
    call = Call.talking(800)
    call.play(40)
    cancel, truncate = interrupt(call).to_model
    assert (cancel, truncate) == (CancelResponse("r", "bridge-cancel-r"), TruncateItem("i", 0, 40))


def test_an_interruption_may_leave_the_response_uncancelled() -> None:
    call = Call.talking(800)
    call.play(40)
    assert call.send(Interrupt(cancel=False)).to_model == [TruncateItem("i", 0, 40)]
    assert call.model(delta(800)).actions == []


def test_s91_a_late_cancel_is_no_fault() -> None:
    call = Call.talking(800)
    interrupt(call)
    late = server_error("no active response found", "bridge-cancel-r", "response_cancel_not_active")
    assert call.model(late).actions == []
    other = {**late, "error": {**late["error"], "event_id": "another"}}
    assert call.model(other).faults == [FaultKind.SERVER_ERROR]


def test_an_out_of_band_response_is_cleared_and_not_corrected() -> None:
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


def test_events_sent_with_an_interruption_follow_it() -> None:
    call = Call.talking(800)
    call.wait(20)
    kinds = [type(each) for each in interrupt(call).to_model]
    assert kinds == [CancelResponse, TruncateItem]
    item = CreateItem({"type": "message", "role": "user", "content": []})
    assert call.send(SendEvent(item)).to_model == [item]
    assert call.send(SendEvent(ClearInputAudio())).to_model == [ClearInputAudio()]


def test_a_cancelled_response_is_played_and_not_cancelled_again() -> None:
    call = Call.talking(800)
    event = CancelResponse("r", event_id="mine")
    assert call.send(SendEvent(event)).to_model == [event]
    assert call.model(delta(800)).audio_samples == [800]
    call.play(150)
    assert interrupt(call).to_model == [TruncateItem("i", 0, 150)]


# Property tests.

Step = tuple[str, str, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("created", "delta", "delta", "audio_done", "item_done", "response_done"),
                *("play", "hold", "hear", "wait", "request", "interrupt", "started", "stopped"),
            ]
        ),
        st.sampled_from(["r", "s", "out"]),
        st.integers(1, 6000),
    ),
    max_size=16,
)


class OpenCall(Call):
    """A call whose bridge can be queried."""

    queried: Bridge

    def build(self) -> Bridge:
        self.queried = Bridge(self.config)
        return self.queried

    @property
    def positions(self) -> tuple[PlaybackPosition, ...]:
        return self.queried.playback_positions(self.now)


def call_of(steps: list[Step]) -> OpenCall:
    """A call in which all this has happened; the server may do wrong."""
    call = OpenCall.ready()
    for step, response, samples in steps:
        conversation = None if response == "out" else "conv"
        match step:
            case "created":
                call.model(created(response, conversation))
            case "delta":
                call.model(delta(samples, response, f"item of {response}"))
            case "audio_done":
                call.model(audio_done(response, f"item of {response}"))
            case "item_done":
                call.model(item_done(response, f"item of {response}"))
            case "response_done":
                call.model(response_done(response, conversation=conversation))
            case "play":
                call.send(Play(b"\x01" * samples, "clip"))
            case "hold":
                call.send(Play(b"\x02" * samples, "hold", until_agent_speaks=True))
            case "request":
                call.send(CreateResponse())
            case "interrupt":
                call.send(Interrupt(cancel=samples % 2 == 0))
            case "started":
                call.model(speech_started())
            case "stopped":
                call.model(speech_stopped())
            case "hear":
                call.play(samples // 8)
            case _:
                call.wait(samples // 8)
    return call


@settings(max_examples=60, deadline=None)
@given(steps, st.booleans())
def test_an_interruption_clears_the_queue_once(
    steps: list[Step],
    cancel: bool,  # noqa: FBT001
) -> None:
    call = call_of(steps)
    is_unheard = any(each.estimated_samples < each.sent_samples for each in call.positions)
    done = call.send(Interrupt(cancel=cancel))
    assert done.to_twilio in ([], [CLEAR])
    assert done.to_twilio == [CLEAR] or not is_unheard
    assert call.positions == () or not done.actions
    assert call.send(Interrupt(cancel=cancel)).actions == []

"""The caller or the application interrupts: what is cleared, cancelled, truncated and dropped."""

import pytest

from calling import (
    OTHER_SID,
    SESSION,
    SID,
    audio,
    audio_done,
    created,
    delta,
    item_done,
    mark,
    media,
    response_done,
    server_error,
    speech_started,
    start,
)
from scenario_phone import Phone
from twilio_realtime_core import FaultKind, HangUp, Interrupt, LocalProtocolError, Peer
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallEnded,
    Interrupted,
    InterruptionCause,
    PlaybackFinished,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    TruncateItem,
)
from twilio_realtime_core.protocols.twilio import Clear

OWN_CANCEL = CancelResponse("r", "bridge-cancel-r")


def left_to_us() -> Phone:
    """The server detects speech, and leaves it to the bridge to cancel."""
    detection = {"type": "server_vad", "interrupt_response": False}
    heard = {**SESSION["audio"]["input"], "turn_detection": detection}
    return Phone.ready(session={**SESSION, "audio": {**SESSION["audio"], "input": heard}})


def hung_up_while_talking() -> Phone:
    """The item `i` plays when the call ends."""
    call = Phone.talking(8000)
    call.wait(300)
    call.send(HangUp())
    call.closed(Peer.TWILIO)
    assert call.closed(Peer.REALTIME).notified(CallEnded)
    return call


# Which call, and which stream.


def test_s11_a_later_call_corrects_only_its_items() -> None:
    """S11: nothing can be reconnected; each call has its bridge."""
    hung_up_while_talking()
    call = Phone.talking(800)
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]
    assert call.wait(100).faults == []
    call.model(delta(800, item="j"))
    assert call.wait(30).faults == []
    assert call.send(Interrupt()).to_model == [
        OWN_CANCEL,
        TruncateItem("i", 0, 100),
        TruncateItem("j", 0, 30),
    ]


def test_s11_another_stream_of_one_socket_is_cleared() -> None:
    call = Phone.talking(8000)
    call.wait(200)
    call.phone(start(OTHER_SID))
    call.model(delta(800, item="j"))
    call.wait(50)
    done = call.send(Interrupt())
    assert done.to_twilio == [Clear(OTHER_SID)]
    assert TruncateItem("j", 0, 50) in done.to_model
    assert call.phone(media(audio(160), OTHER_SID)).to_model == [AppendAudio(audio(160))]


def test_s72_a_call_corrects_no_item_of_the_last() -> None:
    hung_up_while_talking()
    call = Phone.ready()
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model, done.notified(Interrupted)) == ([], [], [])


def test_s48_an_interruption_after_hanging_up_does_nothing() -> None:
    call = Phone.talking(8000)
    call.wait(300)
    call.send(HangUp())
    assert call.send(Interrupt()).actions == []
    assert call.model(speech_started()).actions == []
    assert hung_up_while_talking().send(Interrupt()).actions == []


# Where the position is.


@pytest.mark.parametrize("samples", [8, 161, 800, 1999])
@pytest.mark.parametrize("waited_ns", [1_000_000, 20_125_000, 20_999_999, 99_999_999, 700 * MS])
def test_s47_a_position_is_rounded_down_within_the_audio(samples: int, waited_ns: int) -> None:
    call = Phone.talking(samples)
    call.model(audio_done())
    call.model(item_done())
    call.wait_until(call.now + waited_ns)
    heard_ms = waited_ns // MS
    done = call.send(Interrupt())
    if waited_ns >= samples * 125_000:
        assert done.to_model == [OWN_CANCEL]
    else:
        assert done.to_model == [OWN_CANCEL, TruncateItem("i", 0, heard_ms)]


def test_s54_the_item_is_truncated_where_the_phone_was() -> None:
    """S54: the marks show the position; by the clock alone it would be 700 ms."""
    call = Phone.ready()
    call.start_delay_ns = 200 * MS
    call.model(created())
    call.model(delta(4000))
    call.model(delta(4000))
    call.wait(700)
    assert call.send(Interrupt()).to_model == [OWN_CANCEL, TruncateItem("i", 0, 500)]


def test_s55_nothing_can_be_interrupted_between_two_responses() -> None:
    call = Phone.talking(800)
    call.model(audio_done())
    call.model(item_done())
    call.model(response_done())
    call.wait(150)
    assert call.send(Interrupt()).actions == []


def test_s58_audio_before_the_session_is_ready_can_be_interrupted() -> None:
    """S58: its format is known from the first: there is only one."""
    call = Phone.connected()
    call.wait(0)
    call.model(created())
    assert sum(call.model(delta(800)).audio_samples) == 800
    call.wait(40)
    assert call.send(Interrupt()).to_twilio == [Clear(SID)]


def test_s60_time_that_runs_backwards_is_refused() -> None:
    """S60: the reference truncates at 0, but then the transcript of unheard words would stay, and
    the server refuses to truncate before there is audio."""
    call = Phone.talking(800)
    call.model(audio_done())
    call.model(item_done())
    with pytest.raises(LocalProtocolError, match="backwards"):
        call.bridge.send(Interrupt(), call.now - 1)
    assert call.send(Interrupt()).to_model == [OWN_CANCEL, DeleteItem("i")]


# Who cancels, and what is cancelled.


def test_s62_a_cancel_alone_keeps_the_audio() -> None:
    """S62: there are no flags to contradict each other: to cancel is one command, to interrupt is
    another."""
    call = Phone.talking(8000)
    call.wait(100)
    cancel = CancelResponse("r", "mine")
    done = call.send(cancel)
    assert (done.to_twilio, done.to_model) == ([], [cancel])
    assert call.model(delta(800)).audio_samples
    call.wait(100)
    assert call.send(Interrupt()).to_model == [TruncateItem("i", 0, 200)]
    assert call.send(Interrupt()).actions == []


def test_s62_audio_can_be_interrupted_after_a_failed_cancel() -> None:
    call = Phone.talking(8000)
    call.send(CancelResponse("r", "mine"))
    refused = server_error("no active response", "mine", "response_cancel_not_active")
    assert call.model(refused).faults == [FaultKind.SERVER_ERROR]
    call.model(response_done())
    call.wait(100)
    done = call.send(Interrupt())
    assert (done.to_twilio, done.to_model) == ([Clear(SID)], [TruncateItem("i", 0, 100)])


def test_s63_an_interruption_without_cancel_keeps_the_next_response() -> None:
    """S63: nothing of ours runs between the reading of the position and the `clear`: it is one
    step, so there is nothing to check again."""
    call = Phone.talking(8000)
    call.model(response_done())
    call.wait(100)
    assert call.send(Interrupt(cancel=False)).to_model == [TruncateItem("i", 0, 100)]
    call.model(created("s"))
    assert call.model(delta(800, "s", "j")).audio_samples


def test_s66_an_interruption_refused_in_part_is_complete() -> None:
    """S66: no part of it can fail here, and each refusal of the server is reported."""
    call = Phone.talking(8000)
    call.wait(100)
    assert len(call.send(Interrupt()).to_model) == 2
    refused = server_error("Audio content of 100ms is already shorter than 140ms")
    late = server_error("no active response", "bridge-cancel-r", "response_cancel_not_active")
    assert call.model(refused).faults == [FaultKind.SERVER_ERROR]
    assert call.model(late).faults == []
    call.model(response_done(status="cancelled"))
    call.model(created("s"))
    assert call.model(delta(800, "s", "j")).audio_samples
    call.wait(40)
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model) == ([Clear(SID)], [TruncateItem("j", 0, 40)])


def test_s77_an_interruption_during_generation_clears_and_cancels() -> None:
    call = left_to_us()
    call.model(created())
    call.model(delta(1600))
    call.wait(120)
    done = call.model(speech_started())
    assert done.to_twilio == [Clear(SID)]
    assert done.to_model == [OWN_CANCEL, TruncateItem("i", 0, 120)]
    assert call.model(delta(800)).actions == []
    assert call.model(response_done(status="cancelled")).to_twilio == []


def test_s79_the_bridge_clears_where_the_server_cancels() -> None:
    call = Phone.talking(1600)
    call.wait(120)
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model) == ([Clear(SID)], [TruncateItem("i", 0, 120)])


def test_s75_an_interruption_after_200_ms_truncates_there() -> None:
    """S75: the truth, not a range from it."""
    call = Phone.talking(1600, 1600, 1600)
    call.model(audio_done())
    call.model(response_done())
    call.wait(200)
    done = call.model(speech_started())
    assert (done.to_twilio, done.to_model) == ([Clear(SID)], [TruncateItem("i", 0, 200)])


# What is known of playback.


def test_s83_the_estimate_follows_marks_and_clears() -> None:
    call = Phone.talking(2400)
    call.wait(300)
    call.model(delta(2400))
    call.wait(100)
    assert call.send(Interrupt()).to_model == [OWN_CANCEL, TruncateItem("i", 0, 400)]
    call.model(response_done(status="cancelled"))
    assert call.wait(5000).faults == []  # the marks echoed by the clear change nothing
    assert call.send(Interrupt()).actions == []
    call.model(created("s"))
    call.model(delta(800, "s", "j"))
    call.model(audio_done("s", "j"))
    assert call.wait(100).notified(PlaybackFinished) == [PlaybackFinished("s", "j", 0)]
    assert call.phone(mark("never sent")).faults == [FaultKind.UNKNOWN_MARK]
    call.model(delta(1600, "s", "k"))
    call.wait(900)
    assert call.send(Interrupt()).to_model[-1] == TruncateItem("k", 0, 200)


def test_s85_the_playing_one_of_128_queued_items_is_truncated() -> None:
    """S85: those before it stay as they are, those behind it are deleted."""
    call = Phone.streaming()
    call.echo_delay_ns = 100 * MS
    call.wait(100)
    call.opened_and_configured()
    call.model(created())
    for number in range(128):
        call.model(delta(800, item=f"i{number}"))
        call.model(audio_done(item=f"i{number}"))
        call.model(item_done(item=f"i{number}"))
    call.model(response_done())
    call.wait(4140)
    done = call.model(speech_started())
    assert done.to_model[0] == TruncateItem("i41", 0, 40)
    assert done.to_model[1:] == [DeleteItem(f"i{number}") for number in range(42, 128)]
    assert [each.cause for each in done.notified(Interrupted)] == [InterruptionCause.CALLER]


def test_s91_a_late_cancel_does_not_block_the_next_request() -> None:
    call = Phone.talking(800)
    call.send(Interrupt())
    call.model(response_done())
    late = server_error("no active response", "bridge-cancel-r", "response_cancel_not_active")
    assert call.model(late).actions == []
    request = CreateResponse(event_id="next")
    assert call.send(request).to_model == [request]

"""The line to the caller: what goes out, its marks, and what comes of echoes."""

from base64 import b64decode
from typing import Any

import pytest

from calling import OTHER_SID, SID, Call, StepResult, audio, audio_done, created, delta, mark, start
from twilio_realtime_core import Encodable, FaultKind, HangUp, Interrupt, Peer, Play
from twilio_realtime_core.notifications import (
    ClipFinished,
    Interrupted,
    PlaybackFinished,
    PlaybackStarted,
)
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media

GREETING = Play(b"\x00" * 2400, "greeting")


def playback(kind: type[Any]) -> list[Any]:
    return [kind("r", "i", 0)]


def kinds(done: StepResult) -> list[type[Encodable]]:
    return [type(each) for each in done.to_twilio]


# To Twilio.


def test_audio_goes_out_with_a_mark_at_once_then_each_quarter_of_a_second_and_at_its_end() -> None:
    """S73."""
    call = Call.ready()
    call.model(created())
    assert call.model(delta(160)).to_twilio == [Media(SID, audio(160)), Mark(SID, "1")]
    assert [call.model(delta(800)).marks for _ in range(4)] == [[], [], ["2"], []]
    call.model(delta(810))
    done = call.model(audio_done())
    assert (done.audio_samples, done.marks) == ([10], ["3"])


def test_the_first_frame_of_a_burst_goes_alone_with_a_mark_behind_it() -> None:
    call = Call.ready()
    call.model(created())
    assert call.model(delta(800, value=7)).to_twilio == [
        Media(SID, audio(160, 7)),
        Mark(SID, "1"),
        Media(SID, audio(640, 7)),
    ]
    assert call.model(delta(800)).to_twilio == [Media(SID, audio(800))]


def test_a_burst_after_a_pause_begins_with_a_frame_of_its_own_too() -> None:
    call = Call.talking(800)
    call.play(500)
    done = call.model(delta(800))
    assert kinds(done) == [Media, Mark, Media]
    assert done.audio_samples == [160, 640]


def test_after_a_clear_a_burst_begins() -> None:
    call = Call.talking(800)
    call.play(50)
    call.send(Interrupt())
    call.model(created("s"))
    done = call.model(delta(800, "s", "j"))
    assert kinds(done) == [Media, Mark, Media]
    assert done.audio_samples == [160, 640]


def test_bursts_close_together_have_no_more_than_four_marks_a_second() -> None:
    call = Call.ready()
    call.model(created())
    marks = 0
    for _ in range(40):  # each of 40 ms, so that the player is idle in between
        marks += len(call.model(delta(320)).marks)
        call.play(50)
    assert marks == 8


def test_audio_that_goes_on_is_in_one_message() -> None:
    call = Call.talking(800)
    call.play(99)
    assert call.model(delta(800)).audio_samples == [800]


def test_the_audio_of_a_burst_s_first_message_is_all_there_and_in_order() -> None:
    call = Call.ready()
    sound = bytes(range(250)) * 8
    done = call.send(Play(sound))
    assert b64decode(done.audio_base64) == sound
    assert done.audio_samples[0] == 160


@pytest.mark.parametrize("samples", [1, 159, 160])
def test_a_burst_of_no_more_than_a_frame_is_one_message_with_one_mark(samples: int) -> None:
    assert kinds(Call.ready().send(Play(bytes(samples)))) == [Media, Mark]


def test_own_audio_begins_with_a_frame_of_its_own_as_well() -> None:
    call = Call.ready()
    assert kinds(call.send(GREETING))[:3] == [Media, Mark, Media]
    assert call.send(GREETING).audio_samples[0] > 160  # behind the first


def test_a_message_is_no_longer_than_960_ms_and_all_but_the_last_need_no_padding() -> None:
    call = Call.ready()
    call.model(created())
    done = call.model(delta(20_000))
    assert done.audio_samples[0] == 160
    assert sum(done.audio_samples) == 20_000
    assert max(done.audio_samples) == 7680
    media = [each.payload for each in done.to_twilio if isinstance(each, Media)]
    assert not any("=" in each for each in media[1:-1])
    (interrupted,) = call.send(Interrupt()).notified(Interrupted)
    assert [each.sent_ms for each in interrupted.items] == [2500]


def test_own_audio_and_the_agent_go_out_in_the_order_in_which_they_came() -> None:
    call = Call.talking(800)
    assert sum(call.send(GREETING).audio_samples) == 2400
    assert call.model(delta(800)).audio_samples == [800]
    call.model(audio_done())
    assert call.play(399).notified(ClipFinished) == []
    assert call.play(1).notified(ClipFinished) == [ClipFinished("greeting", 300, 300)]
    assert call.play(99).events == []
    assert call.play(1).notified(PlaybackFinished) == playback(PlaybackFinished)


def test_what_does_not_fit_is_dropped_and_reported() -> None:
    call = Call.talking(*[800_000] * 6)
    done = call.model(delta(800))
    assert (done.faults, done.to_twilio) == ([FaultKind.OVERFLOW], [])


def test_a_measurement_sends_a_mark_too_only_where_nothing_plays() -> None:
    call = Call.ready()
    done = call.wait(5_000)
    assert (done.pings, done.marks) == ([b"round-trip-2"], ["1"])
    call.phone(mark("1"))
    call.model(created())
    call.model(delta(80_000))
    done = call.wait(5_000)
    assert (done.pings, done.marks) == ([b"round-trip-3"], [])


def test_hold_sound_is_cleared_for_the_agent_whose_audio_comes_behind_the_clear() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 2000, "hold", until_agent_speaks=True))
    call.play(100)
    call.model(created())
    done = call.model(delta(800, value=7))
    assert (done.to_twilio[0], done.audio_base64) == (Clear(SID), audio(800, 7))
    assert done.notified(ClipFinished) == [ClipFinished("hold", 100, 250)]


def test_the_end_of_a_call_does_not_wait_for_hold_sound() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 80_000, "hold", until_agent_speaks=True))
    assert call.send(HangUp(after_playback=True)).closes == [Peer.TWILIO, Peer.REALTIME]


# From Twilio.


def test_the_first_echo_behind_audio_starts_it_and_the_last_ends_it() -> None:
    call = Call.talking(800, 2400)
    marks = call.model(audio_done()).marks
    assert marks == []  # there is one behind the last delta
    assert call.play(399).events == playback(PlaybackStarted)
    assert call.play(1).events == playback(PlaybackFinished)


@pytest.mark.parametrize("name", ["9", "", "greeting"])
def test_an_echo_of_no_mark_that_is_under_way_is_a_fault_that_does_not_name_it(name: str) -> None:
    """S18, S31."""
    call = Call.ready()
    done = call.phone(mark(name))
    assert done.faults == [FaultKind.UNKNOWN_MARK]
    assert len(done.actions) == 1


def test_own_audio_is_told_once_when_it_was_heard_and_is_no_playback_of_the_agent() -> None:
    call = Call.ready()
    call.send(GREETING)
    assert call.play(299).events == []
    assert call.play(1).events == [ClipFinished("greeting", 300, 300)]


def test_a_pong_of_twilio_changes_nothing_that_is_told() -> None:
    call = Call.streaming()
    assert call.pong(b"round-trip-1").actions == []


# Another stream.


def test_another_stream_cuts_what_is_played_and_counts_from_there() -> None:
    """S33."""
    call = Call.ready()
    call.send(GREETING)
    call.send(Play(b"\x00" * 800, "more"))
    call.play(200)
    done = call.phone(start(OTHER_SID))
    assert done.notified(ClipFinished) == [
        ClipFinished("greeting", 200, 300),
        ClipFinished("more", 0, 100),
    ]
    done = call.send(GREETING)
    assert {each.stream_sid for each in done.to_twilio if isinstance(each, Media | Mark)} == {
        OTHER_SID
    }

"""The line to the caller: what goes out, its marks, and what comes of echoes."""

from typing import Any

import pytest

from calling import OTHER_SID, SID, Call, audio, audio_done, created, delta, mark, start
from twilio_realtime_core import FaultKind, HangUp, Peer, Play
from twilio_realtime_core.notifications import (
    OwnAudioFinished,
    PlaybackFinished,
    PlaybackStarted,
)
from twilio_realtime_core.twilio import Clear, Mark, Media

GREETING = Play(b"\x00" * 2400, "greeting")


def playback(kind: type[Any]) -> list[Any]:
    return [kind("r", "i", 0)]


# To Twilio.


def test_audio_goes_out_with_a_mark_at_once_then_each_quarter_of_a_second_and_at_its_end() -> None:
    """S73."""
    call = Call.ready()
    call.model(created())
    assert call.model(delta(800)).to_twilio == [Media(SID, audio(800)), Mark(SID, "1")]
    assert [call.model(delta(800)).marks for _ in range(3)] == [[], [], ["2"]]
    call.model(delta(810))
    done = call.model(audio_done())
    assert (done.audio, done.marks) == ([10], ["3"])


def test_own_audio_and_the_agent_go_out_in_the_order_in_which_they_came() -> None:
    call = Call.talking(800)
    assert call.send(GREETING).audio == [2000, 400]
    assert call.model(delta(800)).audio == [800]
    call.wait(100)
    assert call.phone(mark("1")).told(PlaybackStarted) == playback(PlaybackStarted)


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
    call.send(Play(b"\x00" * 2000, "hold", yields=True))
    call.wait(100)
    call.model(created())
    done = call.model(delta(800))
    assert done.to_twilio[:2] == [Clear(SID), Media(SID, audio(800))]
    assert done.told(OwnAudioFinished) == [OwnAudioFinished("hold", 100, 250)]


def test_the_end_of_a_call_does_not_wait_for_hold_sound() -> None:
    call = Call.ready()
    call.send(Play(b"\x00" * 80_000, "hold", yields=True))
    assert call.send(HangUp(once_heard=True)).closes == [Peer.TWILIO, Peer.REALTIME]


# From Twilio.


def test_the_first_echo_behind_audio_starts_it_and_the_last_ends_it() -> None:
    call = Call.talking(800, 2400)
    marks = call.model(audio_done()).marks
    assert marks == []  # there is one behind the last delta
    call.wait(400)
    assert call.phone(mark("1")).events == playback(PlaybackStarted)
    assert call.phone(mark("2")).events == playback(PlaybackFinished)


@pytest.mark.parametrize("name", ["9", "", "greeting"])
def test_an_echo_of_no_mark_that_is_under_way_is_a_fault_that_does_not_name_it(name: str) -> None:
    """S18, S31."""
    call = Call.ready()
    done = call.phone(mark(name))
    assert done.faults == [FaultKind.UNKNOWN_MARK]
    assert len(done.actions) == 1


def test_own_audio_is_told_once_when_it_was_heard_and_is_no_playback_of_the_agent() -> None:
    call = Call.ready()
    done = call.send(GREETING)
    call.wait(300)
    events = [event for name in done.marks for event in call.phone(mark(name)).events]
    assert events == [OwnAudioFinished("greeting", 300, 300)]


def test_a_pong_of_twilio_changes_nothing_that_is_told() -> None:
    call = Call.streaming()
    assert call.pong(b"round-trip-1").actions == []


# Another stream.


def test_another_stream_cuts_what_is_played_and_counts_from_there() -> None:
    """S33."""
    call = Call.ready()
    call.send(GREETING)
    call.send(Play(b"\x00" * 800, "more"))
    call.wait(200)
    done = call.phone(start(OTHER_SID))
    assert done.told(OwnAudioFinished) == [
        OwnAudioFinished("greeting", 200, 300),
        OwnAudioFinished("more", 0, 100),
    ]
    done = call.send(GREETING)
    assert {each.stream_sid for each in done.to_twilio if isinstance(each, Media | Mark)} == {
        OTHER_SID
    }

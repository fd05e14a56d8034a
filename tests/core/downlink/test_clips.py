"""Clips of the application: in their turn, or as hold audio until the agent speaks."""

import pytest

from calling import Call, audio, audio_done, created, delta, response_done, speech_started
from twilio_realtime_core import Interrupt, LocalProtocolError, Play
from twilio_realtime_core.downlink.clips import MAX_CLIP_SAMPLES
from twilio_realtime_core.notifications import ClipFinished, Interrupted
from twilio_realtime_core.protocols.twilio import Clear, Media


def sound(samples: int, value: int = 1) -> bytes:
    return bytes([value]) * samples


def hold(samples: int = 8000, name: str = "hold") -> Play:
    return Play(sound(samples), name, until_agent_speaks=True)


def holding(samples: int = 8000) -> Call:
    """Hold audio plays."""
    call = Call.ready()
    assert sum(call.send(hold(samples)).audio_samples) == samples
    return call


def ended(call: Call) -> Call:
    """The response of the agent is done."""
    call.model(audio_done())
    call.model(response_done())
    return call


# Clips in their turn.


def test_a_clip_is_played_whole_behind_what_plays() -> None:
    call = Call.talking(800)
    call.model(audio_done())
    call.model(response_done())
    assert call.send(Play(sound(2001), "greeting")).audio_base64 == audio(2001, 1)
    assert call.play(350).notified(ClipFinished) == []
    assert call.play(1).notified(ClipFinished) == [ClipFinished("greeting", 250, 250)]


def test_a_clip_does_not_yield_to_the_agent() -> None:
    call = Call.ready()
    call.send(Play(sound(8000), "greeting"))
    call.model(created())
    assert [type(each) for each in call.model(delta(800)).to_twilio] == [Media]


@pytest.mark.parametrize("agent_speaks", [False, True])
def test_an_interruption_cuts_a_clip_unknown_to_the_model(*, agent_speaks: bool) -> None:
    call = Call.ready()
    call.send(Play(sound(8000), "greeting"))
    if agent_speaks:
        call.model(created())
        call.model(delta(800))
        ended(call)
    call.play(250)
    done = call.model(speech_started()) if agent_speaks else call.send(Interrupt())
    assert done.to_twilio == [Clear("MZ1")]
    assert done.notified(ClipFinished) == [ClipFinished("greeting", 250, 1000)]
    assert (done.notified(Interrupted) != []) is agent_speaks


def test_a_clip_ends_hold_audio() -> None:
    call = holding()
    call.play(200)
    done = call.send(Play(sound(800), "greeting"))
    assert done.notified(ClipFinished) == [ClipFinished("hold", 200, 1000)]
    assert [type(each) for each in done.to_twilio[:2]] == [Clear, Media]


@pytest.mark.parametrize(
    ("samples", "wrong"), [(0, r"Play\.audio is empty"), (MAX_CLIP_SAMPLES + 1, "ClipFinished")]
)
def test_an_empty_or_too_long_clip_is_misuse(samples: int, wrong: str) -> None:
    call = holding()
    with pytest.raises(LocalProtocolError, match=wrong):
        call.send(Play(sound(samples)))
    assert call.wait(100).actions == []


def test_a_minute_of_clips_can_be_queued() -> None:
    call = Call.ready()
    call.send(Play(sound(MAX_CLIP_SAMPLES)))
    with pytest.raises(LocalProtocolError, match="ClipFinished"):
        call.send(Play(sound(1)))
    assert call.play(60_000).notified(ClipFinished) != []
    assert call.send(Play(sound(1))).audio_samples == [1]


def test_a_clip_needs_a_stream_and_capacity() -> None:
    with pytest.raises(LocalProtocolError, match="CallStarted"):
        Call.answered().send(Play(sound(1)))
    call = Call.talking(*[800_000] * 6)
    with pytest.raises(LocalProtocolError, match="ten minutes"):
        call.send(hold(1))


# Hold audio.


def test_hold_audio_yields_to_the_agent() -> None:
    call = holding()
    call.play(200)
    call.model(created())
    done = call.model(delta(800))
    assert [type(each) for each in done.to_twilio[:2]] == [Clear, Media]
    assert done.notified(ClipFinished) == [ClipFinished("hold", 200, 1000)]
    assert call.model(delta(800)).notified(ClipFinished) == []


def test_finished_hold_audio_has_nothing_to_yield() -> None:
    call = Call.ready()
    call.send(hold(800))
    assert call.play(100).notified(ClipFinished) == [ClipFinished("hold", 100, 100)]
    call.model(created())
    done = call.model(delta(800))
    assert Clear("MZ1") not in done.to_twilio
    assert done.notified(ClipFinished) == []


def test_hold_audio_starts_when_the_agent_was_heard() -> None:
    call = ended(Call.talking(800))
    assert call.send(hold()).audio_samples == []
    assert call.play(99).audio_samples == []
    assert sum(call.play(1).audio_samples) == 8000


def test_hold_audio_starts_without_marks_too() -> None:
    call = ended(Call.talking(800))
    call.send(hold())
    assert call.wait(2_000).audio_samples == []
    assert sum(call.wait(200).audio_samples) == 8000


def test_hold_audio_does_not_start_inside_a_part() -> None:
    call = Call.talking(800)
    call.play(100)
    assert call.send(hold()).audio_samples == []
    assert sum(call.model(delta(800)).audio_samples) == 800  # it still waits, and yields nothing
    assert call.model(audio_done()).audio_samples == []
    assert call.play(99).audio_samples == []
    assert sum(call.play(1).audio_samples) == 8000


def test_queued_hold_audio_is_dropped_when_the_next_response_speaks() -> None:
    call = ended(Call.talking(8000))
    call.send(hold())
    call.model(created("s"))
    done = call.model(delta(800, "s", "j"))
    assert done.notified(ClipFinished) == [ClipFinished("hold", 0, 0)]
    call.model(audio_done("s", "j"))
    assert call.wait(10_000).audio_samples == []


def test_later_hold_audio_replaces_queued_or_playing_hold_audio() -> None:
    call = ended(Call.talking(800))
    call.send(hold(name="one"))
    done = call.send(hold(name="two"))
    assert done.notified(ClipFinished) == [ClipFinished("one", 0, 0)]
    assert sum(call.play(100).audio_samples) == 8000
    call.play(200)
    done = call.send(hold(name="three"))
    assert done.notified(ClipFinished) == [ClipFinished("two", 200, 1000)]
    assert sum(done.audio_samples) == 8000

"""Audio of the application's own: in its turn, or to fill the time until the agent speaks."""

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
    """Hold sound plays."""
    call = Call.ready()
    assert sum(call.send(hold(samples)).audio) == samples
    return call


def ended(call: Call) -> Call:
    """The agent, who has spoken, has no more to say."""
    call.model(audio_done())
    call.model(response_done())
    return call


# In its turn.


def test_it_is_played_whole_behind_what_plays() -> None:
    call = Call.talking(800)
    assert call.send(Play(sound(2001), "greeting")).sound == audio(2001, 1)
    assert call.hear(350).told(ClipFinished) == []
    assert call.hear(1).told(ClipFinished) == [ClipFinished("greeting", 250, 250)]


def test_it_does_not_yield_to_the_agent() -> None:
    call = Call.ready()
    call.send(Play(sound(8000), "greeting"))
    call.model(created())
    assert [type(each) for each in call.model(delta(800)).to_twilio] == [Media]


@pytest.mark.parametrize("agent_speaks", [False, True])
def test_whoever_interrupts_cuts_it_and_the_model_is_told_nothing_of_it(
    *, agent_speaks: bool
) -> None:
    call = Call.ready()
    call.send(Play(sound(8000), "greeting"))
    if agent_speaks:
        call.model(created())
        call.model(delta(800))
        ended(call)
    call.hear(250)
    done = call.model(speech_started()) if agent_speaks else call.send(Interrupt())
    assert done.to_twilio == [Clear("MZ1")]
    assert done.told(ClipFinished) == [ClipFinished("greeting", 250, 1000)]
    assert (done.told(Interrupted) != []) is agent_speaks


def test_it_ends_hold_sound() -> None:
    call = holding()
    call.hear(200)
    done = call.send(Play(sound(800), "greeting"))
    assert done.told(ClipFinished) == [ClipFinished("hold", 200, 1000)]
    assert [type(each) for each in done.to_twilio[:2]] == [Clear, Media]


@pytest.mark.parametrize(
    ("samples", "wrong"), [(0, "no audio"), (MAX_CLIP_SAMPLES + 1, "ClipFinished")]
)
def test_nothing_or_more_than_a_minute_is_misuse_and_changes_nothing(
    samples: int, wrong: str
) -> None:
    call = holding()
    with pytest.raises(LocalProtocolError, match=wrong):
        call.send(Play(sound(samples)))
    assert call.wait(100).actions == []


def test_no_more_than_a_minute_of_it_waits_at_a_time() -> None:
    call = Call.ready()
    call.send(Play(sound(MAX_CLIP_SAMPLES)))
    with pytest.raises(LocalProtocolError, match="ClipFinished"):
        call.send(Play(sound(1)))
    assert call.hear(60_000).told(ClipFinished) != []
    assert call.send(Play(sound(1))).audio == [1]


def test_it_needs_a_stream_and_room_at_twilio() -> None:
    with pytest.raises(LocalProtocolError, match="CallStarted"):
        Call.answered().send(Play(sound(1)))
    call = Call.talking(*[800_000] * 6)
    with pytest.raises(LocalProtocolError, match="ten minutes"):
        call.send(hold(1))


# To fill the time.


def test_hold_sound_yields_to_the_first_sound_of_the_agent() -> None:
    call = holding()
    call.hear(200)
    call.model(created())
    done = call.model(delta(800))
    assert [type(each) for each in done.to_twilio[:2]] == [Clear, Media]
    assert done.told(ClipFinished) == [ClipFinished("hold", 200, 1000)]
    assert call.model(delta(800)).told(ClipFinished) == []


def test_hold_sound_that_was_heard_to_the_end_has_nothing_to_yield() -> None:
    call = Call.ready()
    call.send(hold(800))
    assert call.hear(100).told(ClipFinished) == [ClipFinished("hold", 100, 100)]
    call.model(created())
    done = call.model(delta(800))
    assert Clear("MZ1") not in done.to_twilio
    assert done.told(ClipFinished) == []


def test_hold_sound_begins_when_the_agent_was_heard_to_the_end() -> None:
    call = ended(Call.talking(800))
    assert call.send(hold()).audio == []
    assert call.hear(99).audio == []
    assert sum(call.hear(1).audio) == 8000


def test_hold_sound_begins_though_the_marks_are_lost() -> None:
    call = ended(Call.talking(800))
    call.send(hold())
    assert call.wait(2_000).audio == []
    assert sum(call.wait(200).audio) == 8000


def test_hold_sound_does_not_break_into_a_word() -> None:
    call = Call.talking(800)
    call.hear(100)
    assert call.send(hold()).audio == []
    assert sum(call.model(delta(800)).audio) == 800  # it still waits, and yields nothing
    assert call.model(audio_done()).audio == []
    assert call.hear(99).audio == []
    assert sum(call.hear(1).audio) == 8000


def test_hold_sound_that_waits_is_given_up_when_the_next_response_speaks() -> None:
    call = ended(Call.talking(8000))
    call.send(hold())
    call.model(created("s"))
    done = call.model(delta(800, "s", "j"))
    assert done.told(ClipFinished) == [ClipFinished("hold", 0, 0)]
    call.model(audio_done("s", "j"))
    assert call.wait(10_000).audio == []


def test_another_hold_sound_takes_the_place_of_one_that_waits_or_plays() -> None:
    call = ended(Call.talking(800))
    call.send(hold(name="one"))
    done = call.send(hold(name="two"))
    assert done.told(ClipFinished) == [ClipFinished("one", 0, 0)]
    assert sum(call.hear(100).audio) == 8000
    call.hear(200)
    done = call.send(hold(name="three"))
    assert done.told(ClipFinished) == [ClipFinished("two", 200, 1000)]
    assert sum(done.audio) == 8000

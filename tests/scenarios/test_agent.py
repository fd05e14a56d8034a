"""What the application does with its agent, a greeting and a goodbye, and what the model is told of
an answer that was interrupted: held against what a simulated phone has played."""

import pytest

from calling import Call, audio, audio_done, created, delta, media, response_done
from scenario_phone import Phone
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, Speech
from twilio_realtime.sim.phone.caller import After, Cue, Say, WhenHeard
from twilio_realtime.sim.phone.caller import HangUp as Leave
from twilio_realtime.sim.phone.twilio_peer import Cleared, TwilioPeer
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime_core import Bridge, CallConfig, HangUp, Mute, Peer, Play, SessionConfig, Unmute
from twilio_realtime_core.commands import PressKeys
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ms
from twilio_realtime_core.notifications import (
    CallEnded,
    ClipFinished,
    Interrupted,
    ResponseStarted,
)
from twilio_realtime_core.protocols.realtime import AppendAudio
from twilio_realtime_core.protocols.twilio import Mark, Media

SILENCE = AppendAudio("////" * 53 + "/w==")
"""A frame of it."""

VAD = {"type": "server_vad", "silence_duration_ms": 500}
QUESTION = sample_speech.load("caller_question").audio
INTERRUPTION = sample_speech.load("caller_interruption").audio
ANSWER = sample_speech.load("agent_answer")
GOODBYE = sample_speech.load("agent_goodbye")


class Simulated:
    """A call between a simulated phone and a simulated model."""

    def __init__(self, script: tuple[Cue, ...], *replies: Reply, to_twilio_ms: int = 40) -> None:
        session = SessionConfig(turn_detection=VAD)
        self.bridge = Bridge(CallConfig(url="ws://model/v1/realtime", session=session))
        self.phone = TwilioPeer(url="ws://bridge/media-stream", seed=1, script=script)
        self.model = RealtimePeer(replies, seed=2)
        self.world: MessageWorld = message_call(
            self.bridge, self.phone, self.model, to_twilio_ns=to_twilio_ms * MS
        )

    def told(self, kind: type) -> list[object]:
        """What the application was told, of one kind."""
        return [
            event
            for _, name, event in self.world.notifications
            if name == "bridge" and isinstance(event, kind)
        ]

    def run_to_the_end(self) -> None:
        self.world.run_until(lambda: bool(self.told(CallEnded)), 60 * SECOND)
        self.world.run(SECOND)
        assert self.model.complaints == []
        assert self.phone.warnings == []


def spoken(recording: sample_speech.Recording) -> Reply:
    return Reply((Speech(recording.audio, recording.transcript),))


# A greeting.


@pytest.mark.parametrize("samples", [800, 480])
def test_s73_a_short_greeting_has_a_mark_at_its_beginning_and_one_at_its_end(samples: int) -> None:
    call = Call.ready()
    call.model(created())
    done = [call.model(delta(samples)) for _ in range(3)]
    done.append(call.model(audio_done()))
    assert sum(len(each.marks) for each in done) == 2
    sent = [message for each in done for message in each.to_twilio]
    assert [type(each) for each in sent[:2]] == [Media, Mark]
    assert isinstance(sent[-1], Mark)


def test_s73_a_greeting_of_the_application_s_own_is_told_with_all_its_300_ms() -> None:
    call = Phone.ready()
    call.send(Play(b"\xff" * 2400, "greeting"))
    assert call.wait(300).told(ClipFinished) == [ClipFinished("greeting", 300, 300)]


def test_s87_while_a_greeting_plays_a_muted_caller_cannot_interrupt_it() -> None:
    """S87: the model hears silence, so it hears no speech; what the greeting is followed by is the
    application's to say, and `ClipFinished` comes whether or not a mark does."""
    call = Phone.ready()
    call.send(Mute())
    call.send(Play(b"\0" * 8000, "greeting"))
    assert call.phone(media(audio(160))).to_model == [SILENCE]
    assert call.wait(1000).told(ClipFinished) == [ClipFinished("greeting", 1000, 1000)]
    call.send(Unmute())
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


# A goodbye.


@pytest.mark.parametrize("to_twilio_ms", [0, 150])
def test_s82_the_caller_hears_the_goodbye_to_its_end_before_the_line_is_closed(
    to_twilio_ms: int,
) -> None:
    call = Simulated((After(500 * MS, Say(QUESTION)),), spoken(GOODBYE), to_twilio_ms=to_twilio_ms)
    call.phone.record = True
    call.world.run_until(lambda: bool(call.told(ResponseStarted)), 20 * SECOND)
    call.world.call("bridge", "send", HangUp(after_playback=True))
    call.run_to_the_end()
    _, heard = call.phone.recorded(20 * SECOND)
    assert GOODBYE.audio in heard


def test_s86_a_goodbye_whose_marks_are_lost_ends_the_call_when_it_must_have_been_heard() -> None:
    """S86: others keep such a call and tell the model. But the caller has been told goodbye, and
    the application has asked for the end: nobody would say the next word."""
    call = Call.ready()
    call.model(created())
    call.model(delta(8000))
    call.model(audio_done())
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    assert call.wait(1000).closes == []
    assert call.wait(9000).closes == [Peer.TWILIO, Peer.REALTIME]


def test_s82_keys_that_are_played_are_heard_before_the_line_is_closed() -> None:
    call = Phone.ready()
    call.send(PressKeys("12"))
    call.send(HangUp(after_playback=True))
    assert call.wait(290).closes == []
    assert call.wait(200).closes == [Peer.TWILIO, Peer.REALTIME]


# An answer, and a caller who does not wait for its end.


@pytest.mark.parametrize("to_twilio_ms", [0, 40, 150])
@pytest.mark.parametrize("heard_ms", [60, 200, 1500])
def test_s75_the_model_s_memory_ends_where_the_phone_was_when_it_fell_silent(
    heard_ms: int, to_twilio_ms: int
) -> None:
    script = (After(500 * MS, Say(QUESTION)), WhenHeard(heard_ms, Say(INTERRUPTION)))
    call = Simulated(
        (*script, After(3 * SECOND, Leave())),
        spoken(ANSWER),
        spoken(GOODBYE),
        to_twilio_ms=to_twilio_ms,
    )
    call.run_to_the_end()
    (cleared,) = [event for _, _, event in call.world.notifications if isinstance(event, Cleared)]
    answer = next(item for item in call.model.conversation if item.spoken)
    assert answer.truncated_ms == samples_to_ms(cleared.heard) >= heard_ms
    assert len(call.told(Interrupted)) == 1

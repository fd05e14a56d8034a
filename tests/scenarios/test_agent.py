"""Greetings, goodbyes and interruptions, compared with what a simulated phone has played."""

import pytest

from calling import Call, audio, audio_done, created, delta, media, response_done
from scenario_phone import Phone
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerSays,
    Cue,
    WhenAgentHeard,
)
from twilio_realtime.sim.phone.twilio_peer import QueueCleared, TwilioPeer
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
            self.bridge, self.phone, self.model, twilio_latency_ns=to_twilio_ms * MS
        )

    def told(self, kind: type) -> list[object]:
        """The notifications of one kind."""
        return [
            event
            for _, name, event in self.world.notifications
            if name == "bridge" and isinstance(event, kind)
        ]

    def run_to_the_end(self) -> None:
        self.world.run_until(lambda: bool(self.told(CallEnded)), 60 * SECOND)
        self.world.run(SECOND)
        assert self.model.sent_errors == []
        assert self.phone.warnings == []


def spoken(recording: sample_speech.SampleSpeech) -> Reply:
    return Reply((SpokenReply(recording.audio, recording.transcript),))


# A greeting.


@pytest.mark.parametrize("samples", [800, 480])
def test_s73_a_short_greeting_has_two_marks(samples: int) -> None:
    call = Call.ready()
    call.model(created())
    done = [call.model(delta(samples)) for _ in range(3)]
    done.append(call.model(audio_done()))
    assert sum(len(each.marks) for each in done) == 2
    sent = [message for each in done for message in each.to_twilio]
    assert [type(each) for each in sent[:2]] == [Media, Mark]
    assert isinstance(sent[-1], Mark)


def test_s73_a_greeting_clip_is_notified_with_its_300_ms() -> None:
    call = Phone.ready()
    call.send(Play(b"\xff" * 2400, "greeting"))
    assert call.wait(300).notified(ClipFinished) == [ClipFinished("greeting", 300, 300)]


def test_s87_a_muted_caller_cannot_interrupt_a_greeting() -> None:
    """S87: the model receives silence, so it detects no speech. The application decides what
    follows the greeting; `ClipFinished` is notified with or without a mark."""
    call = Phone.ready()
    call.send(Mute())
    call.send(Play(b"\0" * 8000, "greeting"))
    assert call.phone(media(audio(160))).to_model == [SILENCE]
    assert call.wait(1000).notified(ClipFinished) == [ClipFinished("greeting", 1000, 1000)]
    call.send(Unmute())
    assert call.phone(media(audio(160))).to_model == [AppendAudio(audio(160))]


# A goodbye.


@pytest.mark.parametrize("to_twilio_ms", [0, 150])
def test_s82_the_goodbye_is_heard_before_the_stream_is_closed(
    to_twilio_ms: int,
) -> None:
    call = Simulated(
        (AfterDelay(500 * MS, CallerSays(QUESTION)),), spoken(GOODBYE), to_twilio_ms=to_twilio_ms
    )
    call.phone.record_audio = True
    call.world.run_until(lambda: bool(call.told(ResponseStarted)), 20 * SECOND)
    call.world.call("bridge", "send", HangUp(after_playback=True))
    call.run_to_the_end()
    _, heard = call.phone.recorded_audio(20 * SECOND)
    assert GOODBYE.audio in heard


def test_s86_a_goodbye_without_marks_ends_the_call() -> None:
    """S86: other bridges keep such a call and notify the model. Here the application has requested
    the end of the call, so it ends."""
    call = Call.ready()
    call.model(created())
    call.model(delta(8000))
    call.model(audio_done())
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    assert call.wait(1000).closes == []
    assert call.wait(9000).closes == [Peer.TWILIO, Peer.REALTIME]


def test_s82_key_tones_are_heard_before_the_stream_is_closed() -> None:
    call = Phone.ready()
    call.send(PressKeys("12"))
    call.send(HangUp(after_playback=True))
    assert call.wait(290).closes == []
    assert call.wait(200).closes == [Peer.TWILIO, Peer.REALTIME]


# A response that the caller interrupts.


@pytest.mark.parametrize("to_twilio_ms", [0, 40, 150])
@pytest.mark.parametrize("heard_ms", [60, 200, 1500])
def test_s75_the_item_ends_where_the_phone_fell_silent(heard_ms: int, to_twilio_ms: int) -> None:
    script = (
        AfterDelay(500 * MS, CallerSays(QUESTION)),
        WhenAgentHeard(heard_ms, CallerSays(INTERRUPTION)),
    )
    call = Simulated(
        (*script, AfterDelay(3 * SECOND, CallerHangsUp())),
        spoken(ANSWER),
        spoken(GOODBYE),
        to_twilio_ms=to_twilio_ms,
    )
    call.run_to_the_end()
    (cleared,) = [
        event for _, _, event in call.world.notifications if isinstance(event, QueueCleared)
    ]
    answer = next(item for item in call.model.conversation if item.is_spoken)
    assert answer.truncated_ms == samples_to_ms(cleared.heard_bytes) >= heard_ms
    assert len(call.told(Interrupted)) == 1

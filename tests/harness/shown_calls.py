"""Recorded calls to look at: between the simulated phone and model, with speech that is known."""

from collections.abc import Sequence
from functools import cache, partial
from itertools import count
from typing import Any, Final

from attrs import field, frozen

from twilio_realtime.recordings.config_settings import parse_setting
from twilio_realtime.recordings.recorder import Recorder
from twilio_realtime.recordings.redactor import Redactor
from twilio_realtime.recordings.show.call_view import CallView, view_call
from twilio_realtime.recordings.show.messages import Messages
from twilio_realtime.recordings.show.page import render_page, render_recording
from twilio_realtime.recordings.what_if import WhatIf, what_if
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerSays,
    Cue,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from twilio_realtime.sim.phone.twilio_peer import TwilioPeer
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime_core import Bridge, CallConfig, Peer, SessionConfig
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import FunctionCallRequested

__all__ = [
    "GREETING",
    "QUESTION",
    "ShownCall",
    "failed_call",
    "interrupted_call",
    "long_call",
    "page_of",
    "resumed_call",
    "simulate",
    "speak",
    "view_of",
    "what_if_of",
    "what_if_page_of",
]

QUESTION: Final = sample_speech.load("caller_question")
_WAIT: Final = sample_speech.load("caller_interruption")


def speak(name: str) -> Reply:
    """The reply of the model that is this sample of speech."""
    speech = sample_speech.load(name)
    return Reply((SpokenReply(speech.audio, speech.transcript),))


GREETING: Final = speak("agent_greeting")


@frozen
class ShownCall:
    """A recording, and the phone, which knows the truth. Both count from the call's start."""

    lines: list[bytes]
    phone: TwilioPeer = field(repr=False)

    @property
    def text(self) -> bytes:
        """The recording as a file."""
        return b"".join(self.lines)


def simulate(
    script: Sequence[Cue],
    replies: Sequence[Reply] = (GREETING,),
    *,
    transcripts: Sequence[str | None] = (),
    keep_audio: bool = True,
    until_s: int = 60,
    lose_model_after_ms: int | None = None,
    can_resume: bool = True,
    function_ms: int = 0,
    **config: Any,
) -> ShownCall:
    """Make a call, and record it. The connection to the model is lost after a time, if one is
    given; whether another one can be had, `can_resume` says. A function takes `function_ms`."""
    session = SessionConfig(
        turn_detection={"type": "server_vad", "silence_duration_ms": 500},
        transcription={"model": "gpt-4o-transcribe"},
    )
    call_config = CallConfig(session=session, **config)
    lines: list[str] = []
    recorder = Recorder(
        Bridge(call_config), call_config, lines.append, Redactor(keep_audio=keep_audio)
    )
    phone = TwilioPeer(url="ws://bridge/media-stream", seed=1, script=script)
    seeds = count(2)

    def make_model() -> RealtimePeer:
        return RealtimePeer(replies, transcripts=transcripts, seed=next(seeds))

    world = message_call(
        recorder, phone, make_model(), make_model=make_model if can_resume else None
    )
    if lose_model_after_ms is not None:
        link = world.link("bridge", Peer.REALTIME)
        world.schedule(lose_model_after_ms * MS, partial(world.sever, link))

    def answer(name: str, event: object) -> None:
        if isinstance(event, FunctionCallRequested):
            command = SendFunctionOutput(event.call_id, "{}")
            send = partial(world.call, name, "send", command)
            world.schedule(world.now + function_ms * MS, send)

    world.notification_listeners.append(answer)
    world.run(until_s * SECOND)
    return ShownCall([line.encode() for line in lines], phone)


@cache
def interrupted_call(*, keep_audio: bool = True) -> ShownCall:
    """A call in which the caller asks, and interrupts the answer."""
    script = (
        AfterDelay(300 * MS, CallerSays(QUESTION.audio)),
        WhenAgentHeard(1500, CallerSays(_WAIT.audio)),
        WhenAgentQuiet(400 * MS, CallerHangsUp()),
    )
    replies = [speak("agent_answer"), speak("agent_goodbye")]
    transcripts = [QUESTION.transcript, _WAIT.transcript]
    return simulate(script, replies, transcripts=transcripts, keep_audio=keep_audio)


@cache
def resumed_call(*, keep_audio: bool = True) -> ShownCall:
    """A call whose session is lost while the agent speaks, and that goes on with another."""
    script = (
        AfterDelay(300 * MS, CallerSays(QUESTION.audio)),
        WhenAgentQuiet(4 * SECOND, CallerSays(_WAIT.audio)),
        WhenAgentQuiet(2 * SECOND, CallerHangsUp()),
    )
    replies = [speak("agent_answer"), speak("agent_goodbye")]
    return simulate(
        script,
        replies,
        transcripts=[QUESTION.transcript, _WAIT.transcript],
        keep_audio=keep_audio,
        lose_model_after_ms=4500,
    )


@cache
def failed_call() -> ShownCall:
    """A call whose session is lost, and that gets no other."""
    script = (
        AfterDelay(300 * MS, CallerSays(QUESTION.audio)),
        WhenAgentQuiet(30 * SECOND, CallerHangsUp()),
    )
    return simulate(
        script,
        [speak("agent_answer")],
        transcripts=[QUESTION.transcript],
        lose_model_after_ms=4500,
        can_resume=False,
    )


@cache
def long_call(turns: int, *, keep_audio: bool) -> ShownCall:
    """A call of so many questions and answers, each of which takes some twelve seconds."""
    script = [WhenAgentQuiet(300 * MS, CallerSays(QUESTION.audio)) for _ in range(turns)]
    first = AfterDelay(300 * MS, CallerSays(QUESTION.audio))
    reply = speak("agent_answer")
    return simulate(
        (first, *script, WhenAgentQuiet(300 * MS, CallerHangsUp())),
        [reply] * (turns + 1),
        transcripts=[QUESTION.transcript] * (turns + 1),
        keep_audio=keep_audio,
        until_s=20 * (turns + 2),
    )


def view_of(lines: Sequence[bytes]) -> CallView:
    """What a recording shows."""
    return view_call(lines)


def page_of(lines: Sequence[bytes], *, with_audio: bool = True) -> str:
    """The page of a recording."""
    return render_recording(lines, title="call.jsonl", with_audio=with_audio)


def what_if_of(lines: Sequence[bytes], *texts: str) -> WhatIf:
    """What the bridge would have done with these settings."""
    return what_if([each.decode() for each in lines], [parse_setting(each) for each in texts])


def what_if_page_of(lines: Sequence[bytes], *texts: str) -> str:
    """The page of a recording, with what the bridge would have done with these settings."""
    messages = Messages()
    view = view_call(lines, messages.add_step)
    other = what_if_of(lines, *texts)
    return render_page(view, messages.entries, title="call.jsonl", what_if=other)

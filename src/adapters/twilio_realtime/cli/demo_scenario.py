"""The scenario of the demo: what is said in the call, and when."""

from typing import Final

import attrs

from twilio_realtime_core.machine.units import MS

from ..sim import sample_speech
from ..sim.model.pace import Pace
from ..sim.phone.caller import (
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from ..sim.sample_speech import SampleSpeech

__all__ = ["DemoScenario", "full_scenario", "short_scenario"]

_BYTES_PER_MS: Final = 8
_SECOND_SENTENCE_START_MS: Final = 2_220
"""Where the second sentence of the answer starts, after a pause of 200 ms."""


@attrs.frozen
class DemoScenario:
    """The caller's script and speech, and the agent's speech from the greeting on.

    `silence_duration_ms` is how long the caller is silent at the end of a turn; `duration_s` the
    approximate duration of the call.
    """

    script: tuple[Cue, ...]
    caller_speech: tuple[SampleSpeech, ...]
    agent_speech: tuple[SampleSpeech, ...]
    pace: Pace
    silence_duration_ms: int
    duration_s: float


def full_scenario() -> DemoScenario:
    """A call of a quarter of a minute. The first answer has been generated completely when it is
    interrupted; the second, which continues it, has not."""
    question, wait, goodbye = map(
        sample_speech.load, ("caller_question", "caller_interruption", "caller_goodbye")
    )
    greeting, answer, farewell = map(
        sample_speech.load, ("agent_greeting", "agent_answer", "agent_goodbye")
    )
    script = (
        WhenAgentQuiet(250 * MS, CallerSays(question.audio)),
        WhenAgentHeard(1800, CallerSays(wait.audio)),
        WhenAgentHeard(400, CallerPressesKey("5")),
        WhenAgentHeard(500, CallerSays(goodbye.audio)),
        WhenAgentQuiet(200 * MS, CallerHangsUp()),
    )
    agent_speech = (greeting, answer, _second_sentence(answer), farewell)
    return DemoScenario(
        script,
        caller_speech=(question, wait, goodbye),
        agent_speech=agent_speech,
        pace=Pace(),
        silence_duration_ms=500,
        duration_s=16.5,
    )


def short_scenario() -> DemoScenario:
    """The full scenario with shorter speech and a faster model."""
    full = full_scenario()
    question, wait, goodbye = (_first_ms(each, 320) for each in full.caller_speech)
    greeting, *answers, farewell = full.agent_speech
    script = (
        WhenAgentQuiet(100 * MS, CallerSays(question.audio)),
        WhenAgentHeard(400, CallerSays(wait.audio)),
        WhenAgentHeard(150, CallerPressesKey("5")),
        WhenAgentHeard(200, CallerSays(goodbye.audio)),
        WhenAgentQuiet(100 * MS, CallerHangsUp()),
    )
    return DemoScenario(
        script,
        caller_speech=(question, wait, goodbye),
        agent_speech=(_first_ms(greeting, 600), *answers, _first_ms(farewell, 300)),
        pace=Pace(first_spoken_item_ns=50 * MS, first_audio_ns=20 * MS, audio_speed=10.0),
        silence_duration_ms=200,
        duration_s=4.0,
    )


def _second_sentence(answer: SampleSpeech) -> SampleSpeech:
    _, _, transcript = answer.transcript.partition(". ")
    audio = answer.audio[_BYTES_PER_MS * _SECOND_SENTENCE_START_MS :]
    return attrs.evolve(answer, transcript=transcript, audio=audio)


def _first_ms(recording: SampleSpeech, duration_ms: int) -> SampleSpeech:
    return attrs.evolve(recording, audio=recording.audio[: _BYTES_PER_MS * duration_ms])

"""What is said in the demo's call, and when."""

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

__all__ = ["Scenario", "full_scenario", "short_scenario"]

_SECOND_SENTENCE_MS: Final = 2_220
"""Where it begins in the recorded answer, after a pause of 200 ms."""


@attrs.frozen
class Scenario:
    """What the caller does and `says`, and what the agent `replies`, from the greeting on.

    `silence_ms`: how long the caller is silent when his turn is over. `seconds`: how long all
    takes, about.
    """

    script: tuple[Cue, ...]
    says: tuple[SampleSpeech, ...]
    replies: tuple[SampleSpeech, ...]
    pace: Pace
    silence_ms: int
    seconds: float


def full_scenario() -> Scenario:
    """Of the first answer all has been generated when it is interrupted, of the second, which is
    how the first goes on, not."""
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
    replies = (greeting, answer, _second_sentence(answer), farewell)
    return Scenario(script, (question, wait, goodbye), replies, Pace(), 500, 16.5)


def short_scenario() -> Scenario:
    """The same with words cut short, and a model in a hurry."""
    full = full_scenario()
    question, wait, goodbye = (_begin(each, ms=320) for each in full.says)
    greeting, *answers, farewell = full.replies
    script = (
        WhenAgentQuiet(100 * MS, CallerSays(question.audio)),
        WhenAgentHeard(400, CallerSays(wait.audio)),
        WhenAgentHeard(150, CallerPressesKey("5")),
        WhenAgentHeard(200, CallerSays(goodbye.audio)),
        WhenAgentQuiet(100 * MS, CallerHangsUp()),
    )
    replies = (_begin(greeting, ms=600), *answers, _begin(farewell, ms=300))
    pace = Pace(first_spoken_item_ns=50 * MS, first_audio_ns=20 * MS, audio_speed=10.0)
    return Scenario(script, (question, wait, goodbye), replies, pace, 200, 4.0)


def _second_sentence(answer: SampleSpeech) -> SampleSpeech:
    _, _, words = answer.transcript.partition(". ")
    return attrs.evolve(answer, transcript=words, audio=answer.audio[8 * _SECOND_SENTENCE_MS :])


def _begin(recording: SampleSpeech, ms: int) -> SampleSpeech:
    return attrs.evolve(recording, audio=recording.audio[: 8 * ms])

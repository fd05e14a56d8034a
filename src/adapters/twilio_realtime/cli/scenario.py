"""What is said in the demo's call, and when."""

from typing import Final

import attrs

from twilio_realtime_core.machine.units import MS

from ..sim import sample_speech
from ..sim.model.pace import Pace
from ..sim.phone.caller import Cue, HangUp, Press, Say, WhenHeard, WhenQuiet
from ..sim.sample_speech import Recording

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
    says: tuple[Recording, ...]
    replies: tuple[Recording, ...]
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
        WhenQuiet(250 * MS, Say(question.audio)),
        WhenHeard(1800, Say(wait.audio)),
        WhenHeard(400, Press("5")),
        WhenHeard(500, Say(goodbye.audio)),
        WhenQuiet(200 * MS, HangUp()),
    )
    replies = (greeting, answer, _second_sentence(answer), farewell)
    return Scenario(script, (question, wait, goodbye), replies, Pace(), 500, 16.5)


def short_scenario() -> Scenario:
    """The same with words cut short, and a model in a hurry."""
    full = full_scenario()
    question, wait, goodbye = (_begin(each, ms=320) for each in full.says)
    greeting, *answers, farewell = full.replies
    script = (
        WhenQuiet(100 * MS, Say(question.audio)),
        WhenHeard(400, Say(wait.audio)),
        WhenHeard(150, Press("5")),
        WhenHeard(200, Say(goodbye.audio)),
        WhenQuiet(100 * MS, HangUp()),
    )
    replies = (_begin(greeting, ms=600), *answers, _begin(farewell, ms=300))
    pace = Pace(item_ns=50 * MS, audio_ns=20 * MS, speed=10.0)
    return Scenario(script, (question, wait, goodbye), replies, pace, 200, 4.0)


def _second_sentence(answer: Recording) -> Recording:
    _, _, words = answer.transcript.partition(". ")
    return attrs.evolve(answer, transcript=words, audio=answer.audio[8 * _SECOND_SENTENCE_MS :])


def _begin(recording: Recording, ms: int) -> Recording:
    return attrs.evolve(recording, audio=recording.audio[: 8 * ms])

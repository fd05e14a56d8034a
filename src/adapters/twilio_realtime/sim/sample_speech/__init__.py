"""Sample speech: six short utterances of caller and agent, for simulated calls.

They are synthetic voices, 8 kHz G.711 µ-law, without silence at either end.
`docs/project/sample-speech.md` says how they are made.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from attrs import field, frozen

from ..audio import decode_wav

__all__ = ["NAMES", "SampleSpeech", "load"]

_TRANSCRIPTS = {
    "caller_question": "Could you tell me where my order is, please?",
    "caller_interruption": "No, wait a moment.",
    "caller_goodbye": "Thanks a lot. Goodbye!",
    "agent_greeting": "Hello, this is the help desk. How can I help?",
    "agent_answer": (
        "Your order left the warehouse yesterday. It is on a lorry now, and should be with you "
        "tomorrow before noon. If nobody is at home, a neighbour gets it."
    ),
    "agent_goodbye": "Thanks for calling. Goodbye!",
}

NAMES: Final = tuple(_TRANSCRIPTS)
"""The names that `load` accepts."""


@frozen
class SampleSpeech:
    """One utterance: its name, its words, and its audio (µ-law bytes, 8 kHz)."""

    name: str
    transcript: str
    audio: bytes = field(repr=False)


@cache
def load(name: str) -> SampleSpeech:
    """Return the sample of a name, one of `NAMES` (`KeyError`: there is none of that name)."""
    transcript = _TRANSCRIPTS[name]
    file = files("twilio_realtime.sim.sample_speech").joinpath(f"{name}.wav")
    return SampleSpeech(name, transcript, decode_wav(file.read_bytes()))

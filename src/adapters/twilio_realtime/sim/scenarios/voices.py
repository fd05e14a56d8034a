"""Noises in place of the voices of caller and agent."""

from functools import cache
from random import Random
from typing import Final

from twilio_realtime_core.machine.units import MS, SAMPLE_NS

__all__ = ["agent_voice", "caller_voice"]

_BYTES_PER_MS: Final = MS // SAMPLE_NS
_LOUD_WAVE: Final = bytes((0x10, 0x90))
"""Two samples of one loud wave."""


@cache
def caller_voice(duration_ms: int) -> bytes:
    """Return `duration_ms` of a caller's voice that turn detection takes for speech."""
    return _LOUD_WAVE * (duration_ms * _BYTES_PER_MS // len(_LOUD_WAVE))


@cache
def agent_voice(duration_ms: int, seed: int = 0) -> bytes:
    """Return `duration_ms` of an agent's voice, in which no two stretches are alike."""
    return Random(f"{seed} {duration_ms}").randbytes(duration_ms * _BYTES_PER_MS)  # noqa: S311 - it must be repeatable

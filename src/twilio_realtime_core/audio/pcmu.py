"""G.711 µ-law from linear samples.

Linear values are those of the Recommendation: 14-bit, full scale ±8158 (ITU-T G.711, table 2a).
"""

from collections.abc import Iterable
from typing import Final

__all__ = ["FULL_SCALE", "SILENCE", "encode", "silence"]

SILENCE: Final = 0xFF
"""The byte of the value 0, which is what a silent line sends."""

FULL_SCALE: Final = 8158
"""The largest magnitude that has a code of its own; larger ones are clipped to it."""

_BIAS: Final = 33
"""What the encoder adds to a magnitude so that every segment begins at a power of two."""


def encode(values: Iterable[int]) -> bytes:
    """One byte for each linear value."""
    return bytes(map(_code, values))


def silence(samples: int) -> bytes:
    """So many samples, and bytes, of silence."""
    return bytes([SILENCE]) * samples


def _code(value: int) -> int:
    """Sign, 3 bits of segment, 4 of step, all inverted on the line. Negative values are mirrored at
    -1/2, which keeps both halves alike and gives 0 and -1 the two codes for nothing."""
    magnitude = min(value if value >= 0 else ~value, FULL_SCALE) + _BIAS
    segment = magnitude.bit_length() - 6
    code = segment << 4 | (magnitude >> (segment + 1) & 0xF)
    return ~(code | (0x80 if value < 0 else 0)) & 0xFF

"""The tones of telephone keys, computed from the Recommendations alone.

A key is two sines, one of a low and one of a high group (ITU-T Q.23, section 3), at -8 and -6 dBm0;
a sine at full scale has 3.17 dBm0 (ITU-T G.711, section 1).
"""

import struct
from functools import lru_cache
from math import pi, sin
from typing import Final

from ..audio import from_linear, silence
from .units import SAMPLES_PER_MS, SAMPLES_PER_SECOND

__all__ = ["keypad_tones"]

_ROWS_HZ: Final = {697: "123A", 770: "456B", 852: "789C", 941: "*0#D"}
_COLUMNS_HZ: Final = (1209, 1336, 1477, 1633)
_COMMA_MS: Final = 500
"""Silence of a comma: that of a `w` in Twilio's `<Play digits>`
(https://www.twilio.com/docs/voice/twiml/play)."""

_FULL_SCALE: Final = 8158
"""The largest of the 14-bit values (ITU-T G.711, table 2a)."""
_ROW_AMPLITUDE: Final = _FULL_SCALE * 10 ** ((-8 - 3.17) / 20)
_COLUMN_AMPLITUDE: Final = _FULL_SCALE * 10 ** ((-6 - 3.17) / 20)


def keypad_tones(keys: str, tone_ms: int, pause_ms: int) -> bytes:
    """Return the tones of `keys` in µ-law, each with a pause behind it; a comma is silence."""
    pause = silence(pause_ms * SAMPLES_PER_MS)
    comma = silence(_COMMA_MS * SAMPLES_PER_MS)
    return b"".join(comma if key == "," else _tone(key, tone_ms) + pause for key in keys)


@lru_cache(64)
def _tone(key: str, tone_ms: int) -> bytes:
    row_hz, column_hz = next(
        (row_hz, _COLUMNS_HZ[keys.index(key)]) for row_hz, keys in _ROWS_HZ.items() if key in keys
    )
    values = (
        _ROW_AMPLITUDE * _sine(row_hz, at) + _COLUMN_AMPLITUDE * _sine(column_hz, at)
        for at in range(tone_ms * SAMPLES_PER_MS)
    )
    # The simulator's encoder takes 16-bit values, which are four times the 14-bit ones.
    return from_linear(b"".join(struct.pack("<h", 4 * round(value)) for value in values))


def _sine(frequency_hz: int, at_sample: int) -> float:
    """The value of a sine; whole frequencies are the same in every second."""
    return sin(2 * pi * frequency_hz * (at_sample % SAMPLES_PER_SECOND) / SAMPLES_PER_SECOND)

"""The tones of telephone keys, as audio.

Two sines at a time, one of a low and one of a high group, name a key (ITU-T Q.23, section 3). What
a receiver must recognise is in ITU-T Q.24, table A-1.
"""

from functools import lru_cache
from math import pi, sin
from typing import Final

from ..errors import LocalProtocolError
from . import pcmu

__all__ = ["COMMA_MS", "MAX_MS", "MAX_TOTAL_MS", "MIN_MS", "key_tones"]

MIN_MS: Final = 40
"""The shortest tone, and pause, that every receiver recognises (ITU-T Q.24, table A-1)."""

MAX_MS: Final = 5_000
"""The longest tone, and pause. What wants a key to be held, such as a door opener, wants it for a
second or two; more is a mistake of units."""

MAX_TOTAL_MS: Final = 60_000
"""All keys together: a card number takes four seconds, and a caller hears nothing else meanwhile.
More than a minute of it is a mistake."""

COMMA_MS: Final = 500
"""What a comma lasts: half a second, as in Twilio's own `<Play digits>` with `w`."""

_SAMPLES_PER_MS: Final = 8
_SAMPLES_PER_SECOND: Final = 8000

_LOW_GROUP_HZ: Final = (697, 770, 852, 941)
_HIGH_GROUP_HZ: Final = (1209, 1336, 1477, 1633)
_KEYPAD: Final = ("123A", "456B", "789C", "*0#D")
_FREQUENCIES_HZ: Final = {
    key: (low, high)
    for low, row in zip(_LOW_GROUP_HZ, _KEYPAD, strict=True)
    for high, key in zip(_HIGH_GROUP_HZ, row, strict=True)
}
"""In Hz, by key."""

_OVERLOAD_DBM0: Final = 3.17
"""The level of a sine at full scale (ITU-T G.711, section 1)."""


def _amplitude(level_dbm0: float) -> float:
    return pcmu.FULL_SCALE * 10 ** ((level_dbm0 - _OVERLOAD_DBM0) / 20)


# Lines weaken high tones more, so these begin 2 dB above the low ones. Both are far above the
# -25 dBm that a receiver must still recognise (ITU-T Q.24, table A-1); their sum does not clip.
_LOW_AMPLITUDE: Final = _amplitude(-8)
_HIGH_AMPLITUDE: Final = _amplitude(-6)


def key_tones(keys: str, tone_ms: int = 100, pause_ms: int = 100) -> bytes:
    """The tones of `keys`, one after another, each with a pause behind it: µ-law, 8 kHz.

    Keys are `0` to `9`, `*`, `#`, `A` to `D`; a comma is `COMMA_MS` of silence. Raises
    `LocalProtocolError` for any other key, for none, for a tone or pause not between `MIN_MS` and
    `MAX_MS`, and where all takes longer than `MAX_TOTAL_MS`.
    """
    _check_duration("tone_ms", tone_ms)
    _check_duration("pause_ms", pause_ms)
    if not keys:
        raise LocalProtocolError("keys is empty: name at least one key")
    for at, key in enumerate(keys):
        if key not in _FREQUENCIES_HZ and key != ",":
            raise LocalProtocolError(
                f"keys[{at}] is no key of a telephone: use 0 to 9, *, #, A to D, or a comma"
            )
    commas = keys.count(",")
    total_ms = commas * COMMA_MS + (len(keys) - commas) * (tone_ms + pause_ms)
    if total_ms > MAX_TOTAL_MS:
        raise LocalProtocolError(
            f"keys take {total_ms} ms, of at most {MAX_TOTAL_MS}: press them in several goes"
        )
    comma = pcmu.silence(COMMA_MS * _SAMPLES_PER_MS)
    pause = pcmu.silence(pause_ms * _SAMPLES_PER_MS)
    tone = tone_ms * _SAMPLES_PER_MS
    return b"".join(comma if key == "," else _encode_tone(key, tone) + pause for key in keys)


def _check_duration(name: str, duration_ms: int) -> None:
    if not MIN_MS <= duration_ms <= MAX_MS:
        raise LocalProtocolError(
            f"{name} is {duration_ms}: it must be between {MIN_MS} and {MAX_MS}"
        )


@lru_cache(maxsize=len(_FREQUENCIES_HZ))
def _encode_tone(key: str, tone_samples: int) -> bytes:
    """A tone that begins at zero, so without a click. All frequencies are whole numbers, so that
    every second is like the first."""
    low, high = (2 * pi * frequency / _SAMPLES_PER_SECOND for frequency in _FREQUENCIES_HZ[key])
    second = pcmu.encode(
        round(_LOW_AMPLITUDE * sin(low * at) + _HIGH_AMPLITUDE * sin(high * at))
        for at in range(min(tone_samples, _SAMPLES_PER_SECOND))
    )
    return (second * (tone_samples // _SAMPLES_PER_SECOND + 1))[:tone_samples]

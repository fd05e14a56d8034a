"""DTMF tones of telephone keys, as G.711 µ-law audio.

The tone of a key is the sum of two sines, one of a low and one of a high group of frequencies
(ITU-T Q.23, section 3). What a receiver must recognise is in ITU-T Q.24, table A-1.
"""

from functools import lru_cache
from math import pi, sin
from typing import Final

from ..errors import LocalProtocolError
from ..machine.arguments import milliseconds
from . import pcmu

__all__ = ["COMMA_MS", "MAX_MS", "MAX_TOTAL_MS", "MIN_MS", "check_keys", "key_tones"]

MIN_MS: Final = 40
"""The shortest tone, and the shortest pause, that every receiver recognises (ITU-T Q.24, table
A-1)."""

MAX_MS: Final = 5_000
"""The longest tone, and the longest pause. A device that needs a key to be held, such as a door
opener, needs a second or two; more was meant in another unit."""

MAX_TOTAL_MS: Final = 60_000
"""The longest duration of all keys together. A card number takes four seconds, and the caller hears
nothing else meanwhile; more than a minute is a mistake."""

COMMA_MS: Final = 500
"""The duration of a comma: half a second, as that of `w` in Twilio's `<Play digits>`
(https://www.twilio.com/docs/voice/twiml/play)."""

_DURATION: Final = milliseconds(MIN_MS, MAX_MS)
"""The rule for the duration of a tone, or of a pause."""

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
"""The low and the high frequency of each key."""

_OVERLOAD_DBM0: Final = 3.17
"""The level of a sine at full scale (ITU-T G.711, section 1)."""


def _amplitude(level_dbm0: float) -> float:
    return pcmu.FULL_SCALE * 10 ** ((level_dbm0 - _OVERLOAD_DBM0) / 20)


# Lines weaken high frequencies more, so the high group is 2 dB above the low one. Both are far
# above the -25 dBm that a receiver must still recognise (ITU-T Q.24, table A-1); their sum does not
# clip.
_LOW_AMPLITUDE: Final = _amplitude(-8)
_HIGH_AMPLITUDE: Final = _amplitude(-6)


def key_tones(keys: str, tone_ms: int = 100, pause_ms: int = 100) -> bytes:
    """Return the DTMF tones of `keys` as G.711 µ-law audio, with a pause after each tone.

    Keys are `0` to `9`, `*`, `#`, `A` to `D`; a comma is `COMMA_MS` of silence.

    Raises `LocalProtocolError` for any other key, for no key, for a tone or pause that is not
    between `MIN_MS` and `MAX_MS`, and for more than `MAX_TOTAL_MS` in total.
    """
    _DURATION.check("tone_ms", tone_ms)
    _DURATION.check("pause_ms", pause_ms)
    check_keys("keys", keys, tone_ms, pause_ms)
    comma = pcmu.silence(COMMA_MS * _SAMPLES_PER_MS)
    pause = pcmu.silence(pause_ms * _SAMPLES_PER_MS)
    tone_samples = tone_ms * _SAMPLES_PER_MS
    return b"".join(
        comma if key == "," else _encode_tone(key, tone_samples) + pause for key in keys
    )


def check_keys(name: str, keys: str, tone_ms: int, pause_ms: int) -> None:
    """Check the keys of `key_tones`, which the argument `name` holds.

    Raises `LocalProtocolError` for no key, for a key that no telephone has, and for more than
    `MAX_TOTAL_MS` in total. The message contains no key, which may be of a card number.
    """
    if not keys:
        raise LocalProtocolError(f"{name} is empty: name at least one key")
    for index, key in enumerate(keys):
        if key not in _FREQUENCIES_HZ and key != ",":
            raise LocalProtocolError(
                f"{name}[{index}] is not a key of a telephone: use 0 to 9, *, #, A to D, or a comma"
            )
    commas = keys.count(",")
    total_ms = commas * COMMA_MS + (len(keys) - commas) * (tone_ms + pause_ms)
    if total_ms > MAX_TOTAL_MS:
        raise LocalProtocolError(
            f"{name} must take at most {MAX_TOTAL_MS} ms, not {total_ms} ms: split it into several "
            "commands"
        )


@lru_cache(maxsize=len(_FREQUENCIES_HZ))
def _encode_tone(key: str, tone_samples: int) -> bytes:
    """Return the tone of a key. It starts at zero, so without a click.

    All frequencies are whole numbers of Hz, so every second of the tone is like the first.
    """
    low, high = (2 * pi * frequency / _SAMPLES_PER_SECOND for frequency in _FREQUENCIES_HZ[key])
    second = pcmu.encode(
        round(_LOW_AMPLITUDE * sin(low * at) + _HIGH_AMPLITUDE * sin(high * at))
        for at in range(min(tone_samples, _SAMPLES_PER_SECOND))
    )
    return (second * (tone_samples // _SAMPLES_PER_SECOND + 1))[:tone_samples]

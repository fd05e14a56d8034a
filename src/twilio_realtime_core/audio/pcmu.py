"""G.711 µ-law audio (PCMU): 8 kHz, mono, one byte a sample; as bytes, and as base64 payloads.

Payloads that are passed on are not decoded. They are spliced into JSON, so they must be checked to
be base64: an unchecked payload could contain quotes and braces.

Linear values are those of ITU-T G.711, table 2a: 14-bit, full scale ±8158.
"""

from collections.abc import Iterable
from typing import Final

__all__ = ["FULL_SCALE", "PCMU_FORMAT", "SILENCE", "count_samples", "encode", "silence"]

PCMU_FORMAT: Final = {"type": "audio/pcmu"}
"""The Realtime API's audio format for G.711 µ-law at 8 kHz. It must not have a `rate` (OpenAI API
reference, "Realtime", `session.update`, `audio.input.format`,
https://platform.openai.com/docs/api-reference/realtime-client-events)."""

SILENCE: Final = 0xFF
"""The byte of the value 0, which is what a silent line sends."""

FULL_SCALE: Final = 8158
"""The largest magnitude that has a code; larger ones are clipped to it."""

_BIAS: Final = 33
"""What the encoder adds to a magnitude so that every segment starts at a power of two."""

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

_MAX_PADDING: Final = 2


def count_samples(payload: str) -> int | None:
    """Return the number of samples (bytes) in a base64 payload, or `None` if it is empty or not
    base64.

    Base64 here is the standard alphabet with padding and without line breaks (RFC 4648, section 4).
    """
    if not payload or len(payload) % 4 or not payload.isascii():
        return None
    digits = payload.rstrip("=")
    padding = len(payload) - len(digits)
    if padding > _MAX_PADDING or digits.encode().translate(None, _ALPHABET):
        return None
    return len(payload) // 4 * 3 - padding


def encode(values: Iterable[int]) -> bytes:
    """Encode linear values, one byte for each."""
    return bytes(map(_encode_sample, values))


def silence(samples: int) -> bytes:
    """Return that many samples (bytes) of silence."""
    return bytes([SILENCE]) * samples


def _encode_sample(value: int) -> int:
    """Encode one linear value: sign, 3 bits of segment, 4 bits of step, all inverted.

    Negative values are mirrored at -1/2, which keeps both halves alike and gives 0 and -1 the two
    codes for silence.
    """
    magnitude = min(value if value >= 0 else ~value, FULL_SCALE) + _BIAS
    segment = magnitude.bit_length() - 6
    code = segment << 4 | (magnitude >> (segment + 1) & 0xF)
    return ~(code | (0x80 if value < 0 else 0)) & 0xFF

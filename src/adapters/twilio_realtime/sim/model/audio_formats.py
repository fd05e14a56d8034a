"""The audio formats of a Realtime session, converted from and to the µ-law that the simulator uses.

A session uses `audio/pcm` (16-bit little-endian, 24 kHz), `audio/pcmu` or `audio/pcma` (G.711 at 8
kHz), in each direction by itself (API reference, session `audio.input.format`,
`audio.output.format`).
"""

import struct
from typing import Any

from attrs import frozen

from ..audio import to_linear

__all__ = ["LEVELS_PER_FRAME", "AudioFormat", "format_from_wire"]

LEVELS_PER_FRAME = 256
"""Levels in the 32 ms frame of voice activity detection: one for each 1/8000 s."""


@frozen(eq=False)
class AudioFormat:
    """A format of audio on the wire, of `bytes_per_level` bytes for each 1/8000 s."""

    name: str
    bytes_per_level: int
    _level_of_byte: bytes
    _wire_of_ulaw: tuple[bytes, ...]

    @property
    def bytes_per_ms(self) -> int:
        """Bytes of wire audio in a millisecond."""
        return 8 * self.bytes_per_level

    def levels(self, wire: bytes) -> bytes:
        """Return the loudness of whole samples of wire audio: a byte for each 1/8000 s, from 0 for
        silence to 255 for full scale. Of 24 kHz audio it uses the high byte of every third
        sample."""
        return (wire if self.bytes_per_level == 1 else wire[1 :: self.bytes_per_level]).translate(
            self._level_of_byte
        )

    def encode(self, ulaw: bytes) -> bytes:
        """Return the wire audio of µ-law audio. For 24 kHz each sample is repeated three times."""
        return (
            b"".join(map(self._wire_of_ulaw.__getitem__, ulaw))
            if self.name != "audio/pcmu"
            else ulaw
        )


def format_from_wire(wire: dict[str, Any]) -> AudioFormat:
    """Return the format that a session's validated `format` object names."""
    return _FORMATS[wire["type"]]


def _a_law_to_linear(code: int) -> int:
    """Return the 16-bit sample of an A-law byte (ITU-T G.711, table 1a; even bits are inverted)."""
    code ^= 0x55
    segment, step = code >> 4 & 7, code & 15
    magnitude = step * 16 + 8 if segment == 0 else (step * 16 + 264) << segment - 1
    return magnitude if code & 0x80 else -magnitude


_ULAW = struct.unpack("<256h", to_linear(bytes(range(256))))
_ALAW = tuple(map(_a_law_to_linear, range(256)))


def _levels_of(samples: tuple[int, ...]) -> bytes:
    return bytes(min(255, abs(sample) >> 7) for sample in samples)


def _nearest_a_law(sample: int) -> int:
    return min(range(256), key=lambda code: abs(_ALAW[code] - sample))


_ONE_BYTE = tuple(bytes([code]) for code in range(256))
_FORMATS = {
    "audio/pcmu": AudioFormat("audio/pcmu", 1, _levels_of(_ULAW), _ONE_BYTE),
    "audio/pcma": AudioFormat(
        "audio/pcma",
        1,
        _levels_of(_ALAW),
        tuple(bytes([_nearest_a_law(sample)]) for sample in _ULAW),
    ),
    "audio/pcm": AudioFormat(
        "audio/pcm",
        6,
        # A high byte h stands for samples from 256·h; that of -1 is as quiet as that of 0.
        bytes(2 * min(high, 255 - high) for high in range(256)),
        tuple(struct.pack("<h", sample) * 3 for sample in _ULAW),
    ),
}

"""G.711 µ-law at 8 kHz: conversion to and from linear samples, loudness, and WAV files.

Everywhere in the simulator audio is `bytes` of µ-law, one byte a sample, 125 µs each (ITU-T G.711).
Linear samples are 16-bit, little-endian: the 14-bit values of the Recommendation times 4, so full
scale is 32,124.
"""

import struct
import wave
from collections.abc import Iterator
from io import BytesIO
from typing import Final

__all__ = [
    "SILENCE",
    "decode_speech",
    "decode_wav",
    "encode_wav",
    "energy",
    "from_linear",
    "silence",
    "to_linear",
]

SILENCE: Final = 0xFF
"""The µ-law byte of the value 0, which a silent line sends."""

_SAMPLE_RATE_HZ = 8000
_LINEAR_BYTES = 2
_WAVE_FORMAT_MULAW = 7
"""WAVE_FORMAT_MULAW (RFC 2361, section A.7)."""

_BIAS = 33
"""Added to a magnitude by the encoder, so that every segment is a power of two (14-bit scale)."""
_MAX_MAGNITUDE = 8158
"""The largest 14-bit magnitude that has a code; larger ones are clipped to it."""


def to_linear(audio: bytes) -> bytes:
    """Return the 16-bit little-endian linear samples of µ-law `audio`, two bytes for each of its
    bytes."""
    linear = bytearray(2 * len(audio))
    linear[0::2] = audio.translate(_LOW_BYTES)
    linear[1::2] = audio.translate(_HIGH_BYTES)
    return bytes(linear)


def from_linear(linear: bytes) -> bytes:
    """Return the µ-law of 16-bit little-endian linear samples (`ValueError`: an odd number of
    bytes)."""
    if len(linear) % 2:
        raise ValueError("half a 16-bit sample at the end")
    samples: tuple[int, ...] = struct.unpack(f"<{len(linear) // 2}h", linear)
    return bytes([_CODES[sample >> 2] for sample in samples])


def energy(audio: bytes) -> float:
    """Return the mean square of the samples of µ-law `audio`, full scale being 1.0; 0.0 for no
    audio."""
    return sum(map(_SQUARES.__getitem__, audio)) / (len(audio) or 1)


def silence(sample_count: int) -> bytes:
    """Return `sample_count` bytes of µ-law silence."""
    return bytes([SILENCE]) * sample_count


def encode_wav(*channels: bytes) -> bytes:
    """Return a WAV file of µ-law audio, one channel for each argument, shorter ones padded by
    silence."""
    frames = max((len(channel) for channel in channels), default=0)
    width = len(channels)
    data = bytearray(silence(frames * width))
    for index, channel in enumerate(channels):
        data[index : len(channel) * width : width] = channel
    # Formats other than PCM have an extension size, here 0, and a `fact` chunk of frames a channel.
    layout = struct.pack(
        "<HHIIHHH", _WAVE_FORMAT_MULAW, width, _SAMPLE_RATE_HZ, _SAMPLE_RATE_HZ * width, width, 8, 0
    )
    chunks = _chunk(b"fmt ", layout) + _chunk(b"fact", struct.pack("<I", frames))
    return _chunk(b"RIFF", b"WAVE" + chunks + _chunk(b"data", bytes(data)))


def decode_wav(file: bytes) -> bytes:
    """Return the µ-law audio of a WAV file of one channel.

    Raises `ValueError` for other files, and for other formats than µ-law, 8 kHz, mono.
    """
    if file[:4] != b"RIFF" or file[8:12] != b"WAVE":
        raise ValueError("no WAV file")
    chunks = dict(_chunks(file))
    if (layout := chunks.get(b"fmt ", b""))[:8] != struct.pack(
        "<HHI", _WAVE_FORMAT_MULAW, 1, _SAMPLE_RATE_HZ
    ):
        raise ValueError(f"not µ-law, mono, {_SAMPLE_RATE_HZ} Hz: {layout[:8].hex()}")
    if b"data" not in chunks:
        raise ValueError("a WAV file without data")
    return chunks[b"data"]


def decode_speech(file: bytes) -> bytes:
    """Return the µ-law audio of a WAV file of one channel with 8 kHz, in µ-law or 16-bit PCM.

    Raises `ValueError`, with what to do, for any other file.
    """
    try:
        return decode_wav(file)
    except ValueError:
        pass
    try:
        with wave.open(BytesIO(file)) as opened:
            layout = (opened.getnchannels(), opened.getsampwidth(), opened.getframerate())
            if layout == (1, _LINEAR_BYTES, _SAMPLE_RATE_HZ):
                return from_linear(opened.readframes(opened.getnframes()))
    except (wave.Error, EOFError, ValueError):
        pass
    raise ValueError(
        "it is not a WAV file with 8000 Hz, mono, µ-law or 16-bit PCM: make one with "
        "ffmpeg -i FILE -ac 1 -ar 8000 -c:a pcm_mulaw NEW.wav"
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a RIFF chunk: name, size, content, and one more byte if the size is odd."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(file):
        size_bytes = int.from_bytes(file[at + 4 : at + 8], "little")
        yield file[at : at + 4], file[at + 8 : at + 8 + size_bytes]
        at += 8 + size_bytes + size_bytes % 2


def _decode(code: int) -> int:
    """Return the 14-bit value of a code: sign, 3 bits of segment, 4 of step, all bits inverted on
    the line (ITU-T G.711, table 2)."""
    code = ~code
    magnitude = ((2 * (code & 0xF) + _BIAS) << (code >> 4 & 7)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


def _encode(value: int) -> int:
    """Return the code of a 14-bit value. Negative values are mirrored at -1/2, which keeps both
    halves alike and gives 0 and -1 the two codes of silence."""
    magnitude = min(value if value >= 0 else ~value, _MAX_MAGNITUDE) + _BIAS
    segment = magnitude.bit_length() - 6
    code = segment << 4 | (magnitude >> (segment + 1) & 0xF)
    return ~(code | (0x80 if value < 0 else 0)) & 0xFF


_VALUES = [4 * _decode(code) for code in range(256)]
_LOW_BYTES = bytes(value & 0xFF for value in _VALUES)
_HIGH_BYTES = bytes(value >> 8 & 0xFF for value in _VALUES)
_SQUARES = [(value / max(_VALUES)) ** 2 for value in _VALUES]
_CODES = bytes(_encode(value) for value in [*range(8192), *range(-8192, 0)])
"""The codes of all 14-bit values; those of negative values are at the end, where negative indexes
find them."""

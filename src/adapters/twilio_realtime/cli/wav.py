"""WAV files of one's own, as µ-law."""

import wave
from io import BytesIO
from pathlib import Path
from typing import Final

from ..errors import UsageError
from ..sim.audio import from_linear, read_wav
from ..sim.phone.caller import SPEECH_LIMIT

__all__ = ["load_wav"]

_RATE: Final = 8000
_SAMPLE_BYTES: Final = 2

_LONGEST: Final = _SAMPLE_BYTES * SPEECH_LIMIT + 64 * 1024
"""Bytes of a file: as much as a caller can have to say, in 16-bit samples, and headers."""


def load_wav(path: str) -> bytes:
    """The audio of a WAV file of one channel, 8 kHz, µ-law or 16-bit PCM, as µ-law.

    Raises `OSError` if it cannot be read, and `UsageError` if it is something else, holds nothing,
    or more than ten minutes.
    """
    with Path(path).open("rb") as file:
        content = file.read(_LONGEST + 1)
    audio = b"" if len(content) > _LONGEST else _audio(content)
    if audio is None:
        raise UsageError(
            f"{path} is no WAV file of 8000 Hz, mono, µ-law or 16-bit PCM: make one with "
            f"ffmpeg -i {path} -ac 1 -ar 8000 -c:a pcm_mulaw NEW.wav"
        )
    if not 0 < len(audio) <= SPEECH_LIMIT:
        raise UsageError(f"{path} holds no audio, or more than ten minutes: take another file")
    return audio


def _audio(content: bytes) -> bytes | None:
    try:
        return read_wav(content)
    except ValueError:
        pass
    try:
        with wave.open(BytesIO(content)) as file:
            layout = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            if layout == (1, _SAMPLE_BYTES, _RATE):
                return from_linear(file.readframes(file.getnframes()))
    except (wave.Error, EOFError, ValueError):
        pass
    return None

"""WAV files as the caller's speech."""

from pathlib import Path
from typing import Final

from ..errors import UsageError
from ..sim.audio import decode_speech
from ..sim.phone.caller import MAX_SPEECH_BYTES

__all__ = ["load_wav"]

_SAMPLE_BYTES: Final = 2

_MAX_FILE_BYTES: Final = _SAMPLE_BYTES * MAX_SPEECH_BYTES + 64 * 1024
"""The longest speech of a caller in 16-bit samples, and headers."""


def load_wav(path: str) -> bytes:
    """Return the audio of a WAV file with one channel, 8 kHz, µ-law or 16-bit PCM, as µ-law.

    Raises `OSError` if the file cannot be read, and `UsageError` if it is not such a file, is
    empty, or is longer than ten minutes.
    """
    with Path(path).open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    try:
        audio = b"" if len(content) > _MAX_FILE_BYTES else decode_speech(content)
    except ValueError:
        raise UsageError(
            f"{path} is not a WAV file with 8000 Hz, mono, µ-law or 16-bit PCM: make one with "
            f"ffmpeg -i {path} -ac 1 -ar 8000 -c:a pcm_mulaw NEW.wav"
        ) from None
    if not 0 < len(audio) <= MAX_SPEECH_BYTES:
        raise UsageError(f"{path} has no audio, or more than ten minutes: use another file")
    return audio

"""The input audio buffer: what was appended and not yet committed, and the ear that listens."""

from .audio_formats import AudioFormat
from .vad import VadSettings, VadSpeechStarted, VadSpeechStopped, VoiceActivityDetector

__all__ = ["InputAudioBuffer"]

MAX_BUFFERED_SAMPLES = 8 * 3_600_000
"""How much audio may wait to be committed, in samples of 1/8000 s: as much as the longest session
lasts. Older audio is forgotten beyond that."""


class InputAudioBuffer:
    """The caller's audio, on a time line of the audio itself: samples of 1/8000 s, or ms, since
    the session began."""

    def __init__(self, format_: AudioFormat, settings: VadSettings | None) -> None:
        self.format = format_
        self._detector = VoiceActivityDetector(settings)
        self._audio = bytearray()
        self._start_samples = 0
        self._partial_sample = b""

    @property
    def position_ms(self) -> int:
        """How much audio has been appended since the session began."""
        return (self._start_samples + len(self._audio) // self.format.bytes_per_level) // 8

    @property
    def buffered_ms(self) -> float:
        """How much audio a commit would take."""
        return len(self._audio) / self.format.bytes_per_ms

    def configure(self, format_: AudioFormat, settings: VadSettings | None) -> None:
        """The session was updated. A change of format keeps the time, not the audio."""
        if format_ is not self.format:
            self._start_samples += len(self._audio) // self.format.bytes_per_level
            self._audio.clear()
            self._partial_sample = b""
            self.format = format_
        self._detector.settings = settings
        if settings is None:
            self._detector.reset()

    def append(self, audio: bytes) -> list[VadSpeechStarted | VadSpeechStopped]:
        """Take in wire audio; what it says about speech, one thing after another."""
        self._audio += audio
        sample = self.format.bytes_per_level
        if (excess := len(self._audio) // sample - MAX_BUFFERED_SAMPLES) > 0:
            self._take_until(self._start_samples + excess)
        heard = self._partial_sample + audio
        if part := len(heard) % sample:
            heard, self._partial_sample = heard[:-part], heard[-part:]
        else:
            self._partial_sample = b""
        return self._detector.process(self.format.levels(heard))

    def take_turn(self, start_ms: int, end_ms: int) -> bytes:
        """The audio of a turn; nothing of it, nor of what came before, stays in the buffer."""
        self._take_until(8 * start_ms)
        return self._take_until(8 * end_ms)

    def take_all(self) -> bytes:
        """All the audio there is; a turn that is under way ends with it."""
        self._detector.reset()
        return self._take_until(self._start_samples + len(self._audio))

    def _take_until(self, until_samples: int) -> bytes:
        """Remove the audio before a position in samples, and return it."""
        taken = bytes(
            self._audio[: max(0, until_samples - self._start_samples) * self.format.bytes_per_level]
        )
        del self._audio[: len(taken)]
        self._start_samples += len(taken) // self.format.bytes_per_level
        return taken

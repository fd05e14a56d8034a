"""The input audio buffer: audio that was appended and not yet committed, and its voice activity
detector."""

from ..audio import silence
from .audio_formats import AudioFormat, format_from_wire
from .vad import VadSettings, VadSpeechStarted, VadSpeechStopped, VoiceActivityDetector

__all__ = ["InputAudioBuffer"]

MAX_BUFFERED_SAMPLES = 8 * 3_600_000
"""The most audio that can be uncommitted, in samples of 1/8000 s: as much as the longest session
lasts. Beyond that the oldest audio is dropped."""


class InputAudioBuffer:
    """The caller's audio. Positions are on the time line of the audio itself: samples of 1/8000 s,
    or ms, since the session began."""

    def __init__(self, format_: AudioFormat, settings: VadSettings | None) -> None:
        self.format = format_
        self._detector = VoiceActivityDetector(settings)
        self._audio = bytearray()
        self._start_samples = 0
        self._partial_sample = b""

    @property
    def position_ms(self) -> int:
        """How much audio has been appended since the session began (ms)."""
        return (self._start_samples + len(self._audio) // self.format.bytes_per_level) // 8

    @property
    def buffered_ms(self) -> float:
        """How much audio a commit would take (ms)."""
        return len(self._audio) / self.format.bytes_per_ms

    def configure(self, format_: AudioFormat, settings: VadSettings | None) -> None:
        """Apply the settings of an updated session. A change of format keeps the position, not the
        audio."""
        if format_ is not self.format:
            self._start_samples += len(self._audio) // self.format.bytes_per_level
            self._audio.clear()
            self._partial_sample = b""
            self.format = format_
        self._detector.settings = settings
        if settings is None:
            self._detector.reset()

    def append(self, audio: bytes) -> list[VadSpeechStarted | VadSpeechStopped]:
        """Append wire audio; return the starts and ends of speech in it, in order."""
        self._audio += audio
        level_bytes = self.format.bytes_per_level
        if (excess_samples := len(self._audio) // level_bytes - MAX_BUFFERED_SAMPLES) > 0:
            self._take_until(self._start_samples + excess_samples)
        if level_bytes == 1:
            return self._detector.process(self.format.levels(audio))
        whole = self._partial_sample + audio
        if rest_bytes := len(whole) % level_bytes:
            whole, self._partial_sample = whole[:-rest_bytes], whole[-rest_bytes:]
        else:
            self._partial_sample = b""
        return self._detector.process(self.format.levels(whole))

    @property
    def ignores_silence(self) -> bool:
        """Whether silence in µ-law has no effect but to be counted."""
        is_ulaw = self.format is format_from_wire({"type": "audio/pcmu"})
        return is_ulaw and self._detector.ignores_silence

    def append_silence(self, samples: int) -> None:
        """Append silence, which is ignored, any amount of it."""
        self._audio += silence(samples)
        if (excess_samples := len(self._audio) - MAX_BUFFERED_SAMPLES) > 0:
            self._take_until(self._start_samples + excess_samples)
        self._detector.count_silence(samples)

    def take_turn(self, start_ms: int, end_ms: int) -> bytes:
        """Remove and return the audio of a turn; what came before it is dropped."""
        self._take_until(8 * start_ms)
        return self._take_until(8 * end_ms)

    def take_all(self) -> bytes:
        """Remove and return all audio; a turn that is under way ends with it."""
        self._detector.reset()
        return self._take_until(self._start_samples + len(self._audio))

    def _take_until(self, until_samples: int) -> bytes:
        """Remove and return the audio before a position in samples."""
        taken = bytes(
            self._audio[: max(0, until_samples - self._start_samples) * self.format.bytes_per_level]
        )
        del self._audio[: len(taken)]
        self._start_samples += len(taken) // self.format.bytes_per_level
        return taken

"""The input audio buffer: what was appended and not yet committed, and the ear that listens."""

from .audio_formats import AudioFormat
from .vad import SpeechStarted, SpeechStopped, TurnDetection, VoiceActivity

__all__ = ["InputAudio"]

BUFFER_LIMIT = 8 * 3_600_000
"""How much audio may wait to be committed, in samples of 1/8000 s: as much as the longest session
lasts. Older audio is forgotten beyond that."""


class InputAudio:
    """The caller's audio, on a time line of the audio itself: samples of 1/8000 s, or ms, since
    the session began."""

    def __init__(self, format_: AudioFormat, settings: TurnDetection | None) -> None:
        self.format = format_
        self._ear = VoiceActivity(settings)
        self._audio = bytearray()
        self._begins = 0
        self._unheard = b""

    @property
    def position_ms(self) -> int:
        """How much audio has been appended since the session began."""
        return (self._begins + len(self._audio) // self.format.sample) // 8

    @property
    def waiting_ms(self) -> float:
        """How much audio a commit would take."""
        return len(self._audio) / self.format.bytes_per_ms

    def configure(self, format_: AudioFormat, settings: TurnDetection | None) -> None:
        """The session was updated. A change of format keeps the time, not the audio."""
        if format_ is not self.format:
            self._begins += len(self._audio) // self.format.sample
            self._audio.clear()
            self._unheard = b""
            self.format = format_
        self._ear.settings = settings
        if settings is None:
            self._ear.forget()

    def append(self, audio: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take in wire audio; what it says about speech, one thing after another."""
        self._audio += audio
        sample = self.format.sample
        if (excess := len(self._audio) // sample - BUFFER_LIMIT) > 0:
            self._take(self._begins + excess)
        heard = self._unheard + audio
        if part := len(heard) % sample:
            heard, self._unheard = heard[:-part], heard[-part:]
        else:
            self._unheard = b""
        return self._ear.hear(self.format.levels(heard))

    def commit_turn(self, start_ms: int, end_ms: int) -> bytes:
        """The audio of a turn; nothing of it, nor of what came before, stays in the buffer."""
        self._take(8 * start_ms)
        return self._take(8 * end_ms)

    def commit(self) -> bytes:
        """All the audio there is; a turn that is under way ends with it."""
        self._ear.forget()
        return self._take(self._begins + len(self._audio))

    def _take(self, until: int) -> bytes:
        """Remove the audio before a position in samples, and return it."""
        taken = bytes(self._audio[: max(0, until - self._begins) * self.format.sample])
        del self._audio[: len(taken)]
        self._begins += len(taken) // self.format.sample
        return taken

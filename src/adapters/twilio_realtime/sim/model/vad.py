"""Server-side voice activity detection: when the caller started and stopped speaking.

It works as the real one is seen to: in frames of 32 ms counted from the first audio byte of the
session, whatever the clock says. `audio_end_ms` is a multiple of 32, and so is `audio_start_ms`
plus the padding (recorded sessions; API reference, `turn_detection`). The criterion differs: here a
frame is speech if it is loud enough, which a test can control exactly.
"""

from functools import lru_cache
from typing import Any, TypeAlias

from attrs import frozen

from .audio_formats import LEVELS_PER_FRAME

__all__ = [
    "FRAME_MS",
    "VadSettings",
    "VadSpeechStarted",
    "VadSpeechStopped",
    "VoiceActivityDetector",
]

FRAME_MS = 32
"""The duration of a frame."""

_THRESHOLD_SCALE = 4 * LEVELS_PER_FRAME
"""The sum of levels that a frame must exceed at a threshold of 1. At the usual 0.5 the mean
amplitude must exceed 256 of 32,768 (-42 dBFS): above line noise, below a soft voice."""

_SEMANTIC_SILENCE_MS = {"low": 2000, "medium": 1000, "auto": 1000, "high": 500}
"""The silence that ends a turn with semantic_vad, by eagerness: a quarter of the longest documented
wait (8, 4 and 2 s), as if the model were fairly sure that the turn is over."""

_SEMANTIC_PADDING_MS = 300
"""The padding before speech with semantic_vad, which has no setting for it."""


@frozen
class VadSpeechStarted:
    """The caller started to speak; the audio of the turn starts at `audio_start_ms`, padding
    included."""

    audio_start_ms: int


@frozen
class VadSpeechStopped:
    """The caller has been silent long enough; `audio_end_ms` includes that silence."""

    audio_end_ms: int


VadEvent: TypeAlias = VadSpeechStarted | VadSpeechStopped


@frozen
class VadSettings:
    """The settings that decide where speech starts and stops. `threshold` is a sum of levels in a
    frame."""

    threshold: float = 0.5 * _THRESHOLD_SCALE
    padding_ms: int = 300
    silence_frames: int = 7

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "VadSettings":
        """Return the settings in a session's `turn_detection` object."""
        if wire["type"] == "semantic_vad":
            silence_ms = _SEMANTIC_SILENCE_MS[wire["eagerness"]]
            return cls(0.5 * _THRESHOLD_SCALE, _SEMANTIC_PADDING_MS, _frames_of(silence_ms))
        return cls(
            wire["threshold"] * _THRESHOLD_SCALE,
            wire["prefix_padding_ms"],
            _frames_of(wire["silence_duration_ms"]),
        )


class VoiceActivityDetector:
    """Detects speech in levels (a byte for each 1/8000 s).

    `settings` may change at any time; with `None` it detects nothing, but keeps counting.
    """

    __slots__ = ("_frame_count", "_pending", "_silent_frames", "is_speaking", "settings")

    def __init__(self, settings: VadSettings | None) -> None:
        self.settings = settings
        self.is_speaking = False
        self._frame_count = 0
        self._pending = b""
        self._silent_frames = 0

    def process(self, levels: bytes) -> list[VadEvent]:
        """Process the next audio of the session; return the starts and ends of speech in it."""
        pending = self._pending + levels
        events: list[VadEvent] = []
        while len(pending) >= LEVELS_PER_FRAME:
            frame, pending = pending[:LEVELS_PER_FRAME], pending[LEVELS_PER_FRAME:]
            self._frame_count += 1
            if self.settings is not None and (event := self._process_frame(frame, self.settings)):
                events.append(event)
        self._pending = pending
        return events

    @property
    def ignores_silence(self) -> bool:
        """Whether silence is only counted: nobody speaks, nor has in the current frame."""
        return not self.is_speaking and not any(self._pending)

    def count_silence(self, levels: int) -> None:
        """Process so many levels of silence, which is ignored."""
        frames, rest = divmod(len(self._pending) + levels, LEVELS_PER_FRAME)
        self._frame_count += frames
        self._silent_frames += frames if self.settings is not None else 0
        self._pending = bytes(rest)

    def reset(self) -> None:
        """Return to silence, as when the audio that held the speech was removed. The levels of the
        current frame are dropped too, but not the time they took."""
        self.is_speaking = False
        self._silent_frames = 0
        self._pending = bytes(len(self._pending))

    def _process_frame(self, frame: bytes, settings: VadSettings) -> VadEvent | None:
        if _loudness(frame) > settings.threshold:
            self._silent_frames = 0
            if self.is_speaking:
                return None
            self.is_speaking = True
            start_ms = (self._frame_count - 1) * FRAME_MS - settings.padding_ms
            return VadSpeechStarted(max(0, start_ms))
        self._silent_frames += 1
        if not self.is_speaking or self._silent_frames < settings.silence_frames:
            return None
        self.is_speaking = False
        return VadSpeechStopped(self._frame_count * FRAME_MS)


@lru_cache(64)  # most of what a caller sends is silence, the same again and again
def _loudness(frame: bytes) -> int:
    return sum(frame)


def _frames_of(duration_ms: int) -> int:
    return max(1, -(-duration_ms // FRAME_MS))

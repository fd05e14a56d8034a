"""Server-side voice activity: when the caller began to speak, and when he stopped.

Works as the real one is seen to: frames of 32 ms counted from the first audio byte of the session,
whatever the clock says. `audio_end_ms` is a multiple of 32, and so is `audio_start_ms` plus the
padding (recorded sessions; API reference, `turn_detection`). What differs is the judge: here a
frame is speech if it is loud enough, which a test can arrange exactly.
"""

from functools import lru_cache
from typing import Any, TypeAlias

from attrs import frozen

from .audio_formats import FRAME_LEVELS

__all__ = ["FRAME_MS", "SpeechStarted", "SpeechStopped", "TurnDetection", "VoiceActivity"]

FRAME_MS = 32
"""How much audio is judged at once."""

_LOUD = 4 * FRAME_LEVELS
"""The sum of levels that a threshold of 1 asks a frame to exceed. At the usual 0.5 the mean
amplitude must exceed 256 of 32,768 (-42 dBFS): above line noise, below a soft voice."""

_SEMANTIC_SILENCE_MS = {"low": 2000, "medium": 1000, "auto": 1000, "high": 500}
"""How long semantic_vad waits, by eagerness: a quarter of the longest wait that is documented
(8, 4 and 2 s), as if the model were fairly sure that the turn is over."""

_SEMANTIC_PADDING_MS = 300
"""What semantic_vad includes before speech; it has no setting for that."""


@frozen
class SpeechStarted:
    """The caller speaks; the turn's audio begins at `audio_start_ms`, padding included."""

    audio_start_ms: int


@frozen
class SpeechStopped:
    """The caller has been silent long enough; `audio_end_ms` includes that silence."""

    audio_end_ms: int


VoiceEvent: TypeAlias = SpeechStarted | SpeechStopped


@frozen
class TurnDetection:
    """The settings that decide where speech starts and stops."""

    loud: float = 0.5 * _LOUD
    padding_ms: int = 300
    silence_frames: int = 7

    @classmethod
    def of(cls, wire: dict[str, Any]) -> "TurnDetection":
        """Those of a session's `turn_detection` object."""
        if wire["type"] == "semantic_vad":
            silence_ms = _SEMANTIC_SILENCE_MS[wire["eagerness"]]
            return cls(0.5 * _LOUD, _SEMANTIC_PADDING_MS, _frames(silence_ms))
        return cls(
            wire["threshold"] * _LOUD,
            wire["prefix_padding_ms"],
            _frames(wire["silence_duration_ms"]),
        )


class VoiceActivity:
    """Hears levels (a byte for each 1/8000 s) and tells speech from silence.

    `settings` may change at any time; `None` hears nothing, but goes on counting.
    """

    __slots__ = ("_frames", "_pending", "_quiet", "settings", "speaking")

    def __init__(self, settings: TurnDetection | None) -> None:
        self.settings = settings
        self.speaking = False
        self._frames = 0
        self._pending = b""
        self._quiet = 0

    def hear(self, levels: bytes) -> list[VoiceEvent]:
        """What the next audio of the session says about the caller's speech."""
        pending = self._pending + levels
        events: list[VoiceEvent] = []
        while len(pending) >= FRAME_LEVELS:
            frame, pending = pending[:FRAME_LEVELS], pending[FRAME_LEVELS:]
            self._frames += 1
            if self.settings is not None and (event := self._judge(frame, self.settings)):
                events.append(event)
        self._pending = pending
        return events

    def forget(self) -> None:
        """Be in silence, as when the audio that held the speech was taken away. What was heard
        of the frame under way goes too, but not the time that it took."""
        self.speaking = False
        self._quiet = 0
        self._pending = bytes(len(self._pending))

    def _judge(self, frame: bytes, settings: TurnDetection) -> VoiceEvent | None:
        if _loudness(frame) > settings.loud:
            self._quiet = 0
            if self.speaking:
                return None
            self.speaking = True
            start_ms = (self._frames - 1) * FRAME_MS - settings.padding_ms
            return SpeechStarted(max(0, start_ms))
        self._quiet += 1
        if not self.speaking or self._quiet < settings.silence_frames:
            return None
        self.speaking = False
        return SpeechStopped(self._frames * FRAME_MS)


@lru_cache(64)  # most of what a caller sends is silence, the same again and again
def _loudness(frame: bytes) -> int:
    return sum(frame)


def _frames(duration_ms: int) -> int:
    return max(1, -(-duration_ms // FRAME_MS))

"""The caller's audio on its way to the model: silence where frames are missing, or are muted.

Turn detection counts the audio that it is given. Of frames that never come it learns nothing, so
that a caller who stopped speaking seems to go on; the same if a muted caller's frames were left
out. So silence takes their place.

Twilio's timestamps tell what is missing. They are readings of a clock, a few ms off the audio, so
they are held against where the audio should be by now, not against the one before: what is less
than a frame off is jitter, and jitter does not add up. Where no frame comes at all, no timestamp
can tell; then time does, as long as the caller is speaking. Positions are in samples.

Source: Twilio documentation, "Media Streams - WebSocket Messages", `media`.
"""

from base64 import b64encode
from functools import lru_cache
from typing import Final

from ..audio import pcmu
from ..machine.units import FRAME_SAMPLES

__all__ = ["INACTIVITY_SAMPLES", "MAX_GAP_SAMPLES", "CallerAudio", "silence_payload"]

MAX_GAP_SAMPLES: Final = 10 * 8000
"""Silence for one gap: ten seconds. Turn detection ends a turn after less than one; a longer gap
adds nothing but audio to be paid for."""

INACTIVITY_SAMPLES: Final = 8000
"""Silence given when a speaking caller's frames stop: one second, longer than turn detection waits
for the end of a turn (200 to 500 ms; API reference, "Realtime", `turn_detection`)."""

_SAMPLES_PER_MS: Final = 8

_DRIFT_SAMPLES: Final = 1
"""How far each frame may move where audio is expected: 6 ms a second, more than two clocks ever
differ, so that their difference never adds up to a gap."""

_JITTER_SAMPLES: Final = FRAME_SAMPLES // 2
"""How far off a frame may be and move the expectation. One that is later, but less than a frame,
may stand behind a lost one and be early by its jitter: the next frames will tell."""


class CallerAudio:
    """What is put into the caller's audio. `inactivity_timeout_ns` is how long a speaking caller's
    frames may stay away; `None`: for ever. `muted`: give `silence` in place of each frame."""

    def __init__(self, inactivity_timeout_ns: int | None) -> None:
        self._timeout = inactivity_timeout_ns
        self.is_muted = False
        self.start_stream(format_is_mulaw=False)

    def start_stream(self, format_is_mulaw: bool) -> None:  # noqa: FBT001
        """A stream has begun. Only if it is µ-law, 8 kHz, mono is anything ever put into it."""
        self._is_padding_enabled = format_is_mulaw
        self._speaking = False
        self._last_audio_ns = 0
        self._is_gap_filled = True  # of what has not begun nothing is missing
        self._last_ms = 0
        self._expected_position: int | None = None

    def frame_received(self, timestamp_ms: int | None, samples: int, now: int) -> int:
        """A frame has come. Returns how many samples of silence go before it."""
        self._last_audio_ns = now
        self._is_gap_filled = False
        if timestamp_ms is None or not self._is_padding_enabled:
            self._expected_position = None
            return 0
        at = timestamp_ms * _SAMPLES_PER_MS
        expected = self._expected_position
        if expected is None or timestamp_ms < self._last_ms:
            # The first one, or a clock that was set back: from here on anew.
            expected = at
        self._last_ms = timestamp_ms
        missing = at - expected
        if missing >= FRAME_SAMPLES:
            self._expected_position = at + samples
            return min(missing, MAX_GAP_SAMPLES)
        if missing < 0:
            expected -= _DRIFT_SAMPLES
        elif 0 < missing <= _JITTER_SAMPLES:
            expected += _DRIFT_SAMPLES
        self._expected_position = expected + samples
        return 0

    def speech_started(self, now: int) -> None:
        """Turn detection hears the caller speak."""
        self._speaking = True
        self._last_audio_ns = now

    def speech_stopped(self) -> None:
        """Turn detection hears the caller no longer."""
        self._speaking = False

    @property
    def deadline(self) -> int | None:
        """When to call `expire` (ns), by what is known now. Each frame moves it; a timer need only
        be set when speech starts, and after `expire`, which may have been early. `None`: not
        needed before speech starts again."""
        if self._timeout is None or not self._speaking or not self._is_padding_enabled:
            return None
        return self._last_audio_ns + self._timeout

    def take_due_silence(self, now: int) -> int:
        """The deadline may have come. Returns how many samples of silence are due now, once for
        each gap: what timestamps tell of it afterwards is not filled again."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return 0
        self._last_audio_ns = now
        if self._is_gap_filled:
            return 0
        self._is_gap_filled = True
        self._expected_position = None
        return INACTIVITY_SAMPLES


@lru_cache(maxsize=8)  # a frame, a second, and a gap or two of up to 100 KB
def silence_payload(samples: int) -> str:
    """So many samples of silence, in base64."""
    return b64encode(pcmu.silence(samples)).decode()

"""The caller's audio on its way to the model: silence where frames are missing, or are muted.

Turn detection counts the audio that it receives. It does not notice frames that never arrive, so a
caller who stopped speaking would seem to go on; the same if the frames of a muted caller were left
out. So silence is sent in their place.

Twilio's timestamps show what is missing. They are readings of a clock, a few ms off the audio, so
they are compared with where the audio should be by now, not with the timestamp before: what is less
than a frame off is jitter, and jitter does not add up. A frame that is earlier than one before it
is late: it shows neither a gap nor where the next one should be. Where no frame arrives at all, no
timestamp can show it; then time does, while the caller is speaking. Positions are in samples.

Source: Twilio documentation, "Media Streams - WebSocket Messages", `media`,
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
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
"""Silence sent when a speaking caller's frames stop: one second, longer than turn detection waits
for the end of a turn (200 to 500 ms; API reference, "Realtime", `turn_detection`)."""

_SAMPLES_PER_MS: Final = 8

_DRIFT_SAMPLES: Final = 1
"""How far each frame may move where audio is expected: 6 ms a second, more than two clocks ever
differ, so that their difference never adds up to a gap."""

_JITTER_SAMPLES: Final = FRAME_SAMPLES // 2
"""How far off a frame may be and move the expectation. One that is later, but less than a frame,
may stand behind a lost one and be early by its jitter: the next frames will show."""

_MAX_LATE_SAMPLES: Final = 10 * FRAME_SAMPLES
"""How much earlier a late frame may be: 200 ms, more than frames are overtaken by. One that is
earlier still comes from a clock that was set back."""


class CallerAudio:
    """What is missing of the caller's audio. `inactivity_timeout_ns` is how long no frame may
    arrive while the caller speaks; `None`: for ever. `is_muted`: send silence in place of each
    frame."""

    def __init__(self, inactivity_timeout_ns: int | None) -> None:
        self._timeout_ns = inactivity_timeout_ns
        self.is_muted = False
        self.start_stream(is_pcmu=False)

    def start_stream(self, *, is_pcmu: bool) -> None:
        """Start a stream. Only one of µ-law, 8 kHz, mono is ever padded."""
        self._is_padded = is_pcmu
        self._last_audio_ns = 0
        self._is_gap_filled = True  # before the first frame nothing is missing
        self._latest_position = 0
        self._expected_position: int | None = None

    def frame_received(self, timestamp_ms: int | None, samples: int, now: int) -> int:
        """Take a frame. Returns how many samples of silence go before it."""
        self._last_audio_ns = now
        self._is_gap_filled = False
        if timestamp_ms is None or not self._is_padded:
            self._expected_position = None
            return 0
        position = timestamp_ms * _SAMPLES_PER_MS
        expected = self._expected_position
        latest = self._latest_position
        if expected is None:
            expected = position
        elif position < latest:
            if position < latest - _MAX_LATE_SAMPLES:
                expected = position  # a clock that was set back: from here on anew
            elif position <= latest - samples + _JITTER_SAMPLES:
                # A late frame fills what seemed to be missing, unless silence has filled it.
                unfilled = max(0, latest + samples - expected)
                self._expected_position = expected + min(samples, unfilled)
                return 0
        self._latest_position = position
        missing = position - expected
        if missing >= FRAME_SAMPLES:
            self._expected_position = position + samples
            return min(missing, MAX_GAP_SAMPLES)
        if missing < 0:
            expected -= _DRIFT_SAMPLES
        elif 0 < missing <= _JITTER_SAMPLES:
            expected += _DRIFT_SAMPLES
        self._expected_position = expected + samples
        return 0

    def silence_due_at_ns(self, *, is_speaking: bool) -> int | None:
        """When to call `take_due_silence` (ns), by what is known now: it counts from the last
        frame, and each frame moves it. A timer need only be set when speech starts, and after
        `take_due_silence`, which may have been early. `None`: not needed before speech starts
        again."""
        if self._timeout_ns is None or not is_speaking or not self._is_padded:
            return None
        return self._last_audio_ns + self._timeout_ns

    def take_due_silence(self, now: int, *, is_speaking: bool) -> int:
        """Return how many samples of silence are due now, once for each gap: what timestamps show
        of it afterwards is not filled again."""
        due_at_ns = self.silence_due_at_ns(is_speaking=is_speaking)
        if due_at_ns is None or now < due_at_ns:
            return 0
        self._last_audio_ns = now
        if self._is_gap_filled:
            return 0
        self._is_gap_filled = True
        self._expected_position = None
        return INACTIVITY_SAMPLES


@lru_cache(maxsize=8)  # a frame, a second, and a gap or two of up to 100 KB
def silence_payload(samples: int) -> str:
    """Silence of `samples`, in base64."""
    return b64encode(pcmu.silence(samples)).decode()

"""The start delay of the player: learned from echoes, and expected until they come.

A phone's path buffers audio before it plays it, for a time that nobody states. The first echo of a
burst shows it, a round trip after the marked audio was played. Until then the best estimate is
what earlier bursts have shown: those of the same call, and before its first burst those of earlier
calls.
"""

from collections import deque
from statistics import median_low
from typing import Final

from ..config.start_delay_history import StartDelayHistory
from .play_queue import Burst

__all__ = ["StartDelayEstimator"]

_BURSTS: Final = 16
"""Bursts of this call that count: a few minutes of talk."""

_ECHOES: Final = 3
"""Echoes of a burst of which the earliest counts. Jitter can only make an echo late, so the
earliest is the most accurate. But a player that has run dry stays late, and that is believed once
this many echoes in a row show it, within a second."""


class StartDelayEstimator:
    """The start delays of one call's bursts. `history` is what earlier calls have shown."""

    def __init__(self, history: StartDelayHistory) -> None:
        self._history = history
        self._learned_ns: deque[int] = deque(maxlen=_BURSTS)
        self._burst: Burst | None = None
        self._late_ns: deque[int] = deque(maxlen=_ECHOES)

    @property
    def expected_ns(self) -> int:
        """The start delay to expect of the next burst (ns): the median, whose mean error is the
        least."""
        samples = self._samples_ns
        return median_low(samples) if samples else 0

    @property
    def history(self) -> StartDelayHistory:
        """What this call has shown."""
        return StartDelayHistory(tuple(self._learned_ns))

    @property
    def spread_ns(self) -> int | None:
        """How much the known start delays differ (ns); `None` if none is known."""
        samples = self._samples_ns
        return max(samples) - min(samples) if samples else None

    def is_learned(self, burst: Burst) -> bool:
        """Whether an echo has shown the start delay of a burst. (Echoes come in order: of the last
        one.)"""
        return burst is self._burst

    def learn(self, burst: Burst, late_ns: int, jitter_ns: int) -> int:
        """Take an echo that came `late_ns` after a burst without start delay would have caused it;
        its own delay varies by `jitter_ns`. Returns the start delay of the burst (ns), as far as is
        known."""
        if burst is self._burst:
            self._learned_ns.pop()
        else:
            self._burst = burst
            self._late_ns.clear()
            if self._samples_ns and 0 < late_ns - self.expected_ns <= jitter_ns:
                self._late_ns.append(self.expected_ns)  # nothing but jitter speaks against it
        self._late_ns.append(late_ns)
        start_delay_ns = max(0, min(self._late_ns))
        self._learned_ns.append(start_delay_ns)
        return start_delay_ns

    @property
    def _samples_ns(self) -> tuple[int, ...]:
        return tuple(self._learned_ns) or self._history.start_delays_ns

"""How late the player starts what it is sent: learned from echoes, and expected until they come.

A phone's path buffers before it plays, and nobody tells for how long. The first echo of a burst
shows it, a round trip after the marked audio has been played. Until then the best guess is what
earlier bursts have shown: of the same call, since it is the same line; before its first burst, of
earlier calls.
"""

from collections import deque
from statistics import median_low
from typing import Final

from ..config.start_delay_history import StartDelayHistory
from .play_queue import Burst

__all__ = ["StartDelayEstimator"]

_BURSTS: Final = 16
"""Bursts of this call: a few minutes of talk."""

_ECHOES: Final = 3
"""Echoes of a burst of which the earliest counts. Jitter can only make an echo late, so that one is
the truest. But a player that has run dry unseen is late for good, and that is believed once so many
echoes in a row say so, within a second."""


class StartDelayEstimator:
    """The lags of one call's bursts, on a line of which `history` is known."""

    def __init__(self, history: StartDelayHistory) -> None:
        self._history = history
        self._learned_ns: deque[int] = deque(maxlen=_BURSTS)
        self._burst: Burst | None = None
        self._late_ns: deque[int] = deque(maxlen=_ECHOES)

    @property
    def expected_ns(self) -> int:
        """How late the next burst is expected (ns). The median is, of all guesses, the least wrong
        in the mean."""
        known = self._samples_ns
        return median_low(known) if known else 0

    @property
    def history(self) -> StartDelayHistory:
        """What this call has shown."""
        return StartDelayHistory(tuple(self._learned_ns))

    @property
    def spread_ns(self) -> int | None:
        """How much the known start delays differ (ns); `None` if none is known."""
        known = self._samples_ns
        return max(known) - min(known) if known else None

    def is_learned(self, burst: Burst) -> bool:
        """Whether an echo has shown the lag of a burst. (Echoes come in order: of the last one.)"""
        return burst is self._burst

    def learn(self, burst: Burst, late: int, jitter: int) -> int:
        """An echo says that a burst began so late (ns), or earlier by the echo's own delay, which
        varies by `jitter` (ns). Returns its lag, as far as is known."""
        if burst is self._burst:
            self._learned_ns.pop()
        else:
            self._burst = burst
            self._late_ns.clear()
            if self._samples_ns and 0 < late - self.expected_ns <= jitter:
                self._late_ns.append(self.expected_ns)  # no more than jitter speaks against it
        self._late_ns.append(late)
        lag = max(0, min(self._late_ns))
        self._learned_ns.append(lag)
        return lag

    @property
    def _samples_ns(self) -> tuple[int, ...]:
        return tuple(self._learned_ns) or self._history.start_delays_ns

"""How late the player starts what it is sent: learned from echoes, and expected until they come.

A phone's path buffers before it plays, and nobody tells for how long. The first echo of a burst
shows it, a round trip after the marked audio has been played. Until then the best guess is what
earlier bursts have shown: of the same call, since it is the same line; before its first burst, of
earlier calls.
"""

from collections import deque
from statistics import median_low
from typing import Final

from ..config.start_delay_history import LineHistory
from .play_queue import Burst

__all__ = ["Lags"]

_BURSTS: Final = 16
"""Bursts of this call: a few minutes of talk."""

_ECHOES: Final = 3
"""Echoes of a burst of which the earliest counts. Jitter can only make an echo late, so that one is
the truest. But a player that has run dry unseen is late for good, and that is believed once so many
echoes in a row say so, within a second."""


class Lags:
    """The lags of one call's bursts, on a line of which `history` is known."""

    def __init__(self, history: LineHistory) -> None:
        self._history = history
        self._learned: deque[int] = deque(maxlen=_BURSTS)
        self._burst: Burst | None = None
        self._late: deque[int] = deque(maxlen=_ECHOES)

    @property
    def expected(self) -> int:
        """How late the next burst is expected (ns). The median is, of all guesses, the least wrong
        in the mean."""
        known = self._known
        return median_low(known) if known else 0

    @property
    def learned(self) -> LineHistory:
        """What this call has shown."""
        return LineHistory(tuple(self._learned))

    @property
    def spread(self) -> int | None:
        """How much the known start delays differ (ns); `None` if none is known."""
        known = self._known
        return max(known) - min(known) if known else None

    def is_learned(self, burst: Burst) -> bool:
        """Whether an echo has shown the lag of a burst. (Echoes come in order: of the last one.)"""
        return burst is self._burst

    def learn(self, burst: Burst, late: int, jitter: int) -> int:
        """An echo says that a burst began so late (ns), or earlier by the echo's own delay, which
        varies by `jitter` (ns). Returns its lag, as far as is known."""
        if burst is self._burst:
            self._learned.pop()
        else:
            self._burst = burst
            self._late.clear()
            if self._known and 0 < late - self.expected <= jitter:
                self._late.append(self.expected)  # no more than jitter speaks against it
        self._late.append(late)
        lag = max(0, min(self._late))
        self._learned.append(lag)
        return lag

    @property
    def _known(self) -> tuple[int, ...]:
        return tuple(self._learned) or self._history.start_delays

"""The start delay of the player: learned from echoes, and expected until they come.

A phone's path buffers audio before it plays it, for a time that is stated nowhere. The first echo
of a burst shows it, a typical round trip after the marked audio was played. Until then the best
estimate is what earlier bursts have shown: those of the same call, and before its first burst those
of earlier calls.

Jitter makes the first audio of a burst later by some time, which is part of its start delay, and
each echo by another, which is not. So the start delay of a burst is the mean of what its echoes
show. What lies further from it than echoes usually do is no jitter: see `_average`.
"""

from collections import deque
from typing import Final

from ..config.start_delay_history import StartDelayHistory
from ..machine.units import MS
from .play_queue import Burst
from .round_trip import middle_mean

__all__ = ["StartDelayEstimator"]

_BURSTS: Final = 16
"""Bursts of this call that count: a few minutes of talk."""

_ECHOES: Final = 8
"""Echoes that the mean of a burst, and that of deviations, consists of: two seconds of audio. Each
later one counts for an eighth, so that a clock that drifts is followed."""

_LATE_ECHOES: Final = 3
"""Echoes in a row, within a second, that are later than jitter explains: one or two were late by
themselves, three show a player that has run dry and stays late."""

_FIRST_DEVIATION_NS: Final = 8 * MS
"""What echoes are taken to deviate by until they have shown it: a mobile network."""

_MAX_DEVIATION_NS: Final = 50 * MS
"""The most that one echo counts for: more is a retransmission, and no jitter."""


class StartDelayEstimator:
    """The start delays of one call's bursts. `history` is what earlier calls have shown."""

    def __init__(self, history: StartDelayHistory) -> None:
        self._history = history
        self._learned_ns: deque[int] = deque(maxlen=_BURSTS)
        self._burst: Burst | None = None
        self._weight = 0  # of the burst's estimate: in echoes
        self._late_ns: list[int] = []
        self._deviation_ns = _FIRST_DEVIATION_NS
        self._deviations = 1

    @property
    def expected_ns(self) -> int:
        """The start delay to expect of the next burst (ns): the mean of the middle half."""
        samples = self._samples_ns
        return max(0, middle_mean(samples)) if samples else 0

    @property
    def history(self) -> StartDelayHistory:
        """What this call has shown."""
        return StartDelayHistory(tuple(max(0, each) for each in self._learned_ns))

    @property
    def spread_ns(self) -> int | None:
        """How much the known start delays differ (ns); `None` if none is known."""
        samples = self._samples_ns
        return max(samples) - min(samples) if samples else None

    @property
    def echo_jitter_ns(self) -> int:
        """How far an echo may be from the mean of its burst by jitter (ns): three times the mean
        deviation, which is more than any evenly spread one, and all but one in twenty of those with
        a long tail."""
        return 3 * self._deviation_ns

    def uncertainty_ns(self, jitter_ns: int) -> int:
        """How far an echo may be from what its burst lets expect (ns), where round trips vary by
        `jitter_ns`."""
        return max(jitter_ns, self.echo_jitter_ns)

    def is_learned(self, burst: Burst) -> bool:
        """Whether an echo has shown the start delay of a burst. (Echoes come in order: of the last
        one.)"""
        return burst is self._burst

    def learn(self, burst: Burst, late_ns: int, jitter_ns: int) -> int:
        """Take an echo that came `late_ns` after a burst without start delay would have caused it;
        round trips vary by `jitter_ns`. Returns the start delay of the burst (ns), as far as is
        known: a little below 0 if its first audio was quicker than usual."""
        limit_ns = self.uncertainty_ns(jitter_ns)
        if burst is not self._burst:
            self._burst = burst
            self._late_ns.clear()
            # What is expected has the jitter of one message, as the first echo has.
            is_as_expected = abs(late_ns - burst.start_delay_ns) <= limit_ns
            self._weight = int(bool(self._learned_ns) and is_as_expected)
        else:
            self._learned_ns.pop()
        mean_ns = self._average(burst.start_delay_ns, late_ns, limit_ns)
        self._learned_ns.append(mean_ns)
        return mean_ns

    def _average(self, mean_ns: int, late_ns: int, limit_ns: int) -> int:
        """Return the mean after an echo. One that is much earlier than the mean shows that those
        before were late by themselves. One that is much later counts once some in a row were."""
        if self._weight and late_ns > mean_ns + limit_ns:
            self._late_ns.append(late_ns)
            if len(self._late_ns) < _LATE_ECHOES:
                return mean_ns
            late_ns, self._weight = min(self._late_ns), 0
        else:
            if self._weight:
                self._note_deviations(mean_ns, *self._late_ns, late_ns)
            if late_ns < mean_ns - limit_ns:
                self._weight = 0
        self._late_ns.clear()
        self._weight = min(self._weight + 1, _ECHOES)
        return mean_ns + (late_ns - mean_ns) // self._weight

    def _note_deviations(self, mean_ns: int, *late_ns: int) -> None:
        for each in late_ns:
            deviation_ns = min(abs(each - mean_ns), _MAX_DEVIATION_NS)
            self._deviations = min(self._deviations + 1, _ECHOES)
            self._deviation_ns += (deviation_ns - self._deviation_ns) // self._deviations

    @property
    def _samples_ns(self) -> tuple[int, ...]:
        return tuple(self._learned_ns) or self._history.start_delays_ns

"""The player's queue: audio starts at the later of its arrival and the end of what is before it.

Audio that finds the queue empty begins a *burst*, which plays without a gap. The player may start
a burst later than its audio arrives; by how much is the burst's lag. A lag that turns out to be
longer can make two bursts one: the later audio then finds the player still busy.

Times are those of `playout`: of our own clock, as if the line had no delay. Positions are in
samples, counted from the last `clear`.
"""

from collections import deque
from itertools import pairwise

from attrs import define

from ..machine.units import SAMPLE_NS, ns_to_samples
from ..values.playback_position import PartKey

__all__ = ["Burst", "PlayQueue"]


@define(eq=False)
class Burst:
    """Audio that plays without a gap, from position `begin` on. It was sent at `sent_at` (ns), and
    starts `lag` (ns) later."""

    start: int
    sent_at_ns: int
    start_delay_ns: int

    def reached_at_ns(self, position: int) -> int:
        """When all before `position` has been played (ns), if the burst lasts that long."""
        return self.sent_at_ns + self.start_delay_ns + SAMPLE_NS * (position - self.start)


@define(eq=False)
class QueuedRun:
    """Audio of one part. `fresh` is the burst that it began, as far as was known when it was sent;
    `burst` the one that it is in."""

    part: PartKey
    start: int
    samples: int
    new_burst: Burst | None
    burst: Burst

    @property
    def end(self) -> int:
        return self.start + self.samples


class PlayQueue:
    """What was sent and is not known to have been played. `sent` is the position of its end."""

    def __init__(self) -> None:
        self.sent_samples = 0
        self._runs: deque[QueuedRun] = deque()
        self._busy_until_ns = 0

    def __len__(self) -> int:
        """How many pieces of audio are kept apart: by part, and by burst."""
        return len(self._runs)

    @property
    def ends_at_ns(self) -> int | None:
        """When all will have been played (ns); `None` if nothing is kept."""
        return self._runs[-1].burst.reached_at_ns(self.sent_samples) if self._runs else None

    def is_idle(self, now: int) -> bool:
        """Whether audio sent at `now` begins a burst, as far as is known."""
        return not self._runs or now > self._busy_until_ns

    def append(self, part: PartKey, samples: int, now: int, lag: int) -> None:
        """`samples` of `part` were sent at `now`. A burst that begins with them is taken to have
        this lag until more is known."""
        # No player is ahead of one without lag: what finds that one busy finds any busy.
        if self.is_idle(now):
            self._busy_until_ns = now
            fresh = Burst(self.sent_samples, now, lag)
            self._append_run(QueuedRun(part, self.sent_samples, samples, fresh, fresh))
        elif self._runs[-1].part != part:
            self._append_run(
                QueuedRun(part, self.sent_samples, samples, None, self._runs[-1].burst)
            )
        else:
            self._runs[-1].samples += samples
        self._busy_until_ns += SAMPLE_NS * samples
        self.sent_samples += samples

    def _append_run(self, run: QueuedRun) -> None:
        if self._runs:
            _join(self._runs[-1], run)
        self._runs.append(run)

    def burst_of(self, position: int) -> Burst:
        """The burst that plays the last sample before `position`, which must be kept."""
        return next(run.burst for run in self._runs if run.start + run.samples >= position)

    def set_start_delay(self, burst: Burst, lag: int) -> None:
        """A burst has turned out to start so much (ns) later than it was sent."""
        burst.start_delay_ns = lag
        for before, run in pairwise(self._runs):
            _join(before, run)

    def position_at(self, at: int) -> int:
        """The position that the player has reached at `at` (ns)."""
        for run in reversed(self._runs):
            played = ns_to_samples(at - run.burst.reached_at_ns(run.start))
            if played:
                return run.start + min(run.samples, played)
        return self._runs[0].start if self._runs else self.sent_samples

    def samples_before(self, position: int) -> dict[PartKey, int]:
        """How much of each part lies before `position`, of parts of which any does."""
        before: dict[PartKey, int] = {}
        for run in self._runs:
            if run.start >= position:
                break
            before[run.part] = before.get(run.part, 0) + min(run.end, position) - run.start
        return before

    def take_played(self, position: int) -> list[tuple[PartKey, int]]:
        """Forget the pieces that end before `position`: their parts and samples, in order."""
        taken: list[tuple[PartKey, int]] = []
        while self._runs and self._runs[0].end <= position:
            run = self._runs.popleft()
            taken.append((run.part, run.samples))
        return taken


def _join(before: QueuedRun, run: QueuedRun) -> None:
    """Put a run into the burst before it, if that still plays when the run is sent."""
    fresh = run.new_burst
    if fresh is None or fresh.sent_at_ns <= before.burst.reached_at_ns(before.end):
        run.burst = before.burst
    else:
        run.burst = fresh

"""The queue of audio at Twilio: audio starts when it arrives, or when what is before it has ended.

Audio that arrives at an empty queue starts a *burst*, which plays without a gap. The player may
start a burst later than its audio arrives: that is the burst's start delay. A start delay that
turns out to be longer can make two bursts one, since the later audio then arrives while the player
is busy. When the player is done is not known exactly, so an echo may show that they are two after
all (`separate`).

Times are those of `playout`: instants of our own clock, as if the network had no delay. Positions
are in samples, counted from the last `clear`.
"""

from collections import deque
from itertools import pairwise

from attrs import define

from ..machine.units import SAMPLE_NS, ns_to_samples
from ..values.playback_position import AudioSource

__all__ = ["Burst", "PlayQueue", "QueuedRun"]


@define(eq=False)
class Burst:
    """Audio that plays without a gap, from position `start` on. It was sent at `sent_at_ns`, and
    starts to play `start_delay_ns` later."""

    start: int
    sent_at_ns: int
    start_delay_ns: int

    def reached_at_ns(self, position: int) -> int:
        """When all before `position` has been played (ns), if the burst lasts that long."""
        return self.sent_at_ns + self.start_delay_ns + SAMPLE_NS * (position - self.start)


@define(eq=False)
class QueuedRun:
    """Audio of one source. `new_burst` is the burst that it started, as far as was known when it
    was sent; `burst` the one that it is in now."""

    source: AudioSource
    start: int
    samples: int
    new_burst: Burst | None
    burst: Burst
    earliest_end_ns: int = 0
    """When a player without start delays has played it."""
    is_separate: bool = False
    """Whether an echo has shown that its burst is one of its own."""

    @property
    def end(self) -> int:
        """The position behind it."""
        return self.start + self.samples


class PlayQueue:
    """The audio that was sent and is not confirmed as played. `sent_samples` is the position of its
    end."""

    def __init__(self) -> None:
        self.sent_samples = 0
        self._runs: deque[QueuedRun] = deque()
        self._busy_until_ns = 0

    def __len__(self) -> int:
        """How many runs of audio it holds: one for each source and burst."""
        return len(self._runs)

    @property
    def ends_at_ns(self) -> int | None:
        """When all will have been played (ns), but not before a player without start delays has
        played it, however quick its burst seems by jitter; `None` if the queue is empty."""
        if not self._runs:
            return None
        last = self._runs[-1]
        return max(last.burst.reached_at_ns(self.sent_samples), last.earliest_end_ns)

    def is_idle(self, now: int) -> bool:
        """Whether audio sent at `now` starts a burst, as far as is known."""
        return not self._runs or now > self._busy_until_ns

    def append(self, source: AudioSource, samples: int, now: int, start_delay_ns: int) -> None:
        """Append `samples` sent at `now`. A burst that they start is expected to have this start
        delay until more is known."""
        # No player is ahead of one without a start delay: what finds that one busy finds any busy.
        if self.is_idle(now):
            self._busy_until_ns = now
            burst = Burst(self.sent_samples, now, start_delay_ns)
            self._append_run(QueuedRun(source, self.sent_samples, samples, burst, burst))
        elif self._runs[-1].source != source:
            burst = self._runs[-1].burst
            self._append_run(QueuedRun(source, self.sent_samples, samples, None, burst))
        else:
            self._runs[-1].samples += samples
        self._busy_until_ns += SAMPLE_NS * samples
        self._runs[-1].earliest_end_ns = self._busy_until_ns
        self.sent_samples += samples

    def _append_run(self, run: QueuedRun) -> None:
        if self._runs:
            _join(self._runs[-1], run)
        self._runs.append(run)

    def burst_of(self, position: int) -> Burst:
        """The burst that plays the last sample before `position`, which the queue must hold."""
        return next(run.burst for run in self._runs if run.start + run.samples >= position)

    def set_start_delay(self, burst: Burst, start_delay_ns: int) -> None:
        """Correct the start delay of a burst."""
        burst.start_delay_ns = start_delay_ns
        self._join_all()

    def find_joined(self, position: int) -> tuple[Burst, int] | None:
        """The burst that the audio before `position` started, if it is joined to the one before it:
        how long that still plays when it is sent (ns). `None`: it is not."""
        for run in reversed(self._runs):
            own = run.new_burst
            if own is not None and run.start < position:
                overlap_ns = run.burst.reached_at_ns(run.start) - own.sent_at_ns
                return None if run.burst is own else (own, overlap_ns)
        return None

    def separate(self, burst: Burst) -> None:
        """Take a burst out of the one that it was joined to, for good."""
        for run in self._runs:
            if run.new_burst is burst:
                run.is_separate, run.burst = True, burst
        self._join_all()

    def _join_all(self) -> None:
        for before, run in pairwise(self._runs):
            _join(before, run)

    def position_at(self, instant_ns: int) -> int:
        """The position that the player has reached at an instant (ns). No run counts as played to
        its end while a player without a start delay would still play it, however quick its burst
        seems by jitter."""
        for run in reversed(self._runs):
            played = ns_to_samples(instant_ns - run.burst.reached_at_ns(run.start))
            if played:
                return self._limit(run.start + min(run.samples, played), instant_ns)
        return self._runs[0].start if self._runs else self.sent_samples

    def _limit(self, position: int, instant_ns: int) -> int:
        for run in self._runs:
            if run.end > position:
                break
            if run.earliest_end_ns > instant_ns:
                return run.end - 1
        return position

    def samples_before(self, position: int) -> dict[AudioSource, int]:
        """How many samples of each source lie before `position`; sources with none are left out."""
        before: dict[AudioSource, int] = {}
        for run in self._runs:
            if run.start >= position:
                break
            before[run.source] = before.get(run.source, 0) + min(run.end, position) - run.start
        return before

    def take_played(self, position: int) -> list[tuple[AudioSource, int]]:
        """Remove the runs that end before `position`; return their sources and samples in order."""
        taken: list[tuple[AudioSource, int]] = []
        while self._runs and self._runs[0].end <= position:
            run = self._runs.popleft()
            taken.append((run.source, run.samples))
        return taken


def _join(before: QueuedRun, run: QueuedRun) -> None:
    """Put a run into the burst before it, if that still plays when the run is sent."""
    burst = run.new_burst
    if burst is None:
        run.burst = before.burst
    elif run.is_separate or burst.sent_at_ns > before.burst.reached_at_ns(before.end):
        run.burst = burst
    else:
        run.burst = before.burst

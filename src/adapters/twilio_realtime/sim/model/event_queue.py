"""What a simulated peer does later: jobs at times, carried out in order of time."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

__all__ = ["EventQueue"]


class EventQueue:
    """Jobs by time (ns); those of one instant in the order in which they were put down.

    A job that comes late still sees the time it was meant for as `now`, so that whatever it puts
    down in turn keeps its rhythm however late it is woken.
    """

    __slots__ = ("_jobs", "_numbers", "now")

    def __init__(self) -> None:
        self.now = 0
        self._jobs: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = count()

    @property
    def deadline(self) -> int | None:
        """When the next job is due (ns), or `None`."""
        return self._jobs[0][0] if self._jobs else None

    def schedule_after(self, delay_ns: int, job: Callable[[], object]) -> None:
        """Do `job` once `delay` ns have passed since `now`."""
        heappush(self._jobs, (self.now + delay_ns, next(self._numbers), job))

    def run_due(self, now: int) -> None:
        """Do all that is due at `now`, also what those jobs add; then let `now` be the time."""
        while self._jobs and self._jobs[0][0] <= now:
            self.now, _, job = heappop(self._jobs)
            job()
        self.now = now

    def clear(self) -> None:
        """Forget every job."""
        self._jobs.clear()

"""Jobs that a simulated peer does later, in order of time."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

__all__ = ["EventQueue"]


class EventQueue:
    """Jobs by time (ns); those of one instant in the order in which they were scheduled.

    A job that runs late still sees its own time as `now`, so that what it schedules in turn keeps
    its pace however late the queue is run.
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
        """Run `job` once `delay_ns` have passed since `now`."""
        heappush(self._jobs, (self.now + delay_ns, next(self._numbers), job))

    def run_due(self, now: int) -> None:
        """Run all jobs that are due at `now`, also those that jobs add; then set `now`."""
        jobs = self._jobs
        while jobs and jobs[0][0] <= now:
            self.now, _, job = heappop(jobs)
            job()
        self.now = now

    def clear(self) -> None:
        """Remove every job."""
        self._jobs.clear()

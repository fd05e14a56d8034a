"""Jobs: the calls of some seeds, made in this process or by the workers of an executor.

    for result in run_jobs(split_seeds(0, 1000), run_call):
        summary.merge(result.summary)

Each job is counted once, whatever happens to the worker that makes it, and its result depends
neither on the worker nor on the order.
"""

import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from ..sim.batch.batch import CallResult, RunSeed, run_call
from ..sim.batch.summary import Summary
from .code_version import code_version
from .sources import ExecutorError, ExecutorSource

__all__ = [
    "CALLS_PER_JOB",
    "JobResult",
    "Seeds",
    "endless_jobs",
    "run_job",
    "run_jobs",
    "run_remote_job",
    "split_seeds",
]

Seeds: TypeAlias = Sequence[int]
"""The seeds of one job."""

CALLS_PER_JOB: Final = 25
"""How many calls a worker makes at a time: about a second of work. So much is lost with a worker,
and a run that is cancelled waits for it."""

_MAX_BREAKDOWNS: Final = 3
"""How often the workers may break down without a result in between: then the calls are the
cause."""

_POLL_S: Final = 0.2
"""How often a run without results looks whether it has to stop."""

_CHECK_S: Final = 5.0
"""How long a run waits for a result before it checks that there still are workers."""


@frozen
class JobResult:
    """The result of a job: the summary of its calls, and the results that are to be shown or
    stored, which failed or have a recording."""

    summary: Summary
    kept: tuple[CallResult, ...]


def split_seeds(first_seed: int, calls: int) -> Iterator[range]:
    """Yield jobs with the seeds of `calls` calls, from `first_seed` on."""
    end = first_seed + calls
    return (
        range(start, min(start + CALLS_PER_JOB, end))
        for start in range(first_seed, end, CALLS_PER_JOB)
    )


def endless_jobs(first_seed: int) -> Iterator[range]:
    """Yield jobs with one seed after the other, from `first_seed` on, without end."""
    return (range(start, start + CALLS_PER_JOB) for start in count(first_seed, CALLS_PER_JOB))


def run_job(
    seeds: Seeds, run: RunSeed = run_call, is_stopping: Callable[[], bool] = lambda: False
) -> JobResult:
    """Make the calls of some seeds, or as many as are made when `is_stopping()` becomes true."""
    summary, kept = Summary(), list[CallResult]()
    for seed in seeds:
        if is_stopping():
            break
        result = run(seed)
        summary.add(result)
        if result.failure is not None or result.recording:
            kept.append(result)
    return JobResult(summary, tuple(kept))


def run_jobs(
    jobs: Iterable[Seeds],
    run: RunSeed = run_call,
    source: ExecutorSource | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Generator[JobResult, None, None]:
    """Yield the results of all jobs as they are finished, until `is_stopping()` becomes true.

    `source` opens the executor; `None` makes the calls in this process. `run` makes the call of a
    seed: `run_call`, or a function that can be pickled, such as `partial(run_call, level="bytes")`.
    At the end, or if the generator is closed early, jobs that have not started are cancelled.

    Raises `ExecutorError` if an executor cannot make the calls.
    """
    if source is None:
        for job in jobs:
            if is_stopping():
                return
            yield run_job(job, run, is_stopping)
        return
    queue = _RemoteJobs(source, iter(jobs), pickle.dumps(run))
    try:
        while not is_stopping() and queue.submit():
            yield from queue.take_finished()
    finally:
        queue.close()


# What runs at a worker.

_CALL: Final = (
    "__import__('twilio_realtime.executors.jobs', fromlist=['jobs'])"
    ".run_remote_job(version, run, seeds)"
)
"""`run_remote_job` named in text. So neither the scheduler of a cluster nor a worker of another
version has to unpickle anything of this package."""


def run_remote_job(version: str, run: bytes, seeds: Seeds) -> tuple[str, bytes]:
    """Return the version of the worker, and the pickled `JobResult` if that is `version`, too.

    `run` is the pickled function. Both are pickled here and not by the executor, so that what
    another version has pickled is never read.
    """
    if code_version() != version:
        return code_version(), b""
    return version, pickle.dumps(run_job(seeds, pickle.loads(run)))  # noqa: S301 - of this very run


# What submits jobs and receives their results.


@define(eq=False)
class _RemoteJobs:
    """The jobs at an executor. A job whose worker is lost is submitted again."""

    _source: ExecutorSource
    _jobs: Iterator[Seeds]
    _run: bytes
    _executor: Executor = field(init=False)
    _pending: dict[Future[Any], Seeds] = field(init=False, factory=dict[Future[Any], Seeds])
    _finished: SimpleQueue[Future[Any]] = field(init=False, factory=SimpleQueue[Future[Any]])
    _lost: deque[Seeds] = field(init=False, factory=deque[Seeds])
    _breakdowns: int = field(init=False, default=0)
    _waited_s: float = field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self._executor = self._source.open()

    def submit(self) -> bool:
        """Submit as many jobs as may be pending; return whether any is."""
        while len(self._pending) < self._source.max_pending:
            job = self._lost.popleft() if self._lost else next(self._jobs, None)
            if job is None:
                break
            try:
                future = self._executor.submit(
                    eval, _CALL, {"version": code_version(), "run": self._run, "seeds": job}
                )
            except BrokenExecutor:
                self._lost.append(job)
                self._restart()
                continue
            except Exception as error:
                raise self._source.error(job, error) from error
            self._pending[future] = job
            future.add_done_callback(self._finished.put)
        return bool(self._pending)

    def take_finished(self) -> Iterator[JobResult]:
        """Yield the result of the next job that is finished, if one is within `_POLL_S`."""
        try:
            future = self._finished.get(timeout=_POLL_S)
        except Empty:
            self._waited_s += _POLL_S
            if self._waited_s >= _CHECK_S:
                self._waited_s = 0.0
                self._source.check(self._executor)
            return
        self._waited_s = 0.0
        job = self._pending.pop(future, None)
        if job is None:  # it was submitted again
            return
        try:
            result = self._read(future, job)
        except BrokenExecutor:
            self._lost.append(job)
            self._restart()
            return
        except KeyboardInterrupt:  # of a worker that shares the terminal
            self._lost.append(job)
            return
        self._breakdowns = 0
        yield result

    def close(self) -> None:
        """Cancel what is pending, and stop the workers."""
        self._source.close(self._executor, is_cancelled=bool(self._pending))

    def _read(self, future: Future[Any], job: Seeds) -> JobResult:
        if future.cancelled():
            raise ExecutorError(
                f"{self._source.name} has cancelled the calls of {_describe_seeds(job)}: are its "
                "scheduler and workers still running?"
            )
        match future.exception():
            case None:
                pass
            case (BrokenExecutor() | KeyboardInterrupt()) as error:
                raise error
            case error:
                raise self._source.error(job, error) from error
        match future.result():
            case (str(version), bytes(result)) if version == code_version():
                loaded: JobResult = pickle.loads(result)  # noqa: S301 - of a worker of the user's
                return loaded
            case (str(version), bytes()):
                raise ExecutorError(self._source.describe_version("a worker", version))
            case other:
                raise ExecutorError(
                    f"{self._source.name} returned {type(other).__name__} instead of the result "
                    f"of {_describe_seeds(job)}: its submit() must call the function it is given"
                )

    def _restart(self) -> None:
        """Open another executor, and submit what was pending to it. A result that has arrived in
        the meantime stays in the queue."""
        self._breakdowns += 1
        if self._breakdowns > _MAX_BREAKDOWNS:
            raise ExecutorError(
                f"{self._source.name}: its workers died {self._breakdowns} times without a result; "
                f"{_describe_seeds(self._lost[-1])} may be the cause, or too little memory"
            )
        for future, job in list(self._pending.items()):
            if not future.done() or future.cancelled() or future.exception() is not None:
                del self._pending[future]
                self._lost.append(job)
        self._source.close(self._executor, is_cancelled=True)
        self._executor = self._source.open()


def _describe_seeds(seeds: Seeds) -> str:
    return f"seeds {seeds[0]} to {seeds[-1]}"

"""A loop of either runtime with virtual time: when all tasks wait, a `TimeSource` advances. So
waiting takes no real time, and the same run has the same result.

Only threads take real time; the loop's time stands still meanwhile.
"""

import asyncio
import selectors
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, Unpack
from unittest.mock import patch

import anyio
from anyio import to_thread
from attrs import define, field

from twilio_realtime_core.machine.units import SECOND

__all__ = ["RUNTIMES", "TimeSource", "run"]

RUNTIMES: Final = ("trio", "asyncio")

_THREAD_POLL_S: Final = 0.001
"""How long to wait for threads at a time, in real seconds."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TimeSource(Protocol):
    """The source of virtual time."""

    @property
    def now(self) -> int:
        """The time (ns), which never decreases."""
        ...

    def advance(self, until: int | None) -> bool:
        """Advance, since all tasks wait: until something has happened that tasks may wait for, or
        until the time `until` (ns; `None`: no task waits for a time). Return whether there was
        anything to wait for."""
        ...


def run(runtime: str, main: Callable[[], Awaitable[T]], source: TimeSource, seed: int = 0) -> T:
    """Run `main` in a loop of `runtime`, one of `RUNTIMES`, and return its result. Tasks that are
    ready at one instant run in the order that `seed` decides on trio, and in the order in which
    they became ready on asyncio."""
    threads = _Threads()
    with patch.object(to_thread, "run_sync", threads.counted(to_thread.run_sync)):
        if runtime == "asyncio":
            options: dict[str, Any] = {"loop_factory": lambda: _Loop(source, threads)}
            return anyio.run(main, backend=runtime, backend_options=options)
        return _run_on_trio(main, source, threads, seed)


def _due_ns(now: int, seconds: float) -> int:
    """Return when a timer is due: at least one ns from now, since fractions of a ns are lost."""
    return now + max(1, round(seconds * SECOND))


@define(eq=False)
class _Threads:
    """The number of running threads. Loops do not report it, so it is counted where threads are
    started, by anyio or by the loop."""

    running_count: int = field(init=False, default=0)

    def counted(self, run_sync: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Wrap a function that runs another in a thread, so that it is counted."""

        async def run(*args: Any, **options: Any) -> Any:
            self.running_count += 1
            try:
                return await run_sync(*args, **options)
            finally:
                self.running_count -= 1

        return run


# On asyncio.


class _Loop(asyncio.SelectorEventLoop):
    """An asyncio loop with virtual time."""

    def __init__(self, source: TimeSource, threads: _Threads) -> None:
        self.source = source
        self.threads = threads
        super().__init__(_Selector(self))

    def time(self) -> float:
        """See `asyncio.AbstractEventLoop.time` (s)."""
        return self.source.now / SECOND

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """See `asyncio.AbstractEventLoop.run_in_executor`."""
        self.threads.running_count += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """See `asyncio.AbstractEventLoop.shutdown_default_executor`. It joins threads in another
        thread, since Python 3.12 with a timeout, which virtual time must not reach meanwhile."""
        self.threads.running_count += 1
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self.threads.running_count -= 1

    def _thread_done(self, future: asyncio.Future[Any]) -> None:
        del future
        self.threads.running_count -= 1


class _Selector(selectors.DefaultSelector):
    """A selector that advances virtual time where the loop would wait."""

    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `selectors.BaseSelector.select`."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.threads.running_count:
            return super().select(_THREAD_POLL_S)
        source = self._loop.source
        if source.advance(None if timeout is None else _due_ns(source.now, timeout)):
            return []
        return super().select(timeout)


# On trio.


def _seeded_scheduler(seed: int) -> AbstractContextManager[Any]:
    """Let a seed decide the order in which trio runs tasks that are ready at one instant.

    Trio reverses every other batch of such tasks at random, so that programs do not depend on their
    order, and has no public way to seed that. These two names of its module `_core._run` exist for
    Hypothesis (`_hypothesis_plugin_setup`, which pytest-trio and hypothesis-trio call): the batch
    is sorted by the age of its tasks, and shuffled by `_r`. With a trio that does not use them,
    only the repeatability of tests is lost.
    """
    scheduler = sys.modules.get("trio._core._run")
    if scheduler is None:
        return nullcontext()
    random = Random(seed)  # noqa: S311 - tests must be repeatable
    return patch.multiple(scheduler, create=True, _ALLOW_DETERMINISTIC_SCHEDULING=True, _r=random)


def _run_on_trio(
    main: Callable[[], Awaitable[T]], source: TimeSource, threads: _Threads, seed: int
) -> T:
    import trio  # noqa: PLC0415 - optional on asyncio
    import trio.testing  # noqa: PLC0415

    class Clock(trio.abc.Clock):
        def start_clock(self) -> None: ...

        def current_time(self) -> float:
            return source.now / SECOND

        def deadline_to_sleep_time(self, deadline: float) -> float:
            return 0 if deadline <= self.current_time() else float("inf")

    async def advance_time() -> None:
        limiter = trio.to_thread.current_default_thread_limiter()
        while True:
            await trio.testing.wait_all_tasks_blocked()
            if threads.running_count or limiter.borrowed_tokens:
                await trio.testing.wait_all_tasks_blocked(_THREAD_POLL_S)
                continue
            seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
            until = None if seconds == float("inf") else _due_ns(source.now, seconds)
            if not source.advance(until):
                await trio.sleep_forever()

    async def with_time() -> T:
        # A system task, since a task group would wrap what the test raises in a group.
        trio.lowlevel.spawn_system_task(advance_time)
        return await main()

    with _seeded_scheduler(seed):
        return anyio.run(with_time, backend="trio", backend_options={"clock": Clock()})

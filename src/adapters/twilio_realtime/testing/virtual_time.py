"""A loop, of either runtime, whose time is that of somebody else: when all tasks wait, he is asked
to let something happen. So nothing waits in earnest, and the same run comes out the same.

Only what runs in a thread takes real time; the loop's time stands still meanwhile.
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

__all__ = ["RUNTIMES", "Outside", "run"]

RUNTIMES: Final = ("trio", "asyncio")

_THREAD_SECONDS: Final = 0.001
"""How long to wait for a thread at a time, in real seconds."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Outside(Protocol):
    """Whoever makes the time."""

    @property
    def now(self) -> int:
        """The time (ns); it never runs backwards."""
        ...

    def advance(self, until: int | None) -> bool:
        """All tasks wait, the first of them until `until` (ns; `None`: not for a time). Let things
        happen until one of them may concern a task, or that time has come. False: nothing will."""
        ...


def run(runtime: str, main: Callable[[], Awaitable[T]], outside: Outside, seed: int = 0) -> T:
    """What `main` returns, run in a loop of `runtime`, one of `RUNTIMES`. On trio `seed` decides
    which goes first of tasks that are ready at one instant; on asyncio it is who was ready first.
    """
    threads = _Threads()
    with patch.object(to_thread, "run_sync", threads.counted(to_thread.run_sync)):
        if runtime == "asyncio":
            options: dict[str, Any] = {"loop_factory": lambda: _Loop(outside, threads)}
            return anyio.run(main, backend=runtime, backend_options=options)
        return _run_on_trio(main, outside, threads, seed)


def _until(now: int, seconds: float) -> int:
    """When a timer is due. Fractions of a nanosecond are lost, and time must go on."""
    return now + max(1, round(seconds * SECOND))


@define(eq=False)
class _Threads:
    """How many tasks wait for a thread. No loop tells that: so it is counted where they are made,
    by way of anyio or of the loop itself."""

    working: int = field(init=False, default=0)

    def counted(self, run_sync: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """A function that runs another in a thread, as one that is counted."""

        async def run(*args: Any, **options: Any) -> Any:
            self.working += 1
            try:
                return await run_sync(*args, **options)
            finally:
                self.working -= 1

        return run


# On asyncio.


class _Loop(asyncio.SelectorEventLoop):
    """The loop of asyncio."""

    def __init__(self, outside: Outside, threads: _Threads) -> None:
        self.outside = outside
        self.threads = threads
        super().__init__(_Selector(self))

    def time(self) -> float:
        """As of any loop, in seconds."""
        return self.outside.now / SECOND

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As of any loop."""
        self.threads.working += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._has_worked)
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """As of any loop. Threads are joined in one more thread; since Python 3.12 with a limit,
        which this loop's time may not reach meanwhile."""
        self.threads.working += 1
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self.threads.working -= 1

    def _has_worked(self, future: asyncio.Future[Any]) -> None:
        del future
        self.threads.working -= 1


class _Selector(selectors.DefaultSelector):
    """Where the loop would wait."""

    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As of any selector, but nothing takes time."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.threads.working:
            return super().select(_THREAD_SECONDS)
        outside = self._loop.outside
        if outside.advance(None if timeout is None else _until(outside.now, timeout)):
            return []
        return super().select(timeout)


# On trio.


def _ordered(seed: int) -> AbstractContextManager[Any]:
    """Have trio shuffle tasks that are ready at one instant as a seed says.

    It reverses every other batch of them by chance, for nobody to rely on their order, and there is
    no public way to seed that chance. These two names of its module `_core._run` are what it has
    for Hypothesis (its `_hypothesis_plugin_setup`, which pytest-trio and hypothesis-trio call): the
    batch is sorted by the age of its tasks, and shuffled by `_r`. A trio that no longer looks at
    them loses nothing but that tests come out the same.
    """
    scheduler = sys.modules.get("trio._core._run")
    if scheduler is None:
        return nullcontext()
    chance = Random(seed)  # noqa: S311 - it must repeat itself
    return patch.multiple(scheduler, create=True, _ALLOW_DETERMINISTIC_SCHEDULING=True, _r=chance)


def _run_on_trio(
    main: Callable[[], Awaitable[T]], outside: Outside, threads: _Threads, seed: int
) -> T:
    import trio  # noqa: PLC0415 - who tests on asyncio need not have it
    import trio.testing  # noqa: PLC0415

    class Clock(trio.abc.Clock):
        def start_clock(self) -> None: ...

        def current_time(self) -> float:
            return outside.now / SECOND

        def deadline_to_sleep_time(self, deadline: float) -> float:
            return 0 if deadline <= self.current_time() else float("inf")

    async def pass_time() -> None:
        limiter = trio.to_thread.current_default_thread_limiter()
        while True:
            await trio.testing.wait_all_tasks_blocked()
            if threads.working or limiter.borrowed_tokens:
                await trio.testing.wait_all_tasks_blocked(_THREAD_SECONDS)
                continue
            seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
            until = None if seconds == float("inf") else _until(outside.now, seconds)
            if not outside.advance(until):
                await trio.sleep_forever()

    async def with_time() -> T:
        # Time passes in a task of the system: a group would wrap what the test raises in another.
        trio.lowlevel.spawn_system_task(pass_time)
        return await main()

    with _ordered(seed):
        return anyio.run(with_time, backend="trio", backend_options={"clock": Clock()})

"""An event loop's clock that advances only while the loop is idle.

A call within one process, on this clock, goes the same on any machine: a busy one makes it longer,
not different, since no timer is due while the process works or waits for a processor.
"""

import asyncio
import math
import selectors
from time import monotonic
from typing import Any

__all__ = ["idle_clock_options"]


def idle_clock_options(runtime: str) -> dict[str, Any]:
    """Return the backend options of `anyio.run` for a loop on this clock, which starts at 0."""
    return {"loop_factory": _Loop} if runtime == "asyncio" else {"clock": _make_trio_clock()}


class _Loop(asyncio.SelectorEventLoop):
    """The loop of asyncio."""

    def __init__(self) -> None:
        self.idle_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """See `asyncio.AbstractEventLoop.time`."""
        return self.idle_s


class _Selector(selectors.DefaultSelector):
    """The place where the loop is idle."""

    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `selectors.BaseSelector.select`."""
        limit_s = math.inf if timeout is None else max(0.0, timeout)
        started_s = monotonic()
        ready = super().select(timeout)
        self._loop.idle_s += min(monotonic() - started_s, limit_s)
        return ready


def _make_trio_clock() -> Any:
    import trio  # noqa: PLC0415 - those who use asyncio alone may not have it

    class IdleClock(trio.abc.Clock):
        """The clock of trio, which asks for the time to sleep, sleeps, and asks for the time."""

        def __init__(self) -> None:
            self._idle_s = 0.0
            self._deadline_s = 0.0
            self._started_s: float | None = None

        def start_clock(self) -> None: ...

        def current_time(self) -> float:
            if self._started_s is not None:
                now_s = self._idle_s + monotonic() - self._started_s
                self._idle_s = max(self._idle_s, min(now_s, self._deadline_s))
                self._started_s = None
            return self._idle_s

        def deadline_to_sleep_time(self, deadline: float) -> float:
            self._started_s = monotonic()
            self._deadline_s = deadline
            return deadline - self._idle_s

    return IdleClock()

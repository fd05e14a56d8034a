"""The driver on asyncio: the loop calls back for streams and the timer; only dials are tasks."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from socket import socket
from typing import Any, Final

from attrs import define, field

from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND

from ..runtime.base_driver import (
    CLOSE_TIMEOUT_NS,
    MAX_UNSENT_BYTES,
    READ_BYTES,
    BaseDriver,
    PendingDial,
)
from ..runtime.streams import Dial, Transport
from .threads import run_in_thread
from .transport import SocketTransport, dial

__all__ = ["CLOSE_TIMEOUT_NS", "MAX_UNSENT_BYTES", "READ_BYTES", "Driver", "drive"]

_LOOP_TIME: Final = asyncio.BaseEventLoop.time


async def drive(
    machine: ByteMachine,
    accepted: Mapping[Any, socket | Transport] = {},
    *,
    notify: Callable[[object], None],
    dial: Dial = dial,
) -> None:
    """Run one machine until no stream is left and its deadline is `None`: see `Driver`.

    Raises what the machine or `notify` raises.
    """
    await Driver(machine, notify, dial).run(accepted)


def _shield() -> AbstractContextManager[object]:
    """Return a scope in which anyio, if the program uses it, does not repeat a cancellation in
    every turn of the loop."""
    anyio: Any = sys.modules.get("anyio")
    return nullcontext() if anyio is None else anyio.CancelScope(shield=True)


@define(eq=False, repr=False)
class Driver(BaseDriver):
    """Runs one machine. `notify` is called with every notification; `dial` opens streams.

    `notify` must not block. Like all tasks of the application, it may call `perform`.
    """

    _open_transport: Dial = field(default=dial, alias="dial")
    _tasks: asyncio.TaskGroup = field(init=False)
    _stopped: asyncio.Event = field(init=False, factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = field(init=False, default=None)

    def _make_transport(self, connection: socket) -> Transport:
        return SocketTransport(connection)

    async def _run_until_stopped(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            try:
                self._start_machine()
                await self._wait_until_stopped()
            finally:
                self._stop()

    async def _wait_until_stopped(self) -> None:
        try:
            await self._stopped.wait()
        except asyncio.CancelledError:
            self.go_away()
            with _shield():
                while not self._stopped.is_set():
                    with suppress(asyncio.CancelledError):
                        await self._stopped.wait()
            raise

    def _signal_stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._stopped.set()

    # Time.

    def _loop_clock(self) -> Callable[[], float]:
        loop = asyncio.get_running_loop()
        if isinstance(loop, asyncio.BaseEventLoop) and type(loop).time is not _LOOP_TIME:
            return loop.time  # in virtual time
        # The clock of both asyncio and uvloop; but the latter's `time` stands still during a turn.
        return time.monotonic

    def _set_timer(self, deadline_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(deadline_ns / SECOND, self._handle_timer)

    # Streams.

    def _start_dial(self, pending: PendingDial) -> None:
        pending.cancel = self._tasks.create_task(self._dial(pending)).cancel

    async def _run_in_thread(self, function: Callable[[], Any]) -> Any:
        return await run_in_thread(function)

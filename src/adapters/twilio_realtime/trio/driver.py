"""The driver on trio: callbacks read and write streams, and one task keeps time."""

from collections.abc import Callable, Mapping
from socket import socket
from typing import Any

import trio
from attrs import define, field

from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND

from ..runtime.base_driver import (
    CLOSE_TIMEOUT_NS,
    MAX_UNSENT_BYTES,
    READ_BYTES,
    BaseDriver,
    DriverState,
    PendingDial,
)
from ..runtime.streams import Dial, Transport
from .threads import run_in_thread
from .transport import SocketTransport, dial

__all__ = ["CLOSE_TIMEOUT_NS", "MAX_UNSENT_BYTES", "READ_BYTES", "Driver", "drive"]


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


@define(eq=False, repr=False)
class Driver(BaseDriver):
    """Runs one machine. `notify` is called with every notification; `dial` opens streams.

    `notify` must not block. Like all tasks of the application, it may call `perform`.
    """

    _open_transport: Dial = field(default=dial, alias="dial")
    _nursery: trio.Nursery = field(init=False)
    _timer: trio.CancelScope = field(init=False, factory=trio.CancelScope)

    def _make_transport(self, connection: socket) -> Transport:
        return SocketTransport(connection)

    async def _run_until_stopped(self) -> None:
        async with trio.open_nursery() as watch:
            watch.start_soon(self._await_cancellation)
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as self._nursery:
                    try:
                        self._start_machine()
                        await self._keep_time()
                    finally:
                        self._stop()
            watch.cancel_scope.cancel()

    async def _await_cancellation(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.go_away()

    def _signal_stop(self) -> None:
        self._timer.cancel()

    # Time.

    def _loop_clock(self) -> Callable[[], float]:
        return trio.lowlevel.current_clock().current_time

    def _set_timer(self, deadline_ns: int) -> None:
        self._timer.deadline = deadline_ns / SECOND

    async def _keep_time(self) -> None:
        while self._state is DriverState.RUNNING:
            with self._timer:
                await trio.sleep_forever()
            self._timer = trio.CancelScope()
            self._handle_timer()

    # Streams.

    def _start_dial(self, pending: PendingDial) -> None:
        scope = trio.CancelScope()
        pending.cancel = scope.cancel
        self._nursery.start_soon(self._dial_in_scope, scope, pending)

    async def _dial_in_scope(self, scope: trio.CancelScope, pending: PendingDial) -> None:
        with scope:
            await self._dial(pending)

    async def _run_in_thread(self, function: Callable[[], Any]) -> Any:
        return await run_in_thread(function)

"""The driver on trio: a task reads each stream, another writes what waits, and one keeps time."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from socket import socket
from typing import Any

import trio
from attrs import define, field

from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND

from ..runtime.base_driver import (
    CLOSE_NS,
    OUTBOX_LIMIT,
    READ_BYTES,
    BaseDriver,
    Dialling,
    State,
    Stream,
)
from .transport import Dial, SocketTransport, Transport, dial

__all__ = ["CLOSE_NS", "OUTBOX_LIMIT", "READ_BYTES", "Driver", "drive"]


async def drive(
    machine: ByteMachine,
    accepted: Mapping[Any, socket | Transport] = {},
    *,
    notify: Callable[[object], None],
    dial: Dial = dial,
) -> None:
    """Run one machine until no stream is left and its deadline is `None`: see `Driver`."""
    await Driver(machine, notify, dial).run(accepted)


@define(eq=False, repr=False)
class Driver(BaseDriver[Transport]):
    """Runs one machine. `notify` gets every notification; `dial` opens the streams asked for.

    `notify` must not wait. It and the application's other tasks may use `perform` at any time.
    """

    _connect: Dial = field(default=dial, alias="dial")
    _nursery: trio.Nursery = field(init=False)
    _sleep: trio.CancelScope = field(init=False, factory=trio.CancelScope)

    def _own(self, connection: socket) -> Transport:
        return SocketTransport(connection)

    async def _live(self) -> None:
        async with trio.open_nursery() as self._nursery:
            try:
                self._start()
                await self._keep_time()
            finally:
                self._stop()

    def _end(self) -> None:
        self._sleep.cancel()

    # Time.

    def _time(self) -> float:
        return trio.current_time()

    def _set_timer(self, deadline: int) -> None:
        self._sleep.deadline = deadline / SECOND

    async def _keep_time(self) -> None:
        while self._state is State.RUNNING:
            with self._sleep:
                await trio.sleep_forever()
            self._sleep = trio.CancelScope()
            self._expire()

    # Streams.

    def _start_dialling(self, dialling: Dialling) -> None:
        scope = trio.CancelScope()
        dialling.cancel = scope.cancel
        self._nursery.start_soon(self._dial_within, scope, dialling)

    async def _dial_within(self, scope: trio.CancelScope, dialling: Dialling) -> None:
        with scope:
            await self._dial(dialling)

    def _start_reading(self, stream: Stream[Transport]) -> None:
        self._nursery.start_soon(self._read, stream)

    async def _read(self, stream: Stream[Transport]) -> None:
        with suppress(trio.ClosedResourceError):
            while not stream.ended:
                await stream.transport.wait_readable()
                self._receive(stream)

    def _start_writing(self, stream: Stream[Transport]) -> None:
        self._nursery.start_soon(self._write, stream)

    async def _write(self, stream: Stream[Transport]) -> None:
        with suppress(trio.ClosedResourceError):
            while stream.outbox:
                await stream.transport.wait_writable()
                self._flush(stream)

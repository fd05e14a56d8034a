"""The driver on asyncio: the loop calls back for each stream and for the timer; only dialling has
tasks."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from socket import socket
from typing import Any

from attrs import define, field

from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND

from ..runtime.base_driver import CLOSE_NS, OUTBOX_LIMIT, READ_BYTES, BaseDriver, Dialling, Stream
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
    _tasks: asyncio.TaskGroup = field(init=False)
    _over: asyncio.Event = field(init=False, factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = field(init=False, default=None)

    def _own(self, connection: socket) -> Transport:
        return SocketTransport(connection)

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            try:
                self._start()
                await self._over.wait()
            finally:
                self._stop()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()

    # Time.

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    def _set_timer(self, deadline: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline / SECOND, self._expire)

    # Streams.

    def _start_dialling(self, dialling: Dialling) -> None:
        dialling.cancel = self._tasks.create_task(self._dial(dialling)).cancel

    def _start_reading(self, stream: Stream[Transport]) -> None:
        stream.transport.on_readable(partial(self._read, stream))

    def _read(self, stream: Stream[Transport]) -> None:
        self._receive(stream)
        if stream.ended:
            stream.transport.on_readable(None)

    def _start_writing(self, stream: Stream[Transport]) -> None:
        stream.transport.on_writable(partial(self._write, stream))

    def _write(self, stream: Stream[Transport]) -> None:
        self._flush(stream)
        if not stream.outbox:
            stream.transport.on_writable(None)

"""The driver on asyncio: the loop calls back for streams and the timer; only dials are tasks."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from socket import socket
from typing import Any

from attrs import define, field

from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND

from ..runtime.base_driver import (
    CLOSE_TIMEOUT_NS,
    MAX_UNSENT_BYTES,
    READ_BYTES,
    BaseDriver,
    DrivenStream,
    PendingDial,
)
from .transport import Dial, SocketTransport, Transport, dial

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
class Driver(BaseDriver[Transport]):
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
                await self._stopped.wait()
            finally:
                self._stop()

    def _signal_stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._stopped.set()

    # Time.

    def _loop_time_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _set_timer(self, deadline_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(deadline_ns / SECOND, self._handle_timer)

    # Streams.

    def _start_dial(self, pending: PendingDial) -> None:
        pending.cancel = self._tasks.create_task(self._dial(pending)).cancel

    def _start_reading(self, stream: DrivenStream[Transport]) -> None:
        stream.transport.on_readable(partial(self._read, stream))

    def _read(self, stream: DrivenStream[Transport]) -> None:
        self._receive(stream)
        if stream.has_ended:
            stream.transport.on_readable(None)

    def _start_writing(self, stream: DrivenStream[Transport]) -> None:
        stream.transport.on_writable(partial(self._write, stream))

    def _write(self, stream: DrivenStream[Transport]) -> None:
        self._flush(stream)
        if not stream.unsent:
            stream.transport.on_writable(None)

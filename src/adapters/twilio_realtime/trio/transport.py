"""The transport of the driver on trio over a TCP socket."""

import math
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

import trio
from attrs import define

from ..runtime.name_lookup import ATTEMPT_DELAY_S, SHARED_LOOKUPS, Addresses, NameLookups
from ..runtime.streams import SocketStream
from .readiness import on_ready

__all__ = ["SocketTransport", "dial", "look_up"]


async def dial(host: str, port: int) -> "SocketTransport":
    """Open a TCP connection to the address of `host` that answers first (RFC 8305). All calls share
    the look-ups of names (`NameLookups`).

    Raises `OSError` if none does.
    """
    return SocketTransport(await _connect_first(await look_up(host, port)))


async def look_up(host: str, port: int, lookups: NameLookups = SHARED_LOOKUPS) -> Addresses:
    """Return the addresses of a host. Raises as `NameLookup.addresses`."""
    lookup = lookups.start(host, port)
    if not lookup.is_done:
        done, token = trio.Event(), trio.lowlevel.current_trio_token()

        def wake() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        lookup.on_done(wake)
        patience_s = lookup.patience_s
        with trio.move_on_after(math.inf if patience_s is None else patience_s):
            await done.wait()
    return lookup.addresses()


async def _connect_first(addresses: Addresses) -> socket.socket:
    """Connect to the address that answers first; a new one is tried after `ATTEMPT_DELAY_S`, or at
    once after a failure."""
    connected: list[socket.socket] = []
    failures: list[OSError] = []

    async def attempt(family: int, address: Any, failed: trio.Event) -> None:
        try:
            connected.append(await _connect(family, address))
        except OSError as error:
            failures.append(error)
            failed.set()
        else:
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for family, address in addresses:
                failed = trio.Event()
                nursery.start_soon(partial(attempt, family, address, failed))
                with trio.move_on_after(ATTEMPT_DELAY_S):
                    await failed.wait()
        if not connected:
            cause = ExceptionGroup("each of them", failures) if failures else None
            raise OSError("no address answers") from cause
        return connected.pop(0)
    finally:
        for connection in connected:  # of attempts that were too late, or after a cancellation
            connection.close()


async def _connect(family: int, address: Any) -> socket.socket:
    with trio.socket.socket(family, socket.SOCK_STREAM) as connection:
        await connection.connect(address)
        # From here on without trio's socket: its checkpoints would double the cost of a message.
        return socket.socket(fileno=connection.detach())


@define(eq=False)
class SocketTransport(SocketStream):
    """A `Transport` over a connected socket, which it owns and makes non-blocking. Small writes are
    sent without delay."""

    def close(self) -> None:
        """See `Transport`."""
        self.on_readable(None)
        self.on_writable(None)
        super().close()

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """See `Transport`."""
        self._on_ready(EVENT_READ, callback)

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """See `Transport`."""
        self._on_ready(EVENT_WRITE, callback)

    def _on_ready(self, event: int, callback: Callable[[], None] | None) -> None:
        if callback is not None or self._socket.fileno() >= 0:
            on_ready(self._socket, event, callback)

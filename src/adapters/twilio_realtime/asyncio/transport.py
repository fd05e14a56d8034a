"""The transports of the driver on asyncio, with the one over a TCP socket."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import define

from ..runtime.name_lookup import ATTEMPT_DELAY_S, SHARED_LOOKUPS, Addresses, NameLookups
from ..runtime.streams import SocketStream

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
        done, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(done.set)

        lookup.on_done(wake)
        with suppress(TimeoutError):
            async with asyncio.timeout(lookup.patience_s):
                await done.wait()
    return lookup.addresses()


async def _connect_first(addresses: Addresses) -> socket.socket:
    """Connect to the address that answers first; a new one is tried after `ATTEMPT_DELAY_S`, or at
    once after a failure."""
    connected: list[socket.socket] = []
    failures: list[OSError] = []
    attempts: list[asyncio.Task[None]] = []

    async def attempt(family: int, address: Any, finished: asyncio.Event) -> None:
        try:
            connection = await _connect(family, address)
        except OSError as error:
            failures.append(error)
        else:
            connected.append(connection)
            for task in attempts:
                if task is not asyncio.current_task():
                    task.cancel()
        finished.set()

    try:
        async with asyncio.TaskGroup() as group:
            for family, address in addresses:
                finished = asyncio.Event()
                attempts.append(group.create_task(attempt(family, address, finished)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(ATTEMPT_DELAY_S):
                        await finished.wait()
                if connected:
                    break
        if not connected:
            cause = ExceptionGroup("each of them", failures) if failures else None
            raise OSError("no address answers") from cause
        return connected.pop(0)
    finally:
        for connection in connected:  # of attempts that were too late, or after a cancellation
            connection.close()


async def _connect(family: int, address: Any) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(0)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


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
        if callback is not None:
            asyncio.get_running_loop().add_reader(self._socket, callback)
        elif self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """See `Transport`."""
        if callback is not None:
            asyncio.get_running_loop().add_writer(self._socket, callback)
        elif self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_writer(self._socket)

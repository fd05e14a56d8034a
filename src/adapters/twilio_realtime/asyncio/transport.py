"""The transports of the driver on asyncio, with the one over a TCP socket."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

from attrs import define

from ..runtime.streams import ByteStream, SocketStream

__all__ = ["Dial", "SocketTransport", "Transport", "dial"]

_ATTEMPT_DELAY_S: Final = 0.25
"""How long one address may take to answer before the next is tried at the same time (RFC 8305,
section 5)."""


class Transport(ByteStream, Protocol):
    """A byte stream of the driver: the operations of `ByteStream`, and callbacks for them."""

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` again and again while `recv` does not have to wait; `None` stops that.

        Closing stops it too. `None` may be set again after it.
        """
        ...

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """The same for `send`."""
        ...


Dial: TypeAlias = Callable[[str, int], Awaitable[Transport]]
"""Opens a stream to a host and port; raises `OSError`."""


async def dial(host: str, port: int) -> "SocketTransport":
    """Open a TCP connection to the address of `host` that answers first (RFC 8305).

    Raises `OSError` if none does.
    """
    loop = asyncio.get_running_loop()
    address_infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return SocketTransport(await _connect_first([(each[0], each[4]) for each in address_infos]))


async def _connect_first(addresses: list[tuple[int, Any]]) -> socket.socket:
    """Connect to the address that answers first; a new one is tried after `_ATTEMPT_DELAY_S`, or
    at once after a failure."""
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
            for family, address in _alternate_families(addresses):
                finished = asyncio.Event()
                attempts.append(group.create_task(attempt(family, address, finished)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ATTEMPT_DELAY_S):
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


def _alternate_families(addresses: list[tuple[int, Any]]) -> Iterable[tuple[int, Any]]:
    """Return the addresses with the first one of another family in second place: a network without
    a route for the first family then costs one attempt (RFC 8305, section 4)."""
    for index, (family, _) in enumerate(addresses):
        if family != addresses[0][0]:
            return [addresses[0], addresses[index], *addresses[1:index], *addresses[index + 1 :]]
    return addresses


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

"""A byte stream as the driver sees it, and the one that most have: a TCP socket."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

from attrs import define

from ..runtime.streams import ByteStream, SocketStream

__all__ = ["Dial", "SocketTransport", "Transport", "dial"]

_ATTEMPT_SECONDS: Final = 0.25
"""How long one address has to answer before the next is tried beside it (RFC 8305, section 5)."""


class Transport(ByteStream, Protocol):
    """A byte stream: what a `ByteStream` does at once, and calling back. Nothing waits."""

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` again and again while `recv` need not wait; `None`: no more, which
        closing means as well, and may be said again after it."""
        ...

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """The same for `send`."""
        ...


Dial: TypeAlias = Callable[[str, int], Awaitable[Transport]]
"""Opens a stream to a host and port; raises `OSError`."""


async def dial(host: str, port: int) -> "SocketTransport":
    """Open a TCP connection, to whichever address of `host` answers first (RFC 8305). Raises
    `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return SocketTransport(await _connect_first([(each[0], each[4]) for each in found]))


async def _connect_first(addresses: list[tuple[int, Any]]) -> socket.socket:
    """Try one address after the other, not waiting long for any, until one answers."""
    connected: list[socket.socket] = []
    failures: list[OSError] = []
    attempts: list[asyncio.Task[None]] = []

    async def attempt(family: int, address: Any, settled: asyncio.Event) -> None:
        try:
            connection = await _connect(family, address)
        except OSError as error:
            failures.append(error)
        else:
            connected.append(connection)
            for other in attempts:
                if other is not asyncio.current_task():
                    other.cancel()
        settled.set()

    try:
        async with asyncio.TaskGroup() as group:
            for family, address in _alternate(addresses):
                settled = asyncio.Event()
                attempts.append(group.create_task(attempt(family, address, settled)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ATTEMPT_SECONDS):
                        await settled.wait()
                if connected:
                    break
        if not connected:
            cause = ExceptionGroup("each of them", failures) if failures else None
            raise OSError("no address answers") from cause
        return connected.pop(0)
    finally:
        for connection in connected:  # too late, or for nobody
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


def _alternate(addresses: list[tuple[int, Any]]) -> Iterable[tuple[int, Any]]:
    """The best address, then the best one of another family: a network that has no way for the
    first family costs one attempt (RFC 8305, section 4)."""
    for place, (family, _) in enumerate(addresses):
        if family != addresses[0][0]:
            return [addresses[0], addresses[place], *addresses[1:place], *addresses[place + 1 :]]
    return addresses


@define(eq=False)
class SocketTransport(SocketStream):
    """A connected socket. It owns it, makes it non-blocking, and lets small writes go at once."""

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

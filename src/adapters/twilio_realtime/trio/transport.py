"""The transports of the driver on trio, with the one over a TCP socket."""

import socket
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import trio
from attrs import define

from ..runtime.streams import ByteStream, SocketStream

__all__ = ["Dial", "SocketTransport", "Transport", "dial"]


class Transport(ByteStream, Protocol):
    """A byte stream of the driver: the operations of `ByteStream`, and waiting for them."""

    def wait_readable(self) -> Awaitable[None]:
        """Wait until `recv` does not have to. Raises `trio.ClosedResourceError` once closed on this
        side."""
        ...

    def wait_writable(self) -> Awaitable[None]:
        """Wait until `send` does not have to. Raises `trio.ClosedResourceError` once closed on this
        side."""
        ...


Dial: TypeAlias = Callable[[str, int], Awaitable[Transport]]
"""Opens a stream to a host and port; raises `OSError`."""


async def dial(host: str, port: int) -> "SocketTransport":
    """Open a TCP connection to the address of `host` that answers first (RFC 8305).

    Raises `OSError` if none does.
    """
    stream = await trio.open_tcp_stream(host, port)
    # From here on without trio's socket: its checkpoints would double the cost of a message.
    return SocketTransport(socket.socket(fileno=stream.socket.detach()))


@define(eq=False)
class SocketTransport(SocketStream):
    """A `Transport` over a connected socket, which it owns and makes non-blocking. Small writes are
    sent without delay."""

    def close(self) -> None:
        """See `Transport`."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
        super().close()

    def wait_readable(self) -> Awaitable[None]:
        """See `Transport`."""
        return trio.lowlevel.wait_readable(self._socket)

    def wait_writable(self) -> Awaitable[None]:
        """See `Transport`."""
        return trio.lowlevel.wait_writable(self._socket)

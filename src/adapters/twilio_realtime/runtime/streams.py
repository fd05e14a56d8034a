"""Byte streams whose operations never wait: over a socket and in memory."""

import errno
import os
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from attrs import define, field

__all__ = [
    "PIPE_CAPACITY_BYTES",
    "ByteStream",
    "Dial",
    "DialError",
    "MemoryStream",
    "Pipe",
    "SocketStream",
    "Transport",
    "describe_dial_error",
]

PIPE_CAPACITY_BYTES: Final = 64 * 1024
"""Default capacity of one direction of a stream in memory: about the least that kernels provide."""

_LINGER_RESET: Final = struct.pack("ii", 1, 0)
"""`SO_LINGER` with a time of 0, which makes a close a reset."""


class ByteStream(Protocol):
    """The operations of a transport that never wait. `recv` and `send` are methods, or properties
    that return functions.

    `recv` and `send` raise `BlockingIOError` if they would have to wait, and any other `OSError`
    if the stream is broken, or closed on this side.
    """

    @property
    def recv(self) -> Callable[[int], bytes]:
        """A function that returns 1 to that many bytes which have arrived; none if the peer has
        ended its side."""
        ...

    @property
    def send(self) -> Callable[[bytes | bytearray], int]:
        """A function that writes as much of the data as fits, and returns how many bytes that
        was."""
        ...

    def send_eof(self) -> None:
        """End our side of the stream. Raises `OSError` if the stream is broken."""
        ...

    def close(self) -> None:
        """Close both sides; written bytes are still delivered. A second call does nothing."""
        ...

    def abort(self) -> None:
        """Close both sides; the peer finds the stream broken."""
        ...


class Transport(ByteStream, Protocol):
    """A byte stream of a driver: the operations of `ByteStream`, and callbacks for them.

    Callbacks do not raise. Closing stops them.
    """

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` again and again while `recv` does not have to wait; `None` stops that.

        `None` may be set again after it, and after `close`.
        """
        ...

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """The same for `send`."""
        ...


Dial: TypeAlias = Callable[[str, int], Awaitable[Transport]]
"""Opens a stream to a host and port; raises `OSError`."""


class DialError(OSError):
    """A stream could not be opened. The text says why, without addresses."""


def describe_dial_error(error: OSError | UnicodeError) -> str:
    """Return why a stream could not be opened: the system's reasons, each once, without
    addresses."""
    match error.__cause__:
        case BaseExceptionGroup(exceptions=causes):  # one for each address tried
            pass
        case _:
            causes = (error,)
    return "; ".join(dict.fromkeys(map(_describe_cause, causes)))


def _describe_cause(error: BaseException) -> str:
    match error:
        case DialError():
            return str(error)
        case socket.gaierror(strerror=str(text)):  # its numbers are not those of `os.strerror`
            return text.lower()
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case UnicodeError():
            return "not a host name"
        case _:
            return "no connection"


@define(eq=False)
class SocketStream:
    """A byte stream over a connected socket, which it owns and makes non-blocking. Small writes are
    sent without delay."""

    _socket: socket.socket = field()

    def __attrs_post_init__(self) -> None:
        self._socket.settimeout(0)
        if self._socket.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # if it is broken already, the first read reports that
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def recv(self) -> Callable[[int], bytes]:
        """See `ByteStream`: the socket's method, so that a read is no call more than that."""
        return self._socket.recv

    @property
    def send(self) -> Callable[[bytes | bytearray], int]:
        """See `ByteStream`, and `recv`."""
        return self._socket.send

    def send_eof(self) -> None:
        """See `ByteStream`."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `ByteStream`. A subclass first ends the waits for the socket."""
        self._socket.close()

    def abort(self) -> None:
        """See `ByteStream`."""
        with suppress(OSError):  # closed already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.close()


@define(eq=False)
class Pipe(ABC):
    """One direction of a stream in memory, which holds up to `capacity_bytes`."""

    capacity_bytes: int
    data: bytearray = field(init=False, factory=bytearray)
    is_ended: bool = field(init=False, default=False)
    """Whether the writer has ended it."""
    is_broken: bool = field(init=False, default=False)
    """Whether either end has broken it, so that its data is lost."""

    @property
    def is_readable(self) -> bool:
        """Whether reading does not have to wait."""
        return bool(self.data) or self.is_ended or self.is_broken

    @property
    def is_writable(self) -> bool:
        """Whether writing does not have to wait."""
        return len(self.data) < self.capacity_bytes or self.is_broken

    @abstractmethod
    def wake(self) -> None:
        """Let all waiting readers and writers check again, after a change."""


P = TypeVar("P", bound=Pipe)


@define(eq=False)
class MemoryStream(Generic[P]):
    """One end of two pipes."""

    _inbound: P
    _outbound: P
    _is_closed: bool = field(init=False, default=False)

    def recv(self, size: int, /) -> bytes:
        """See `ByteStream`."""
        self._check_open()
        pipe = self._inbound
        if pipe.is_broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset by the other end")
        if not pipe.data and not pipe.is_ended:
            raise BlockingIOError(errno.EAGAIN, "nothing has arrived")
        data = bytes(pipe.data[:size])
        del pipe.data[:size]
        pipe.wake()
        return data

    def send(self, data: bytes | bytearray, /) -> int:
        """See `ByteStream`."""
        self._check_open()
        pipe = self._outbound
        if pipe.is_broken or pipe.is_ended:
            raise BrokenPipeError(errno.EPIPE, "nobody reads this any more")
        if data and len(pipe.data) >= pipe.capacity_bytes:
            raise BlockingIOError(errno.EAGAIN, "no room")
        accepted = data[: pipe.capacity_bytes - len(pipe.data)]
        pipe.data += accepted
        pipe.wake()
        return len(accepted)

    def send_eof(self) -> None:
        """See `ByteStream`."""
        self._check_open()
        self._outbound.is_ended = True
        self._outbound.wake()

    def close(self) -> None:
        """See `ByteStream`."""
        if not self._is_closed:
            self._is_closed = True
            self._outbound.is_ended = True
            self._inbound.is_broken = True
            self._outbound.wake()
            self._inbound.wake()

    def abort(self) -> None:
        """See `ByteStream`."""
        if not self._is_closed:
            self._outbound.is_broken = True
            self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, "closed")

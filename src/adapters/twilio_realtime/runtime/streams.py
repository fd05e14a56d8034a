"""Byte streams, but for the waiting: what a driver asks of one, over a socket, and in memory."""

import errno
import os
import socket
import struct
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar

from attrs import define, field

__all__ = ["CAPACITY", "ByteStream", "MemoryStream", "Pipe", "SocketStream", "explain"]

CAPACITY: Final = 64 * 1024
"""Bytes under way in one direction in memory: about as many as a kernel takes at least."""

_RESET: Final = struct.pack("ii", 1, 0)
"""`SO_LINGER` for no time at all: a close is a reset."""


class ByteStream(Protocol):
    """What each transport does at once.

    `recv` and `send` raise `BlockingIOError` when they would have to wait, and any other `OSError`
    when the stream is broken, or closed on this side.
    """

    def recv(self, size: int, /) -> bytes:
        """From 1 to `size` bytes that have arrived; none at all: the peer will send no more."""
        ...

    def send(self, data: bytes | bytearray, /) -> int:
        """Write as much of `data` as there is room for; how many bytes that was."""
        ...

    def send_eof(self) -> None:
        """Tell the peer that no more comes. Raises `OSError` if the stream is broken."""
        ...

    def close(self) -> None:
        """Close both ways; what is written still goes. A second time it does nothing."""
        ...

    def abort(self) -> None:
        """Close both ways; the peer finds the stream broken."""
        ...


def explain(error: OSError | UnicodeError) -> str:
    """Why a stream could not be opened: the system's words, each once, without addresses."""
    match error.__cause__:
        case BaseExceptionGroup(exceptions=causes):  # one for each address tried
            pass
        case _:
            causes = (error,)
    return "; ".join(dict.fromkeys(map(_words, causes)))


def _words(error: BaseException) -> str:
    match error:
        case socket.gaierror(strerror=str(words)):  # the name look-up has numbers of its own
            return words.lower()
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case UnicodeError():
            return "not a host name"
        case _:
            return "no connection"


@define(eq=False)
class SocketStream:
    """A connected socket. It owns it, makes it non-blocking, and lets small writes go at once."""

    _socket: socket.socket = field()

    def __attrs_post_init__(self) -> None:
        self._socket.settimeout(0)
        if self._socket.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # where it is gone already, which the first read will tell
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, size: int, /) -> bytes:
        """See `ByteStream`."""
        return self._socket.recv(size)

    def send(self, data: bytes | bytearray, /) -> int:
        """See `ByteStream`."""
        return self._socket.send(data)

    def send_eof(self) -> None:
        """See `ByteStream`."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `ByteStream`. Who waits for the socket has to be told before."""
        self._socket.close()

    def abort(self) -> None:
        """See `ByteStream`."""
        with suppress(OSError):  # closed already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()


@define(eq=False)
class Pipe(ABC):
    """One direction of a stream in memory. `capacity` (bytes) is what may be under way."""

    capacity: int
    data: bytearray = field(init=False, factory=bytearray)
    ended: bool = field(init=False, default=False)
    """No more is written."""
    broken: bool = field(init=False, default=False)
    """What is under way is lost."""

    @property
    def is_readable(self) -> bool:
        """Whether reading need not wait."""
        return bool(self.data) or self.ended or self.broken

    @property
    def is_writable(self) -> bool:
        """Whether writing need not wait."""
        return len(self.data) < self.capacity or self.broken

    @abstractmethod
    def wake(self) -> None:
        """Something has changed: whoever waits for either has to look again."""


P = TypeVar("P", bound=Pipe)


@define(eq=False)
class MemoryStream(Generic[P]):
    """One end of two pipes."""

    _inbound: P
    _outbound: P
    _closed: bool = field(init=False, default=False)

    def recv(self, size: int, /) -> bytes:
        """See `ByteStream`."""
        self._check_open()
        pipe = self._inbound
        if pipe.broken:
            raise ConnectionResetError(errno.ECONNRESET, "reset by the other end")
        if not pipe.data and not pipe.ended:
            raise BlockingIOError(errno.EAGAIN, "nothing has arrived")
        data = bytes(pipe.data[:size])
        del pipe.data[:size]
        pipe.wake()
        return data

    def send(self, data: bytes | bytearray, /) -> int:
        """See `ByteStream`."""
        self._check_open()
        pipe = self._outbound
        if pipe.broken or pipe.ended:
            raise BrokenPipeError(errno.EPIPE, "nobody reads this any more")
        if data and len(pipe.data) >= pipe.capacity:
            raise BlockingIOError(errno.EAGAIN, "no room")
        taken = data[: pipe.capacity - len(pipe.data)]
        pipe.data += taken
        pipe.wake()
        return len(taken)

    def send_eof(self) -> None:
        """See `ByteStream`."""
        self._check_open()
        self._outbound.ended = True
        self._outbound.wake()

    def close(self) -> None:
        """See `ByteStream`."""
        if not self._closed:
            self._closed = True
            self._outbound.ended = True
            self._inbound.broken = True
            self._outbound.wake()
            self._inbound.wake()

    def abort(self) -> None:
        """See `ByteStream`."""
        if not self._closed:
            self._outbound.broken = True
            self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "closed")

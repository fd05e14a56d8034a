"""An open byte stream of a driver: how much is read of it at a time, and written to it at once."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

from attrs import define, field

from twilio_realtime_core.machine.actions import ByteAction, SendBytes
from twilio_realtime_core.machine.units import MS

from .streams import Transport

__all__ = ["MIN_READ_BYTES", "READ_BYTES", "DrivenStream", "join_writes"]

READ_BYTES: Final = 64 * 1024
"""Bytes of one read: a message of audio fits several times, and the allocation stays below the
128 KiB from which on the C library asks the kernel for memory at each read."""

MIN_READ_BYTES: Final = 512
"""The shortest read: a message of audio."""

_MAX_STEP_NS: Final = 5 * MS
"""How long the bytes of one read may take, before less is read at a time: a quarter of a frame."""

_WRITE_BYTES: Final = 64 * 1024
"""Bytes from which on no more are added to a write: a socket takes about as many at once."""


@define(eq=False)
class DrivenStream:
    """An open byte stream of a driver."""

    peer: Hashable
    transport: Transport
    recv: Callable[[int], bytes] = field(init=False)
    send: Callable[[bytes | bytearray], int] = field(init=False)
    """The methods of the transport, which are looked up once: each message takes both."""
    unsent: bytearray = field(init=False, factory=bytearray)
    """Bytes that the kernel did not take. They are written as soon as it does."""
    has_ended: bool = field(init=False, default=False)
    """Whether nothing more can be read."""
    read_bytes: int = field(init=False, default=READ_BYTES // 16)
    """Bytes of the next read. It follows what the bytes of the last ones cost, so that no stream
    keeps the others waiting, whatever it sends."""
    is_shut_down: bool = field(init=False, default=False)
    """Whether the machine has shut the stream down; it gets nothing of the stream any more."""

    def __attrs_post_init__(self) -> None:
        self.recv, self.send = self.transport.recv, self.transport.send

    def adapt_reads(self, took_ns: int) -> None:
        """Note how long the machine took for the bytes of a read."""
        if took_ns > _MAX_STEP_NS:
            self.read_bytes = max(self.read_bytes // 4, MIN_READ_BYTES)
        elif took_ns < _MAX_STEP_NS // 4 and self.read_bytes < READ_BYTES:
            self.read_bytes *= 2


def join_writes(first: SendBytes, queue: deque[ByteAction]) -> bytes:
    """Return the bytes of `first` and of the actions at the front of `queue` that write to the same
    peer, which are removed: one system call writes audio and its mark, for instance."""
    pieces, size = [first.data], len(first.data)
    while queue and size < _WRITE_BYTES:
        following = queue[0]
        if not isinstance(following, SendBytes) or following.peer != first.peer:
            break
        queue.popleft()
        pieces.append(following.data)
        size += len(following.data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

"""Byte streams in memory, for tests; they work under a `trio.testing.MockClock` too."""

import trio
from attrs import define, field

from ..runtime.streams import PIPE_CAPACITY_BYTES, MemoryStream, Pipe

__all__ = ["MemoryTransport", "memory_pair"]


def memory_pair(
    capacity_bytes: int = PIPE_CAPACITY_BYTES,
) -> "tuple[MemoryTransport, MemoryTransport]":
    """Return the two ends of a stream that holds up to `capacity_bytes` in each direction."""
    there, back = _Pipe(capacity_bytes), _Pipe(capacity_bytes)
    return MemoryTransport(back, there), MemoryTransport(there, back)


@define(eq=False)
class _Pipe(Pipe):
    """One direction, with the tasks that wait for it."""

    readers: trio.lowlevel.ParkingLot = field(init=False, factory=trio.lowlevel.ParkingLot)
    writers: trio.lowlevel.ParkingLot = field(init=False, factory=trio.lowlevel.ParkingLot)

    def wake(self) -> None:
        self.readers.unpark_all()
        self.writers.unpark_all()


@define(eq=False)
class MemoryTransport(MemoryStream[_Pipe]):
    """One end of a stream in memory, a `Transport`; `memory_pair` makes two."""

    async def wait_readable(self) -> None:
        """See `Transport`."""
        if self._is_closed or self._inbound.is_readable:
            await trio.lowlevel.checkpoint()
        else:
            await self._inbound.readers.park()
        self._check_not_closed()

    async def wait_writable(self) -> None:
        """See `Transport`."""
        if self._is_closed or self._outbound.is_writable:
            await trio.lowlevel.checkpoint()
        else:
            await self._outbound.writers.park()
        self._check_not_closed()

    def _check_not_closed(self) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError("closed on this side")

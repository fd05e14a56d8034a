"""Byte streams without sockets: for tests, under a `trio.testing.MockClock` too."""

import trio
from attrs import define, field

from ..runtime.streams import CAPACITY, MemoryStream, Pipe

__all__ = ["MemoryTransport", "memory_pair"]


def memory_pair(capacity: int = CAPACITY) -> "tuple[MemoryTransport, MemoryTransport]":
    """Two ends of a stream. `capacity` (bytes) is what may be under way in each direction."""
    there, back = _Pipe(capacity), _Pipe(capacity)
    return MemoryTransport(back, there), MemoryTransport(there, back)


@define(eq=False)
class _Pipe(Pipe):
    """One direction."""

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
        if self._closed or self._inbound.is_readable:
            await trio.lowlevel.checkpoint()
        else:
            await self._inbound.readers.park()
        self._check_resource()

    async def wait_writable(self) -> None:
        """See `Transport`."""
        if self._closed or self._outbound.is_writable:
            await trio.lowlevel.checkpoint()
        else:
            await self._outbound.writers.park()
        self._check_resource()

    def _check_resource(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("closed on this side")

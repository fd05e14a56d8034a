"""Byte streams without sockets: for tests, under a loop with virtual time too."""

import asyncio
from collections.abc import Callable

from attrs import define, field

from ..runtime.streams import CAPACITY, MemoryStream, Pipe

__all__ = ["MemoryTransport", "memory_pair"]


def memory_pair(capacity: int = CAPACITY) -> "tuple[MemoryTransport, MemoryTransport]":
    """Two ends of a stream. `capacity` (bytes) is what may be under way in each direction."""
    there, back = _Pipe(capacity), _Pipe(capacity)
    return MemoryTransport(back, there), MemoryTransport(there, back)


@define(eq=False)
class _Watch:
    """Calls back while what it watches for holds."""

    holds: Callable[[], bool]
    callback: Callable[[], None] | None = field(init=False, default=None)
    scheduled: bool = field(init=False, default=False)

    def set(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback
        self.check()

    def check(self) -> None:
        if self.callback is not None and not self.scheduled and self.holds():
            self.scheduled = True
            asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        self.scheduled = False
        if self.callback is not None and self.holds():
            self.callback()
            self.check()


@define(eq=False)
class _Pipe(Pipe):
    """One direction."""

    reader: _Watch = field(init=False)
    writer: _Watch = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reader = _Watch(lambda: self.is_readable)
        self.writer = _Watch(lambda: self.is_writable)

    def wake(self) -> None:
        self.reader.check()
        self.writer.check()


@define(eq=False)
class MemoryTransport(MemoryStream[_Pipe]):
    """One end of a stream in memory, a `Transport`; `memory_pair` makes two."""

    def close(self) -> None:
        """See `Transport`."""
        self.on_readable(None)
        self.on_writable(None)
        super().close()

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """See `Transport`."""
        self._inbound.reader.set(callback)

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """See `Transport`."""
        self._outbound.writer.set(callback)

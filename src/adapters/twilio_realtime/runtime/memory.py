"""Byte streams in memory, for tests; they work under a loop with virtual time too."""

from collections.abc import Callable

from attrs import define, field

from .streams import MemoryStream, Pipe

__all__ = ["MemoryTransport", "make_memory_pair"]


@define(eq=False)
class _ReadinessCallback:
    """Calls a callback again and again, in turns of the loop, while `is_ready` returns true."""

    is_ready: Callable[[], bool]
    call_soon: Callable[[Callable[[], None]], object]
    callback: Callable[[], None] | None = field(init=False, default=None)
    is_scheduled: bool = field(init=False, default=False)

    def set_callback(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback
        self.schedule_if_ready()

    def schedule_if_ready(self) -> None:
        if self.callback is not None and not self.is_scheduled and self.is_ready():
            self.is_scheduled = True
            self.call_soon(self._call)

    def _call(self) -> None:
        self.is_scheduled = False
        if self.callback is not None and self.is_ready():
            self.callback()
            self.schedule_if_ready()


@define(eq=False)
class _Pipe(Pipe):
    """One direction, with the callbacks of its reader and writer."""

    call_soon: Callable[[Callable[[], None]], object]
    reader: _ReadinessCallback = field(init=False)
    writer: _ReadinessCallback = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reader = _ReadinessCallback(lambda: self.is_readable, self.call_soon)
        self.writer = _ReadinessCallback(lambda: self.is_writable, self.call_soon)

    def wake(self) -> None:
        self.reader.schedule_if_ready()
        self.writer.schedule_if_ready()


@define(eq=False)
class MemoryTransport(MemoryStream[_Pipe]):
    """One end of a stream in memory, a `Transport`; `memory_pair` of a runtime makes two."""

    def close(self) -> None:
        """See `Transport`."""
        self.on_readable(None)
        self.on_writable(None)
        super().close()

    def on_readable(self, callback: Callable[[], None] | None) -> None:
        """See `Transport`."""
        self._inbound.reader.set_callback(callback)

    def on_writable(self, callback: Callable[[], None] | None) -> None:
        """See `Transport`."""
        self._outbound.writer.set_callback(callback)


def make_memory_pair(
    capacity_bytes: int, call_soon: Callable[[Callable[[], None]], object]
) -> tuple[MemoryTransport, MemoryTransport]:
    """Return the two ends of a stream that holds up to `capacity_bytes` in each direction.
    `call_soon` calls a function in the next turn of the loop."""
    there, back = _Pipe(capacity_bytes, call_soon), _Pipe(capacity_bytes, call_soon)
    return MemoryTransport(back, there), MemoryTransport(there, back)

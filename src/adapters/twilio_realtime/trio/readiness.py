"""The readiness of sockets on trio: one task waits for all sockets of a run.

trio's `wait_readable` makes a system call and switches tasks for each wait, which is a third of
what a message costs. Here the sockets stay registered in a selector of their own. trio waits for
the selector, and all sockets that are ready are handled in one go.
"""

import selectors
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Final, TypeAlias

import trio
from attrs import define, field

__all__ = ["on_ready"]

_Callbacks: TypeAlias = dict[int, tuple[Context, Callable[[], None]]]
"""The callbacks of a socket, by event, each with the context in which it was set."""


@define(eq=False)
class _Readiness:
    """The sockets of one trio run that are waited for, until there are none."""

    _selector: Any = field(init=False, factory=selectors.DefaultSelector)
    is_closed: bool = field(init=False, default=False)

    def set_callback(
        self, watched: socket.socket, event: int, callback: Callable[[], None] | None
    ) -> None:
        """See `on_ready`."""
        known = self._selector.get_map().get(watched)
        callbacks: _Callbacks = {} if known is None else known.data
        if callback is not None:
            callbacks[event] = (copy_context(), callback)
        elif callbacks.pop(event, None) is None:
            return
        events = sum(callbacks)
        if known is None:
            self._selector.register(watched, events, callbacks)
        elif not events:
            self._selector.unregister(watched)
        elif events != known.events:
            self._selector.modify(watched, events, callbacks)
        if not self._selector.get_map():
            self._close()

    def _close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            trio.lowlevel.notify_closing(self._selector)
            self._selector.close()

    async def call_back(self) -> None:
        """Call the callbacks of what is ready, until there is no socket left."""
        try:
            while not self.is_closed:
                await trio.lowlevel.wait_readable(self._selector)
                if not self.is_closed:
                    self._call_ready()
        except trio.ClosedResourceError:
            pass
        finally:
            self._close()  # at the end of the run

    def _call_ready(self) -> None:
        for key, ready in self._selector.select(0):
            for event in (EVENT_READ, EVENT_WRITE):
                # An earlier callback may have removed this one.
                if ready & event and event in key.data:
                    context, callback = key.data[event]
                    context.run(callback)


_READINESS: Final[trio.lowlevel.RunVar[_Readiness | None]] = trio.lowlevel.RunVar("readiness")


def on_ready(watched: socket.socket, event: int, callback: Callable[[], None] | None) -> None:
    """Call `callback` again and again while `watched` is ready for `event`, which is `EVENT_READ`
    or `EVENT_WRITE`; `None` stops that. It must be stopped before the socket is closed.

    The callback must not raise, and runs in the context of this call.
    """
    readiness = _READINESS.get(None)
    if readiness is not None and not readiness.is_closed:
        readiness.set_callback(watched, event, callback)
    elif callback is not None:
        readiness = _Readiness()
        _READINESS.set(readiness)
        readiness.set_callback(watched, event, callback)
        trio.lowlevel.spawn_system_task(readiness.call_back)

"""Accepting TCP connections: what the listeners of all runtimes share."""

import errno
import socket
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from attrs import frozen

__all__ = [
    "MAX_CONNECTIONS",
    "Accept",
    "Acceptor",
    "ConnectionRunner",
    "ConnectionSlots",
    "bind_listeners",
    "close_listeners",
    "listener_addresses",
]

MAX_CONNECTIONS: Final = 400
"""Connections open at a time. A call has two sockets, Twilio's and the one to the model, and the
usual limit is 1,024 descriptors a process: this leaves 200 for the rest."""

BACKLOG: Final = 1024
"""Connections that the kernel queues until they are accepted; it lowers the number to its own
limit."""

ACCEPT_PAUSE_S: Final = 0.1
"""Pause after the system could not accept a connection: calls that end free descriptors."""

_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""Errors for an address that this machine does not have: harmless for one family of addresses if
it has an address of the other."""


class ConnectionRunner(Protocol):
    """What serves one connection, such as a `Driver`."""

    async def run(self, accepted: Mapping[Any, socket.socket], /) -> None:
        """Serve the connection to its end."""
        ...


Accept: TypeAlias = Callable[[], tuple[ConnectionRunner, Hashable]]
"""Makes the runner of a new connection; returns it with the machine's key of the connection."""


class ConnectionSlots(Protocol):
    """The connections that may still be opened: the semaphore of a loop."""

    def acquire(self) -> Awaitable[object]:
        """Take a slot; wait for one if none is free."""
        ...

    def release(self) -> None:
        """Return a slot."""
        ...


@frozen(eq=False)
class Acceptor:
    """Accepts TCP connections and serves them. `slots`, `wait_readable` and `sleep` (s) come from
    the loop."""

    accept: Accept
    on_error: Callable[[Exception], None]
    slots: ConnectionSlots
    wait_readable: Callable[[socket.socket], Awaitable[None]]
    sleep: Callable[[float], Awaitable[None]]

    async def accept_all(
        self, listener: socket.socket, start: Callable[[socket.socket], object]
    ) -> None:
        """Accept connections until cancelled. `start` starts a task that runs `serve`."""
        while True:
            await self.wait_readable(listener)
            await self.slots.acquire()
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # the peer has hung up meanwhile
                self.slots.release()
            except OSError as error:  # no descriptor or no memory is left, as a rule
                self.slots.release()
                self.on_error(error)
                await self.sleep(ACCEPT_PAUSE_S)
            else:
                start(connection)

    async def serve(self, connection: socket.socket) -> None:
        """Serve one connection and close it; an exception ends no other."""
        try:
            with connection:
                runner, peer = self.accept()
                await runner.run({peer: connection})
        except Exception as error:
            self.on_error(error)
        finally:
            self.slots.release()


def bind_listeners(address_infos: Iterable[tuple[int, int, int, str, Any]]) -> list[socket.socket]:
    """Return a listening socket for each address of `getaddrinfo` that this machine has.

    Raises `OSError` if an address cannot be listened on, and if this machine has none of them.
    """
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in dict.fromkeys(
        (family, address) for family, *_, address in address_infos
    ):
        try:
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno not in _ABSENT:
                close_listeners(listeners)
                raise
            absent = error
        else:
            listener.settimeout(0)
            listeners.append(listener)
    if absent is not None and not listeners:
        raise absent
    return listeners


def listener_addresses(listeners: Iterable[socket.socket]) -> list[tuple[str, int]]:
    """Return host and port of each listener."""
    return [listener.getsockname()[:2] for listener in listeners]


def close_listeners(listeners: Sequence[socket.socket]) -> None:
    """Stop listening."""
    for listener in listeners:
        listener.close()

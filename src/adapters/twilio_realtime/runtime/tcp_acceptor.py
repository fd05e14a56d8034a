"""How connections are accepted, whatever waits for them."""

import errno
import socket
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from attrs import frozen

from .base_driver import BaseDriver

__all__ = ["MAX_CONNECTIONS", "Accept", "Reception", "Room", "addresses", "bind", "close"]

MAX_CONNECTIONS: Final = 400
"""Connections open at a time. A call has two sockets, its own and the one to the model, and the
usual limit is 1,024 descriptors a process: this leaves 200 for the rest."""

BACKLOG: Final = 1024
"""Connections that the kernel keeps while nobody accepts them; it lowers the number to its own
limit."""

PAUSE_SECONDS: Final = 0.1
"""How long to accept nothing once the system could not: calls that end free descriptors."""

_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""This machine has no such address: of one family, which does not matter if it has the other."""

Accept: TypeAlias = Callable[[], tuple[BaseDriver[Any], Hashable]]
"""Gives a new driver, and the peer that its machine knows the connection by."""


class Room(Protocol):
    """The semaphore of a loop: how many more connections may be open."""

    def acquire(self) -> Awaitable[object]:
        """Wait until there is room for one more."""
        ...

    def release(self) -> None:
        """One less."""
        ...


@frozen(eq=False)
class Reception:
    """Accepts connections and serves them. What waits is the loop's: `room`, `wait_readable`,
    `sleep` (seconds)."""

    accept: Accept
    on_error: Callable[[Exception], None]
    room: Room
    wait_readable: Callable[[socket.socket], Awaitable[None]]
    sleep: Callable[[float], Awaitable[None]]

    async def accept_all(
        self, listener: socket.socket, start: Callable[[socket.socket], object]
    ) -> None:
        """Accept connections until cancelled; `start` begins to `serve` one, and does not wait."""
        while True:
            await self.wait_readable(listener)
            await self.room.acquire()
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # it did not wait for us
                self.room.release()
            except OSError as error:  # no descriptor or no memory is left, as a rule
                self.room.release()
                self.on_error(error)
                await self.sleep(PAUSE_SECONDS)
            else:
                start(connection)

    async def serve(self, connection: socket.socket) -> None:
        """Run a machine for a connection; an exception of it ends nothing else."""
        try:
            with connection:
                driver, peer = self.accept()
                await driver.run({peer: connection})
        except Exception as error:
            self.on_error(error)
        finally:
            self.room.release()


def bind(found: Iterable[tuple[int, int, int, str, Any]]) -> list[socket.socket]:
    """Listen on each address that `getaddrinfo` has found, and that this machine has. Raises
    `OSError` if one cannot be listened on."""
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in dict.fromkeys((family, address) for family, *_, address in found):
        try:
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno not in _ABSENT:
                close(listeners)
                raise
            absent = error
        else:
            listener.settimeout(0)
            listeners.append(listener)
    if absent is not None and not listeners:
        raise absent
    return listeners


def addresses(listeners: Iterable[socket.socket]) -> list[tuple[str, int]]:
    """Host and port of each."""
    return [listener.getsockname()[:2] for listener in listeners]


def close(listeners: Sequence[socket.socket]) -> None:
    """Listen no more."""
    for listener in listeners:
        listener.close()

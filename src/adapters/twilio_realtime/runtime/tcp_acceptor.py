"""Accepting TCP connections: what the listeners of all runtimes share."""

import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, cast, runtime_checkable

from attrs import define, field, frozen

__all__ = [
    "ACCEPT_PAUSE_S",
    "BACKLOG",
    "MAX_CONNECTIONS",
    "MAX_PENDING_PER_ADDRESS",
    "SPARE_CONNECTIONS",
    "Accept",
    "Acceptor",
    "ConnectionRunner",
    "Connections",
    "GoodbyeRunner",
    "TooManyConnections",
    "bind_listeners",
    "close_listeners",
    "listener_addresses",
]

MAX_CONNECTIONS: Final = 400
"""Connections open at a time. A call has two sockets, Twilio's and the one to the model, and the
usual limit is 1,024 descriptors a process: this leaves 200 for the rest."""

SPARE_CONNECTIONS: Final = 32
"""Connections above the limit that are accepted all the same, for what takes no more than a
request: health checks, and new calls, which get a busy answer."""

MAX_PENDING_PER_ADDRESS: Final = MAX_CONNECTIONS // 2
"""Connections from one address that are not established yet: a proxy has as many if as many calls
arrive at a time as are taken; a peer without a proxy has a few."""

BACKLOG: Final = 1024
"""Connections that the kernel queues until they are accepted; it lowers the number to its own
limit."""

ACCEPT_PAUSE_S: Final = 0.1
"""Pause after the system could not accept a connection: calls that end free descriptors."""

_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of `accept` for want of descriptors or memory: the connection waits in the queue."""

_LOST: Final = tuple(
    getattr(errno, name)
    for name in (
        *("EPERM", "EPROTO", "ENOPROTOOPT", "EOPNOTSUPP"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENONET"),
    )
    if hasattr(errno, name)
)
"""Errors of the connection that would have been accepted (accept(2), "Error handling"): the next
one may be accepted at once."""

_ABSENT: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""Errors for an address that this machine does not have: harmless for one family of addresses if
it has an address of the other."""


class TooManyConnections(Exception):  # noqa: N818 - it is a report, and never raised
    """Reports that a connection was closed in favour of a newer one, before its request was
    answered, since there were too many."""


class ConnectionRunner(Protocol):
    """What serves one connection, such as a `Driver`."""

    @property
    def is_established(self) -> bool:
        """Whether the connection is worth more than a new one: it has become a call, for
        example."""
        ...

    async def run(self, accepted: Mapping[Any, socket.socket], /) -> None:
        """Serve the connection to its end."""
        ...

    def go_away(self) -> None:
        """End the connection since the program ends, or needs it: at once if it is not established,
        else in good order."""
        ...


@runtime_checkable
class GoodbyeRunner(Protocol):
    """A `ConnectionRunner` whose application may say something before the connection ends."""

    async def say_goodbye(self) -> None:
        """Let the application say it. Never raises, but for a cancellation."""
        ...


Accept: TypeAlias = Callable[[], tuple[ConnectionRunner, Hashable]]
"""Makes the runner of a new connection; returns it with the machine's key of the connection."""


@define(eq=False)
class Connections:
    """The open connections of a service, which no number of new ones can keep from being served.

    There are at most `max_connections`, and `spare_connections` above that if they are all
    established. Beyond, a new connection takes the place of the oldest one that is not established,
    and so does the one that is the first too many of its address (`MAX_PENDING_PER_ADDRESS`). If
    all are established, new ones wait.
    """

    max_connections: int = MAX_CONNECTIONS
    spare_connections: int = SPARE_CONNECTIONS
    _runners: dict[ConnectionRunner, str] = field(init=False, factory=dict[ConnectionRunner, str])
    """The runner of each connection, with the peer's address; the oldest first."""
    _pending: dict[ConnectionRunner, str] = field(init=False, factory=dict[ConnectionRunner, str])
    """Those that were not established at the last check."""
    _pending_of: Counter[str] = field(init=False, factory=Counter[str])
    """The numbers of pending connections, by address."""
    _starting: int = field(init=False, default=0)
    """The number of connections that are accepted and not added yet: their tasks have not run."""

    def __len__(self) -> int:
        return len(self._runners)

    def runners(self) -> list[ConnectionRunner]:
        """Return the runners of all open connections."""
        return list(self._runners)

    def has_capacity(self) -> bool:
        """Whether a new connection need not wait."""
        connections = len(self._runners) + self._starting
        if connections < self.max_connections + self.spare_connections:
            return True
        self._forget_established()
        return bool(self._pending)

    def established(self) -> list[ConnectionRunner]:
        """Return the runners of the established connections."""
        return [runner for runner in self._runners if runner.is_established]

    def accepted(self) -> None:
        """Count a connection whose task is about to start."""
        self._starting += 1

    def started(self) -> None:
        """Count a connection no more whose task has started: it adds what it serves."""
        self._starting -= 1

    def add(self, runner: ConnectionRunner, address: str) -> bool:
        """Add a connection. Return whether another was closed in its favour."""
        is_one_closed = False
        if self._pending_of[address] >= MAX_PENDING_PER_ADDRESS:
            is_one_closed = self._close_oldest(address)
        if len(self._runners) >= self.max_connections:
            self._forget_established()
            established = len(self._runners) - len(self._pending)
            if len(self._pending) >= max(
                self.max_connections - established, self.spare_connections
            ):
                is_one_closed = self._close_oldest() or is_one_closed
        self._runners[runner] = self._pending[runner] = address
        self._pending_of[address] += 1
        return is_one_closed

    def remove(self, runner: ConnectionRunner) -> None:
        """Remove a connection that has ended."""
        self._runners.pop(runner, None)
        self._settle(runner)

    def oldest(self, address: str | None = None) -> ConnectionRunner | None:
        """Return the runner of the oldest connection that is not established, of `address` if it is
        given, if there is one."""
        self._forget_established()
        return next((each for each, its in self._pending.items() if address in (None, its)), None)

    def close(self, runner: ConnectionRunner) -> None:
        """Close a connection that is not established."""
        self.remove(runner)
        runner.go_away()

    def _close_oldest(self, address: str | None = None) -> bool:
        oldest = self.oldest(address)
        if oldest is not None:
            self.close(oldest)
        return oldest is not None

    def _forget_established(self) -> None:
        for runner in [each for each in self._pending if each.is_established]:
            self._settle(runner)

    def _settle(self, runner: ConnectionRunner) -> None:
        address = self._pending.pop(runner, None)
        if address is not None:
            self._pending_of[address] -= 1
            if not self._pending_of[address]:
                del self._pending_of[address]


@frozen(eq=False)
class Acceptor:
    """Accepts TCP connections and serves them. `wait_readable` and `sleep` (s) come from the
    loop."""

    accept: Accept
    on_error: Callable[[Exception], None]
    connections: Connections
    wait_readable: Callable[[socket.socket], Awaitable[None]]
    sleep: Callable[[float], Awaitable[None]]

    async def accept_all(
        self, listener: socket.socket, start: Callable[[socket.socket], object]
    ) -> None:
        """Accept connections until cancelled, then stop listening. `start` starts a task that runs
        `serve`."""
        try:
            while True:
                await self.wait_readable(listener)
                while not self.connections.has_capacity():
                    await self.sleep(ACCEPT_PAUSE_S)
                try:
                    connection, _ = listener.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    pass  # the peer has hung up meanwhile
                except OSError as error:
                    if error.errno not in _LOST:
                        await self._handle_failure(error)
                else:
                    self.connections.accepted()
                    start(connection)
        finally:
            listener.close()

    async def _handle_failure(self, error: OSError) -> None:
        """Wait until a connection may be accepted again. If there are too many, close the oldest
        one that has no answer by then; what sends its request at once is not concerned."""
        self.on_error(error)
        oldest = self.connections.oldest() if error.errno in _SHORTAGES else None
        await self.sleep(ACCEPT_PAUSE_S)
        if oldest is not None and oldest is self.connections.oldest():
            self.connections.close(oldest)

    async def serve(self, connection: socket.socket) -> None:
        """Serve one connection and close it; an exception ends no other."""
        runner: ConnectionRunner | None = None
        self.connections.started()
        try:
            with connection:
                runner, peer = self.accept()
                if self.connections.add(runner, _peer_address(connection)):
                    text = "a connection that had sent no request was closed: there are too many"
                    self.on_error(TooManyConnections(text))
                await runner.run({peer: connection})
        except Exception as error:
            self.on_error(error)
        finally:
            if runner is not None:
                self.connections.remove(runner)


def _peer_address(connection: socket.socket) -> str:
    """Return the address of the peer, without its port; empty if it has closed, or has none."""
    try:
        address = connection.getpeername()
    except OSError:
        return ""
    return str(cast("tuple[object, ...]", address)[0]) if isinstance(address, tuple) else ""


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

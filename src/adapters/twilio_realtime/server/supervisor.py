"""How a service ends: it takes no new calls, lets those in progress finish, then ends the rest."""

from collections.abc import Callable, Iterable
from typing import Final

import anyio
from attrs import define, field

from ..runtime.tcp_acceptor import ConnectionRunner, Connections, GoodbyeRunner
from .admission import Admission

__all__ = ["DRAIN_TIMEOUT_MS", "FAREWELL_S", "GOODBYE_S", "Supervisor", "end_connections"]

DRAIN_TIMEOUT_MS: Final = 25_000
"""Default time for calls to finish: below the 30 s after which Kubernetes kills a container
(`terminationGracePeriodSeconds`). For phones, an hour is usual."""

GOODBYE_S: Final = 10.0
"""How long agents may say goodbye in calls that are left: a sentence or two."""

FAREWELL_S: Final = 10.0
"""How long connections may take to end in good order after that: the close frames, and what the
agent does at the end of its call."""

_INTERVAL_S: Final = 0.2
"""Between looks at the state of the service, which also measure how late the loop is: more of them
would cost a process without calls more than a call costs."""


@define(eq=False)
class Supervisor:
    """Watches a service until it is to end.

    `is_unwatched` is asked whether nobody sees the output any more, as behind `| head -1`: then the
    service ends as soon as no call is in progress.
    """

    _admission: Admission
    _connections: Connections
    _drain_timeout_s: float = DRAIN_TIMEOUT_MS / 1000
    _is_unwatched: Callable[[], bool] = lambda: False
    _drain_ends_s: float | None = field(init=False, default=None)
    _goodbye: anyio.CancelScope | None = field(init=False, default=None)
    """The time in which agents say goodbye, once it has begun."""

    @property
    def is_asked_to_end(self) -> bool:
        """Whether `drain` was called."""
        return self._drain_ends_s is not None

    @property
    def drain_ends_s(self) -> float | None:
        """When the calls in progress are ended, on the clock of the event loop; `None` if the
        service does not drain."""
        return self._drain_ends_s

    @property
    def calls(self) -> int:
        """How many calls are in progress."""
        return self._admission.calls

    def drain(self) -> None:
        """Take no new calls from now on; `run` returns once the calls in progress are over, or the
        time for that is. A second call gives them no more time, not even for a goodbye."""
        is_first = not self._admission.is_draining
        if self._goodbye is not None:
            self._goodbye.cancel()
        self._admission.is_draining = True
        self._drain_ends_s = anyio.current_time() + (self._drain_timeout_s if is_first else 0)

    async def run(self) -> None:
        """Watch the service until it is to end; then end its connections in good order."""
        while not self._is_over():
            due = anyio.current_time() + _INTERVAL_S
            await anyio.sleep(_INTERVAL_S)
            self._admission.measure_lag(max(0.0, anyio.current_time() - due))
        self._admission.is_draining = True
        await self._end_connections()
        with anyio.move_on_after(FAREWELL_S):
            while self._admission.calls or self._connections.established():
                await anyio.sleep(_INTERVAL_S)

    async def _end_connections(self) -> None:
        """End each connection in good order, once; that of a call after its agent's goodbye."""
        self._goodbye = anyio.CancelScope(deadline=anyio.current_time() + GOODBYE_S)
        await end_connections(self._connections.runners, self._goodbye)

    def _is_over(self) -> bool:
        is_idle = not self._admission.calls
        if self._drain_ends_s is not None:
            return is_idle or anyio.current_time() >= self._drain_ends_s
        return is_idle and self._is_unwatched()


async def end_connections(
    runners: Callable[[], Iterable[ConnectionRunner]], limit: anyio.CancelScope
) -> None:
    """End each connection in good order, once; that of a call after its agent's goodbye, or at the
    end of `limit`."""
    ended: set[ConnectionRunner] = set()

    async def end(runner: ConnectionRunner) -> None:
        if isinstance(runner, GoodbyeRunner):
            await runner.say_goodbye()
        ended.add(runner)
        runner.go_away()

    with limit:
        async with anyio.create_task_group() as tasks:
            for runner in list(runners()):
                tasks.start_soon(end, runner)
    for runner in list(runners()):
        if runner not in ended:
            runner.go_away()

"""Joins a service and an agent: what `listen` of either runtime needs to answer calls.

await listen(host, port, answering(Service(config), agent, Driver), on_error=report)
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

import anyio
from attrs import define, field

from twilio_realtime_core import Action, ByteAction, ByteMachine, Command, Peer
from twilio_realtime_core.notifications import CallStarted, Notification
from twilio_realtime_core.transport.http import HttpRequest
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

from .call import GRACE_SECONDS, Agent, Call

__all__ = ["CommandTarget", "Connection", "Connections", "MakeDriver", "RunningDriver", "answering"]


class CommandTarget(Protocol):
    """What takes the commands of a call: its `Bridge`."""

    def send(self, command: Command, now: int) -> list[Action]:
        """What a command leads to. Raises `LocalProtocolError` if it cannot be carried out."""
        ...

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far."""
        ...

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """How far each content part has been heard."""
        ...


class Connection(ByteMachine, Protocol):
    """The machine of an accepted connection."""

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """What is to be done to carry out what the bridge asks for."""
        ...


class Connections(Protocol):
    """What answers: a `Service`."""

    def open_connection(self, on_call: Callable[[CommandTarget, HttpRequest], None]) -> Connection:
        """The machine for an accepted connection; if it becomes a call, `on_call` is told."""
        ...


class RunningDriver(Protocol):
    """The `Driver` of either runtime."""

    async def run(self, accepted: Mapping[Any, Any], /) -> None:
        """Run the machine to its end."""
        ...

    def now(self) -> int:
        """The time (ns)."""
        ...

    def perform(self, actions: Iterable[ByteAction], /) -> None:
        """Do what the machine asks of somebody else than the driver."""
        ...


MakeDriver: TypeAlias = Callable[[ByteMachine, Callable[[object], None]], RunningDriver]
"""Makes a driver of a machine and of who is to be notified."""


def _ignore(event: object) -> None:
    """Nobody is told."""


def answering(
    service: Connections,
    agent: Agent,
    driver: MakeDriver,
    *,
    grace_seconds: float = GRACE_SECONDS,
    on_stray: Callable[[object], None] = _ignore,
) -> Callable[[], tuple[Any, Hashable]]:
    """The `accept` of `listen`: each call that comes in by way of `service` gets an `agent`.

    `driver` is the `Driver` of the runtime (or what makes one, for example with a `dial` of its
    own). The agent of a call begins with its `CallStarted`; see `Call.run` for its end. What goes
    wrong in it is raised as `Call.run` says, which `listen` passes to its `on_error`. `on_stray` is
    told what no agent is: faults of connections that are no calls, and of calls that never began.
    """

    def accept() -> tuple[Any, Hashable]:
        return _Answered(service, agent, driver, grace_seconds, on_stray), Peer.TWILIO

    return accept


@define(eq=False, repr=False)
class _Answered:
    """An accepted connection, its driver, and, if it becomes a call, the agent."""

    _service: Connections
    _agent: Agent
    _make_driver: MakeDriver
    _grace_seconds: float
    _on_stray: Callable[[object], None]
    _machine: Connection = field(init=False)
    _driver: RunningDriver = field(init=False)
    _known: anyio.Event = field(init=False)
    """Set when it is a call, or over."""
    _bridge: CommandTarget | None = field(init=False, default=None)
    _call: Call | None = field(init=False, default=None)
    _failure: Exception | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._machine = self._service.open_connection(self._begin)
        self._driver = self._make_driver(self._machine, self._notify)

    async def run(self, accepted: Mapping[Any, Any]) -> None:
        """As that of a driver. Raises what ended the call without need, once all is over."""
        self._known = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._drive, accepted)
            await self._known.wait()
            if self._call is not None:
                await self._attend(self._call)
        if self._failure is not None:
            raise self._failure

    async def _drive(self, accepted: Mapping[Any, Any]) -> None:
        try:
            await self._driver.run(accepted)
        except Exception as error:  # a bug; the agent may finish all the same
            self._failure = error
        if self._call is not None:
            self._call.close()
        self._known.set()

    async def _attend(self, call: Call) -> None:
        try:
            await call.run(self._agent, self._grace_seconds)
        except Exception as error:  # raised now it would tear down sockets that are closing
            self._failure = self._failure or error

    def _begin(self, bridge: CommandTarget, request: HttpRequest) -> None:
        del request
        self._bridge = bridge

    def _notify(self, event: object) -> None:
        if self._call is None and self._bridge is not None and isinstance(event, CallStarted):
            bridge = self._bridge
            self._call = Call(
                event,
                partial(self._command, bridge),
                lambda: bridge.items,
                lambda: bridge.playback_positions(self._driver.now()),
            )
            self._known.set()
        if self._call is None:
            self._on_stray(event)
        else:
            self._call.notify(cast(Notification, event))

    def _command(self, bridge: CommandTarget, command: Command) -> None:
        now = self._driver.now()
        actions = bridge.send(command, now)
        self._driver.perform(self._machine.perform(actions, now))

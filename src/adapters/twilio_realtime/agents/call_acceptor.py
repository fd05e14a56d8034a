"""Answers the calls of a service with an agent: what `listen` of either runtime needs.

await listen(host, port, call_acceptor(Service(config), agent, Driver), on_error=report)
"""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

import anyio
from attrs import define, field

from twilio_realtime_core import Action, ByteAction, ByteMachine, Command, Peer
from twilio_realtime_core.notifications import CallStarted, Notification
from twilio_realtime_core.transport.http import HttpRequest
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ..runtime.base_driver import AnyDriver
from ..runtime.tcp_acceptor import Accept, ConnectionRunner
from .call import GRACE_MS, Call, CallHandler

__all__ = [
    "CommandTarget",
    "ConnectionFactory",
    "ConnectionMachine",
    "DriverFactory",
    "call_acceptor",
]


class CommandTarget(Protocol):
    """The part of a `Bridge` that a `Call` uses."""

    def send(self, command: Command, now: int) -> list[Action]:
        """Return the actions that a command leads to. Raises `LocalProtocolError` if the command
        is not possible now."""
        ...

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far."""
        ...

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """Return the position of each content part that has not been heard to its end."""
        ...


class ConnectionMachine(ByteMachine, Protocol):
    """The machine of an accepted connection."""

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """Return the byte actions that carry out actions of the bridge."""
        ...


class ConnectionFactory(Protocol):
    """The part of a `Service` that `call_acceptor` uses."""

    def open_connection(
        self, on_call: Callable[[CommandTarget, HttpRequest], None]
    ) -> ConnectionMachine:
        """Return the machine of an accepted connection, which calls `on_call` if the connection
        becomes a call."""
        ...


DriverFactory: TypeAlias = Callable[[ByteMachine, Callable[[object], None]], AnyDriver]
"""Makes a driver of a machine and a callback for notifications, as the class `Driver` does."""


def _ignore(event: object) -> None:
    """Ignore a notification."""


def call_acceptor(
    service: ConnectionFactory,
    agent: CallHandler,
    make_driver: DriverFactory,
    *,
    grace_ms: int = GRACE_MS,
    on_unhandled: Callable[[object], None] = _ignore,
) -> Accept:
    """Return the `accept` of `listen` that runs `agent` for each call of `service`.

    `make_driver` is the `Driver` of the runtime, or for example `partial(Driver, dial=...)`. An
    agent starts at its call's `CallStarted`, and has `grace_ms` to return once the call has ended;
    failures are raised as `Call.run` says, and `listen` passes them to its `on_error`.

    `on_unhandled` gets the notifications that no agent gets: faults of connections that are no
    calls, and of calls that never started.
    """

    def accept() -> tuple[ConnectionRunner, Hashable]:
        connection = _AcceptedConnection(service, agent, make_driver, grace_ms, on_unhandled)
        return connection, Peer.TWILIO

    return accept


@define(eq=False, repr=False)
class _AcceptedConnection:
    """An accepted connection, its driver, and, if it becomes a call, the agent."""

    _service: ConnectionFactory
    _agent: CallHandler
    _make_driver: DriverFactory
    _grace_ms: int
    _on_unhandled: Callable[[object], None]
    _machine: ConnectionMachine = field(init=False)
    _driver: AnyDriver = field(init=False)
    _started_or_ended: anyio.Event = field(init=False)
    """Set when the call has started, or the connection has ended."""
    _bridge: CommandTarget | None = field(init=False, default=None)
    _call: Call | None = field(init=False, default=None)
    _failure: Exception | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._machine = self._service.open_connection(self._set_bridge)
        self._driver = self._make_driver(self._machine, self._notify)

    async def run(self, accepted: Mapping[Any, Any], /) -> None:
        """Run the driver, and the agent of the call, to their ends.

        Raises at the end the exception of the driver, or else what `Call.run` raised.
        """
        self._started_or_ended = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_driver, accepted)
            await self._started_or_ended.wait()
            if self._call is not None:
                await self._run_agent(self._call)
        if self._failure is not None:
            raise self._failure

    async def _run_driver(self, accepted: Mapping[Any, Any]) -> None:
        try:
            await self._driver.run(accepted)
        except Exception as error:  # a bug; the agent may finish all the same
            self._failure = error
        if self._call is not None:
            self._call.close()
        self._started_or_ended.set()

    async def _run_agent(self, call: Call) -> None:
        try:
            await call.run(self._agent, self._grace_ms)
        except Exception as error:  # raised now it would tear down sockets that are closing
            self._failure = self._failure or error

    def _set_bridge(self, bridge: CommandTarget, request: HttpRequest) -> None:
        del request
        self._bridge = bridge

    def _notify(self, event: object) -> None:
        if self._call is None and self._bridge is not None and isinstance(event, CallStarted):
            bridge = self._bridge
            self._call = Call(
                event,
                partial(self._send_command, bridge),
                lambda: bridge.items,
                lambda: bridge.playback_positions(self._driver.now()),
            )
            self._started_or_ended.set()
        if self._call is None:
            self._on_unhandled(event)
        else:
            self._call.notify(cast(Notification, event))

    def _send_command(self, bridge: CommandTarget, command: Command) -> None:
        now = self._driver.now()
        actions = bridge.send(command, now)
        self._driver.perform(self._machine.perform(actions, now))

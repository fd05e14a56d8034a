"""Answers the calls of a service with an agent: what `listen` of either runtime needs.

await listen(host, port, call_acceptor(Service(config), agent, Driver), on_error=report)
"""

import inspect
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from ipaddress import ip_address
from socket import socket
from typing import Any, Final, Protocol, TypeAlias, cast

import anyio
from attrs import define, evolve, field

from twilio_realtime_core import Action, ByteAction, ByteMachine, Command, HangUp, Peer
from twilio_realtime_core.notifications import CallEnded, CallStarted, Notification
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ..runtime.base_driver import BaseDriver
from ..runtime.tcp_acceptor import Accept, ConnectionRunner
from .call import GRACE_MS, Call, CallHandler
from .call_setup import CallSetup
from .decisions import PendingAnswer
from .failures import ApplicationError, describe_error, is_application_failure
from .hooks import find_hooks

__all__ = [
    "CommandTarget",
    "ConnectionFactory",
    "ConnectionMachine",
    "DriverFactory",
    "answer_pending",
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

    def answer(self, response: HttpResponse, now: int) -> list[ByteAction]:
        """Return the byte actions that answer a request later (`HttpConnection.answer`)."""
        ...


class ConnectionFactory(Protocol):
    """The part of a `Service` that `call_acceptor` uses."""

    def open_connection(
        self,
        on_call: Callable[[CommandTarget, HttpRequest], None],
        *,
        agent: CallHandler,
        on_setup: Callable[[CallSetup], None],
        on_pending: Callable[[PendingAnswer], None],
        is_exposed: bool,
    ) -> ConnectionMachine:
        """Return the machine of an accepted connection (see `Service.open_connection`)."""
        ...


DriverFactory: TypeAlias = Callable[[ByteMachine, Callable[[object], None]], BaseDriver]
"""Makes a driver of a machine and a callback for notifications, as the class `Driver` does."""


_DECISION_FAILED: Final = HttpResponse(500, b"the application failed to decide about the call\n")


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
    _driver: BaseDriver = field(init=False)
    _is_driven: bool = field(init=False, default=False)
    """Whether there is a driver already."""
    _progress: anyio.Event = field(init=False)
    """Set when the call has started, the agent has to decide, or the connection has ended."""
    _bridge: CommandTarget | None = field(init=False, default=None)
    _setup: CallSetup | None = field(init=False, default=None)
    _pending: PendingAnswer | None = field(init=False, default=None)
    _call: Call | None = field(init=False, default=None)
    _is_hanging_up: bool = field(init=False, default=False)
    """Whether the application has sent a `HangUp`."""
    _call_is_over: anyio.Event = field(init=False)
    _failure: Exception | None = field(init=False, default=None)

    @property
    def is_established(self) -> bool:
        """See `ConnectionRunner`. A request that the application decides about counts as well."""
        return self._is_driven and (self._pending is not None or self._driver.is_established)

    def go_away(self) -> None:
        """See `ConnectionRunner`. The agent gets `CallEnded`."""
        if self._is_driven:
            self._driver.go_away()

    async def say_goodbye(self) -> None:
        """Let the agent say goodbye, if it has a hook for that (`CallHooks.goodbye`). If it hangs
        up, wait until the call is over."""
        call = self._call
        handler = find_hooks(self._call_agent).goodbye_handler
        if call is None or call.ended is not None or handler is None:
            return
        try:
            result = handler(call)
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            if not is_application_failure(error):
                raise
            self._fail("the goodbye", error)
        if self._is_hanging_up:
            await self._call_is_over.wait()

    async def run(self, accepted: Mapping[Any, Any], /) -> None:
        """Run the driver, and the agent of the call, to their ends.

        Raises at the end the exception of the driver, or else what `Call.run` raised.
        """
        self._machine = self._service.open_connection(
            self._set_bridge,
            agent=self._agent,
            on_setup=self._set_setup,
            on_pending=self._set_pending,
            is_exposed=any(map(_is_exposed, accepted.values())),
        )
        driver = self._driver = self._make_driver(self._machine, self._notify)
        self._is_driven = True
        self._progress, self._call_is_over = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_driver, driver, accepted, tasks.cancel_scope)
            await self._progress.wait()
            if self._call is not None:
                await self._run_agent(self._call)
            elif self._pending is not None:
                await self._answer(driver, self._pending)
        if self._failure is not None:
            raise self._failure

    async def _run_driver(
        self, driver: BaseDriver, accepted: Mapping[Any, Any], scope: anyio.CancelScope
    ) -> None:
        try:
            await driver.run(accepted)
        except Exception as error:  # a bug; the agent may finish all the same
            self._failure = error
        self._call_is_over.set()
        if self._call is not None:
            self._call.close()
        elif self._pending is not None:
            scope.cancel()  # nobody waits for the decision any more
        self._progress.set()

    @property
    def _call_agent(self) -> CallHandler:
        """The agent that handles the call."""
        return self._agent if self._setup is None else self._setup.agent or self._agent

    async def _run_agent(self, call: Call) -> None:
        try:
            await call.run(self._call_agent, self._grace_ms)
        except Exception as error:  # raised now it would tear down sockets that are closing
            self._failure = self._failure or error

    async def _answer(self, driver: BaseDriver, pending: PendingAnswer) -> None:
        """Have the application decide, and answer the request."""
        response, failure = await answer_pending(pending)
        self._failure = self._failure or failure
        driver.perform(self._machine.answer(response, driver.now()))

    def _fail(self, source: str, error: BaseException) -> None:
        """Keep a failure of the application, which `run` raises at the end."""
        failure = ApplicationError(f"{source} failed: {describe_error(error)}")
        failure.__cause__ = error
        self._failure = self._failure or failure

    def _set_bridge(self, bridge: CommandTarget, request: HttpRequest) -> None:
        del request
        self._bridge = bridge

    def _set_setup(self, setup: CallSetup) -> None:
        self._setup = setup

    def _set_pending(self, pending: PendingAnswer) -> None:
        self._pending = pending
        self._progress.set()

    def _notify(self, event: object) -> None:
        if isinstance(event, CallStarted) and self._setup is not None:
            parameters = {**event.custom_parameters, **self._setup.parameters}
            event = evolve(event, custom_parameters=parameters)
        if self._call is None and self._bridge is not None and isinstance(event, CallStarted):
            bridge = self._bridge
            self._call = Call(
                event,
                partial(self._send_command, bridge),
                lambda: bridge.items,
                lambda: bridge.playback_positions(self._driver.now()),
                None if self._setup is None else self._setup.incoming,
                None if self._setup is None else self._setup.config,
                control=None if self._setup is None else self._setup.control,
            )
            self._progress.set()
        if isinstance(event, CallEnded):
            self._call_is_over.set()
            if self._setup is not None:
                self._setup.ended = event
        if self._call is None:
            self._on_unhandled(event)
        else:
            self._call.notify(cast(Notification, event))

    def _send_command(self, bridge: CommandTarget, command: Command) -> None:
        now = self._driver.now()
        actions = bridge.send(command, now)
        self._is_hanging_up |= isinstance(command, HangUp)
        self._driver.perform(self._machine.perform(actions, now))


async def answer_pending(pending: PendingAnswer) -> tuple[HttpResponse, ApplicationError | None]:
    """Have the application decide about a call; return the answer to the request, and the failure
    of the application, if it has failed."""
    try:
        return await pending.decide(), None
    except BaseException as error:
        if not is_application_failure(error):
            raise
        failure = ApplicationError(f"the decision about a call failed: {describe_error(error)}")
        failure.__cause__ = error
        return _DECISION_FAILED, failure


def _is_exposed(connection: object) -> bool:
    """Whether a connection came in at an address that other machines can reach."""
    if not isinstance(connection, socket):
        return False  # a stream in memory
    try:
        address = ip_address(connection.getsockname()[0].partition("%")[0])
    except (OSError, ValueError, IndexError):  # another family of addresses, or closed already
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_loopback

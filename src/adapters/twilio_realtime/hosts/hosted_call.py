"""One call whose stream comes over somebody else's WebSocket.

The host reads and writes the stream; our own driver, on the same event loop, reads and writes the
links to the model and keeps time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from twilio_realtime_core import Fault, FaultKind
from twilio_realtime_core.commands import GoAway
from twilio_realtime_core.machine.actions import (
    ABNORMAL_CLOSURE,
    Action,
    Close,
    Notify,
    Peer,
    SendPing,
)
from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.protocols.twilio import MAX_MESSAGE_BYTES
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse
from twilio_realtime_core.transport.stack import Stack

from ..agents.call import GRACE_MS, CallHandler
from ..agents.call_acceptor import CommandTarget, DriverFactory, call_acceptor
from ..agents.call_setup import CallSetup
from ..agents.decisions import PendingAnswer
from ..recordings.bridge_wrapper import BridgeLike
from ..runtime.base_driver import BaseDriver
from ..runtime.random_pool import RandomPool
from ..runtime.tcp_acceptor import ConnectionRunner, GoodbyeRunner
from ..server.connection import ServiceConnection
from ..server.service import Service
from ..server.streams import CallUpgrade
from .outgoing import OutgoingQueue
from .socket import HostSocket, HostSocketClosed, ReceivedMessage, describe_closure
from .splitter import PeerSplitter

__all__ = ["SERVICE_RESTART", "HostedCall"]

SERVICE_RESTART: Final = 1012
"""The close code of a server that ends, as uvicorn sends it; a phone never does (IANA, "WebSocket
Close Code Number Registry")."""

_TOO_LARGE: Final = 1009
"""The close code for a message that is longer than the limit (RFC 6455, section 7.4.1)."""

_CLOSE_TIMEOUT_S: Final = 3.0
"""How long the host may take, after the call or after the end of its socket, to send what is
queued and to close."""

_RECEIPT_TIMEOUT_S: Final = 1.0
"""How long the end of the socket may take to be received after nothing could be sent."""

_LAG_INTERVAL_S: Final = 0.25
"""Between measurements of how late the event loop is, in each call."""


@define(eq=False, repr=False)
class HostedCall:
    """A call of `service`, about which `upgrade` says what was decided, with its agent: `agent`
    unless the decision names another one.

    `make_driver` is that of `call_acceptor`. `run` runs the call once, unless there is a `refusal`.
    """

    _service: Service
    _upgrade: CallUpgrade
    _agent: CallHandler
    _socket: HostSocket
    _make_driver: DriverFactory
    _grace_ms: int = field(default=GRACE_MS, kw_only=True, alias="grace_ms")
    refusal: HttpResponse | None = field(init=False, default=None)
    """Why the service does not take the call, or `None`."""
    _outgoing: OutgoingQueue = field(init=False, factory=OutgoingQueue)
    _splitter: PeerSplitter = field(init=False)
    _connection: ServiceConnection = field(init=False)
    _runner: ConnectionRunner = field(init=False)
    _driver: BaseDriver = field(init=False)
    _is_driven: anyio.Event = field(init=False, factory=anyio.Event)
    """Set when the driver takes inputs."""
    _is_closed: bool = field(init=False, default=False)
    """Whether the bridge was notified of the end of the stream."""
    _receipt_ended: anyio.Event = field(init=False, factory=anyio.Event)
    """Set when nothing more is received."""
    _io_scope: anyio.CancelScope = field(init=False)

    def __attrs_post_init__(self) -> None:
        bridge = cast(BridgeLike, self._upgrade.machine)
        links = {
            peer: config
            for peer, config in self._upgrade.link_configs.items()
            if peer is not Peer.TWILIO
        }
        self._splitter = PeerSplitter(bridge, Peer.TWILIO, self._outgoing.put, self._is_driven.set)
        stack = Stack(self._splitter, links, RandomPool())
        answer = self._service.begin_hosted_call(stack, self._splitter)
        if isinstance(answer, HttpResponse):
            self.refusal = answer
        else:
            self._connection = answer
        accept = call_acceptor(self, self._agent, self._create_driver, grace_ms=self._grace_ms)
        self._runner, _ = accept()

    @property
    def is_established(self) -> bool:
        """See `ConnectionRunner`: it is a call."""
        return True

    def go_away(self) -> None:
        """End the call in good order, since the program ends; a second time at once."""
        self._runner.go_away()

    async def say_goodbye(self) -> None:
        """Let the agent say goodbye (see `GoodbyeRunner`)."""
        if isinstance(self._runner, GoodbyeRunner):
            await self._runner.say_goodbye()

    async def run(self, accepted: Mapping[Any, Any] = {}, /) -> None:
        """Run the call and its agent to their ends. A cancellation ends the call in good order.

        Raises what `Call.run` raises, once the stream is closed.
        """
        del accepted  # the host has the stream
        failure: Exception | None = None
        # The host's socket is still read and written while the call ends in good order.
        self._io_scope = anyio.CancelScope(shield=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._exchange_messages)
            tasks.start_soon(self._measure_lag)
            try:
                await self._runner.run({})
            except Exception as error:  # raised now it would cancel what sends the close frame
                failure = error
            finally:
                self._outgoing.close()
                self._io_scope.deadline = anyio.current_time() + _CLOSE_TIMEOUT_S
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # The driver

    def open_connection(
        self,
        on_call: Callable[[CommandTarget, HttpRequest], None],
        *,
        agent: CallHandler,
        on_setup: Callable[[CallSetup], None],
        on_pending: Callable[[PendingAnswer], None],
        is_exposed: bool,
    ) -> ServiceConnection:
        """See `ConnectionFactory`: the connection is a call already."""
        del agent, on_pending, is_exposed
        on_setup(self._upgrade.setup)
        on_call(self._splitter, HttpRequest("GET", ""))
        return self._connection

    def _create_driver(self, machine: ByteMachine, notify: Callable[[object], None]) -> BaseDriver:
        self._driver = self._make_driver(machine, notify)
        return self._driver

    def _call_bridge(self, method: Callable[..., list[Action]], *arguments: object) -> None:
        """Call a method of the bridge, and perform the actions that are not the host's."""
        now = self._driver.now()
        self._driver.perform(self._connection.perform(method(*arguments, now), now))

    def _notify_fault(self, kind: FaultKind, message: str) -> None:
        notification = Notify(Fault(Peer.TWILIO, kind, message))
        self._driver.perform(self._connection.perform([notification], self._driver.now()))

    # The host's socket

    async def _exchange_messages(self) -> None:
        self._socket.on_pong = partial(self._call_bridge, self._splitter.pong, Peer.TWILIO)
        with self._io_scope:
            await self._is_driven.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._receive_messages, tasks)
                tasks.start_soon(self._watch_overflow, tasks)
                await self._send_messages()
                tasks.cancel_scope.cancel()

    async def _receive_messages(self, tasks: TaskGroup) -> None:
        while not self._is_closed:
            message = await self._receive()
            match message:
                case str() if len(message) > MAX_MESSAGE_BYTES:
                    self._notify_fault(
                        FaultKind.TOO_LARGE, "a message that is longer than the limit"
                    )
                    self._outgoing.put(Close(Peer.TWILIO, _TOO_LARGE, ""))
                    break
                case str():
                    self._call_bridge(self._splitter.receive_text, Peer.TWILIO, message)
                case bytes():
                    kind = FaultKind.BINARY_MESSAGE
                    self._notify_fault(kind, "a binary message was ignored")
                case HostSocketClosed():
                    self._report_closure(message)
        self._receipt_ended.set()
        # What is being sent may never be taken any more; a close frame may be on its way.
        tasks.cancel_scope.deadline = anyio.current_time() + _CLOSE_TIMEOUT_S

    async def _receive(self) -> ReceivedMessage:
        try:
            return await self._socket.receive()
        except Exception as error:  # of any framework
            return describe_closure(error)

    async def _send_messages(self) -> None:
        async for message in self._outgoing:
            try:
                match message:
                    case str():
                        await self._socket.send(message)
                    case SendPing(payload=payload):
                        await self._socket.ping(payload)
                    case Close(code=code, reason=reason):
                        await self._socket.close(code, reason)
                        is_fault = code == _TOO_LARGE
                        closed = (
                            HostSocketClosed(ABNORMAL_CLOSURE) if is_fault else HostSocketClosed()
                        )
                        self._report_closure(closed)
            except Exception as error:  # of any framework
                # What is received says better how the socket was closed.
                with anyio.move_on_after(_RECEIPT_TIMEOUT_S):
                    await self._receipt_ended.wait()
                self._report_closure(describe_closure(error))

    async def _watch_overflow(self, tasks: TaskGroup) -> None:
        await self._outgoing.overflowed.wait()
        self._report_closure(HostSocketClosed(ABNORMAL_CLOSURE, "the peer does not read"))
        tasks.cancel_scope.cancel()

    def _report_closure(self, closed: HostSocketClosed) -> None:
        """Notify the bridge once that the stream has ended."""
        if self._is_closed:
            return
        self._is_closed = True
        self._outgoing.discard()
        if closed.code == SERVICE_RESTART:
            self._call_bridge(self._splitter.send, GoAway())
        self._call_bridge(self._splitter.closed, Peer.TWILIO, closed.code, closed.reason)

    async def _measure_lag(self) -> None:
        """Measure how late the event loop is: a host has no supervisor."""
        while True:
            due = anyio.current_time() + _LAG_INTERVAL_S
            await anyio.sleep(_LAG_INTERVAL_S)
            self._service.admission.measure_lag(max(0.0, anyio.current_time() - due))

"""A call over a WebSocket of a host that exists in memory: a phone at its far end, the model over
streams in memory. Both runtimes, in virtual time."""

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from attrs import define, field

from driving import RUNTIMES, CallParties, ignore
from twilio_realtime.agents.call import CallHandler
from twilio_realtime.hosts.hosted_call import HostedCall
from twilio_realtime.hosts.socket import HostSocketClosed, ReceivedMessage, ignore_pong
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.server.streams import CallUpgrade
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.twilio_peer import SERVER
from twilio_realtime_core import Action, CallConfig, Close, Send
from twilio_realtime_core.machine.units import SECOND

CONFIG = ServiceConfig(call=CallConfig(url="ws://model/v1/realtime"))


@define(eq=False)
class Channel:
    """A queue between two tasks."""

    queue: deque[Any] = field(factory=deque[Any])
    arrival: anyio.Event = field(factory=anyio.Event)

    def put(self, message: Any) -> None:
        self.queue.append(message)
        self.arrival.set()

    async def get(self) -> Any:
        while not self.queue:
            self.arrival = anyio.Event()
            await self.arrival.wait()
        return self.queue.popleft()


@define(eq=False)
class MemorySocket:
    """A `HostSocket` in memory. Tests replace its methods by those of a bad host."""

    on_pong: Callable[[bytes], None] = ignore_pong
    sent: list[str] = field(factory=list[str])
    closed_with: list[tuple[int, str]] = field(factory=list[tuple[int, str]])
    pings: list[bytes] = field(factory=list[bytes])
    inbound: Channel = field(factory=Channel)
    """What the phone has sent."""
    outbound: Channel = field(factory=Channel)
    """What the phone receives."""
    before_send: Callable[[str], Awaitable[None]] | None = None
    before_close: Callable[[], Awaitable[None]] | None = None

    def push(self, message: ReceivedMessage | Exception) -> None:
        self.inbound.put(message)

    async def receive(self) -> ReceivedMessage:
        message = await self.inbound.get()
        if isinstance(message, Exception):
            raise message
        return message  # type: ignore[no-any-return]

    async def send(self, text: str) -> None:
        if self.before_send is not None:
            await self.before_send(text)
        self.sent.append(text)
        self.outbound.put(text)

    async def ping(self, payload: bytes) -> None:
        self.pings.append(payload)
        self.on_pong(payload)

    async def close(self, code: int, reason: str) -> None:
        if self.before_close is not None:
            await self.before_close()
        self.closed_with.append((code, reason))
        self.outbound.put(HostSocketClosed(code, reason))


@define(eq=False)
class HostedTestCall:
    """A hosted call on `runtime`, with the parties of `driving.CallParties`."""

    runtime: str
    agent: CallHandler
    parties: CallParties = field(factory=CallParties)
    config: ServiceConfig = CONFIG
    socket: MemorySocket = field(factory=MemorySocket)
    service: Service = field(init=False)
    call: HostedCall = field(init=False)
    tasks: Any = field(init=False)
    phone_close_code: int | None = field(init=False, default=None)

    async def run(self, *, has_phone: bool = True) -> None:
        """Run the call to its end, with its phone and its model."""
        self.service = Service(self.config)
        upgrade = self.service.create_call(self.agent)
        assert isinstance(upgrade, CallUpgrade), upgrade
        self.parties.phone.url = "ws://host/media-stream"
        failure: Exception | None = None
        async with anyio.create_task_group() as self.tasks:
            self.call = HostedCall(
                self.service, upgrade, self.agent, self.socket, self._make_driver
            )
            assert self.call.refusal is None
            if has_phone:
                self.tasks.start_soon(self.run_phone)
            try:
                await self.call.run()
            except Exception as error:  # raised below, outside of the task group
                failure = error
            self.tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _make_driver(self, machine: Any, notify: Callable[[object], None]) -> Any:
        return RUNTIMES[self.runtime].Driver(machine, notify, dial=self._dial_model)

    async def _dial_model(self, host: str, port: int) -> Any:
        api = RUNTIMES[self.runtime]
        near, far = api.memory_pair()
        driver = api.Driver(self.parties.model_machine(), ignore)
        self.tasks.start_soon(driver.run, {CLIENT: far})
        return near

    async def run_phone(self) -> None:
        """Run the phone at the far end of the socket until it is closed."""
        phone = self.parties.phone
        self._perform(phone.start(_now()))
        self._perform(phone.opened(SERVER, _now()))
        while self.phone_close_code is None:
            deadline = math.inf if phone.deadline is None else phone.deadline / SECOND
            message: Any = None
            with anyio.CancelScope(deadline=deadline):
                message = await self.socket.outbound.get()
            if isinstance(message, HostSocketClosed):
                self.phone_close_code = message.code
                phone.closed(SERVER, message.code, message.reason, _now())
                self.socket.push(HostSocketClosed(message.code))
            elif message is not None:
                self._perform(phone.receive_text(SERVER, message, _now()))
            if phone.deadline is not None and phone.deadline <= _now():
                self._perform(phone.handle_timeout(_now()))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(message=message):
                    self.socket.push(message.encode())
                case Close(code=code, reason=reason):
                    self.socket.push(HostSocketClosed(code, reason))
                    self.phone_close_code = code
                case _:
                    pass


def _now() -> int:
    return int(anyio.current_time() * SECOND + 0.5)

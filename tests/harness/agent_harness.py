"""A harness for tests of agents: each connection becomes a call, whose notifications come from the
test. The drivers are real, over streams in memory."""

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from driving import RUNTIMES, run_in_virtual_time
from twilio_realtime.agents.call import CallHandler
from twilio_realtime.agents.call_acceptor import CommandTarget, call_acceptor
from twilio_realtime.agents.phone_events import CallEvent
from twilio_realtime_core import (
    Action,
    ByteAction,
    Close,
    Command,
    HangUp,
    LocalProtocolError,
    Notify,
    Peer,
    Shutdown,
)
from twilio_realtime_core.commands import SendFunctionOutput
from twilio_realtime_core.notifications import CallEnded, CallStarted, EndReason
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse
from twilio_realtime_core.values.items import ConversationItem, Message, Role
from twilio_realtime_core.values.playback_position import PartKey, PlaybackPosition

STARTED = CallStarted("MZ1", "CA1", "AC1", {"who": "Ann"})
HUNG_UP = CallEnded(EndReason.HUNG_UP)
CALLER_HUNG_UP = CallEnded(EndReason.CALLER_HUNG_UP)


@define(eq=False)
class FakeConnection:
    """The machine of a connection and the bridge of its call in one. Like a bridge it takes one
    output for each function call, and it ends when either side hangs up."""

    on_call: Callable[[CommandTarget, HttpRequest], None]
    commands: list[Command] = field(init=False, factory=list[Command])
    ignores_hang_up: bool = False
    """Whether `HangUp` does not end it, as if a peer kept its connection open."""
    deadline: int | None = field(init=False, default=None)
    _has_ended: bool = field(init=False, default=False)
    _outputs: set[str] = field(init=False, factory=set[str])

    def start(self, now: int) -> list[ByteAction]:
        return []

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        self.on_call(self, HttpRequest("GET", "/media-stream"))
        return [Notify(STARTED)]

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        raise AssertionError("nothing is dialled")

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        raise ValueError(data.decode())  # a bug of a machine

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        end: list[ByteAction] = [] if self._has_ended else [Notify(CALLER_HUNG_UP)]
        self._has_ended = True
        return [*end, Shutdown(peer)]

    def handle_timeout(self, now: int) -> list[ByteAction]:
        return []

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        return (Message("i", Role.USER),)

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        return (PlaybackPosition(PartKey(1, "r", "i", 0), 0, 80, 160, is_complete=False),)

    def send(self, command: Command, now: int) -> list[Action]:
        if self._has_ended:
            return []
        match command:
            case SendFunctionOutput(call_id=call_id):
                if call_id in self._outputs:
                    raise LocalProtocolError(f"{call_id} has its answer")
                self._outputs.add(call_id)
            case HangUp() if not self.ignores_hang_up:
                self._has_ended = True
            case _:
                pass
        self.commands.append(command)
        return [Notify(HUNG_UP), Close(Peer.TWILIO, 1000, "")] if self._has_ended else []

    def answer(self, response: HttpResponse, now: int) -> list[ByteAction]:
        raise AssertionError("nothing is asked")

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        return [
            Shutdown(Peer.TWILIO) if isinstance(each, Close) else each
            for each in actions
            if isinstance(each, Close | Notify)
        ]

    @property
    def outputs(self) -> list[SendFunctionOutput]:
        return [each for each in self.commands if isinstance(each, SendFunctionOutput)]


@define(eq=False)
class AgentHarness:
    """Runs an agent in calls, on one runtime. `options` are those of `call_acceptor`."""

    runtime: str
    agent: CallHandler
    options: dict[str, Any] = field(factory=dict[str, Any])
    connections: list[FakeConnection] = field(init=False, factory=list[FakeConnection])
    errors: list[Exception] = field(init=False, factory=list[Exception])
    unhandled: list[object] = field(init=False, factory=list[object])
    _drivers: list[Any] = field(init=False, factory=list[Any])
    _ends: list[Any] = field(init=False, factory=list[Any])

    def open_connection(
        self, on_call: Callable[[CommandTarget, HttpRequest], None], **options: Any
    ) -> FakeConnection:
        assert options["agent"] is self.agent
        self.connections.append(FakeConnection(on_call))
        return self.connections[-1]

    def make_driver(self, machine: Any, notify: Callable[[object], None]) -> Any:
        self._drivers.append(self.package.Driver(machine, notify))
        return self._drivers[-1]

    @property
    def package(self) -> Any:
        return RUNTIMES[self.runtime]

    @property
    def connection(self) -> FakeConnection:
        """The connection of the only call."""
        (connection,) = self.connections
        return connection

    def notify(self, *events: CallEvent, number: int = 0) -> None:
        """Notify `events` in a call, all in one step."""
        self._drivers[number].perform([Notify(event) for event in events])

    def hang_up(self, number: int = 0) -> None:
        """Hang up as the caller."""
        self._ends[number].send_eof()

    def send_bytes(self, data: bytes, number: int = 0) -> None:
        """Send bytes as the caller."""
        self._ends[number].send(data)

    async def run_call(self) -> None:
        """Run one call to its end."""
        accept = call_acceptor(
            self, self.agent, self.make_driver, on_unhandled=self.unhandled.append, **self.options
        )
        driver, peer = accept()
        near, far = self.package.memory_pair()
        self._ends.append(near)
        try:
            await driver.run({peer: far})
        except Exception as error:
            self.errors.append(error)
        finally:
            near.close()

    async def run_during_calls(self, script: "Script", calls: int = 1) -> None:
        """Run `script` during `calls` calls, and wait for the calls to end."""
        async with anyio.create_task_group() as tasks:
            for _ in range(calls):
                tasks.start_soon(self.run_call)
                await run_ready_tasks()
            await script(self)

    def run(self, script: "Script", calls: int = 1) -> "AgentHarness":
        """Do the same in virtual time."""
        run_in_virtual_time(self.runtime, partial(self.run_during_calls, script, calls))
        return self


Script: TypeAlias = Callable[[AgentHarness], Awaitable[object]]


async def run_ready_tasks() -> None:
    """Let all other tasks run until they wait for time to pass."""
    for _ in range(20):  # turns of the loop: more than any reaction here takes
        await checkpoint()

"""A telephone exchange for tests of agents: each connection is a call at once, and the test says
what happens in it. The drivers are the real ones, over streams in memory."""

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from driving import RUNTIMES, run_virtual
from twilio_realtime.agents.call import Agent
from twilio_realtime.agents.call_acceptor import CommandTarget, answering
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
from twilio_realtime_core.notifications import CallEnded, CallStarted, EndReason, Notification
from twilio_realtime_core.transport.http import HttpRequest
from twilio_realtime_core.values.items import ConversationItem, Message, Role
from twilio_realtime_core.values.playback_position import PartKey, PlaybackPosition

STARTED = CallStarted("MZ1", "CA1", "AC1", {"who": "Ann"})
HUNG_UP = CallEnded(EndReason.HUNG_UP)
CALLER_HUNG_UP = CallEnded(EndReason.CALLER_HUNG_UP)


@define(eq=False)
class Line:
    """The machine of a connection, and the bridge of its call. It answers each function once, as a
    bridge does, and ends when either side hangs up."""

    on_call: Callable[[CommandTarget, HttpRequest], None]
    commands: list[Command] = field(init=False, factory=list[Command])
    lingers: bool = False
    """It takes `HangUp` and does not end, as if a peer did not let go."""
    deadline: int | None = field(init=False, default=None)
    _ended: bool = field(init=False, default=False)
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
        told: list[ByteAction] = [] if self._ended else [Notify(CALLER_HUNG_UP)]
        self._ended = True
        return [*told, Shutdown(peer)]

    def handle_timeout(self, now: int) -> list[ByteAction]:
        return []

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        return (Message("i", Role.USER),)

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        return (PlaybackPosition(PartKey(1, "r", "i", 0), 0, 80, 160, is_complete=False),)

    def send(self, command: Command, now: int) -> list[Action]:
        if self._ended:
            return []
        match command:
            case SendFunctionOutput(call_id=call_id):
                if call_id in self._outputs:
                    raise LocalProtocolError(f"{call_id} has its answer")
                self._outputs.add(call_id)
            case HangUp() if not self.lingers:
                self._ended = True
            case _:
                pass
        self.commands.append(command)
        return [Notify(HUNG_UP), Close(Peer.TWILIO, 1000, "")] if self._ended else []

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
class Exchange:
    """Answers connections with an agent."""

    runtime: str
    agent: Agent
    options: dict[str, Any] = field(factory=dict[str, Any])
    lines: list[Line] = field(init=False, factory=list[Line])
    errors: list[Exception] = field(init=False, factory=list[Exception])
    stray: list[object] = field(init=False, factory=list[object])
    _drivers: list[Any] = field(init=False, factory=list[Any])
    _ends: list[Any] = field(init=False, factory=list[Any])

    def open_connection(self, on_call: Callable[[CommandTarget, HttpRequest], None]) -> Line:
        self.lines.append(Line(on_call))
        return self.lines[-1]

    def make_driver(self, machine: Any, notify: Callable[[object], None]) -> Any:
        self._drivers.append(self.api.Driver(machine, notify))
        return self._drivers[-1]

    @property
    def api(self) -> Any:
        return RUNTIMES[self.runtime]

    @property
    def line(self) -> Line:
        """That of the only call."""
        (line,) = self.lines
        return line

    def tell(self, *events: Notification, number: int = 0) -> None:
        """Something happens in a call, all in one step."""
        self._drivers[number].perform([Notify(event) for event in events])

    def hang_up(self, number: int = 0) -> None:
        """The caller hangs up."""
        self._ends[number].send_eof()

    def say(self, data: bytes, number: int = 0) -> None:
        """The caller sends bytes."""
        self._ends[number].send(data)

    async def call(self) -> None:
        """A caller calls; until the call is over."""
        accept = answering(
            self, self.agent, self.make_driver, on_stray=self.stray.append, **self.options
        )
        driver, peer = accept()
        near, far = self.api.memory_pair()
        self._ends.append(near)
        try:
            await driver.run({peer: far})
        except Exception as error:
            self.errors.append(error)
        finally:
            near.close()

    async def during_calls(self, script: "Script", calls: int = 1) -> None:
        """Do `script` while so many callers call, and wait for all of them to be done."""
        async with anyio.create_task_group() as tasks:
            for _ in range(calls):
                tasks.start_soon(self.call)
                await settle()
            await script(self)

    def run(self, script: "Script", calls: int = 1) -> "Exchange":
        """The same, in a loop with virtual time."""
        run_virtual(self.runtime, partial(self.during_calls, script, calls))
        return self


Script: TypeAlias = Callable[[Exchange], Awaitable[object]]


async def settle() -> None:
    """Let all others do what they can without time passing."""
    for _ in range(20):  # turns of the loop: more than any answer here takes
        await checkpoint()

"""Helpers for the tests of both drivers: a machine that records its inputs, a whole call, and an
asyncio loop with virtual time. Tests run on either runtime by way of anyio."""

import asyncio
import os
import selectors
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Hashable
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from random import Random
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import anyio
import trio.testing
import uvloop
from attrs import define, field

import twilio_realtime.asyncio
import twilio_realtime.trio
from timeouts import HANG_S
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
)
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import Bridge, CallConfig, Peer
from twilio_realtime_core.machine.actions import ByteAction, Shutdown
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

T = TypeVar("T")
MachineInput: TypeAlias = tuple[object, ...]
"""The kind of an input, its peer, and other arguments."""

RUNTIMES: dict[str, ModuleType] = {
    "trio": twilio_realtime.trio,
    "asyncio": twilio_realtime.asyncio,
}

LOOPS: dict[str, ModuleType] = {**RUNTIMES, "uvloop": twilio_realtime.asyncio}
"""The same with the loop that asyncio may be given, for tests in real time."""


@define(eq=False)
class RecordingMachine:
    """A `ByteMachine` that records its inputs. `respond` returns the actions for an input; `None`
    stands for the default, a `Shutdown` of each peer that has ended."""

    respond: "Responder" = lambda machine, event: None
    deadline: int | None = None
    inputs: list[MachineInput] = field(init=False, factory=list[MachineInput])
    times_ns: list[int] = field(init=False, factory=list[int])

    def received_from(self, peer: Hashable) -> bytes:
        return b"".join(each[2] for each in self.inputs if each[:2] == ("bytes", peer))  # type: ignore[misc]

    def start(self, now: int) -> list[ByteAction]:
        return self._record(now, "start")

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        return self._record(now, "connected", peer)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        return self._record(now, "failed", peer, reason)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        return self._record(now, "bytes", peer, data)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        return self._record(now, "eof", peer)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
        return self._record(now, "timeout")

    def _record(self, now: int, *event: object) -> list[ByteAction]:
        self.inputs.append(event)
        self.times_ns.append(now)
        actions = self.respond(self, event)
        if actions is not None:
            return actions
        return [Shutdown(event[1])] if event[0] == "eof" else []


Responder: TypeAlias = Callable[[RecordingMachine, MachineInput], list[ByteAction] | None]


def ignore(event: object) -> None:
    """Ignore a notification."""


# Running.


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when there is nothing else to do."""

    early_s = 0.0
    """How much too early it wakes (s)."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.timer_count = 0
        super().__init__(_Jumper(self))

    def time(self) -> float:
        return self.time_s

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.timer_count += 1
        return super().call_at(when, callback, *args, context=context)


class _Jumper(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self._loop.time_s += timeout - self._loop.early_s
        return ready


def run_in_real_time(runtime: str, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main` in real time, for `HANG_S` at most."""

    async def limited() -> Any:
        with anyio.fail_after(HANG_S):
            return await main()

    if runtime == "uvloop":
        return anyio.run(limited, backend="asyncio", backend_options={"use_uvloop": True})
    return anyio.run(limited, backend=runtime)


def run_in_virtual_time(runtime: str, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run `main` in virtual time, from 0 on."""
    options: dict[str, Any] = (
        {"clock": trio.testing.MockClock(autojump_threshold=0)}
        if runtime == "trio"
        else {"loop_factory": VirtualLoop}
    )
    return anyio.run(main, backend=runtime, backend_options=options)


async def with_background(
    background: Callable[[], Coroutine[Any, Any, object]], client: Callable[[], Awaitable[T]]
) -> T:
    """Return what `client` returns, once that and `background`, which run at the same time, end."""
    results: list[T] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(background)
        results.append(await client())
    return results[0]


@contextmanager
def assert_descriptors_closed() -> Generator[None, None, None]:
    """Assert that every descriptor opened in the context is closed again."""
    uvloop.new_event_loop().close()  # libuv keeps the pipe that it opens with its first loop
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a connection on loopback; the first one is non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.settimeout(0)
    return near, far


async def read_socket(end: socket.socket, size: int | None = None) -> bytes:
    """Read `size` bytes; or all bytes, and then close the socket."""
    data = b""
    while size is None or len(data) < size:
        await anyio.wait_readable(end)
        piece = end.recv(65536)
        if not piece:
            end.close()
            break
        data += piece
    return data


# A whole call.

LINK = LinkConfig(max_message_bytes=1 << 24)
ANSWER = sample_speech.load("agent_answer")
SHORT_SCRIPT: tuple[Cue, ...] = (
    AfterDelay(0, CallerSays(sample_speech.load("caller_interruption").audio[:4000])),
    WhenAgentHeard(200, CallerPressesKey("5")),
    AfterDelay(100 * MS, CallerHangsUp()),
)
LONG_SCRIPT: tuple[Cue, ...] = (
    AfterDelay(500 * MS, CallerSays(sample_speech.load("caller_question").audio)),
    WhenAgentHeard(1500, CallerSays(sample_speech.load("caller_interruption").audio)),
    WhenAgentHeard(700, CallerPressesKey("5")),
    AfterDelay(SECOND, CallerHangsUp()),
)


@define(eq=False)
class CallParties:
    """The phone, the bridge and the model of a call, and their machines."""

    script: tuple[Cue, ...] = SHORT_SCRIPT
    phone: TwilioPeer = field(init=False)
    bridge: Bridge = field(init=False)
    model: RealtimePeer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.phone = TwilioPeer(url="ws://bridge/media-stream", seed=1, script=self.script)
        self.bridge = Bridge(CallConfig(url="ws://model/v1/realtime", reconnect=None))
        quick = Pace(first_spoken_item_ns=20 * MS, first_audio_ns=20 * MS)
        self.model = RealtimePeer(
            [Reply((SpokenReply(ANSWER.audio, ANSWER.transcript),))], seed=2, pace=quick
        )

    def phone_machine(self) -> Stack:
        return Stack(self.phone, {SERVER: LINK}, Random(1).randbytes)

    def bridge_machine(self) -> HttpConnection:
        return _serve(self.bridge, Peer.TWILIO, {Peer.TWILIO: LINK, Peer.REALTIME: LINK})

    def model_machine(self) -> HttpConnection:
        return _serve(self.model, CLIENT, {CLIENT: LINK})


def _serve(machine: MessageMachine, peer: Hashable, links: dict[Any, LinkConfig]) -> HttpConnection:
    def respond(request: HttpRequest) -> Upgrade:
        del request
        return Upgrade(machine, peer, links)

    return HttpConnection(peer, respond, Random(2).randbytes)


async def run_call_in_memory(api: Any, call: CallParties, notify: Callable[[object], None]) -> None:
    """Run a call over byte streams in memory."""
    async with anyio.create_task_group() as tasks:

        async def dial_bridge(host: str, port: int) -> Any:
            del host, port
            near, far = api.memory_pair()
            driver = api.Driver(call.bridge_machine(), notify, dial=dial_model)
            tasks.start_soon(driver.run, {Peer.TWILIO: far})
            return near

        async def dial_model(host: str, port: int) -> Any:
            del host, port
            near, far = api.memory_pair()
            tasks.start_soon(api.Driver(call.model_machine(), ignore).run, {CLIENT: far})
            return near

        await api.drive(call.phone_machine(), notify=ignore, dial=dial_bridge)


async def run_call_over_sockets(
    api: Any, call: CallParties, notify: Callable[[object], None]
) -> None:
    """Run a call over TCP on loopback; bridge and model are servers."""
    errors: list[Exception] = []
    ended = anyio.Event()

    def on_notification(event: object) -> None:
        notify(event)
        if isinstance(event, CallEnded):
            ended.set()

    async with listening(api, lambda: (api.Driver(call.model_machine(), ignore), CLIENT)) as model:

        def accept() -> tuple[Any, Hashable]:
            machine = call.bridge_machine()
            return api.Driver(machine, on_notification, dial=dial_to(api, model[0])), Peer.TWILIO

        async with listening(api, accept, on_error=errors.append) as bridge:
            machine = call.phone_machine()
            await api.drive(machine, notify=ignore, dial=dial_to(api, bridge[0]))
            await ended.wait()
    assert errors == []


def dial_to(api: Any, address: tuple[str, int]) -> Callable[[str, int], Awaitable[Any]]:
    """Return a `dial` that connects to `address`, whatever the host."""

    async def dial(host: str, port: int) -> Any:
        del host, port
        return await api.dial(*address)

    return dial


def raise_error(error: Exception) -> None:
    """An `on_error` for tests without errors."""
    raise error


@asynccontextmanager
async def listening(
    api: Any,
    accept: Callable[[], tuple[Any, Hashable]],
    host: str | None = "127.0.0.1",
    on_error: Callable[[Exception], None] = raise_error,
    **options: Any,
) -> AsyncGenerator[list[tuple[str, int]], None]:
    """Listen on a free port while in the context; yields the addresses."""
    addresses: list[tuple[str, int]] = []
    bound = anyio.Event()

    def on_listening(found: list[tuple[str, int]]) -> None:
        addresses.extend(found)
        bound.set()

    listen = partial(
        api.listen, host, 0, accept, on_error=on_error, on_listening=on_listening, **options
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await bound.wait()
        yield addresses
        tasks.cancel_scope.cancel()

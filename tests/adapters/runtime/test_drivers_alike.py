"""The behaviour that both drivers share: each test runs on trio and on asyncio, over real sockets,
over streams in memory, or in virtual time."""

import asyncio
import errno
import inspect
import socket
import struct
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, TypeVar, cast

import anyio
import pytest
import trio
import trio.testing
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from driving import (
    LONG_SCRIPT,
    LOOPS,
    RUNTIMES,
    CallParties,
    MachineInput,
    RecordingMachine,
    Responder,
    VirtualLoop,
    assert_descriptors_closed,
    ignore,
    listening,
    read_socket,
    run_call_in_memory,
    run_call_over_sockets,
    run_in_real_time,
    run_in_virtual_time,
    tcp_pair,
    with_background,
)
from twilio_realtime.runtime.base_driver import READ_BYTES
from twilio_realtime.runtime.tcp_acceptor import Connections
from twilio_realtime.sim.world.calls import byte_call
from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import ByteAction, Connect, Notify, SendBytes, Shutdown
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import CallEnded, EndReason

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)
each_loop = pytest.mark.parametrize("runtime", LOOPS)

A, B = "a", "b"
T = TypeVar("T")


class BugError(Exception):
    """A bug of a machine or of an application."""


def relay(machine: RecordingMachine, event: MachineInput) -> list[ByteAction] | None:
    """Pass bytes on; when one side ends, shut down both."""
    match event:
        case ("bytes", peer, bytes(data)):
            return [SendBytes(B if peer == A else A, data)]
        case ("eof", _):
            return [Shutdown(A), Shutdown(B)]
        case _:
            return None


def respond_to(*prefix: object, actions: list[ByteAction]) -> Responder:
    """Return `actions` for inputs that start with `prefix`."""

    def respond(machine: RecordingMachine, event: MachineInput) -> list[ByteAction] | None:
        del machine
        return actions if event[: len(prefix)] == prefix else None

    return respond


def run_with_client(
    runtime: str,
    machine: RecordingMachine,
    client: Callable[[socket.socket], Awaitable[T]],
    notify: Callable[[object], None] = ignore,
) -> T:
    """Drive a machine whose peer A is `client`, with a small send buffer; return its result."""

    async def main() -> T:
        near, far = tcp_pair()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        drive = LOOPS[runtime].drive
        with near:
            return await with_background(
                lambda: drive(machine, {A: far}, notify=notify), lambda: client(near)
            )

    return cast(T, run_in_real_time(runtime, main))


# The packages


def test_both_packages_have_equal_names_parameters_and_limits() -> None:
    package, other_package = RUNTIMES.values()
    assert package.__all__ == other_package.__all__
    for name in package.__all__:
        first, second = getattr(package, name), getattr(other_package, name)
        if isinstance(first, int):
            assert first == second
        elif inspect.isfunction(first):
            assert list(inspect.signature(first).parameters) == list(
                inspect.signature(second).parameters
            )
    methods = [
        {name for name in dir(api.Driver) if not name.startswith("_")} for api in RUNTIMES.values()
    ]
    assert methods == [{"go_away", "is_established", "now", "perform", "run"}] * 2


# Start, end and time


@each_loop
def test_a_machine_without_streams_and_deadline_ends_immediately(runtime: str) -> None:
    machine = RecordingMachine()
    run_in_real_time(runtime, lambda: LOOPS[runtime].drive(machine, notify=ignore))
    assert machine.inputs == [("start",)]


@each_runtime
def test_the_machine_is_called_at_its_deadlines_to_the_nanosecond(runtime: str) -> None:
    def respond(machine: RecordingMachine, event: MachineInput) -> None:
        if event == ("start",):
            machine.deadline = 123_456_789
        elif len(machine.inputs) < 6:
            machine.deadline = 1_000_000_007 * len(machine.inputs)

    machine = RecordingMachine(respond)
    run_in_virtual_time(runtime, lambda: LOOPS[runtime].drive(machine, notify=ignore))
    assert machine.inputs == [("start",)] + [("timeout",)] * 5
    assert machine.times_ns == [0, 123_456_789, *(1_000_000_007 * n for n in range(2, 6))]


@each_runtime
def test_a_moved_deadline_is_kept(runtime: str) -> None:
    machine = RecordingMachine(deadline=5 * SECOND)

    async def main() -> None:
        api = LOOPS[runtime]
        driver = api.Driver(machine, ignore)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.run)
            await anyio.sleep(1)
            machine.deadline = 2 * SECOND  # earlier
            driver.perform([])
            await anyio.sleep(0.5)
            machine.deadline = 7 * SECOND  # later
            driver.perform([])
            await anyio.sleep(1)
            machine.deadline = 4 * SECOND
            driver.perform([])

    run_in_virtual_time(runtime, main)
    assert list(zip(machine.inputs, machine.times_ns, strict=True)) == [
        (("start",), 0),
        (("timeout",), 4 * SECOND),
    ]


@each_loop
def test_a_driver_runs_once(runtime: str) -> None:
    async def main() -> None:
        driver = LOOPS[runtime].Driver(RecordingMachine(), ignore)
        await driver.run()
        with pytest.raises(LocalProtocolError, match="once"):
            await driver.run()

    run_in_real_time(runtime, main)


# Bytes


@each_loop
@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 1000), max_size=20), seed=st.integers(0, 9))
def test_bytes_cut_anywhere_arrive_complete_and_in_order(
    runtime: str, cuts: list[int], seed: int
) -> None:
    data = Random(seed).randbytes(1000)

    async def client(near_a: socket.socket, near_b: socket.socket) -> bytes:
        for start, end in pairwise([0, *sorted(cuts), 1000]):
            near_a.send(data[start:end])
            await anyio.sleep(0)
        near_a.shutdown(socket.SHUT_WR)
        return await read_socket(near_b)

    async def main() -> bytes:
        near_a, far_a = tcp_pair()
        near_b, far_b = tcp_pair()
        drive = partial(
            LOOPS[runtime].drive, RecordingMachine(relay), {A: far_a, B: far_b}, notify=ignore
        )
        with near_a, near_b:
            return await with_background(drive, lambda: client(near_a, near_b))

    assert run_in_real_time(runtime, main) == data


@each_loop
def test_bytes_for_a_slow_peer_are_queued_and_arrive_later(runtime: str) -> None:
    pieces = [bytes([n]) * 50_000 for n in range(20)]
    machine = RecordingMachine(
        respond_to("connected", A, actions=[SendBytes(A, piece) for piece in pieces])
    )

    async def client(near: socket.socket) -> bytes:
        data = await read_socket(near, 1_000_000)
        near.close()
        return data

    assert run_with_client(runtime, machine, client) == b"".join(pieces)


@each_loop
def test_one_write_may_exceed_the_limit_of_unsent_bytes(runtime: str) -> None:
    large = bytes(LOOPS[runtime].MAX_UNSENT_BYTES + 500_000)
    actions: list[ByteAction] = [SendBytes(A, large), Shutdown(A)]
    assert (
        run_with_client(
            runtime, RecordingMachine(respond_to("connected", actions=actions)), read_socket
        )
        == large
    )


@each_loop
def test_a_peer_that_never_reads_is_dropped_without_delaying_others(runtime: str) -> None:
    """A is flooded and reads nothing; bytes of B are answered at once all the while."""
    api = LOOPS[runtime]
    flood = bytes(256 * 1024)

    def respond(machine: RecordingMachine, event: MachineInput) -> list[ByteAction] | None:
        match event:
            case ("bytes", "b", bytes(data)):
                return [SendBytes(A, flood), SendBytes(B, data)]
            case ("eof", "a"):
                return [Notify("a is gone")]
            case _:
                return None

    machine, notifications = RecordingMachine(respond), list[object]()

    async def main() -> None:
        near_a, far_a = api.memory_pair()
        near_b, far_b = tcp_pair()
        with near_b:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    lambda: api.drive(machine, {A: far_a, B: far_b}, notify=notifications.append)
                )
                for n in range(10):
                    near_b.send(bytes([n]))
                    assert await read_socket(near_b, 1) == bytes([n])
                near_b.close()
        with pytest.raises(ConnectionResetError):
            near_a.recv(1)

    run_in_real_time(runtime, main)
    assert notifications == ["a is gone"]
    assert [each for each in machine.inputs if each[0] == "eof"] == [("eof", A), ("eof", B)]


@each_loop
def test_a_reset_is_reported_once_as_the_end(runtime: str) -> None:
    machine = RecordingMachine(
        lambda machine, event: [SendBytes(A, b"x")] if event[0] == "eof" else None
    )

    async def main() -> None:
        near, far = LOOPS[runtime].memory_pair()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: LOOPS[runtime].drive(machine, {A: far}, notify=ignore))
            await anyio.sleep(0.01)
            near.abort()

    run_in_real_time(runtime, main)
    assert machine.inputs == [("start",), ("connected", A), ("eof", A)]


@each_loop
def test_a_failed_write_is_reported_once_as_the_end(runtime: str) -> None:
    machine = RecordingMachine(
        respond_to("connected", actions=[SendBytes(A, b"x"), SendBytes(A, b"y"), Notify("z")])
    )
    notifications = list[object]()

    async def main() -> None:
        near, far = LOOPS[runtime].memory_pair()
        near.abort()
        await LOOPS[runtime].drive(machine, {A: far}, notify=notifications.append)

    run_in_real_time(runtime, main)
    assert machine.inputs == [("start",), ("connected", A), ("eof", A)]
    assert notifications == ["z"]


@each_loop
def test_a_reset_with_unsent_bytes_is_reported_once(runtime: str) -> None:
    machine = RecordingMachine(respond_to("eof", actions=[SendBytes(A, b"12345678")]))

    async def main() -> None:
        near, far = LOOPS[runtime].memory_pair(4)
        near.send_eof()

        async def client() -> None:
            await anyio.sleep(0.01)
            near.abort()

        await with_background(
            lambda: LOOPS[runtime].drive(machine, {A: far}, notify=ignore), client
        )

    run_in_real_time(runtime, main)
    assert machine.inputs == [("start",), ("connected", A), ("eof", A)]


class HesitantTransport:
    """A transport whose reads and writes would block every other time."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.ready = {"recv": False, "send": False}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def recv(self, size: int) -> bytes:
        self._block_every_other_time("recv")
        return cast(bytes, self.transport.recv(size))

    def send(self, data: bytes) -> int:
        self._block_every_other_time("send")
        return cast(int, self.transport.send(data))

    def _block_every_other_time(self, method: str) -> None:
        self.ready[method] = not self.ready[method]
        if self.ready[method]:
            raise BlockingIOError


@each_loop
def test_a_spurious_wake_up_changes_nothing(runtime: str) -> None:
    machine = RecordingMachine(
        respond_to("bytes", actions=[SendBytes(A, b"1234"), SendBytes(A, b"56")])
    )

    async def main() -> bytes:
        near, far = LOOPS[runtime].memory_pair(4)
        received = b""

        async def client() -> None:
            nonlocal received
            near.send(b"x")
            while len(received) < 6:
                await anyio.sleep(0.001)
                with suppress(BlockingIOError):
                    received += near.recv(9)
            near.close()

        drive = LOOPS[runtime].drive
        await with_background(
            lambda: drive(machine, {A: HesitantTransport(far)}, notify=ignore), client
        )
        return received

    assert run_in_real_time(runtime, main) == b"123456"
    assert machine.received_from(A) == b"x"


@each_loop
@pytest.mark.parametrize("pair", ["memory", "tcp", "unix"])
def test_a_transport_raises_instead_of_blocking(runtime: str, pair: str) -> None:
    api = LOOPS[runtime]

    async def main() -> None:
        match pair:
            case "memory":
                near, far = api.memory_pair()
            case "tcp":
                near, far = map(api.SocketTransport, tcp_pair())
            case _:
                near, far = map(api.SocketTransport, socket.socketpair())
        with pytest.raises(BlockingIOError):
            near.recv(1)
        with pytest.raises(BlockingIOError):
            flood(near)
        near.close()
        far.close()

    run_in_real_time(runtime, main)


def flood(transport: Any) -> None:
    while True:
        transport.send(bytes(65536))


@each_loop
def test_a_closed_transport_raises_and_may_be_closed_again(runtime: str) -> None:
    api = LOOPS[runtime]

    async def main() -> None:
        for near, far in (api.memory_pair(), map(api.SocketTransport, tcp_pair())):
            near.close()
            near.abort()
            near.close()
            for use in (
                near.send_eof,
                lambda end=near: end.recv(1),
                lambda end=near: end.send(b""),
            ):
                with pytest.raises(OSError, match=r"closed|descriptor"):
                    use()
            far.close()

    run_in_real_time(runtime, main)


@each_loop
def test_a_peer_that_has_ended_can_still_be_answered(runtime: str) -> None:
    machine = RecordingMachine(
        respond_to("eof", actions=[SendBytes(A, b"and good bye"), Shutdown(A)])
    )

    async def client(near: socket.socket) -> bytes:
        near.send(b"hello")
        near.shutdown(socket.SHUT_WR)
        return await read_socket(near)

    assert run_with_client(runtime, machine, client) == b"and good bye"
    assert machine.received_from(A) == b"hello"


# The end of a stream


@each_loop
def test_after_a_shutdown_sent_bytes_arrive_and_input_is_ignored(runtime: str) -> None:
    """The peer is sending a long message: closing the socket at once would reset the connection."""
    bye = b"no more, please"
    machine = RecordingMachine(respond_to("bytes", actions=[SendBytes(A, bye), Shutdown(A)]))

    async def client(near: socket.socket) -> bytes:
        near.send(bytes(200_000))
        await anyio.sleep(0.02)
        near.send(bytes(1000))
        return await read_socket(near)

    assert run_with_client(runtime, machine, client) == bye
    assert [each[0] for each in machine.inputs] == ["start", "connected", "bytes"]


@each_loop
def test_a_shutdown_first_writes_the_unsent_bytes(runtime: str) -> None:
    data = Random(1).randbytes(500_000)
    machine = RecordingMachine(
        respond_to("connected", actions=[SendBytes(A, data), Shutdown(A), SendBytes(A, b"no")])
    )
    assert run_with_client(runtime, machine, read_socket) == data


@each_loop
def test_a_peer_that_ends_early_gets_all_unsent_bytes(runtime: str) -> None:
    data = Random(2).randbytes(500_000)
    machine = RecordingMachine(respond_to("connected", actions=[SendBytes(A, data), Shutdown(A)]))

    async def client(near: socket.socket) -> bytes:
        near.shutdown(socket.SHUT_WR)
        await anyio.sleep(0.02)
        return await read_socket(near)

    assert run_with_client(runtime, machine, client) == data


@each_loop
def test_a_shutdown_of_a_broken_stream_closes_it(runtime: str) -> None:
    machine = RecordingMachine(respond_to("connected", actions=[Shutdown(A)]))
    near, far = tcp_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()  # a reset
    run_in_real_time(runtime, lambda: LOOPS[runtime].drive(machine, {A: far}, notify=ignore))
    assert machine.inputs == [("start",), ("connected", A)]


@each_runtime
@pytest.mark.parametrize("size", [10, 500_000])
def test_a_stream_is_closed_if_its_peer_ignores_a_shutdown(runtime: str, size: int) -> None:
    api = LOOPS[runtime]
    machine = RecordingMachine(
        respond_to("connected", actions=[SendBytes(A, bytes(size)), Shutdown(A)])
    )

    async def main() -> float:
        near, far = api.memory_pair()
        await api.drive(machine, {A: far}, notify=ignore)
        if size == 10:
            assert near.recv(20) == bytes(10)
            assert near.recv(20) == b""
        else:
            with pytest.raises(ConnectionResetError):
                near.recv(20)
        return anyio.current_time()

    assert run_in_virtual_time(runtime, main) == pytest.approx(api.CLOSE_TIMEOUT_NS / SECOND)


@each_runtime
def test_a_peer_may_be_dialled_again_while_its_stream_closes(runtime: str) -> None:
    api = LOOPS[runtime]
    again: list[ByteAction] = [SendBytes(A, b"1"), Shutdown(A), Connect(A, "host", 1, tls=False)]
    machine = RecordingMachine(
        lambda machine, event: (
            (again if len(machine.inputs) == 2 else [SendBytes(A, b"2"), Shutdown(A)])
            if event[0] == "connected"
            else None
        )
    )
    dialled: list[Any] = []

    async def dial(host: str, port: int) -> Any:
        assert (host, port) == ("host", 1)
        near, far = api.memory_pair()
        dialled.append(near)
        return far

    async def main() -> None:
        near, far = api.memory_pair()
        await api.drive(machine, {A: far}, notify=ignore, dial=dial)
        assert [near.recv(9), dialled[0].recv(9)] == [b"1", b"2"]

    run_in_virtual_time(runtime, main)
    assert machine.inputs == [("start",), ("connected", A), ("connected", A)]


# Dialling


@define(eq=False)
class DialingMachine:
    """A machine that dials when it starts."""

    host: str
    port: int = 1
    machine: RecordingMachine = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.machine = RecordingMachine(
            respond_to("start", actions=[Connect(A, self.host, self.port, tls=False)])
        )

    def run(self, runtime: str) -> list[MachineInput]:
        run_in_real_time(runtime, lambda: LOOPS[runtime].drive(self.machine, notify=ignore))
        return self.machine.inputs


@each_loop
def test_a_server_is_dialled_and_its_bytes_arrive(runtime: str) -> None:
    async def main() -> list[MachineInput]:
        accept = lambda: (api.Driver(server, ignore), B)  # noqa: E731
        async with listening(api, accept) as addresses:
            dialing = DialingMachine(*addresses[0])
            await api.drive(dialing.machine, notify=ignore)
        return dialing.machine.inputs

    api = LOOPS[runtime]
    server = RecordingMachine(
        respond_to("connected", actions=[SendBytes(B, b"welcome"), Shutdown(B)])
    )
    inputs = run_in_real_time(runtime, main)
    assert inputs == [("start",), ("connected", A), ("bytes", A, b"welcome"), ("eof", A)]


@each_runtime
def test_a_refused_connection_is_reported_with_the_systems_reason(runtime: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        inputs = DialingMachine(*unused.getsockname()).run(runtime)
    assert inputs == [("start",), ("failed", A, "connection refused")]


@each_loop
def test_the_next_address_of_a_host_is_tried_after_failure(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def found(host: object, port: object, *args: Any, **options: Any) -> list[Any]:
        if host != "two.example":
            return real(host, port, *args, **options)  # type: ignore[arg-type]
        stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [
            (socket.AF_INET, *stream, ("127.0.0.1", closed)),
            (socket.AF_INET6, *stream, ("::1", closed, 0, 0)),
            (socket.AF_INET, *stream, ("127.0.0.1", port)),
        ]

    async def main() -> list[MachineInput]:
        async with listening(api, lambda: (api.Driver(RecordingMachine(), ignore), B)) as addresses:
            dialing = DialingMachine("two.example", addresses[0][1])
            dialing.machine.respond = lambda machine, event: (
                [Connect(A, "two.example", addresses[0][1], tls=False)]
                if event == ("start",)
                else [Shutdown(A)]
                if event[0] == "connected"
                else None
            )
            await api.drive(dialing.machine, notify=ignore)
        return dialing.machine.inputs

    api = LOOPS[runtime]
    monkeypatch.setattr(socket, "getaddrinfo", found)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        assert run_in_real_time(runtime, main) == [("start",), ("connected", A)]


@each_loop
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("a secret"), "no connection"),
        (OSError(errno.ENETUNREACH, "a secret"), "network is unreachable"),
    ],
)
def test_the_text_of_an_unknown_error_is_not_passed_on(
    runtime: str, error: OSError, words: str
) -> None:
    async def dial(host: str, port: int) -> Any:
        raise error

    machine = DialingMachine("host").machine
    run_in_real_time(runtime, lambda: LOOPS[runtime].drive(machine, notify=ignore, dial=dial))
    assert machine.inputs == [("start",), ("failed", A, words)]


@each_runtime
def test_a_failed_name_look_up_is_reported(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*args: object, **options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    inputs = DialingMachine("nowhere.example").run(runtime)
    assert inputs == [("start",), ("failed", A, "name or service not known")]


@each_runtime
@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..b"])
def test_an_invalid_host_name_is_reported(runtime: str, host: str) -> None:
    assert DialingMachine(host).run(runtime) == [("start",), ("failed", A, "not a host name")]


@each_runtime
def test_a_shutdown_cancels_a_dial_without_a_report(runtime: str) -> None:
    api, cancelled = LOOPS[runtime], list[str]()

    async def dial(host: str, port: int) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(f"{host}:{port}")

    def respond(machine: RecordingMachine, event: MachineInput) -> list[ByteAction]:
        if event == ("start",):
            machine.deadline = 10 * SECOND
            return [Connect(A, "slow", 1, tls=False)]
        return [Shutdown(A)]

    machine = RecordingMachine(respond)
    run_in_virtual_time(runtime, lambda: api.drive(machine, notify=ignore, dial=dial))
    assert machine.inputs == [("start",), ("timeout",)]
    assert cancelled == ["slow:1"]


@each_runtime
def test_a_dial_that_succeeds_after_a_shutdown_is_closed(runtime: str) -> None:
    api = LOOPS[runtime]
    near, far = api.memory_pair()

    async def dial(host: str, port: int) -> Any:
        driver.perform([Shutdown(A)])
        return far

    machine = RecordingMachine(
        respond_to("start", actions=[Connect(A, "host", 1, tls=False)]), deadline=1
    )
    driver = api.Driver(machine, ignore, dial=dial)
    run_in_virtual_time(runtime, driver.run)
    assert machine.inputs == [("start",), ("timeout",)]
    assert near.recv(1) == b""


@each_runtime
def test_a_dial_that_fails_after_a_shutdown_is_ignored(runtime: str) -> None:
    async def dial(host: str, port: int) -> Any:
        driver.perform([Shutdown(A)])
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    machine = RecordingMachine(
        respond_to("start", actions=[Connect(A, "host", 1, tls=False)]), deadline=1
    )
    driver = LOOPS[runtime].Driver(machine, ignore, dial=dial)
    run_in_virtual_time(runtime, driver.run)
    assert machine.inputs == [("start",), ("timeout",)]


@each_loop
@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([Connect(A, "127.0.0.1", 443, tls=True)], "no TLS"),
        ([Connect(A, "127.0.0.1", 80, tls=False)] * 2, "already"),
    ],
)
def test_an_invalid_dial_raises(runtime: str, actions: list[ByteAction], words: str) -> None:
    api = LOOPS[runtime]
    with assert_descriptors_closed(), pytest.raises(LocalProtocolError, match=words):
        run_in_real_time(
            runtime,
            lambda: api.drive(
                RecordingMachine(respond_to("start", actions=actions)), notify=ignore
            ),
        )


# The application


@each_loop
def test_actions_performed_by_notify_come_after_the_current_ones(runtime: str) -> None:
    api, notifications = LOOPS[runtime], list[object]()

    def notify(event: object) -> None:
        notifications.append(event)
        if event == 1:
            driver.perform([Notify("later"), SendBytes(A, b"3"), Shutdown(A)])
            notifications.append("still 1")

    async def main() -> bytes:
        near, far = tcp_pair()
        with near:
            return await with_background(lambda: driver.run({A: far}), lambda: read_socket(near))

    actions: list[ByteAction] = [SendBytes(A, b"1"), Notify(1), SendBytes(A, b"2"), Notify(2)]
    driver = api.Driver(RecordingMachine(respond_to("connected", actions=actions)), notify)
    assert run_in_real_time(runtime, main) == b"123"
    assert notifications == [1, "still 1", 2, "later"]


@each_loop
def test_another_task_may_perform_actions_during_the_run(runtime: str) -> None:
    api, notifications = LOOPS[runtime], list[object]()

    async def main() -> None:
        near, far = tcp_pair()
        driver = api.Driver(RecordingMachine(), notifications.append)
        with pytest.raises(LocalProtocolError, match="not run yet"):
            driver.perform([Notify("too early")])
        with near:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.run, {A: far})
                await anyio.sleep(0.01)
                driver.perform([SendBytes(A, b"x"), Notify("in time")])
                assert await read_socket(near, 1) == b"x"
                near.close()
        driver.perform([Notify("too late")])

    run_in_real_time(runtime, main)
    assert notifications == ["in time"]


@each_loop
def test_time_never_runs_backwards(runtime: str) -> None:
    async def main() -> list[int]:
        driver = LOOPS[runtime].Driver(RecordingMachine(), ignore)
        return [driver.now() for _ in range(1000)]

    times = run_in_real_time(runtime, main)
    assert times == sorted(times)


@each_loop
@pytest.mark.parametrize("method", ["start", "connected", "bytes", "eof", "timeout", "notify"])
def test_an_exception_ends_the_run_and_closes_its_sockets(runtime: str, method: str) -> None:
    def respond(machine: RecordingMachine, event: MachineInput) -> list[ByteAction] | None:
        if event[0] == method:
            raise BugError(method)
        if event[0] == "bytes":
            return [Notify("x"), Notify("y"), SendBytes(A, b"never")]
        if event[0] == "eof":
            machine.deadline = 1
        return None

    def notify(event: object) -> None:
        notifications.append(event)
        raise BugError("notify")

    notifications = list[object]()
    near, far = tcp_pair()
    near_b, far_b = tcp_pair()
    with near, near_b:
        near.send(b"x") if method in ("bytes", "notify") else near.shutdown(socket.SHUT_WR)
        accepted = {A: far, B: far_b}
        with pytest.raises(BugError, match=method):
            run_in_real_time(
                runtime,
                lambda: LOOPS[runtime].drive(RecordingMachine(respond), accepted, notify=notify),
            )
        assert (far.fileno(), far_b.fileno()) == (-1, -1)
    assert notifications == (["x"] if method == "notify" else [])


@each_loop
def test_an_exception_of_performed_actions_ends_the_run(runtime: str) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        driver = LOOPS[runtime].Driver(RecordingMachine(), ignore)

        async def perform() -> None:
            await anyio.sleep(0.01)
            driver.perform([Connect(B, "host", 443, tls=True), Notify("never")])

        with near:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(perform)
                with pytest.raises(LocalProtocolError, match="no TLS"):
                    await driver.run({A: far})

    run_in_real_time(runtime, main)


@each_runtime
def test_the_machine_is_not_called_after_a_failure(runtime: str) -> None:
    machine = RecordingMachine(deadline=SECOND)

    async def main() -> None:
        driver = LOOPS[runtime].Driver(machine, ignore)

        async def perform() -> None:
            await anyio.sleep(0.5)
            machine.deadline = 1  # has passed
            driver.perform([Connect(B, "host", 443, tls=True)])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(perform)
            with pytest.raises(LocalProtocolError, match="no TLS"):
                await driver.run()

    run_in_virtual_time(runtime, main)
    assert machine.inputs == [("start",)]


# Cancellation


@each_loop
def test_a_call_cancelled_at_any_moment_leaves_nothing_open(runtime: str) -> None:
    api, random = LOOPS[runtime], Random(3)

    async def main() -> None:
        with assert_descriptors_closed():
            for _ in range(25):
                with anyio.move_on_after(random.uniform(0, 0.03)) as scope:
                    await run_call_over_sockets(api, CallParties(), ignore)
                assert scope.cancelled_caught

    run_in_real_time(runtime, main)


@each_loop
def test_cancellation_ends_a_dial_and_closes_a_stream_being_written(runtime: str) -> None:
    api = LOOPS[runtime]
    actions: list[ByteAction] = [SendBytes(A, bytes(9_000_000)), Connect(B, "host", 1, tls=False)]
    cancelled: list[str] = []

    async def dial(host: str, port: int) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(f"{host}:{port}")

    async def main() -> None:
        near, far = tcp_pair()
        with near, anyio.move_on_after(0.02):
            machine = RecordingMachine(respond_to("connected", actions=actions))
            await api.drive(machine, {A: far}, notify=ignore, dial=dial)
        assert far.fileno() == -1

    run_in_real_time(runtime, main)
    assert cancelled == ["host:1"]


# Listening


class EchoServers:
    """Accepts connections, each with a machine that echoes."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.machines: list[RecordingMachine] = []

    def accept(self) -> tuple[Any, Hashable]:
        self.machines.append(RecordingMachine(self.respond))
        return self.api.Driver(self.machines[-1], ignore), A

    def respond(self, machine: RecordingMachine, event: MachineInput) -> list[ByteAction] | None:
        if event == ("bytes", A, b"bug"):
            raise BugError("in one call")
        return [SendBytes(A, data)] if isinstance(data := event[-1], bytes) else None


def connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address)
    connection.settimeout(0)
    return connection


@each_loop
def test_an_exception_in_one_call_ends_only_that_call(runtime: str) -> None:
    errors = list[Exception]()

    async def main() -> None:
        servers = EchoServers(LOOPS[runtime])
        async with listening(servers.api, servers.accept, on_error=errors.append) as addresses:
            with connect(addresses[0]) as broken, connect(addresses[0]) as other:
                broken.send(b"bug")
                assert await read_socket(broken) == b""
                other.send(b"hello")
                assert await read_socket(other, 5) == b"hello"

    run_in_real_time(runtime, main)
    assert [str(error) for error in errors] == ["in one call"]


@each_loop
def test_an_exception_of_accept_ends_only_that_connection(runtime: str) -> None:
    errors = list[Exception]()

    async def main() -> None:
        servers = EchoServers(LOOPS[runtime])

        def accept() -> Any:
            if not errors:
                raise BugError("not this one")
            return servers.accept()

        async with listening(servers.api, accept, on_error=errors.append) as addresses:
            with connect(addresses[0]) as refused:
                assert await read_socket(refused) == b""
            with connect(addresses[0]) as other:
                other.send(b"hello")
                assert await read_socket(other, 5) == b"hello"

    run_in_real_time(runtime, main)
    assert [str(error) for error in errors] == ["not this one"]


@each_loop
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", None])
def test_every_reported_address_answers(runtime: str, host: str | None) -> None:
    async def main() -> None:
        servers = EchoServers(LOOPS[runtime])
        async with listening(servers.api, servers.accept, host) as addresses:
            assert addresses
            for address in addresses:
                with connect(address) as client:
                    client.send(b"hello")
                    assert await read_socket(client, 5) == b"hello"

    run_in_real_time(runtime, main)


@each_loop
@pytest.mark.parametrize(
    ("host", "number"), [("127.0.0.1", errno.EADDRINUSE), ("192.0.2.1", errno.EADDRNOTAVAIL)]
)
def test_an_address_that_cannot_be_listened_on_raises(runtime: str, host: str, number: int) -> None:
    servers = EchoServers(LOOPS[runtime])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with assert_descriptors_closed(), pytest.raises(OSError, match="address") as raised:
            run_in_real_time(
                runtime,
                lambda: servers.api.listen(host, port, servers.accept, on_error=ignore),
            )
    assert raised.value.errno == number


@each_loop
def test_above_the_limit_connections_wait_until_others_end(runtime: str) -> None:
    async def main() -> None:
        servers = EchoServers(LOOPS[runtime])
        limited = Connections(2, spare_connections=0)
        async with listening(servers.api, servers.accept, connections=limited) as addresses:
            clients = [connect(addresses[0]) for _ in range(3)]
            for client in clients:
                client.send(b"hello")
            while len(servers.machines) < 2:
                await anyio.sleep(0.001)
            await anyio.sleep(0.05)
            assert len(servers.machines) == 2
            clients[0].close()
            assert await read_socket(clients[2], 5) == b"hello"
            assert len(servers.machines) == 3
            for client in clients:
                client.close()

    run_in_real_time(runtime, main)


@each_loop
def test_accepting_pauses_and_continues_without_descriptors(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, errors, exhausted = socket.socket.accept, list[Exception](), 2

    def accept(listener: socket.socket) -> Any:
        if len(errors) < exhausted:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(listener)

    async def main() -> float:
        servers = EchoServers(LOOPS[runtime])
        async with listening(servers.api, servers.accept, on_error=errors.append) as addresses:
            started = anyio.current_time()
            with connect(addresses[0]) as client:
                monkeypatch.setattr(socket.socket, "accept", accept)
                client.send(b"hello")
                assert await read_socket(client, 5) == b"hello"
            return anyio.current_time() - started

    assert run_in_real_time(runtime, main) > 0.19
    assert len(errors) == exhausted


@each_loop
def test_a_connection_closed_before_it_is_accepted_is_skipped(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = socket.socket.accept, [BlockingIOError(), ConnectionAbortedError()]

    def accept(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return real(listener)

    async def main() -> None:
        servers = EchoServers(LOOPS[runtime])
        async with listening(servers.api, servers.accept, max_connections=1) as addresses:
            monkeypatch.setattr(socket.socket, "accept", accept)
            with connect(addresses[0]) as client:
                client.send(b"hello")
                assert await read_socket(client, 5) == b"hello"

    run_in_real_time(runtime, main)


@each_loop
def test_cancelling_ends_the_calls_and_frees_the_port(runtime: str) -> None:
    async def main() -> None:
        servers = EchoServers(LOOPS[runtime])
        with assert_descriptors_closed():
            clients = list[socket.socket]()
            async with listening(servers.api, servers.accept) as addresses:
                clients += [connect(addresses[0]) for _ in range(5)]
                clients[0].send(b"hello")
                await read_socket(clients[0], 5)
                clients += [connect(addresses[0]) for _ in range(5)]
            for client in clients:
                client.close()
        socket.create_server(addresses[0]).close()

    run_in_real_time(runtime, main)


# Whole calls


@each_loop
def test_a_whole_call_over_real_sockets_ends_normally(runtime: str) -> None:
    call, notifications = CallParties(), list[object]()

    async def main() -> None:
        await run_call_over_sockets(LOOPS[runtime], call, notifications.append)

    run_in_real_time(runtime, main)
    ended = notifications[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert [event for event in notifications if isinstance(event, Fault)] == []
    assert call.phone.warnings == []
    assert call.model.sent_errors == []


@each_runtime
def test_a_call_in_virtual_time_equals_the_simulated_call(runtime: str) -> None:
    call, notifications = CallParties(LONG_SCRIPT), list[object]()

    async def main() -> None:
        await run_call_in_memory(LOOPS[runtime], call, notifications.append)

    run_in_virtual_time(runtime, main)
    reference = CallParties(LONG_SCRIPT)
    world = byte_call(
        reference.bridge,
        reference.phone,
        reference.model,
        twilio_latency_ns=0,
        model_latency_ns=0,
    )
    world.run(60 * SECOND)
    expected = [event for _, name, event in world.notifications if name == "bridge"]
    assert notifications == expected
    ended = notifications[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert call.phone.clears == reference.phone.clears
    assert call.phone.clears
    assert call.model.sent_errors == []


# Bounded work in one turn of the loop.


def pass_time(runtime: str, seconds: float) -> None:
    """Let virtual time pass, as work does that takes so long."""
    if runtime == "trio":
        cast(trio.testing.MockClock, trio.lowlevel.current_clock()).jump(seconds)
    else:
        cast(VirtualLoop, asyncio.get_running_loop()).time_s += seconds


@each_runtime
@pytest.mark.parametrize(
    ("us_per_byte", "longest_bytes"), [(0.01, READ_BYTES), (1, 4096), (100, 512)]
)
def test_less_is_read_at_a_time_where_bytes_take_long(
    runtime: str, us_per_byte: float, longest_bytes: int
) -> None:
    sizes: list[int] = []

    def respond(machine: RecordingMachine, event: MachineInput) -> list[ByteAction] | None:
        if event[0] == "bytes":
            sizes.append(len(event[2]))  # type: ignore[arg-type]
            pass_time(runtime, len(event[2]) * us_per_byte / 1e6)  # type: ignore[arg-type]
            return []
        return None

    async def main() -> None:
        near, far = LOOPS[runtime].memory_pair(capacity_bytes=1 << 20)
        near.send(bytes(1 << 20))
        near.send_eof()
        driver = LOOPS[runtime].Driver(RecordingMachine(respond), ignore)
        await driver.run({A: far})

    run_in_virtual_time(runtime, main)
    assert sum(sizes) == 1 << 20
    settled = sizes[8:-1]
    assert max(settled) == longest_bytes

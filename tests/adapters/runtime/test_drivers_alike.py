"""Both drivers behave alike: every test here runs on trio and on asyncio, over real sockets, over
streams in memory, or in virtual time."""

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
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from driving import (
    LONG_SCRIPT,
    RUNTIMES,
    Answer,
    Call,
    Recorder,
    Told,
    beside,
    call_in_memory,
    call_over_sockets,
    ignore,
    listening,
    nothing_left_open,
    receive,
    run,
    run_virtual,
    tcp_pair,
)
from twilio_realtime.sim.world.calls import byte_call
from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import ByteAction, Connect, Notify, SendBytes, Shutdown
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import CallEnded, EndReason

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

A, B = "a", "b"
T = TypeVar("T")


class BugError(Exception):
    """What a machine or an application does not foresee."""


def relay(machine: Recorder, told: Told) -> list[ByteAction] | None:
    """Pass bytes on; when one side ends, end the other."""
    match told:
        case ("bytes", peer, bytes(data)):
            return [SendBytes(B if peer == A else A, data)]
        case ("eof", _):
            return [Shutdown(A), Shutdown(B)]
        case _:
            return None


def on(*key: object, do: list[ByteAction]) -> Answer:
    """An answer to one thing that a machine is told, which `key` begins."""

    def answer(machine: Recorder, told: Told) -> list[ByteAction] | None:
        del machine
        return do if told[: len(key)] == key else None

    return answer


def talk(
    runtime: str,
    machine: Recorder,
    client: Callable[[socket.socket], Awaitable[T]],
    notify: Callable[[object], None] = ignore,
) -> T:
    """Drive a machine whose peer A is `client`; what that returns. Not much fits in between."""

    async def main() -> T:
        near, far = tcp_pair()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        drive = RUNTIMES[runtime].drive
        with near:
            return await beside(
                lambda: drive(machine, {A: far}, notify=notify), lambda: client(near)
            )

    return cast(T, run(runtime, main))


# The packages


def test_both_packages_show_the_same_names_with_the_same_parameters_and_limits() -> None:
    one, other = RUNTIMES.values()
    assert one.__all__ == other.__all__
    for name in one.__all__:
        first, second = getattr(one, name), getattr(other, name)
        if isinstance(first, int):
            assert first == second
        elif inspect.isfunction(first):
            assert list(inspect.signature(first).parameters) == list(
                inspect.signature(second).parameters
            )
    methods = [
        {name for name in dir(api.Driver) if not name.startswith("_")} for api in RUNTIMES.values()
    ]
    assert methods == [{"now", "perform", "run"}] * 2


# Life and time


@each_runtime
def test_a_machine_without_streams_and_deadline_is_over_at_once(runtime: str) -> None:
    machine = Recorder()
    run(runtime, lambda: RUNTIMES[runtime].drive(machine, notify=ignore))
    assert machine.told == [("start",)]


@each_runtime
def test_the_machine_is_called_at_its_deadlines_to_the_nanosecond(runtime: str) -> None:
    def answer(machine: Recorder, told: Told) -> None:
        if told == ("start",):
            machine.deadline = 123_456_789
        elif len(machine.told) < 6:
            machine.deadline = 1_000_000_007 * len(machine.told)

    machine = Recorder(answer)
    run_virtual(runtime, lambda: RUNTIMES[runtime].drive(machine, notify=ignore))
    assert machine.told == [("start",)] + [("timeout",)] * 5
    assert machine.times == [0, 123_456_789, *(1_000_000_007 * n for n in range(2, 6))]


@each_runtime
def test_a_deadline_that_moves_is_kept(runtime: str) -> None:
    machine = Recorder(deadline=5 * SECOND)

    async def main() -> None:
        api = RUNTIMES[runtime]
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

    run_virtual(runtime, main)
    assert list(zip(machine.told, machine.times, strict=True)) == [
        (("start",), 0),
        (("timeout",), 4 * SECOND),
    ]


@each_runtime
def test_a_driver_runs_once(runtime: str) -> None:
    async def main() -> None:
        driver = RUNTIMES[runtime].Driver(Recorder(), ignore)
        await driver.run()
        with pytest.raises(LocalProtocolError, match="once"):
            await driver.run()

    run(runtime, main)


# Bytes


@each_runtime
@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 1000), max_size=20), seed=st.integers(0, 9))
def test_a_thousand_bytes_cut_anywhere_arrive_whole_and_in_order(
    runtime: str, cuts: list[int], seed: int
) -> None:
    data = Random(seed).randbytes(1000)

    async def client(near_a: socket.socket, near_b: socket.socket) -> bytes:
        for start, end in pairwise([0, *sorted(cuts), 1000]):
            near_a.send(data[start:end])
            await anyio.sleep(0)
        near_a.shutdown(socket.SHUT_WR)
        return await receive(near_b)

    async def main() -> bytes:
        near_a, far_a = tcp_pair()
        near_b, far_b = tcp_pair()
        drive = partial(
            RUNTIMES[runtime].drive, Recorder(relay), {A: far_a, B: far_b}, notify=ignore
        )
        with near_a, near_b:
            return await beside(drive, lambda: client(near_a, near_b))

    assert run(runtime, main) == data


@each_runtime
def test_what_a_slow_peer_does_not_take_waits_and_arrives_later(runtime: str) -> None:
    pieces = [bytes([n]) * 50_000 for n in range(20)]
    machine = Recorder(on("connected", A, do=[SendBytes(A, piece) for piece in pieces]))

    async def client(near: socket.socket) -> bytes:
        data = await receive(near, 1_000_000)
        near.close()
        return data

    assert talk(runtime, machine, client) == b"".join(pieces)


@each_runtime
def test_one_write_may_be_larger_than_the_outbox(runtime: str) -> None:
    large = bytes(RUNTIMES[runtime].OUTBOX_LIMIT + 500_000)
    do: list[ByteAction] = [SendBytes(A, large), Shutdown(A)]
    assert talk(runtime, Recorder(on("connected", do=do)), receive) == large


@each_runtime
def test_a_peer_that_does_not_read_is_dropped_and_holds_up_nobody(runtime: str) -> None:
    """A is flooded and reads nothing; what B says is answered at once all the while."""
    api = RUNTIMES[runtime]
    flood = bytes(256 * 1024)

    def answer(machine: Recorder, told: Told) -> list[ByteAction] | None:
        match told:
            case ("bytes", "b", bytes(data)):
                return [SendBytes(A, flood), SendBytes(B, data)]
            case ("eof", "a"):
                return [Notify("a is gone")]
            case _:
                return None

    machine, told = Recorder(answer), list[object]()

    async def main() -> None:
        near_a, far_a = api.memory_pair()
        near_b, far_b = tcp_pair()
        with near_b:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    lambda: api.drive(machine, {A: far_a, B: far_b}, notify=told.append)
                )
                for n in range(10):
                    near_b.send(bytes([n]))
                    assert await receive(near_b, 1) == bytes([n])
                near_b.close()
        with pytest.raises(ConnectionResetError):
            near_a.recv(1)

    run(runtime, main)
    assert told == ["a is gone"]
    assert [each for each in machine.told if each[0] == "eof"] == [("eof", A), ("eof", B)]


@each_runtime
def test_a_reset_is_told_once_as_the_end(runtime: str) -> None:
    machine = Recorder(lambda machine, told: [SendBytes(A, b"x")] if told[0] == "eof" else None)

    async def main() -> None:
        near, far = RUNTIMES[runtime].memory_pair()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: RUNTIMES[runtime].drive(machine, {A: far}, notify=ignore))
            await anyio.sleep(0.01)
            near.abort()

    run(runtime, main)
    assert machine.told == [("start",), ("connected", A), ("eof", A)]


@each_runtime
def test_a_write_that_fails_is_told_once_as_the_end(runtime: str) -> None:
    machine = Recorder(on("connected", do=[SendBytes(A, b"x"), SendBytes(A, b"y"), Notify("z")]))
    told = list[object]()

    async def main() -> None:
        near, far = RUNTIMES[runtime].memory_pair()
        near.abort()
        await RUNTIMES[runtime].drive(machine, {A: far}, notify=told.append)

    run(runtime, main)
    assert machine.told == [("start",), ("connected", A), ("eof", A)]
    assert told == ["z"]


@each_runtime
def test_a_peer_that_breaks_while_bytes_wait_for_it_is_not_told_twice(runtime: str) -> None:
    machine = Recorder(on("eof", do=[SendBytes(A, b"12345678")]))

    async def main() -> None:
        near, far = RUNTIMES[runtime].memory_pair(4)
        near.send_eof()

        async def client() -> None:
            await anyio.sleep(0.01)
            near.abort()

        await beside(lambda: RUNTIMES[runtime].drive(machine, {A: far}, notify=ignore), client)

    run(runtime, main)
    assert machine.told == [("start",), ("connected", A), ("eof", A)]


class Hesitant:
    """A transport that has nothing to read, and no room to write, every other time it said so."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.ready = {"recv": False, "send": False}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def recv(self, size: int) -> bytes:
        self.hesitate("recv")
        return cast(bytes, self.transport.recv(size))

    def send(self, data: bytes) -> int:
        self.hesitate("send")
        return cast(int, self.transport.send(data))

    def hesitate(self, method: str) -> None:
        self.ready[method] = not self.ready[method]
        if self.ready[method]:
            raise BlockingIOError


@each_runtime
def test_a_wake_up_for_nothing_does_no_harm(runtime: str) -> None:
    machine = Recorder(on("bytes", do=[SendBytes(A, b"1234"), SendBytes(A, b"56")]))

    async def main() -> bytes:
        near, far = RUNTIMES[runtime].memory_pair(4)
        received = b""

        async def client() -> None:
            nonlocal received
            near.send(b"x")
            while len(received) < 6:
                await anyio.sleep(0.001)
                with suppress(BlockingIOError):
                    received += near.recv(9)
            near.close()

        drive = RUNTIMES[runtime].drive
        await beside(lambda: drive(machine, {A: Hesitant(far)}, notify=ignore), client)
        return received

    assert run(runtime, main) == b"123456"
    assert machine.bytes_from(A) == b"x"


@each_runtime
@pytest.mark.parametrize("pair", ["memory", "tcp", "unix"])
def test_a_transport_says_so_rather_than_wait(runtime: str, pair: str) -> None:
    api = RUNTIMES[runtime]

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

    run(runtime, main)


def flood(transport: Any) -> None:
    while True:
        transport.send(bytes(65536))


@each_runtime
def test_a_closed_transport_refuses_and_may_be_closed_again(runtime: str) -> None:
    api = RUNTIMES[runtime]

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

    run(runtime, main)


@each_runtime
def test_a_peer_that_has_said_its_last_word_can_still_be_answered(runtime: str) -> None:
    machine = Recorder(on("eof", do=[SendBytes(A, b"and good bye"), Shutdown(A)]))

    async def client(near: socket.socket) -> bytes:
        near.send(b"hello")
        near.shutdown(socket.SHUT_WR)
        return await receive(near)

    assert talk(runtime, machine, client) == b"and good bye"
    assert machine.bytes_from(A) == b"hello"


# The end of a stream


@each_runtime
def test_after_a_shutdown_nothing_is_reported_and_the_last_words_arrive(runtime: str) -> None:
    """The peer is in the middle of a long message: a socket closed at once would reset it."""
    bye = b"no more, please"
    machine = Recorder(on("bytes", do=[SendBytes(A, bye), Shutdown(A)]))

    async def client(near: socket.socket) -> bytes:
        near.send(bytes(200_000))
        await anyio.sleep(0.02)
        near.send(bytes(1000))
        return await receive(near)

    assert talk(runtime, machine, client) == bye
    assert [each[0] for each in machine.told] == ["start", "connected", "bytes"]


@each_runtime
def test_a_shutdown_waits_for_what_is_still_to_be_written(runtime: str) -> None:
    data = Random(1).randbytes(500_000)
    machine = Recorder(on("connected", do=[SendBytes(A, data), Shutdown(A), SendBytes(A, b"no")]))
    assert talk(runtime, machine, receive) == data


@each_runtime
def test_a_peer_that_ends_while_its_last_words_wait_gets_them_all(runtime: str) -> None:
    data = Random(2).randbytes(500_000)
    machine = Recorder(on("connected", do=[SendBytes(A, data), Shutdown(A)]))

    async def client(near: socket.socket) -> bytes:
        near.shutdown(socket.SHUT_WR)
        await anyio.sleep(0.02)
        return await receive(near)

    assert talk(runtime, machine, client) == data


@each_runtime
def test_a_shutdown_of_a_stream_that_is_broken_closes_it(runtime: str) -> None:
    machine = Recorder(on("connected", do=[Shutdown(A)]))
    near, far = tcp_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near.close()  # which is a reset
    run(runtime, lambda: RUNTIMES[runtime].drive(machine, {A: far}, notify=ignore))
    assert machine.told == [("start",), ("connected", A)]


@each_runtime
@pytest.mark.parametrize("size", [10, 500_000])
def test_a_peer_that_does_not_answer_a_shutdown_is_given_up_in_time(
    runtime: str, size: int
) -> None:
    api = RUNTIMES[runtime]
    machine = Recorder(on("connected", do=[SendBytes(A, bytes(size)), Shutdown(A)]))

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

    assert run_virtual(runtime, main) == pytest.approx(api.CLOSE_NS / SECOND)


@each_runtime
def test_a_peer_may_be_dialled_again_while_its_last_stream_still_closes(runtime: str) -> None:
    api = RUNTIMES[runtime]
    again: list[ByteAction] = [SendBytes(A, b"1"), Shutdown(A), Connect(A, "host", 1, tls=False)]
    machine = Recorder(
        lambda machine, told: (
            (again if len(machine.told) == 2 else [SendBytes(A, b"2"), Shutdown(A)])
            if told[0] == "connected"
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

    run_virtual(runtime, main)
    assert machine.told == [("start",), ("connected", A), ("connected", A)]


# Dialling


@define(eq=False)
class Dialler:
    """A machine that dials at once."""

    host: str
    port: int = 1
    machine: Recorder = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.machine = Recorder(on("start", do=[Connect(A, self.host, self.port, tls=False)]))

    def run(self, runtime: str) -> list[Told]:
        run(runtime, lambda: RUNTIMES[runtime].drive(self.machine, notify=ignore))
        return self.machine.told


@each_runtime
def test_a_server_is_dialled_and_its_bytes_are_told(runtime: str) -> None:
    async def main() -> list[Told]:
        accept = lambda: (api.Driver(server, ignore), B)  # noqa: E731
        async with listening(api, accept) as addresses:
            dialler = Dialler(*addresses[0])
            await api.drive(dialler.machine, notify=ignore)
        return dialler.machine.told

    api = RUNTIMES[runtime]
    server = Recorder(on("connected", do=[SendBytes(B, b"welcome"), Shutdown(B)]))
    told = run(runtime, main)
    assert told == [("start",), ("connected", A), ("bytes", A, b"welcome"), ("eof", A)]


@each_runtime
def test_a_refused_connection_is_told_in_the_systems_words(runtime: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        told = Dialler(*unused.getsockname()).run(runtime)
    assert told == [("start",), ("failed", A, "connection refused")]


@each_runtime
def test_the_next_address_of_a_host_is_tried_when_one_fails(
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

    async def main() -> list[Told]:
        async with listening(api, lambda: (api.Driver(Recorder(), ignore), B)) as addresses:
            dialler = Dialler("two.example", addresses[0][1])
            dialler.machine.answer = lambda machine, told: (
                [Connect(A, "two.example", addresses[0][1], tls=False)]
                if told == ("start",)
                else [Shutdown(A)]
                if told[0] == "connected"
                else None
            )
            await api.drive(dialler.machine, notify=ignore)
        return dialler.machine.told

    api = RUNTIMES[runtime]
    monkeypatch.setattr(socket, "getaddrinfo", found)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        assert run(runtime, main) == [("start",), ("connected", A)]


@each_runtime
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("a secret"), "no connection"),
        (OSError(errno.ENETUNREACH, "a secret"), "network is unreachable"),
    ],
)
def test_the_words_of_an_unknown_failure_are_not_passed_on(
    runtime: str, error: OSError, words: str
) -> None:
    async def dial(host: str, port: int) -> Any:
        raise error

    machine = Dialler("host").machine
    run(runtime, lambda: RUNTIMES[runtime].drive(machine, notify=ignore, dial=dial))
    assert machine.told == [("start",), ("failed", A, words)]


@each_runtime
def test_a_name_that_cannot_be_looked_up_is_told(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*args: object, **options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    told = Dialler("nowhere.example").run(runtime)
    assert told == [("start",), ("failed", A, "name or service not known")]


@each_runtime
@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..b"])
def test_what_is_no_host_name_is_told(runtime: str, host: str) -> None:
    assert Dialler(host).run(runtime) == [("start",), ("failed", A, "not a host name")]


@each_runtime
def test_a_shutdown_ends_a_dial_and_nothing_of_it_is_told(runtime: str) -> None:
    api, cancelled = RUNTIMES[runtime], list[str]()

    async def dial(host: str, port: int) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(f"{host}:{port}")

    def answer(machine: Recorder, told: Told) -> list[ByteAction]:
        if told == ("start",):
            machine.deadline = 10 * SECOND
            return [Connect(A, "slow", 1, tls=False)]
        return [Shutdown(A)]

    machine = Recorder(answer)
    run_virtual(runtime, lambda: api.drive(machine, notify=ignore, dial=dial))
    assert machine.told == [("start",), ("timeout",)]
    assert cancelled == ["slow:1"]


@each_runtime
def test_a_dial_that_succeeds_too_late_is_closed(runtime: str) -> None:
    api = RUNTIMES[runtime]
    near, far = api.memory_pair()

    async def dial(host: str, port: int) -> Any:
        driver.perform([Shutdown(A)])
        return far

    machine = Recorder(on("start", do=[Connect(A, "host", 1, tls=False)]), deadline=1)
    driver = api.Driver(machine, ignore, dial=dial)
    run_virtual(runtime, driver.run)
    assert machine.told == [("start",), ("timeout",)]
    assert near.recv(1) == b""


@each_runtime
def test_a_dial_that_fails_too_late_is_not_told(runtime: str) -> None:
    async def dial(host: str, port: int) -> Any:
        driver.perform([Shutdown(A)])
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    machine = Recorder(on("start", do=[Connect(A, "host", 1, tls=False)]), deadline=1)
    driver = RUNTIMES[runtime].Driver(machine, ignore, dial=dial)
    run_virtual(runtime, driver.run)
    assert machine.told == [("start",), ("timeout",)]


@each_runtime
@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([Connect(A, "host", 443, tls=True)], "no TLS"),
        ([Connect(A, "host", 80, tls=False)] * 2, "already"),
    ],
)
def test_a_dial_that_makes_no_sense_is_misuse(
    runtime: str, actions: list[ByteAction], words: str
) -> None:
    api = RUNTIMES[runtime]
    with nothing_left_open(), pytest.raises(LocalProtocolError, match=words):
        run(runtime, lambda: api.drive(Recorder(on("start", do=actions)), notify=ignore))


# The application


@each_runtime
def test_what_notify_performs_comes_behind_what_is_being_performed(runtime: str) -> None:
    api, told = RUNTIMES[runtime], list[object]()

    def notify(event: object) -> None:
        told.append(event)
        if event == 1:
            driver.perform([Notify("later"), SendBytes(A, b"3"), Shutdown(A)])
            told.append("still 1")

    async def main() -> bytes:
        near, far = tcp_pair()
        with near:
            return await beside(lambda: driver.run({A: far}), lambda: receive(near))

    do: list[ByteAction] = [SendBytes(A, b"1"), Notify(1), SendBytes(A, b"2"), Notify(2)]
    driver = api.Driver(Recorder(on("connected", do=do)), notify)
    assert run(runtime, main) == b"123"
    assert told == [1, "still 1", 2, "later"]


@each_runtime
def test_another_task_performs_at_any_time_but_not_before_the_run(runtime: str) -> None:
    api, told = RUNTIMES[runtime], list[object]()

    async def main() -> None:
        near, far = tcp_pair()
        driver = api.Driver(Recorder(), told.append)
        with pytest.raises(LocalProtocolError, match="not run yet"):
            driver.perform([Notify("too early")])
        with near:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.run, {A: far})
                await anyio.sleep(0.01)
                driver.perform([SendBytes(A, b"x"), Notify("in time")])
                assert await receive(near, 1) == b"x"
                near.close()
        driver.perform([Notify("too late")])

    run(runtime, main)
    assert told == ["in time"]


@each_runtime
def test_time_does_not_run_backwards(runtime: str) -> None:
    async def main() -> list[int]:
        driver = RUNTIMES[runtime].Driver(Recorder(), ignore)
        return [driver.now() for _ in range(1000)]

    times = run(runtime, main)
    assert times == sorted(times)


@each_runtime
@pytest.mark.parametrize("method", ["start", "connected", "bytes", "eof", "timeout", "notify"])
def test_an_exception_ends_the_drive_and_closes_its_sockets(runtime: str, method: str) -> None:
    def answer(machine: Recorder, told: Told) -> list[ByteAction] | None:
        if told[0] == method:
            raise BugError(method)
        if told[0] == "bytes":
            return [Notify("x"), Notify("y"), SendBytes(A, b"never")]
        if told[0] == "eof":
            machine.deadline = 1
        return None

    def notify(event: object) -> None:
        told.append(event)
        raise BugError("notify")

    told = list[object]()
    near, far = tcp_pair()
    near_b, far_b = tcp_pair()
    with near, near_b:
        near.send(b"x") if method in ("bytes", "notify") else near.shutdown(socket.SHUT_WR)
        accepted = {A: far, B: far_b}
        with pytest.raises(BugError, match=method):
            run(runtime, lambda: RUNTIMES[runtime].drive(Recorder(answer), accepted, notify=notify))
        assert (far.fileno(), far_b.fileno()) == (-1, -1)
    assert told == (["x"] if method == "notify" else [])


@each_runtime
def test_what_goes_wrong_in_the_answer_to_the_application_ends_the_drive(runtime: str) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        driver = RUNTIMES[runtime].Driver(Recorder(), ignore)

        async def perform() -> None:
            await anyio.sleep(0.01)
            driver.perform([Connect(B, "host", 443, tls=True), Notify("never")])

        with near:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(perform)
                with pytest.raises(LocalProtocolError, match="no TLS"):
                    await driver.run({A: far})

    run(runtime, main)


@each_runtime
def test_after_a_failure_the_machine_is_not_called_any_more(runtime: str) -> None:
    machine = Recorder(deadline=SECOND)

    async def main() -> None:
        driver = RUNTIMES[runtime].Driver(machine, ignore)

        async def perform() -> None:
            await anyio.sleep(0.5)
            machine.deadline = 1  # is over
            driver.perform([Connect(B, "host", 443, tls=True)])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(perform)
            with pytest.raises(LocalProtocolError, match="no TLS"):
                await driver.run()

    run_virtual(runtime, main)
    assert machine.told == [("start",)]


# Cancellation


@each_runtime
def test_a_call_cancelled_at_any_moment_leaves_no_socket_and_no_task(runtime: str) -> None:
    api, random = RUNTIMES[runtime], Random(3)

    async def main() -> None:
        with nothing_left_open():
            for _ in range(25):
                with anyio.move_on_after(random.uniform(0, 0.03)) as scope:
                    await call_over_sockets(api, Call(), ignore)
                assert scope.cancelled_caught

    run(runtime, main)


@each_runtime
def test_a_drive_cancelled_while_it_dials_and_writes_lets_go_of_both(runtime: str) -> None:
    api = RUNTIMES[runtime]
    do: list[ByteAction] = [SendBytes(A, bytes(9_000_000)), Connect(B, "host", 1, tls=False)]
    cancelled: list[str] = []

    async def dial(host: str, port: int) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(f"{host}:{port}")

    async def main() -> None:
        near, far = tcp_pair()
        with near, anyio.move_on_after(0.02):
            machine = Recorder(on("connected", do=do))
            await api.drive(machine, {A: far}, notify=ignore, dial=dial)
        assert far.fileno() == -1

    run(runtime, main)
    assert cancelled == ["host:1"]


# Listening


class Servers:
    """Answers connections, each with a machine of its own that echoes."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.machines: list[Recorder] = []

    def accept(self) -> tuple[Any, Hashable]:
        self.machines.append(Recorder(self.answer))
        return self.api.Driver(self.machines[-1], ignore), A

    def answer(self, machine: Recorder, told: Told) -> list[ByteAction] | None:
        if told == ("bytes", A, b"bug"):
            raise BugError("in one call")
        return [SendBytes(A, data)] if isinstance(data := told[-1], bytes) else None


def connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address)
    connection.settimeout(0)
    return connection


@each_runtime
def test_an_exception_in_one_call_ends_that_call_alone(runtime: str) -> None:
    errors = list[Exception]()

    async def main() -> None:
        servers = Servers(RUNTIMES[runtime])
        async with listening(servers.api, servers.accept, on_error=errors.append) as addresses:
            with connect(addresses[0]) as one, connect(addresses[0]) as other:
                one.send(b"bug")
                assert await receive(one) == b""
                other.send(b"hello")
                assert await receive(other, 5) == b"hello"

    run(runtime, main)
    assert [str(error) for error in errors] == ["in one call"]


@each_runtime
def test_an_application_that_cannot_accept_loses_that_connection_alone(runtime: str) -> None:
    errors = list[Exception]()

    async def main() -> None:
        servers = Servers(RUNTIMES[runtime])

        def accept() -> Any:
            if not errors:
                raise BugError("not this one")
            return servers.accept()

        async with listening(servers.api, accept, on_error=errors.append) as addresses:
            with connect(addresses[0]) as one:
                assert await receive(one) == b""
            with connect(addresses[0]) as other:
                other.send(b"hello")
                assert await receive(other, 5) == b"hello"

    run(runtime, main)
    assert [str(error) for error in errors] == ["not this one"]


@each_runtime
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", None])
def test_every_address_that_is_reported_answers(runtime: str, host: str | None) -> None:
    async def main() -> None:
        servers = Servers(RUNTIMES[runtime])
        async with listening(servers.api, servers.accept, host) as addresses:
            assert addresses
            for address in addresses:
                with connect(address) as client:
                    client.send(b"hello")
                    assert await receive(client, 5) == b"hello"

    run(runtime, main)


@each_runtime
@pytest.mark.parametrize(
    ("host", "number"), [("127.0.0.1", errno.EADDRINUSE), ("192.0.2.1", errno.EADDRNOTAVAIL)]
)
def test_an_address_that_cannot_be_listened_on_is_the_callers_to_know(
    runtime: str, host: str, number: int
) -> None:
    servers = Servers(RUNTIMES[runtime])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with nothing_left_open(), pytest.raises(OSError, match="address") as raised:
            run(
                runtime,
                lambda: servers.api.listen(host, port, servers.accept, on_error=ignore),
            )
    assert raised.value.errno == number


@each_runtime
def test_above_the_limit_connections_wait_until_others_end(runtime: str) -> None:
    async def main() -> None:
        servers = Servers(RUNTIMES[runtime])
        async with listening(servers.api, servers.accept, max_connections=2) as addresses:
            clients = [connect(addresses[0]) for _ in range(3)]
            for client in clients:
                client.send(b"hello")
            await anyio.sleep(0.05)
            assert len(servers.machines) == 2
            clients[0].close()
            assert await receive(clients[2], 5) == b"hello"
            assert len(servers.machines) == 3
            for client in clients:
                client.close()

    run(runtime, main)


@each_runtime
def test_without_descriptors_accepting_pauses_and_goes_on(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, errors, exhausted = socket.socket.accept, list[Exception](), 2

    def accept(listener: socket.socket) -> Any:
        if len(errors) < exhausted:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(listener)

    async def main() -> float:
        servers = Servers(RUNTIMES[runtime])
        async with listening(servers.api, servers.accept, on_error=errors.append) as addresses:
            begun = anyio.current_time()
            with connect(addresses[0]) as client:
                monkeypatch.setattr(socket.socket, "accept", accept)
                client.send(b"hello")
                assert await receive(client, 5) == b"hello"
            return anyio.current_time() - begun

    assert run(runtime, main) > 0.19
    assert len(errors) == exhausted


@each_runtime
def test_a_connection_that_did_not_wait_is_passed_over(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = socket.socket.accept, [BlockingIOError(), ConnectionAbortedError()]

    def accept(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return real(listener)

    async def main() -> None:
        servers = Servers(RUNTIMES[runtime])
        async with listening(servers.api, servers.accept, max_connections=1) as addresses:
            monkeypatch.setattr(socket.socket, "accept", accept)
            with connect(addresses[0]) as client:
                client.send(b"hello")
                assert await receive(client, 5) == b"hello"

    run(runtime, main)


@each_runtime
def test_cancelling_ends_the_calls_and_frees_the_port(runtime: str) -> None:
    async def main() -> None:
        servers = Servers(RUNTIMES[runtime])
        with nothing_left_open():
            clients = list[socket.socket]()
            async with listening(servers.api, servers.accept) as addresses:
                clients += [connect(addresses[0]) for _ in range(5)]
                clients[0].send(b"hello")
                await receive(clients[0], 5)
                clients += [connect(addresses[0]) for _ in range(5)]
            for client in clients:
                client.close()
        socket.create_server(addresses[0]).close()

    run(runtime, main)


# Whole calls


@each_runtime
def test_a_whole_call_over_real_sockets_ends_well(runtime: str) -> None:
    call, told = Call(), list[object]()

    async def main() -> None:
        await call_over_sockets(RUNTIMES[runtime], call, told.append)

    run(runtime, main)
    ended = told[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert [event for event in told if isinstance(event, Fault)] == []
    assert call.phone.warnings == []
    assert call.model.sent_errors == []


@each_runtime
def test_a_call_in_virtual_time_is_told_as_the_simulated_world_tells_it(runtime: str) -> None:
    call, told = Call(LONG_SCRIPT), list[object]()

    async def main() -> None:
        await call_in_memory(RUNTIMES[runtime], call, told.append)

    run_virtual(runtime, main)
    same = Call(LONG_SCRIPT)
    world = byte_call(same.bridge, same.phone, same.model, twilio_latency_ns=0, model_latency_ns=0)
    world.run(60 * SECOND)
    expected = [event for _, name, event in world.notifications if name == "bridge"]
    assert told == expected
    ended = told[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert call.phone.clears == same.phone.clears
    assert call.phone.clears
    assert call.model.sent_errors == []

"""The driver on asyncio, where it differs from that on trio (see `test_drivers_alike`)."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

import twilio_realtime.asyncio as api
from driving import (
    CallParties,
    RecordingMachine,
    VirtualLoop,
    assert_descriptors_closed,
    ignore,
    run_call_in_memory,
)
from twilio_realtime.asyncio import Driver, dial, drive, listen, memory_pair
from twilio_realtime_core.machine.actions import ByteAction, Connect
from twilio_realtime_core.machine.units import MS, SECOND

A = "a"


def run_in(loop: VirtualLoop, main: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


class EarlyLoop(VirtualLoop):
    """A loop that wakes too early, by less than the resolution of its clock."""

    early_s = 0.0005

    def __init__(self) -> None:
        super().__init__()
        self._clock_resolution = 0.001


# Time


def test_a_timer_that_fires_slightly_early_counts_as_in_time() -> None:
    def respond(machine: RecordingMachine, event: tuple[object, ...]) -> list[ByteAction] | None:
        if len(machine.inputs) < 4:
            machine.deadline = len(machine.inputs) * SECOND
        return None

    machine = RecordingMachine(respond)
    loop = EarlyLoop()
    run_in(loop, lambda: drive(machine, notify=ignore))
    assert machine.times_ns == [0, SECOND, 2 * SECOND, 3 * SECOND]
    assert loop.time_s < 3


def test_a_deadline_that_moves_later_sets_no_timer() -> None:
    def respond(machine: RecordingMachine, event: tuple[object, ...]) -> list[ByteAction] | None:
        machine.deadline = None if event[0] == "eof" else driver.now() + SECOND
        return None

    async def main() -> None:
        near, far = memory_pair()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(driver.run({A: far}))
            for _ in range(100):
                await asyncio.sleep(0.001)
                near.send(b"x")
            near.close()

    loop = VirtualLoop()
    driver = Driver(RecordingMachine(respond), ignore)
    run_in(loop, main)
    assert loop.timer_count < 105  # a hundred sleeps of the test


def test_no_timer_is_set_after_a_failure() -> None:
    def respond(machine: RecordingMachine, event: tuple[object, ...]) -> list[ByteAction] | None:
        machine.deadline = len(machine.inputs) * MS
        if event[0] == "timeout":
            raise RuntimeError("a bug")
        return None

    async def main() -> None:
        with pytest.raises(RuntimeError, match="a bug"):
            await drive(machine, notify=ignore)
        await asyncio.sleep(1)

    machine, loop = RecordingMachine(respond), VirtualLoop()
    run_in(loop, main)
    assert loop.timer_count == 2
    assert len(machine.inputs) == 2


# Tasks


def test_a_cancelled_call_leaves_no_task() -> None:
    async def main() -> int:
        task = asyncio.create_task(run_call_in_memory(api, CallParties(), ignore))
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) > 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks())

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 1


def test_a_connection_accepted_during_cancellation_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task that is cancelled before its first step never runs, so it closes nothing."""
    real, served = socket.socket.accept, list[object]()

    async def main() -> None:
        addresses: list[tuple[str, int]] = []

        def accept() -> tuple[Driver, str]:
            served.append(1)
            return Driver(RecordingMachine(), ignore), A

        task = asyncio.create_task(
            listen("127.0.0.1", 0, accept, on_error=ignore, on_listening=addresses.extend)
        )

        def accept_and_cancel(listener: socket.socket) -> Any:
            task.cancel()
            return real(listener)

        while not addresses:
            await asyncio.sleep(0.001)
        monkeypatch.setattr(socket.socket, "accept", accept_and_cancel)
        with socket.create_connection(addresses[0]), pytest.raises(asyncio.CancelledError):
            await task

    with assert_descriptors_closed():
        asyncio.run(main())
    assert served == []


# Dialling: the attempts for the addresses of one host

V4, OTHER_V4, V6 = "192.0.2.1", "192.0.2.2", "2001:db8::1"


class RacingLoop(VirtualLoop):
    """A loop with a host whose `addresses` fail with an error or connect after so many seconds."""

    def __init__(self, addresses: dict[str, float | OSError]) -> None:
        super().__init__()
        self.addresses = addresses
        self.tried: list[tuple[float, str]] = []
        self.connected: dict[str, socket.socket] = {}

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        outcome = self.addresses[address[0]]
        self.tried.append((round(self.time_s, 3), address[0]))
        if isinstance(outcome, OSError):
            raise outcome
        await asyncio.sleep(outcome)
        self.connected[address[0]] = sock

    def dial_host(self) -> str:
        """Dial the host; return the address of the connection, once all others are closed."""

        async def main() -> str:
            with assert_descriptors_closed():
                transport = await dial("host", 1)
                (name,) = (name for name, sock in self.connected.items() if sock.fileno() >= 0)
                transport.close()
            return name

        with asyncio.Runner(loop_factory=lambda: self) as runner:
            return runner.run(main())


@pytest.fixture(autouse=True)
def addresses_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop() if host == "host" else None
        if not isinstance(loop, RacingLoop):
            return real(host, port, *arguments, **options)
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, port))
            for each in loop.addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


REFUSED = OSError(errno.ECONNREFUSED, "refused")
UNREACHABLE = OSError(errno.ENETUNREACH, "unreachable")


def test_only_the_first_address_is_tried_if_it_answers_quickly() -> None:
    loop = RacingLoop({V4: 0.2, V6: 0.0})
    assert loop.dial_host() == V4
    assert loop.tried == [(0, V4)]


def test_the_next_address_is_tried_after_a_failure_or_delay() -> None:
    loop = RacingLoop({V4: REFUSED, OTHER_V4: 60, V6: 0.5})
    assert loop.dial_host() == V6
    assert loop.tried == [(0, V4), (0, V6), (0.25, OTHER_V4)]


def test_the_first_connection_is_used_and_a_simultaneous_one_closed() -> None:
    assert RacingLoop({V4: 0.5, OTHER_V4: 0.5, V6: 0.1}).dial_host() == V6
    tie = RacingLoop({V4: 0.5, OTHER_V4: 0.25})
    assert tie.dial_host() in (V4, OTHER_V4)
    assert len(tie.tried) == 2


def test_the_best_address_of_another_family_is_second() -> None:
    loop = RacingLoop({OTHER_V4: REFUSED, V4: REFUSED, V6: 0})
    assert loop.dial_host() == V6
    assert loop.tried == [(0, OTHER_V4), (0, V6)]


def test_each_reason_of_failed_addresses_is_given_once() -> None:
    machine = RecordingMachine(lambda machine, event: DIAL if event == ("start",) else None)
    loop = RacingLoop({V4: REFUSED, OTHER_V4: UNREACHABLE, V6: REFUSED})
    run_in(loop, lambda: drive(machine, notify=ignore))
    assert machine.inputs[1:] == [("failed", A, "connection refused; network is unreachable")]


def test_a_host_without_addresses_cannot_be_connected() -> None:
    machine = RecordingMachine(lambda machine, event: DIAL if event == ("start",) else None)
    run_in(RacingLoop({}), lambda: drive(machine, notify=ignore))
    assert machine.inputs[1:] == [("failed", A, "no connection")]


@pytest.mark.parametrize("after", [0, 0.1, 0.3, 0.7])
def test_a_cancelled_dial_leaves_nothing_open(after: float) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after):
                await dial("host", 1)

    with assert_descriptors_closed():
        run_in(RacingLoop({V4: 60, OTHER_V4: 60, V6: 60}), main)


def test_a_dial_cancelled_when_connected_leaves_nothing_open() -> None:
    class CancellingLoop(RacingLoop):
        async def sock_connect(self, sock: socket.socket, address: Any) -> None:
            await super().sock_connect(sock, address)
            tasks[0].cancel()

    async def main() -> None:
        tasks.append(asyncio.create_task(dial("host", 1)))
        with assert_descriptors_closed(), pytest.raises(asyncio.CancelledError):
            await tasks[0]

    tasks = list[asyncio.Task[object]]()
    loop = CancellingLoop({V4: 0.1})
    run_in(loop, main)
    assert list(loop.connected) == [V4]


DIAL: list[ByteAction] = [Connect(A, "host", 1, tls=False)]

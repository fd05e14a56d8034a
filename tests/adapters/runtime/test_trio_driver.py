"""The driver on trio, where it differs from that on asyncio (see `test_drivers_alike`)."""

import socket
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

import pytest
import trio
import trio.testing
from attrs import define, field

import twilio_realtime.trio as api
from driving import LONG_SCRIPT, CallParties, RecordingMachine, ignore, run_call_in_memory, tcp_pair
from twilio_realtime.sim.world.calls import byte_call
from twilio_realtime.trio import Driver, SocketTransport, Transport, drive, listen, memory_pair
from twilio_realtime_core.machine.actions import ByteAction, SendBytes
from twilio_realtime_core.machine.units import SECOND

A = "a"


@define(eq=False)
class StepCounter(trio.abc.Instrument):
    """Counts the steps of tasks, by name."""

    steps: dict[str, int] = field(factory=dict[str, int])

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps[task.name] = self.steps.get(task.name, 0) + 1


def test_the_task_order_of_trio_does_not_change_a_call() -> None:
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
    for _ in range(5):
        notifications = list[object]()
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(
            partial(run_call_in_memory, api, CallParties(LONG_SCRIPT), notifications.append),
            clock=clock,
        )
        assert notifications == expected


def test_a_deadline_that_moves_later_wakes_no_task() -> None:
    def respond(machine: RecordingMachine, event: tuple[object, ...]) -> list[ByteAction] | None:
        if event[0] == "eof":
            machine.deadline = None
            return None
        machine.deadline = driver.now() + SECOND
        return None

    async def keep_time() -> None:
        await driver.run({A: far})

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_time, name="time")
            for _ in range(100):
                await trio.testing.wait_all_tasks_blocked()
                near.send(b"x")
            near.close()

    near, far = tcp_pair()
    driver = Driver(RecordingMachine(respond), ignore)
    counter = StepCounter()
    trio.run(main, instruments=[counter])
    assert counter.steps["time"] < 5


@pytest.mark.trio
async def test_messages_that_are_ready_together_are_answered_in_one_step() -> None:
    """So a cancellation cannot come in between, and trio is woken once for all of them."""
    counter = StepCounter()
    pairs = [tcp_pair() for _ in range(5)]

    def respond(machine: RecordingMachine, event: tuple[object, ...]) -> list[ByteAction] | None:
        return [SendBytes(A, b"y"), SendBytes(A, b"z")] if event[0] == "bytes" else None

    trio.lowlevel.add_instrument(counter)
    async with trio.open_nursery() as nursery:
        for _, far in pairs:
            machine = RecordingMachine(respond)
            nursery.start_soon(partial(drive, machine, {A: far}, notify=ignore))
        await trio.testing.wait_all_tasks_blocked()
        counter.steps.clear()
        for near, _ in pairs:
            near.send(b"x")
        for near, _ in pairs:
            await trio.lowlevel.wait_readable(near)
        await trio.testing.wait_all_tasks_blocked()
        (steps,) = (n for name, n in counter.steps.items() if "call_back" in name)
        for near, _ in pairs:
            assert near.recv(10) == b"yz"
            near.close()
    assert steps == 1


@pytest.mark.trio
async def test_a_listener_can_be_started_by_a_nursery() -> None:
    machine = RecordingMachine()

    async def start(task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await listen(
            "127.0.0.1",
            0,
            lambda: (Driver(machine, ignore), A),
            on_error=ignore,
            on_listening=task_status.started,
        )

    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(start)
        with socket.create_connection(addresses[0]) as client:
            client.send(b"hello")
            while not machine.received_from(A):
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert machine.received_from(A) == b"hello"


def socket_transports() -> tuple[Transport, Transport]:
    near, far = tcp_pair()
    return SocketTransport(near), SocketTransport(far)


@pytest.mark.trio
@pytest.mark.parametrize("build", [memory_pair, socket_transports])
async def test_closing_a_transport_ends_its_callbacks(
    build: Callable[[], tuple[Transport, Transport]],
) -> None:
    calls = list[str]()
    near, far = build()
    far.send(b"x")
    near.on_readable(partial(calls.append, "readable"))
    near.on_writable(partial(calls.append, "writable"))
    while len(set(calls)) < 2:
        await trio.sleep(0.001)
    near.close()
    near.close()
    near.abort()
    calls.clear()
    await trio.testing.wait_all_tasks_blocked()
    assert not calls
    for use in (near.send_eof, lambda: near.recv(1), lambda: near.send(b"x")):
        with pytest.raises(OSError, match=r"closed|descriptor"):
            use()
    far.close()


@pytest.mark.trio
async def test_a_callback_that_ends_another_is_the_last_to_be_called() -> None:
    """Both sockets are ready at the same time, whatever the order in which they are reported."""
    calls = list[int]()
    pairs = [socket_transports() for _ in range(2)]

    def end_both(index: int) -> None:
        calls.append(index)
        for near, _ in pairs:
            near.on_readable(None)

    for index, (near, far) in enumerate(pairs):
        far.send(b"x")
        near.on_readable(partial(end_both, index))
    await trio.sleep(0.05)
    assert len(calls) == 1
    for ends in pairs:
        for end in ends:
            end.close()


@pytest.mark.trio
async def test_a_callback_runs_in_the_context_in_which_it_was_set() -> None:
    variable = ContextVar("variable", default="none")
    seen = list[str]()
    near, far = socket_transports()

    def read() -> None:
        seen.append(variable.get())
        near.on_readable(None)

    variable.set("mine")
    near.on_readable(read)
    variable.set("another")
    far.send(b"x")
    while not seen:
        await trio.sleep(0.001)
    assert seen == ["mine"]
    near.close()
    far.close()

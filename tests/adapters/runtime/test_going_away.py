"""How drivers end when their program does: close frames first, on both loops alike."""

from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from math import nan
from typing import Any

import anyio
import pytest
from attrs import define, field

from driving import (
    RUNTIMES,
    CallParties,
    MachineInput,
    RecordingMachine,
    dial_to,
    ignore,
    listening,
    run_in_real_time,
    run_in_virtual_time,
)
from twilio_realtime.runtime.base_driver import GOODBYE_TIMEOUT_NS
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime_core import CallConfig, Peer
from twilio_realtime_core.machine.actions import ByteAction, SendBytes
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import CallEnded, EndReason, SessionReady

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


@define(eq=False)
class GoodbyeMachine(RecordingMachine):
    """A machine that can go away: it says goodbye to its peer."""

    is_established: bool = True

    def go_away(self, now: int) -> list[ByteAction]:
        return [*self._record(now, "go away"), SendBytes("peer", b"goodbye")]


async def run_and_cancel(
    runtime: str, machine: Any, after_s: float, peer: Callable[[Any], Coroutine[Any, Any, None]]
) -> float:
    """Run a machine with a peer, cancel it, and return how long it went on (s)."""
    api = RUNTIMES[runtime]
    near, far = api.memory_pair()
    cancelled_at = took = nan
    async with anyio.create_task_group() as others:
        others.start_soon(peer, near)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(api.Driver(machine, ignore).run, {"peer": far}))
                await anyio.sleep(after_s)
                cancelled_at = anyio.current_time()
                scope.cancel()
        took = anyio.current_time() - cancelled_at
        others.cancel_scope.cancel()
    return took


async def silent(stream: Any) -> None:
    del stream


@define
class AnsweringPeer:
    """A peer that ends its side some time after it has received something."""

    received: list[bytes] = field(factory=list[bytes])

    async def __call__(self, stream: Any) -> None:
        while True:
            await anyio.sleep(0.25)
            try:
                self.received.append(stream.recv(100))
            except BlockingIOError:
                continue
            stream.send_eof()
            return


@each_runtime
def test_a_cancelled_driver_says_goodbye_and_awaits_the_answer(runtime: str) -> None:
    machine, peer = GoodbyeMachine(), AnsweringPeer()
    took = run_in_virtual_time(runtime, partial(run_and_cancel, runtime, machine, 1, peer))
    assert peer.received == [b"goodbye"]
    assert machine.inputs[-2:] == [("go away",), ("eof", "peer")]
    assert 0 < took <= 0.3


@each_runtime
def test_a_peer_that_does_not_answer_is_given_up(runtime: str) -> None:
    machine = GoodbyeMachine()
    took = run_in_virtual_time(runtime, partial(run_and_cancel, runtime, machine, 1, silent))
    assert took == pytest.approx(GOODBYE_TIMEOUT_NS / SECOND)
    assert machine.inputs[-2:] == [("go away",), ("eof", "peer")]


@each_runtime
@pytest.mark.parametrize(
    "machine", [RecordingMachine, partial(GoodbyeMachine, is_established=False)]
)
def test_a_machine_with_nothing_to_end_is_ended_at_once(
    runtime: str, machine: Callable[[], RecordingMachine]
) -> None:
    made = machine()
    took = run_in_virtual_time(runtime, partial(run_and_cancel, runtime, made, 1, silent))
    assert took == 0
    assert ("go away",) not in made.inputs


@each_runtime
def test_going_away_twice_is_at_once(runtime: str) -> None:
    machine = GoodbyeMachine()
    api = RUNTIMES[runtime]

    async def main() -> float:
        near, far = api.memory_pair()
        driver = api.Driver(machine, ignore)
        driver.go_away()  # not yet running: nothing happens
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.run, {"peer": far})
            await anyio.sleep(1)
            driver.go_away()
            driver.go_away()
        near.close()
        driver.go_away()  # nor afterwards
        return anyio.current_time()

    assert run_in_virtual_time(runtime, main) == pytest.approx(1)
    assert machine.inputs[-2:] == [("go away",), ("eof", "peer")]


@each_runtime
def test_a_machine_that_fails_while_it_goes_away_ends_the_run(runtime: str) -> None:
    def fail(machine: RecordingMachine, event: MachineInput) -> list[ByteAction] | None:
        if event == ("go away",):
            raise ZeroDivisionError
        return None

    async def main() -> None:
        driver = RUNTIMES[runtime].Driver(GoodbyeMachine(fail), ignore)
        _, far = RUNTIMES[runtime].memory_pair()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.run, {"peer": far})
            await anyio.sleep(1)
            driver.go_away()

    with pytest.raises(ExceptionGroup) as raised:
        run_in_virtual_time(runtime, main)
    assert raised.group_contains(ZeroDivisionError)


# A whole call.


@define(eq=False)
class Closes:
    """A machine around another, which notes the close codes that its links end with."""

    machine: Any
    codes: list[int] = field(factory=list[int])

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> Any:
        self.codes.append(code)
        return self.machine.closed(peer, code, reason, now)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)


@define(eq=False)
class WatchedParties(CallParties):
    closes: dict[str, Closes] = field(init=False, factory=dict[str, Closes])

    def __attrs_post_init__(self) -> None:
        self.script = ()
        CallParties.__attrs_post_init__(self)
        self.phone: Any = Closes(self.phone)
        self.model: Any = Closes(self.model)


@each_runtime
def test_a_cancelled_listener_closes_both_legs_of_its_calls_with_1001(runtime: str) -> None:
    api = RUNTIMES[runtime]
    parties, events = WatchedParties(), list[object]()
    is_ready = anyio.Event()

    def notify(event: object) -> None:
        events.append(event)
        if isinstance(event, SessionReady):
            is_ready.set()

    async def main() -> None:
        async with listening(
            api, lambda: (api.Driver(parties.model_machine(), ignore), CLIENT)
        ) as model:
            url = f"ws://127.0.0.1:{model[0][1]}/v1/realtime"
            service = Service(ServiceConfig(call=CallConfig(url=url)))

            def accept() -> tuple[Any, Hashable]:
                return api.Driver(service.open_connection(), notify), Peer.TWILIO

            async with anyio.create_task_group() as tasks, listening(api, accept) as bridge:
                dial = dial_to(api, bridge[0])
                tasks.start_soon(
                    partial(api.drive, parties.phone_machine(), notify=ignore, dial=dial)
                )
                await is_ready.wait()
                await anyio.sleep(0.1)

    run_in_real_time(runtime, main)
    assert isinstance(events[-1], CallEnded)
    assert events[-1].reason is EndReason.GOING_AWAY
    assert (parties.phone.codes, parties.model.codes) == ([1001], [1001])

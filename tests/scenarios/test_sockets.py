"""What is about sockets, alike on trio and on asyncio: streams in memory, in virtual time."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from attrs import define, field

from driving import LINK, LONG_SCRIPT, RUNTIMES, CallParties, ignore, run_in_virtual_time
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime_core import Fault, FaultKind, HangUp, Interrupt, Peer
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallStarted,
    EndReason,
    PlaybackStarted,
    SessionReady,
)
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


@define(eq=False)
class Legs:
    """A call in which the application, or a wire, does something when something else happens: `act`
    is called with each notification. `model`: whether a server answers, is silent, or cannot be
    reached."""

    runtime: str
    act: Callable[["Legs", object], None]
    model: str = "answers"
    to_model: LinkConfig = LINK
    told: list[object] = field(init=False, factory=list[object])
    times: list[int] = field(init=False, factory=list[int])
    ends: dict[Peer, Any] = field(init=False, factory=dict[Peer, Any])
    """The far ends of the bridge's two streams."""
    _call: CallParties = field(init=False, factory=lambda: CallParties(LONG_SCRIPT))
    _machine: HttpConnection = field(init=False)
    _driver: Any = field(init=False)

    def run(self) -> "Legs":
        run_in_virtual_time(self.runtime, self._run)
        return self

    def send(self, command: Any) -> None:
        """A command of the application."""
        now = self._driver.now()
        actions = self._call.bridge.send(command, now)
        self._driver.perform(self._machine.perform(actions, now))

    def ended(self) -> CallEnded:
        """How the call ended, which is notified once and last."""
        (ended,) = [event for event in self.told if isinstance(event, CallEnded)]
        assert self.told[-1] is ended
        return ended

    def faults(self) -> list[FaultKind]:
        return [event.kind for event in self.told if isinstance(event, Fault)]

    def _notify(self, event: object) -> None:
        self.told.append(event)
        self.times.append(self._driver.now())
        self.act(self, event)

    async def _run(self) -> None:
        api = RUNTIMES[self.runtime]
        links = {Peer.TWILIO: LINK, Peer.REALTIME: self.to_model}

        def respond(request: HttpRequest) -> Upgrade:
            return Upgrade(self._call.bridge, Peer.TWILIO, links)

        async with anyio.create_task_group() as tasks:

            async def dial_model(host: str, port: int) -> Any:
                if self.model == "unreachable":
                    await anyio.sleep_forever()
                near, self.ends[Peer.REALTIME] = api.memory_pair()
                if self.model == "answers":
                    server = api.Driver(self._call.model_machine(), ignore)
                    tasks.start_soon(server.run, {CLIENT: self.ends[Peer.REALTIME]})
                return near

            async def dial_bridge(host: str, port: int) -> Any:
                self.ends[Peer.TWILIO], far = api.memory_pair()
                self._machine = HttpConnection(Peer.TWILIO, respond, bytes)
                self._driver = api.Driver(self._machine, self._notify, dial=dial_model)
                tasks.start_soon(self._driver.run, {Peer.TWILIO: far})
                return self.ends[Peer.TWILIO]

            await api.drive(self._call.phone_machine(), notify=ignore, dial=dial_bridge)


def when(kind: type, *commands: Any) -> Callable[[Legs, object], None]:
    """The application does this, when that happens."""

    def act(legs: Legs, event: object) -> None:
        if isinstance(event, kind):
            for command in commands:
                legs.send(command)

    return act


def cut(peer: Peer, kind: type) -> Callable[[Legs, object], None]:
    """The stream of a peer is lost, when that happens; the application interrupts at the end."""

    def act(legs: Legs, event: object) -> None:
        if isinstance(event, kind):
            legs.ends[peer].abort()
        if isinstance(event, CallEnded):
            legs.send(Interrupt())

    return act


@each_runtime
def test_s09_an_interruption_after_hanging_up_raises(
    runtime: str,
) -> None:
    legs = Legs(runtime, when(PlaybackStarted, HangUp(), Interrupt())).run()
    assert legs.ended().reason is EndReason.HUNG_UP
    assert legs.faults() == []


@each_runtime
@pytest.mark.parametrize(
    ("peer", "reason"),
    [(Peer.TWILIO, EndReason.TWILIO_LOST), (Peer.REALTIME, EndReason.REALTIME_LOST)],
)
def test_s10_an_interruption_after_a_lost_peer_raises(
    peer: Peer, reason: EndReason, runtime: str
) -> None:
    legs = Legs(runtime, cut(peer, PlaybackStarted)).run()
    assert legs.ended().reason is reason


@each_runtime
def test_s52_a_call_that_ends_while_dialling_leaves_nothing(
    runtime: str,
) -> None:
    """S52: the driver gives up dialling, so the run ends."""
    legs = Legs(runtime, when(CallStarted, HangUp()), model="unreachable").run()
    assert legs.ended().reason is EndReason.HUNG_UP
    assert SessionReady not in map(type, legs.told)


@each_runtime
def test_s69_a_handshake_without_an_answer_times_out(runtime: str) -> None:
    config = LinkConfig(max_message_bytes=1 << 24, handshake_timeout_ms=3_000)
    legs = Legs(runtime, when(CallEnded), model="silent", to_model=config).run()
    assert legs.ended().reason is EndReason.REALTIME_UNREACHABLE
    assert legs.times[-1] - legs.times[0] == 3 * SECOND


@each_runtime
def test_s69_a_message_over_the_limit_ends_the_call(runtime: str) -> None:
    legs = Legs(runtime, when(CallEnded), to_model=LinkConfig(max_message_bytes=500)).run()
    assert FaultKind.TOO_LARGE in legs.faults()
    assert legs.ended().reason is EndReason.REALTIME_LOST


@each_runtime
def test_s89_a_lost_model_ends_the_call_at_once(runtime: str) -> None:
    legs = Legs(runtime, cut(Peer.REALTIME, SessionReady)).run()
    assert legs.ended().reason is EndReason.REALTIME_LOST
    ready = next(
        at
        for at, event in zip(legs.times, legs.told, strict=True)
        if isinstance(event, SessionReady)
    )
    assert legs.times[-1] - ready < SECOND // 10

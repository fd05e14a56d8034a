"""A call over a host's WebSocket: whole calls, and hosts that behave badly."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from driving import ANSWER, LONG_SCRIPT, CallParties, run_in_virtual_time
from hosting import HostedTestCall, MemorySocket
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.hosts.socket import HostSocketClosed
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays
from twilio_realtime_core import HangUp, Interrupt
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.units import MS, samples_to_ms
from twilio_realtime_core.notifications import (
    CallEnded,
    EndReason,
    Interrupted,
    KeyPressed,
    PlaybackStarted,
    SessionReady,
)
from twilio_realtime_core.protocols.twilio import MAX_MESSAGE_BYTES

QUESTION = ANSWER.audio[:8000]

each_runtime = pytest.mark.parametrize("runtime", ["asyncio", "trio"])


class Listener:
    """An agent that keeps what it is notified of, and reacts to it."""

    def __init__(self, react: Callable[[Call, object], None] = lambda call, event: None) -> None:
        self.events: list[Any] = []
        self.react = react

    async def __call__(self, call: Call) -> None:
        async for event in call:
            self.events.append(event)
            self.react(call, event)

    @property
    def end(self) -> CallEnded:
        (end,) = self.of(CallEnded)
        return end  # type: ignore[no-any-return]

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.events if isinstance(each, kind)]


def talkative(seconds: int = 30) -> CallParties:
    """A caller who asks, and a model whose answer is long."""
    parties = CallParties(script=(AfterDelay(500 * MS, CallerSays(QUESTION)),))
    audio = ANSWER.audio * (seconds * 8000 // len(ANSWER.audio) + 1)
    parties.model = RealtimePeer([Reply((SpokenReply(audio, "words"),))], seed=2)
    return parties


def on(kind: type, do: Callable[[Call], None]) -> Callable[[Call, object], None]:
    return lambda call, event: do(call) if isinstance(event, kind) else None


@each_runtime
def test_a_whole_call_reports_what_the_caller_heard(runtime: str) -> None:
    agent = Listener()
    call = HostedTestCall(runtime, agent, CallParties(script=LONG_SCRIPT))
    run_in_virtual_time(runtime, call.run)
    assert (agent.end.reason, agent.end.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert agent.of(KeyPressed) == [KeyPressed("5")]
    interruptions = agent.of(Interrupted)
    phone = call.parties.phone
    assert len(interruptions) == len(phone.clears) == 1
    (item,) = interruptions[0].items
    assert item.heard_ms == pytest.approx(samples_to_ms(phone.clears[0].heard_bytes), abs=20)
    assert call.parties.model.conversation[1].truncated_ms == item.heard_ms
    assert phone.warnings == []
    assert call.parties.model.sent_errors == []
    assert agent.of(Fault) == []


@each_runtime
def test_a_hang_up_of_the_agent_closes_the_socket(runtime: str) -> None:
    agent = Listener(on(SessionReady, lambda call: call.send(HangUp())))
    call = HostedTestCall(runtime, agent)
    run_in_virtual_time(runtime, call.run)
    assert agent.end.reason is EndReason.HUNG_UP
    assert call.phone_close_code == 1000


@each_runtime
def test_a_host_that_can_ping_measures_the_round_trip(runtime: str) -> None:
    call = HostedTestCall(runtime, Listener(), CallParties(script=LONG_SCRIPT))
    run_in_virtual_time(runtime, call.run)
    assert call.socket.pings


@each_runtime
def test_binary_messages_are_faults_that_end_nothing(runtime: str) -> None:
    agent = Listener()
    call = HostedTestCall(runtime, agent, CallParties(script=LONG_SCRIPT))
    call.socket.push(b"{}")
    run_in_virtual_time(runtime, call.run)
    assert agent.end.reason is EndReason.CALLER_HUNG_UP


def send_start(socket: MemorySocket) -> None:
    start = {"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1", "callSid": "CA1"}}
    socket.push(json.dumps(start))


def run_without_phone(runtime: str, agent: Listener, *messages: Any) -> HostedTestCall:
    """Run a call whose host delivers only these messages, after the start of the stream."""
    call = HostedTestCall(runtime, agent)
    send_start(call.socket)
    for message in messages:
        call.socket.push(message)
    run_in_virtual_time(runtime, lambda: call.run(has_phone=False))
    return call


class DisconnectError(Exception):
    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__("text of a framework")
        self.code, self.reason = code, reason


@each_runtime
@pytest.mark.parametrize(
    ("message", "reason", "detail"),
    [
        (HostSocketClosed(1000), EndReason.CALLER_HUNG_UP, "1000"),
        (HostSocketClosed(1006), EndReason.TWILIO_LOST, "1006"),
        (HostSocketClosed(1012), EndReason.GOING_AWAY, ""),
        (DisconnectError(1001, "bye"), EndReason.CALLER_HUNG_UP, "1001 bye"),
        (RuntimeError("what people said"), EndReason.TWILIO_LOST, "1006 RuntimeError"),
    ],
)
def test_the_end_of_the_socket_ends_the_call(
    runtime: str, message: Any, reason: EndReason, detail: str
) -> None:
    agent = Listener()
    run_without_phone(runtime, agent, message, message)
    assert (agent.end.reason, agent.end.detail) == (reason, detail)


@each_runtime
def test_a_message_that_is_too_long_ends_the_call(runtime: str) -> None:
    agent = Listener()
    call = run_without_phone(runtime, agent, "x" * (MAX_MESSAGE_BYTES + 1))
    assert [fault.kind for fault in agent.of(Fault)] == [FaultKind.TOO_LARGE]
    assert agent.end.reason is EndReason.TWILIO_LOST
    assert call.socket.closed_with == [(1009, "")]


@each_runtime
def test_a_cancellation_ends_the_call_in_good_order(runtime: str) -> None:
    agent = Listener()
    call = HostedTestCall(runtime, agent, talkative())

    async def cancel_after_a_while() -> None:
        with anyio.move_on_after(5):
            await call.run()

    run_in_virtual_time(runtime, cancel_after_a_while)
    assert [code for code, _ in call.socket.closed_with] == [1001]
    assert call.service.admission.calls == 0


@each_runtime
def test_go_away_ends_the_call_for_its_agent(runtime: str) -> None:
    agent = Listener()
    call = HostedTestCall(runtime, agent, talkative())
    agent.react = on(PlaybackStarted, lambda _: call.call.go_away())
    run_in_virtual_time(runtime, call.run)
    assert agent.end.reason is EndReason.GOING_AWAY
    assert call.phone_close_code == 1001


def block_media(call: HostedTestCall) -> anyio.Event:
    """Have the host take no audio until the event is set."""
    released = anyio.Event()

    async def wait(text: str) -> None:
        if '"event":"media"' in text:
            await released.wait()

    call.socket.before_send = wait
    return released


@each_runtime
def test_a_clear_does_not_wait_behind_media(runtime: str) -> None:
    agent = Listener()
    call = HostedTestCall(runtime, agent, talkative())

    async def main() -> None:
        released = block_media(call)

        async def interrupt(each: Call) -> None:
            await anyio.sleep(6)  # the model has generated, and the host has taken one message
            each.send(Interrupt())
            released.set()
            await anyio.sleep(1)
            each.send(HangUp())

        agent.react = on(SessionReady, lambda each: each.start_soon(interrupt, each))
        await call.run()

    run_in_virtual_time(runtime, main)
    kinds = [json.loads(text)["event"] for text in call.socket.sent]
    assert kinds[: kinds.index("clear")].count("media") == 1
    assert agent.end.reason is EndReason.HUNG_UP


@each_runtime
def test_a_peer_that_never_reads_loses_the_call(runtime: str) -> None:
    agent = Listener()
    call = HostedTestCall(runtime, agent, talkative(seconds=150))

    async def main() -> None:
        block_media(call)
        await call.run()

    run_in_virtual_time(runtime, main)
    assert agent.end.reason is EndReason.TWILIO_LOST
    assert agent.end.detail == "1006 the peer does not read"


@each_runtime
def test_a_host_that_never_closes_does_not_keep_the_call(runtime: str) -> None:
    agent = Listener(on(SessionReady, lambda call: call.send(HangUp())))
    call = HostedTestCall(runtime, agent)
    call.socket.before_close = anyio.sleep_forever
    run_in_virtual_time(runtime, call.run)
    assert agent.end.reason is EndReason.HUNG_UP


@each_runtime
def test_a_socket_that_raises_in_send_ends_the_call(runtime: str) -> None:
    agent = Listener()
    call = HostedTestCall(runtime, agent, talkative())

    async def fail(text: str) -> None:
        raise OSError("closed twice")

    call.socket.before_send = fail
    run_in_virtual_time(runtime, call.run)
    assert agent.end.reason is EndReason.TWILIO_LOST


@each_runtime
def test_an_exception_of_the_agent_hangs_up(runtime: str) -> None:
    def fail(call: Call) -> None:
        raise ValueError("what people said")

    call = HostedTestCall(runtime, Listener(on(SessionReady, fail)))
    with pytest.raises(ApplicationError, match="the agent raised ValueError at test_hosted_call"):
        run_in_virtual_time(runtime, call.run)
    assert call.phone_close_code == 1000

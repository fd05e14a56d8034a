"""Virtual time: what machines receive and when; and a phone call to a small echo server."""

import json
from base64 import b64decode, b64encode
from collections.abc import Hashable
from typing import Any

import attrs
import pytest
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import silence
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from twilio_realtime.sim.phone.twilio_peer import (
    SERVER,
    CueStarted,
    PhoneDisconnected,
    QueueCleared,
    TwilioPeer,
)
from twilio_realtime.sim.world.byte_world import ByteWorld
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime.sim.world.world import LinkDirection, SimLink, SimulationError, Step
from twilio_realtime_core.machine.actions import (
    Action,
    Close,
    Connect,
    Notify,
    Open,
    Refusal,
    Send,
    SendBytes,
    SendPing,
    Shutdown,
)
from twilio_realtime_core.machine.contract import ByteMachine, MessageMachine
from twilio_realtime_core.machine.units import FRAME_SAMPLES, MS, SAMPLE_NS, SECOND
from twilio_realtime_core.transport.http import HttpConnection, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

LATENCY = 20 * MS
PEER = "peer"


@frozen
class Text:
    text: str

    def encode(self) -> str:
        return self.text


@define(eq=False)
class LoggingMachine:
    """A machine of either kind that logs its calls, and returns the actions it was given."""

    actions_by_method: dict[str, list[Any]] = field(factory=dict[str, list[Any]])
    """Actions to return, by method."""
    deadline: int | None = None
    calls: list[tuple[Any, ...]] = field(factory=list[tuple[Any, ...]])

    def start(self, now: int) -> list[Any]:
        return self._record("start", now)

    def opened(self, peer: Hashable, now: int) -> list[Any]:
        return self._record("opened", now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Any]:
        return self._record("receive_text", now, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Any]:
        return self._record("pong", now, payload)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Any]:
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Any]:
        return self._record("closed", now, code, reason)

    def connected(self, peer: Hashable, now: int) -> list[Any]:
        return self._record("connected", now)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[Any]:
        return self._record("connect_failed", now, reason)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[Any]:
        return self._record("receive_bytes", now, data)

    def receive_eof(self, peer: Hashable, now: int) -> list[Any]:
        return self._record("receive_eof", now)

    def handle_timeout(self, now: int) -> list[Any]:
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        return self._record("handle_timeout", now)

    def perform(self, *arguments: Any) -> list[Any]:
        *actions, now = arguments
        self.calls.append((now // MS, "perform"))
        return actions

    def _record(self, method: str, now: int, *what: object) -> list[Any]:
        self.calls.append((now // MS, method, *what))
        return self.actions_by_method.pop(method, [])


def message_pair(
    near: dict[str, list[Any]] | None = None, far: dict[str, list[Any]] | None = None, **more: Any
) -> tuple[MessageWorld, LoggingMachine, LoggingMachine, SimLink[MessageMachine]]:
    """A world of two logging machines; the near one dials at the start."""
    world = MessageWorld(trace_limit=100)
    one, other = (
        LoggingMachine({"start": [Open(PEER, "")], **(near or {})}),
        LoggingMachine(far or {}),
    )
    world.add("near", one)
    world.add("far", other)
    link = world.join(("near", PEER), ("far", PEER), latency_ns=LATENCY, **more)
    return world, one, other, link


def stream_pair(
    near: dict[str, list[Any]] | None = None, far: dict[str, list[Any]] | None = None, **more: Any
) -> tuple[ByteWorld, LoggingMachine, LoggingMachine, SimLink[ByteMachine]]:
    """The same for bytes."""
    world = ByteWorld(**more)
    one, other = (
        LoggingMachine({"start": [Connect(PEER, "h", 1, tls=False)], **(near or {})}),
        LoggingMachine(far or {}),
    )
    world.add("near", one)
    world.add("far", other)
    return world, one, other, world.join(("near", PEER), ("far", PEER), latency_ns=LATENCY)


def send(text: str) -> Send:
    return Send(PEER, Text(text))


# Links between message machines.


def test_a_link_opens_at_the_far_end_first() -> None:
    world, near, far, _ = message_pair(far={"opened": [send("hello")]}, connect_ns=100 * MS)
    world.run(SECOND)
    assert near.calls == [(0, "start"), (140, "opened"), (140, "receive_text", "hello")]
    assert far.calls == [(0, "start"), (120, "opened")]
    assert world.now == SECOND


def test_a_refused_dial_is_closed_after_a_round_trip() -> None:
    world, near, far, link = message_pair()
    link.is_accepting = False
    world.run(SECOND)
    assert near.calls[1:] == [(40, "closed", 1006, "refused")]
    assert far.calls == [(0, "start")]


def test_text_arrives_in_order_though_the_latency_shrinks() -> None:
    @define
    class Shrinking(LinkDirection):
        def propagation_ns(self, now: int) -> int:
            return max(0, self.latency_ns - now)

    directions = (Shrinking(60 * MS), LinkDirection(LATENCY))
    world, _, far, _ = message_pair(near={"opened": [send("a")]}, directions=directions)
    world.run(80 * MS)
    world.call("near", "perform", send("b"))
    world.run(SECOND)
    assert far.calls[1:] == [(60, "opened"), (80, "receive_text", "a"), (80, "receive_text", "b")]
    assert directions[0].propagation_ns(SECOND) == 0


def test_a_pong_comes_a_round_trip_after_its_ping() -> None:
    world, near, _, link = message_pair(near={"opened": [SendPing(PEER, b"1")]})
    world.run(SECOND)
    assert near.calls[2:] == [(80, "pong", b"1")]
    assert link.ping_count == 1


def test_each_end_gets_one_close_with_its_code() -> None:
    world, near, far, _ = message_pair(near={"opened": [send("a"), Close(PEER, 4000, "enough")]})
    world.run(SECOND)
    assert near.calls[2:] == [(80, "closed", 4000, "enough")]
    assert far.calls[2:] == [(60, "receive_text", "a"), (60, "closed", 4000, "enough")]


def test_crossing_closes_give_each_end_the_code_of_the_other() -> None:
    world, near, far, _ = message_pair()
    world.run(100 * MS)
    world.call("near", "perform", Close(PEER, 1000, "near"), Close(PEER, 1001, "again"))
    world.call("far", "perform", Close(PEER, 1001, "far"))
    world.run(SECOND)
    assert near.calls[3:] == [(120, "closed", 1001, "far")]
    assert far.calls[3:] == [(120, "closed", 1000, "near")]
    world.call("near", "perform", Close(PEER, 1000, "late"))
    assert not world.step()


def test_an_end_that_has_closed_receives_only_the_close() -> None:
    world, near, far, _ = message_pair()
    world.run(100 * MS)
    world.call("near", "perform", SendPing(PEER, b"1"), Close(PEER, 1000, ""))
    world.call("far", "perform", send("late"), SendPing(PEER, b"2"))
    world.run(SECOND)
    assert near.calls[3:] == [(140, "closed", 1000, "")]
    assert far.calls[3:] == [(120, "closed", 1000, "")]


def test_a_dial_can_be_abandoned() -> None:
    world, near, far, _ = message_pair(near={"start": [Open(PEER, ""), Close(PEER, 1000, "")]})
    world.run(SECOND)
    assert near.calls[1:] == [(0, "closed", 1006, "")]
    assert far.calls[1:] == [(20, "opened"), (20, "closed", 1006, "")]


def test_a_refused_and_abandoned_dial_is_closed_once() -> None:
    world, near, far, link = message_pair(near={"start": [Open(PEER, ""), Close(PEER, 1000, "")]})
    link.is_accepting = False
    world.run(SECOND)
    assert near.calls[1:] == [(0, "closed", 1006, "")]
    assert far.calls == [(0, "start")]


def test_a_severed_link_closes_both_ends_and_loses_text() -> None:
    world, near, far, link = message_pair()
    world.sever(link)
    world.run(100 * MS)
    world.call("near", "perform", send("lost"))
    world.sever(link)
    assert near.calls[3:] == far.calls[2:] == [(100, "closed", 1006, "")]
    world.run(SECOND)
    assert len(far.calls) == 3


def test_a_link_severed_during_the_dial_closes_only_the_dialler() -> None:
    world, near, far, link = message_pair()
    world.run(10 * MS)
    world.sever(link)
    world.run(SECOND)
    assert near.calls[1:] == [(10, "closed", 1006, "")]
    assert far.calls == [(0, "start")]


def test_a_closed_link_can_be_dialled_again_by_either_end() -> None:
    world, near, far, _ = message_pair(near={"opened": [Close(PEER, 1000, "")]})
    world.run(SECOND)
    world.call("far", "perform", Open(PEER, ""))
    world.run(2 * SECOND)
    world.call("near", "perform", send("again"))
    world.run(3 * SECOND)
    assert near.calls[3:] == [(1020, "opened"), (2000, "perform")]
    assert far.calls[3:] == [(1000, "perform"), (1040, "opened"), (2020, "receive_text", "again")]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([Open(PEER, "")], "near dials peer, which is not closed"),
        ([Close(PEER, 1000, ""), send("a")], "near sends to peer, which is not open"),
        ([SendPing("other", b"")], "near: other is not joined"),
        ([Shutdown(PEER)], "no action of a message machine"),
    ],
)
def test_an_action_that_breaks_the_contract_is_an_error(actions: list[Any], message: str) -> None:
    world, *_ = message_pair()
    world.run(SECOND)
    with pytest.raises(SimulationError, match=message):
        world.call("near", "perform", *actions)


def test_a_link_without_a_dial_cannot_be_used() -> None:
    world, *_ = message_pair(near={"start": []})
    for action in (send("a"), Close(PEER, 1000, "")):
        with pytest.raises(SimulationError, match=r"not open|never opened"):
            world.call("near", "perform", action)


# Links between byte machines.


def test_bytes_arrive_in_order_and_end_with_eof() -> None:
    world, near, far, _ = stream_pair(
        near={"connected": [SendBytes(PEER, b"a"), SendBytes(PEER, b"b"), Shutdown(PEER)]},
        far={"connected": [SendBytes(PEER, b"x")], "receive_eof": [SendBytes(PEER, b"late")]},
    )
    world.run(SECOND)
    world.call("far", "perform", Shutdown(PEER), Shutdown(PEER))
    world.run(2 * SECOND)
    assert near.calls[1:] == [(40, "connected")]
    assert far.calls[1:-1] == [
        (20, "connected"),
        (60, "receive_bytes", b"a"),
        (60, "receive_bytes", b"b"),
        (60, "receive_eof"),
    ]


def test_a_refused_stream_fails_after_a_round_trip() -> None:
    world, near, _, link = stream_pair()
    link.is_accepting = False
    world.run(SECOND)
    assert near.calls[1:] == [(40, "connect_failed", "refused")]


def test_a_severed_stream_ends_at_both_ends() -> None:
    world, near, far, link = stream_pair()
    world.sever(link)
    world.run(100 * MS)
    world.call("near", "perform", SendBytes(PEER, b"lost"))
    world.sever(link)
    world.sever(link)
    world.call("far", "perform", SendBytes(PEER, b"nowhere"), Shutdown(PEER))
    world.run(SECOND)
    assert near.calls[3:] == [(100, "receive_eof")]
    assert far.calls[2:] == [(100, "receive_eof"), (100, "perform")]


def test_a_stream_severed_during_the_dial_fails() -> None:
    world, near, far, link = stream_pair()
    world.run(10 * MS)
    world.sever(link)
    world.run(SECOND)
    assert near.calls[1:] == [(10, "connect_failed", "refused")]
    assert far.calls == [(0, "start")]


def test_a_stream_abandoned_during_the_dial_receives_nothing() -> None:
    world, near, far, _ = stream_pair(
        near={"start": [Connect(PEER, "h", 1, tls=True), Shutdown(PEER)]}
    )
    world.run(SECOND)
    assert near.calls == [(0, "start")]
    assert far.calls[1:] == [(20, "connected"), (20, "receive_eof")]


def test_a_refused_and_abandoned_stream_receives_nothing() -> None:
    world, near, _, link = stream_pair(
        near={"start": [Connect(PEER, "h", 1, tls=True), Shutdown(PEER)]}
    )
    link.is_accepting = False
    world.run(SECOND)
    assert near.calls == [(0, "start")]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([Shutdown(PEER), SendBytes(PEER, b"a")], "near writes to peer, which is not open"),
        ([send("a")], "no action of a byte machine"),
    ],
)
def test_a_byte_action_that_breaks_the_contract_is_an_error(
    actions: list[Any], message: str
) -> None:
    world, *_ = stream_pair()
    world.run(SECOND)
    with pytest.raises(SimulationError, match=message):
        world.call("near", "perform", *actions)


def test_an_unconnected_stream_cannot_be_shut_down() -> None:
    world, *_ = stream_pair(near={"start": []})
    with pytest.raises(SimulationError, match="never connected"):
        world.call("near", "perform", Shutdown(PEER))


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20), max_size=5), st.integers())
def test_pieces_are_the_bytes_split_anywhere(writes: list[bytes], seed: int) -> None:
    def received() -> list[bytes]:
        actions = [SendBytes(PEER, data) for data in writes]
        world, _, far, _ = stream_pair(near={"connected": actions}, is_segmented=True, seed=seed)
        world.run(SECOND)
        return [call[2] for call in far.calls if call[1] == "receive_bytes"]

    pieces = received()
    assert b"".join(pieces) == b"".join(writes)
    assert all(pieces)
    assert pieces == received()


def test_segmentation_splits_a_write() -> None:
    actions = [SendBytes(PEER, b"0123456789")]
    world, _, far, _ = stream_pair(near={"connected": actions}, is_segmented=True)
    world.run(SECOND)
    assert len(far.calls) > 3


# Time, timers and observers.


def test_a_machine_is_called_at_its_current_deadline_only() -> None:
    world, near, far, _ = message_pair()
    near.deadline, far.deadline = 300 * MS, 200 * MS
    world.run(100 * MS)
    far.deadline = 250 * MS
    world.call("far", "perform")
    near.deadline = None
    world.call("near", "perform")
    world.run(SECOND)
    assert far.calls[-1] == (250, "handle_timeout")
    assert near.calls[-1] == (100, "perform")


def test_a_past_deadline_fires_at_once() -> None:
    world, near, *_ = message_pair()
    world.run(100 * MS)
    near.deadline = 50 * MS
    world.call("near", "perform")
    world.run(100 * MS)
    assert near.calls[-1] == (100, "handle_timeout")


def test_a_deadline_that_stays_due_is_an_error() -> None:
    @define(eq=False)
    class NeverWakes(LoggingMachine):
        def handle_timeout(self, now: int) -> list[Any]:
            return []

    world = MessageWorld()
    world.add("late", NeverWakes(deadline=5))
    with pytest.raises(SimulationError, match=r"late: after handle_timeout\(5\)"):
        world.run(SECOND)


def test_endless_steps_in_one_instant_are_an_error() -> None:
    @define(eq=False)
    class Repeater(LoggingMachine):
        def receive_text(self, peer: Hashable, text: str, now: int) -> list[Any]:
            return [send(text)]

    world = MessageWorld()
    world.add("one", Repeater({"start": [Open(PEER, "")], "opened": [send("x")]}))
    world.add("two", Repeater())
    world.join(("one", PEER), ("two", PEER))
    with pytest.raises(SimulationError, match="time does not advance beyond 0 ns"):
        world.run(SECOND)


def test_run_until_stops_at_the_step_that_meets_the_condition() -> None:
    world, near, *_ = message_pair()
    world.run_until(lambda: len(near.calls) > 1, SECOND)
    assert world.now == 40 * MS
    world.run_until(lambda: True, 0)


@pytest.mark.parametrize("limit_ns", [30 * MS, SECOND])
def test_run_until_fails_with_the_last_steps_at_its_limit(limit_ns: int) -> None:
    world, *_ = message_pair()
    with pytest.raises(SimulationError, match=f"does not hold by {limit_ns} ns\\n.*near.start"):
        world.run_until(lambda: False, limit_ns)


def test_names_and_peers_must_be_unique_and_known() -> None:
    world, near, *_ = message_pair()
    with pytest.raises(SimulationError, match="already a machine named near"):
        world.add("near", near)
    with pytest.raises(SimulationError, match="near: peer is already joined"):
        world.join(("near", PEER), ("far", "other"))
    with pytest.raises(SimulationError, match="no machine named nobody"):
        world.call("nobody", "start")
    with pytest.raises(ValueError, match="latency_ns"):
        LinkDirection(-1)


def test_observers_see_every_step_after_it_was_carried_out() -> None:
    world, near, _, _ = message_pair(near={"opened": [Notify("hello"), send("a" * 200)]})
    observed: list[tuple[Step, int]] = []
    world.step_observers.append(lambda step: observed.append((step, len(world.notifications))))
    world.run(SECOND)
    assert [(step.machine, step.method, count) for step, count in observed] == [
        ("near", "start", 0),
        ("far", "start", 0),
        ("far", "opened", 0),
        ("near", "opened", 1),
        ("far", "receive_text", 1),
    ]
    assert world.notifications == [(40 * MS, "near", "hello")]
    assert list(world.trace) == [step for step, _ in observed]
    assert near.calls[-1] == (40, "opened")


def test_a_step_is_readable_as_text() -> None:
    step = Step(1_500_000, "phone", "receive", ("peer", b"abc"), (Notify("x" * 200),))
    first, second = str(step).split("\n")
    assert first == "       1.500 ms  phone.receive('peer', <3 bytes>)"
    assert second.startswith(f"{'':18}-> Notify(event='xxx")
    assert second.endswith("xx… (216 characters)")


def test_the_trace_keeps_the_last_steps_if_requested() -> None:
    world = MessageWorld(trace_limit=1)
    for name in "ab":
        world.add(name, LoggingMachine())
    world.run(0)
    assert [step.machine for step in world.trace] == ["b"]
    assert not MessageWorld().trace


# A call.


@define(eq=False)
class Echo:
    """A server that sends `greeting`, then what the caller says; on a key it sends a clear."""

    greeting: bytes = b""
    deadline: int | None = None
    sid: str = ""
    marks: list[tuple[int, str]] = field(factory=list[tuple[int, str]])

    def start(self, now: int) -> list[Action]:
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        message = json.loads(text)
        match message["event"]:
            case "start":
                self.sid = message["streamSid"]
                payload = b64encode(self.greeting).decode()
                return [
                    self._send(event="media", media={"payload": payload}),
                    self._send(event="mark", mark={"name": "greeting"}),
                ]
            case "media" if b64decode(message["media"]["payload"]) != silence(FRAME_SAMPLES):
                return [self._send(event="media", media={"payload": message["media"]["payload"]})]
            case "mark":
                self.marks.append((now, message["mark"]["name"]))
            case "dtmf":
                return [self._send(event="clear")]
            case _:
                pass
        return []

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return []

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return [Notify(("closed", code))]

    def handle_timeout(self, now: int) -> list[Action]:
        return []

    def _send(self, **message: object) -> Send:
        return Send(PEER, Text(json.dumps({"streamSid": self.sid, **message})))


def call(phone: TwilioPeer, greeting: bytes = b"") -> tuple[MessageWorld, Echo]:
    world, server = MessageWorld(), Echo(greeting)
    world.add("phone", phone)
    world.add("server", server)
    world.join(("phone", SERVER), ("server", PEER), latency_ns=LATENCY)
    return world, server


def test_the_mark_is_echoed_when_the_greeting_was_played() -> None:
    greeting = sample_speech.load("agent_greeting").audio
    world, server = call(TwilioPeer(start_delay_ns=33 * MS), greeting)
    world.run(10 * SECOND)
    # opened 20, 40; start 60; media 80; played from 113 on; mark one way later.
    assert server.marks == [(133 * MS + len(greeting) * SAMPLE_NS, "greeting")]


def test_the_echo_is_heard_a_round_trip_later() -> None:
    phone = TwilioPeer(first_frame_ns=100 * MS, jitter_ns=0)
    world, _ = call(phone)
    world.run(SECOND)
    world.call("phone", "say", b"hello" * 32)
    world.run(2 * SECOND)
    (segment,) = phone.segments(world.now)
    at = segment.audio.index(b"h") * SAMPLE_NS + segment.start_ns
    assert segment.audio.replace(b"\xff", b"") == b"hello" * 32
    assert at == 1020 * MS + 40 * MS  # the frame of 1000 had been sent


def test_a_script_plays_a_whole_call() -> None:
    phone = TwilioPeer(
        record_audio=False,
        script=[
            WhenAgentQuiet(200 * MS, CallerSays(sample_speech.load("caller_interruption").audio)),
            WhenAgentHeard(20, CallerSays(b"")),
            AfterDelay(100 * MS, CallerHangsUp()),
        ],
    )
    world, _ = call(phone, sample_speech.load("agent_greeting").audio)
    world.run_until(lambda: phone.is_over, 60 * SECOND)
    events = [event for _, _, event in world.notifications]
    assert [type(event) for event in events] == [
        CueStarted,
        CueStarted,
        CueStarted,
        tuple,
        PhoneDisconnected,
    ]
    assert events[-2:] == [
        ("closed", 1000),
        PhoneDisconnected(caller_hung_up=True, code=1000, reason=""),
    ]
    assert phone.warnings == []


def test_a_clear_reports_exactly_what_was_heard() -> None:
    phone = TwilioPeer()
    world, server = call(phone, b"a" * 8000)
    world.run(500 * MS)
    world.call("phone", "press_key", "1")
    world.run(SECOND)
    heard_bytes = (540 - 80) * 8
    (cleared,) = phone.clears
    assert (cleared.at_ns, cleared.heard_bytes) == (540 * MS, heard_bytes)
    assert world.notifications == [(540 * MS, "phone", cleared)]
    assert isinstance(cleared, QueueCleared)
    assert [name for _, name in server.marks] == ["greeting"]


@pytest.mark.parametrize("is_segmented", [False, True])
def test_real_websockets_play_the_same_audio(is_segmented: bool) -> None:  # noqa: FBT001
    def phone() -> TwilioPeer:
        cues: list[Cue] = [
            WhenAgentHeard(300, CallerSays(b"hello" * 500)),
            AfterDelay(0, CallerPressesKey("1")),
            AfterDelay(SECOND, CallerHangsUp()),
        ]
        return TwilioPeer(url="ws://server/stream", script=cues)

    by_message, greeting = phone(), b"a" * 40_000
    call(by_message, greeting)[0].run(10 * SECOND)

    by_byte, server, config = phone(), Echo(greeting), LinkConfig(max_message_bytes=1 << 20)
    world = ByteWorld(is_segmented=is_segmented)
    world.add("phone", Stack(by_byte, {SERVER: config}, bytes))
    upgrade = Upgrade(server, PEER, {PEER: config})
    world.add("server", HttpConnection(PEER, lambda _: upgrade, bytes))
    world.join(("phone", SERVER), ("server", PEER), latency_ns=LATENCY)
    world.run(10 * SECOND)

    assert by_byte.is_over
    assert by_byte.warnings == []
    # The handshake takes a round trip more.
    later = [attrs.evolve(c, at_ns=c.at_ns + 2 * LATENCY) for c in by_message.clears]
    assert by_byte.clears == later
    assert [s.audio for s in by_byte.segments(world.now)] == [
        s.audio for s in by_message.segments(world.now)
    ]


def test_the_same_seed_gives_the_same_call() -> None:
    def make_call(seed: int) -> list[str]:
        phone = TwilioPeer(
            seed=seed,
            script=[WhenAgentHeard(300, CallerSays(b"wait")), AfterDelay(0, CallerHangsUp())],
        )
        world, _ = call(phone, b"a" * 8000)
        steps: list[str] = []
        world.step_observers.append(lambda step: steps.append(str(step)))
        world.run(5 * SECOND)
        return steps

    assert make_call(1) == make_call(1)
    assert make_call(1) != make_call(2)

"""Virtual time: who is told what, and when; and a phone call to a small echo server in it."""

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
class Scribe:
    """A machine of either kind that writes down what it is told, and does what it is asked."""

    plan: dict[str, list[Any]] = field(factory=dict[str, list[Any]])
    """What to do, by the method that is called."""
    deadline: int | None = None
    told: list[tuple[Any, ...]] = field(factory=list[tuple[Any, ...]])

    def start(self, now: int) -> list[Any]:
        return self._write("start", now)

    def opened(self, peer: Hashable, now: int) -> list[Any]:
        return self._write("opened", now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Any]:
        return self._write("receive_text", now, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Any]:
        return self._write("pong", now, payload)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Any]:
        return self._write("closed", now, code, reason)

    def connected(self, peer: Hashable, now: int) -> list[Any]:
        return self._write("connected", now)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[Any]:
        return self._write("connect_failed", now, reason)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[Any]:
        return self._write("receive_bytes", now, data)

    def receive_eof(self, peer: Hashable, now: int) -> list[Any]:
        return self._write("receive_eof", now)

    def handle_timeout(self, now: int) -> list[Any]:
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        return self._write("handle_timeout", now)

    def do(self, *arguments: Any) -> list[Any]:
        *actions, now = arguments
        self.told.append((now // MS, "do"))
        return actions

    def _write(self, method: str, now: int, *what: object) -> list[Any]:
        self.told.append((now // MS, method, *what))
        return self.plan.pop(method, [])


def messages(
    near: dict[str, list[Any]] | None = None, far: dict[str, list[Any]] | None = None, **more: Any
) -> tuple[MessageWorld, Scribe, Scribe, SimLink[MessageMachine]]:
    """A world of two scribes, of whom the near one dials at once."""
    world = MessageWorld(trace_limit=100)
    one, other = Scribe({"start": [Open(PEER, "")], **(near or {})}), Scribe(far or {})
    world.add("near", one)
    world.add("far", other)
    link = world.join(("near", PEER), ("far", PEER), latency_ns=LATENCY, **more)
    return world, one, other, link


def streams(
    near: dict[str, list[Any]] | None = None, far: dict[str, list[Any]] | None = None, **more: Any
) -> tuple[ByteWorld, Scribe, Scribe, SimLink[ByteMachine]]:
    """The same for bytes."""
    world = ByteWorld(**more)
    one, other = (
        Scribe({"start": [Connect(PEER, "h", 1, tls=False)], **(near or {})}),
        Scribe(far or {}),
    )
    world.add("near", one)
    world.add("far", other)
    return world, one, other, world.join(("near", PEER), ("far", PEER), latency_ns=LATENCY)


def send(text: str) -> Send:
    return Send(PEER, Text(text))


# Links that carry messages.


def test_a_link_opens_at_the_far_end_first() -> None:
    world, near, far, _ = messages(far={"opened": [send("hello")]}, connect_ns=100 * MS)
    world.run(SECOND)
    assert near.told == [(0, "start"), (140, "opened"), (140, "receive_text", "hello")]
    assert far.told == [(0, "start"), (120, "opened")]
    assert world.now == SECOND


def test_a_link_that_accepts_nothing_is_closed_after_a_round_trip() -> None:
    world, near, far, link = messages()
    link.is_accepting = False
    world.run(SECOND)
    assert near.told[1:] == [(40, "closed", 1006, "refused")]
    assert far.told == [(0, "start")]


def test_text_arrives_in_order_though_the_way_gets_shorter() -> None:
    @define
    class Shrinking(LinkDirection):
        def delay(self, now: int) -> int:
            return max(0, self.latency_ns - now)

    ways = (Shrinking(60 * MS), LinkDirection(LATENCY))
    world, _, far, _ = messages(near={"opened": [send("a")]}, ways=ways)
    world.run(80 * MS)
    world.call("near", "do", send("b"))
    world.run(SECOND)
    assert far.told[1:] == [(60, "opened"), (80, "receive_text", "a"), (80, "receive_text", "b")]
    assert ways[0].delay(SECOND) == 0


def test_a_pong_comes_a_round_trip_after_its_ping() -> None:
    world, near, _, link = messages(near={"opened": [SendPing(PEER, b"1")]})
    world.run(SECOND)
    assert near.told[2:] == [(80, "pong", b"1")]
    assert link.ping_count == 1


def test_a_close_is_told_once_to_each_end_with_its_code() -> None:
    world, near, far, _ = messages(near={"opened": [send("a"), Close(PEER, 4000, "enough")]})
    world.run(SECOND)
    assert near.told[2:] == [(80, "closed", 4000, "enough")]
    assert far.told[2:] == [(60, "receive_text", "a"), (60, "closed", 4000, "enough")]


def test_closes_that_cross_tell_each_end_the_code_of_the_other() -> None:
    world, near, far, _ = messages()
    world.run(100 * MS)
    world.call("near", "do", Close(PEER, 1000, "near"), Close(PEER, 1001, "again"))
    world.call("far", "do", Close(PEER, 1001, "far"))
    world.run(SECOND)
    assert near.told[3:] == [(120, "closed", 1001, "far")]
    assert far.told[3:] == [(120, "closed", 1000, "near")]
    world.call("near", "do", Close(PEER, 1000, "late"))
    assert not world.step()


def test_after_its_own_close_an_end_is_told_nothing_else() -> None:
    world, near, far, _ = messages()
    world.run(100 * MS)
    world.call("near", "do", SendPing(PEER, b"1"), Close(PEER, 1000, ""))
    world.call("far", "do", send("late"), SendPing(PEER, b"2"))
    world.run(SECOND)
    assert near.told[3:] == [(140, "closed", 1000, "")]
    assert far.told[3:] == [(120, "closed", 1000, "")]


def test_a_dial_can_be_given_up() -> None:
    world, near, far, _ = messages(near={"start": [Open(PEER, ""), Close(PEER, 1000, "")]})
    world.run(SECOND)
    assert near.told[1:] == [(0, "closed", 1006, "")]
    assert far.told[1:] == [(20, "opened"), (20, "closed", 1006, "")]


def test_a_refused_dial_that_was_given_up_is_told_once() -> None:
    world, near, far, link = messages(near={"start": [Open(PEER, ""), Close(PEER, 1000, "")]})
    link.is_accepting = False
    world.run(SECOND)
    assert near.told[1:] == [(0, "closed", 1006, "")]
    assert far.told == [(0, "start")]


def test_a_severed_link_is_lost_at_both_ends_with_what_was_on_its_way() -> None:
    world, near, far, link = messages()
    world.sever(link)
    world.run(100 * MS)
    world.call("near", "do", send("lost"))
    world.sever(link)
    assert near.told[3:] == far.told[2:] == [(100, "closed", 1006, "")]
    world.run(SECOND)
    assert len(far.told) == 3


def test_a_link_severed_during_the_dial_is_lost_to_the_dialler_alone() -> None:
    world, near, far, link = messages()
    world.run(10 * MS)
    world.sever(link)
    world.run(SECOND)
    assert near.told[1:] == [(10, "closed", 1006, "")]
    assert far.told == [(0, "start")]


def test_a_closed_link_can_be_dialled_again_by_either_end() -> None:
    world, near, far, _ = messages(near={"opened": [Close(PEER, 1000, "")]})
    world.run(SECOND)
    world.call("far", "do", Open(PEER, ""))
    world.run(2 * SECOND)
    world.call("near", "do", send("again"))
    world.run(3 * SECOND)
    assert near.told[3:] == [(1020, "opened"), (2000, "do")]
    assert far.told[3:] == [(1000, "do"), (1040, "opened"), (2020, "receive_text", "again")]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([Open(PEER, "")], "near dials peer, which is not closed"),
        ([Close(PEER, 1000, ""), send("a")], "near sends to peer, which is not open"),
        ([SendPing("other", b"")], "near: other is not joined"),
        ([Shutdown(PEER)], "no action of messages"),
    ],
)
def test_what_a_machine_must_not_ask_for_is_an_error(actions: list[Any], message: str) -> None:
    world, *_ = messages()
    world.run(SECOND)
    with pytest.raises(SimulationError, match=message):
        world.call("near", "do", *actions)


def test_a_link_that_nobody_dialled_cannot_be_used() -> None:
    world, *_ = messages(near={"start": []})
    for action in (send("a"), Close(PEER, 1000, "")):
        with pytest.raises(SimulationError, match=r"not open|never opened"):
            world.call("near", "do", action)


# Links that carry bytes.


def test_bytes_arrive_in_order_and_end_with_eof() -> None:
    world, near, far, _ = streams(
        near={"connected": [SendBytes(PEER, b"a"), SendBytes(PEER, b"b"), Shutdown(PEER)]},
        far={"connected": [SendBytes(PEER, b"x")], "receive_eof": [SendBytes(PEER, b"late")]},
    )
    world.run(SECOND)
    world.call("far", "do", Shutdown(PEER), Shutdown(PEER))
    world.run(2 * SECOND)
    assert near.told[1:] == [(40, "connected")]
    assert far.told[1:-1] == [
        (20, "connected"),
        (60, "receive_bytes", b"a"),
        (60, "receive_bytes", b"b"),
        (60, "receive_eof"),
    ]


def test_a_stream_that_nobody_accepts_fails_after_a_round_trip() -> None:
    world, near, _, link = streams()
    link.is_accepting = False
    world.run(SECOND)
    assert near.told[1:] == [(40, "connect_failed", "refused")]


def test_a_severed_stream_ends_at_both_ends() -> None:
    world, near, far, link = streams()
    world.sever(link)
    world.run(100 * MS)
    world.call("near", "do", SendBytes(PEER, b"lost"))
    world.sever(link)
    world.sever(link)
    world.call("far", "do", SendBytes(PEER, b"nowhere"), Shutdown(PEER))
    world.run(SECOND)
    assert near.told[3:] == [(100, "receive_eof")]
    assert far.told[2:] == [(100, "receive_eof"), (100, "do")]


def test_a_stream_severed_during_the_dial_fails() -> None:
    world, near, far, link = streams()
    world.run(10 * MS)
    world.sever(link)
    world.run(SECOND)
    assert near.told[1:] == [(10, "connect_failed", "refused")]
    assert far.told == [(0, "start")]


def test_a_stream_given_up_during_the_dial_is_told_of_no_more() -> None:
    world, near, far, _ = streams(near={"start": [Connect(PEER, "h", 1, tls=True), Shutdown(PEER)]})
    world.run(SECOND)
    assert near.told == [(0, "start")]
    assert far.told[1:] == [(20, "connected"), (20, "receive_eof")]


def test_a_refused_stream_given_up_is_told_of_no_more() -> None:
    world, near, _, link = streams(
        near={"start": [Connect(PEER, "h", 1, tls=True), Shutdown(PEER)]}
    )
    link.is_accepting = False
    world.run(SECOND)
    assert near.told == [(0, "start")]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([Shutdown(PEER), SendBytes(PEER, b"a")], "near writes to peer, which is not open"),
        ([send("a")], "no action of bytes"),
    ],
)
def test_what_a_byte_machine_must_not_ask_for_is_an_error(actions: list[Any], message: str) -> None:
    world, *_ = streams()
    world.run(SECOND)
    with pytest.raises(SimulationError, match=message):
        world.call("near", "do", *actions)


def test_a_stream_that_nobody_connected_cannot_be_shut_down() -> None:
    world, *_ = streams(near={"start": []})
    with pytest.raises(SimulationError, match="never connected"):
        world.call("near", "do", Shutdown(PEER))


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20), max_size=5), st.integers())
def test_segments_are_the_bytes_cut_anywhere(writes: list[bytes], seed: int) -> None:
    def received() -> list[bytes]:
        actions = [SendBytes(PEER, data) for data in writes]
        world, _, far, _ = streams(near={"connected": actions}, segment=True, seed=seed)
        world.run(SECOND)
        return [what[2] for what in far.told if what[1] == "receive_bytes"]

    pieces = received()
    assert b"".join(pieces) == b"".join(writes)
    assert all(pieces)
    assert pieces == received()


def test_segmentation_does_cut() -> None:
    actions = [SendBytes(PEER, b"0123456789")]
    world, _, far, _ = streams(near={"connected": actions}, segment=True)
    world.run(SECOND)
    assert len(far.told) > 3


# Time, timers, and what can be seen.


def test_a_machine_is_woken_at_its_deadline_and_not_at_one_it_has_dropped() -> None:
    world, near, far, _ = messages()
    near.deadline, far.deadline = 300 * MS, 200 * MS
    world.run(100 * MS)
    far.deadline = 250 * MS
    world.call("far", "do")
    near.deadline = None
    world.call("near", "do")
    world.run(SECOND)
    assert far.told[-1] == (250, "handle_timeout")
    assert near.told[-1] == (100, "do")


def test_a_deadline_in_the_past_is_met_at_once() -> None:
    world, near, *_ = messages()
    world.run(100 * MS)
    near.deadline = 50 * MS
    world.call("near", "do")
    world.run(100 * MS)
    assert near.told[-1] == (100, "handle_timeout")


def test_a_deadline_that_stays_due_is_an_error() -> None:
    @define(eq=False)
    class Stubborn(Scribe):
        def handle_timeout(self, now: int) -> list[Any]:
            return []

    world = MessageWorld()
    world.add("stubborn", Stubborn(deadline=5))
    with pytest.raises(SimulationError, match=r"stubborn: after handle_timeout\(5\)"):
        world.run(SECOND)


def test_time_that_stands_still_is_an_error() -> None:
    @define(eq=False)
    class Parrot(Scribe):
        def receive_text(self, peer: Hashable, text: str, now: int) -> list[Any]:
            return [send(text)]

    world = MessageWorld()
    world.add("one", Parrot({"start": [Open(PEER, "")], "opened": [send("x")]}))
    world.add("two", Parrot())
    world.join(("one", PEER), ("two", PEER))
    with pytest.raises(SimulationError, match="time stands still at 0 ns"):
        world.run(SECOND)


def test_run_until_stops_at_the_step_that_makes_it_so() -> None:
    world, near, *_ = messages()
    world.run_until(lambda: len(near.told) > 1, SECOND)
    assert world.now == 40 * MS
    world.run_until(lambda: True, 0)


@pytest.mark.parametrize("limit_ns", [30 * MS, SECOND])
def test_run_until_fails_with_the_last_steps_when_it_never_is_so(limit_ns: int) -> None:
    world, *_ = messages()
    with pytest.raises(SimulationError, match=f"not so by {limit_ns} ns\\n.*near.start"):
        world.run_until(lambda: False, limit_ns)


def test_names_and_peers_must_be_unique_and_known() -> None:
    world, near, *_ = messages()
    with pytest.raises(SimulationError, match="a machine named near already"):
        world.add("near", near)
    with pytest.raises(SimulationError, match="near: peer is joined already"):
        world.join(("near", PEER), ("far", "other"))
    with pytest.raises(SimulationError, match="no machine named nobody"):
        world.call("nobody", "start")
    with pytest.raises(ValueError, match="latency_ns"):
        LinkDirection(-1)


def test_observers_see_every_step_after_it_was_carried_out() -> None:
    world, near, _, _ = messages(near={"opened": [Notify("hello"), send("a" * 200)]})
    seen: list[tuple[Step, int]] = []
    world.step_observers.append(lambda step: seen.append((step, len(world.notifications))))
    world.run(SECOND)
    assert [(step.machine, step.method, told) for step, told in seen] == [
        ("near", "start", 0),
        ("far", "start", 0),
        ("far", "opened", 0),
        ("near", "opened", 1),
        ("far", "receive_text", 1),
    ]
    assert world.notifications == [(40 * MS, "near", "hello")]
    assert list(world.trace) == [step for step, _ in seen]
    assert near.told[-1] == (40, "opened")


def test_a_step_can_be_read() -> None:
    step = Step(1_500_000, "phone", "receive", ("peer", b"abc"), (Notify("x" * 200),))
    first, second = str(step).split("\n")
    assert first == "       1.500 ms  phone.receive('peer', <3 bytes>)"
    assert second.startswith(f"{'':18}-> Notify(event='xxx")
    assert second.endswith("xx… (216 characters)")


def test_the_trace_keeps_the_last_steps_only_if_asked() -> None:
    world = MessageWorld(trace_limit=1)
    for name in "ab":
        world.add(name, Scribe())
    world.run(0)
    assert [step.machine for step in world.trace] == ["b"]
    assert not MessageWorld().trace


# A call.


@define(eq=False)
class Echo:
    """A server that sends `greeting`, then back what the caller says; a key makes it clear."""

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


def test_a_mark_comes_back_when_the_greeting_has_been_heard() -> None:
    greeting = sample_speech.load("agent_greeting").audio
    world, server = call(TwilioPeer(start_delay_ns=33 * MS), greeting)
    world.run(10 * SECOND)
    # opened 20, 40; start 60; media 80; played 113 and on; mark one way later.
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


def test_a_whole_call_is_data() -> None:
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


def test_what_was_heard_when_the_clear_came_is_known_exactly() -> None:
    phone = TwilioPeer()
    world, server = call(phone, b"a" * 8000)
    world.run(500 * MS)
    world.call("phone", "press", "1")
    world.run(SECOND)
    heard = (540 - 80) * 8
    (cleared,) = phone.clears
    assert (cleared.at_ns, cleared.heard_bytes) == (540 * MS, heard)
    assert world.notifications == [(540 * MS, "phone", cleared)]
    assert isinstance(cleared, QueueCleared)
    assert [name for _, name in server.marks] == ["greeting"]


@pytest.mark.parametrize("segment", [False, True])
def test_over_real_websockets_the_same_is_heard(segment: bool) -> None:  # noqa: FBT001
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
    world = ByteWorld(is_segmented=segment)
    world.add("phone", Stack(by_byte, {SERVER: config}, bytes))
    upgrade = Upgrade(server, PEER, {PEER: config})
    world.add("server", HttpConnection(PEER, lambda _: upgrade, bytes))
    world.join(("phone", SERVER), ("server", PEER), latency_ns=LATENCY)
    world.run(10 * SECOND)

    assert by_byte.is_over
    assert by_byte.warnings == []
    # The handshake is one round trip of its own.
    later = [attrs.evolve(c, at_ns=c.at_ns + 2 * LATENCY) for c in by_message.clears]
    assert by_byte.clears == later
    assert [s.audio for s in by_byte.segments(world.now)] == [
        s.audio for s in by_message.segments(world.now)
    ]


def test_the_same_seed_gives_the_same_call() -> None:
    def steps(seed: int) -> list[str]:
        phone = TwilioPeer(
            seed=seed,
            script=[WhenAgentHeard(300, CallerSays(b"wait")), AfterDelay(0, CallerHangsUp())],
        )
        world, _ = call(phone, b"a" * 8000)
        seen: list[str] = []
        world.step_observers.append(lambda step: seen.append(str(step)))
        world.run(5 * SECOND)
        return seen

    assert steps(1) == steps(1)
    assert steps(1) != steps(2)

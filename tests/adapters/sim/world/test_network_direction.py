"""Jitter, limited bandwidth, stalls, and streams cut at a byte."""

from collections.abc import Hashable
from random import Random
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.world.byte_world import ByteWorld
from twilio_realtime.sim.world.network_direction import NetworkDirection
from twilio_realtime.sim.world.world import LinkDirection
from twilio_realtime_core.machine.actions import Connect, SendBytes
from twilio_realtime_core.machine.units import MS, SECOND


def test_jitter_delays_each_message_within_its_bound() -> None:
    direction = NetworkDirection(40 * MS, jitter_ns=10 * MS, random=Random(3))
    transit_ns = [direction.transmit(100, now * MS) for now in range(200)]
    assert min(transit_ns) >= 40 * MS
    assert max(transit_ns) <= 50 * MS
    assert len(set(transit_ns)) > 100


def test_a_busy_line_delays_the_next_message() -> None:
    direction = NetworkDirection(5 * MS, bytes_per_second=1000)
    assert [
        direction.transmit(10, 0),
        direction.transmit(20, 0),
        direction.transmit(10, SECOND),
    ] == [
        15 * MS,
        35 * MS,
        15 * MS,
    ]


def test_a_stall_holds_everything_until_it_ends() -> None:
    direction = NetworkDirection(5 * MS, stalls=((100 * MS, 300 * MS), (300 * MS, 400 * MS)))
    assert direction.transmit(1, 99 * MS) == 5 * MS
    assert direction.transmit(1, 150 * MS) == 255 * MS
    assert direction.transmit(1, 399 * MS) == 6 * MS
    assert direction.transmit(1, 400 * MS) == 5 * MS


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_without_impairments_only_the_latency_is_left(now: int, size_bytes: int) -> None:
    direction = NetworkDirection(
        7, jitter_ns=5, bytes_per_second=9, stalls=((0, 2 * SECOND),), random=Random(1)
    )
    direction.remove_impairments()
    assert direction.transmit(size_bytes, now) == LinkDirection(7).transmit(size_bytes, now) == 7


@define(eq=False)
class LoggingMachine:
    """A byte machine that logs what it receives, with the time in ms."""

    dials: bool = False
    deadline: int | None = None
    received: list[tuple[Any, ...]] = field(factory=list[tuple[Any, ...]])

    def start(self, now: int) -> list[Any]:
        return [Connect("peer", "host", 1, tls=False)] if self.dials else []

    def connected(self, peer: Hashable, now: int) -> list[Any]:
        return []

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[Any]:
        return []

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[Any]:
        self.received.append((now // MS, data))
        return []

    def receive_eof(self, peer: Hashable, now: int) -> list[Any]:
        self.received.append((now // MS, "eof"))
        return []

    def handle_timeout(self, now: int) -> list[Any]:
        return []

    def write(self, data: bytes, now: int) -> list[Any]:
        return [SendBytes("peer", data)]


def stream_pair() -> tuple[ByteWorld, LoggingMachine, LoggingMachine]:
    """A stream with 10 ms each way, open for 100 ms."""
    world, near, far = ByteWorld(), LoggingMachine(dials=True), LoggingMachine()
    world.add("near", near)
    world.add("far", far)
    world.join(("near", "peer"), ("far", "peer"), latency_ns=10 * MS)
    world.run(100 * MS)
    return world, near, far


def test_a_stream_closed_at_a_byte_delivers_what_came_before() -> None:
    world, near, far = stream_pair()
    world.cut("near", "peer", 5)
    world.call("near", "write", b"abc")
    world.call("near", "write", b"defg")
    world.call("near", "write", b"hij")
    world.call("far", "write", b"on its way")
    world.run(SECOND)
    assert far.received == [(110, b"abc"), (110, b"de"), (110, "eof")]
    assert near.received == [(110, b"on its way"), (120, "eof")]
    world.call("near", "write", b"dropped")
    world.call("far", "write", b"dropped too")
    world.run(2 * SECOND)
    assert len(far.received) + len(near.received) == 5


def test_a_stream_reset_at_a_byte_ends_both_at_once() -> None:
    world, near, far = stream_pair()
    world.cut("near", "peer", 3, reset=True)
    world.call("near", "write", b"abc")
    world.run(105 * MS)
    world.call("far", "write", b"on its way")
    world.run(SECOND)
    assert far.received == [(110, b"abc"), (110, "eof")]
    assert near.received == [(110, "eof")]


def test_a_stream_is_cut_only_after_its_byte_count() -> None:
    world, near, far = stream_pair()
    world.cut("near", "peer", 100)
    world.call("near", "write", b"abc")
    world.run(SECOND)
    assert (near.received, far.received) == ([], [(110, b"abc")])


def test_choices_decide_where_writes_are_split() -> None:
    def pieces(seed: int) -> list[tuple[Any, ...]]:
        world, far = ByteWorld(seed=seed, is_segmented=True), LoggingMachine()
        world.add("near", LoggingMachine(dials=True))
        world.add("far", far)
        world.join(("near", "peer"), ("far", "peer"))
        world.run(0)
        world.call("near", "write", bytes(range(200)))
        world.run(SECOND)
        assert [draw.label for draw in world.choices.draws] == ["where writes are cut"]
        return far.received

    assert b"".join(data for _, data in pieces(1)) == bytes(range(200))
    assert pieces(1) == pieces(1) != pieces(2)

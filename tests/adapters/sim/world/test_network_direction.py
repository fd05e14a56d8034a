"""Links that are no ideal ones: jitter, narrow lines, stalls, and streams cut at a byte."""

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


def test_jitter_makes_each_message_later_by_no_more_than_it_says() -> None:
    way = NetworkDirection(40 * MS, jitter_ns=10 * MS, random=Random(3))
    taken = [way.transmit(100, now * MS) for now in range(200)]
    assert min(taken) >= 40 * MS
    assert max(taken) <= 50 * MS
    assert len(set(taken)) > 100


def test_what_is_sent_while_the_line_is_busy_waits_for_its_turn() -> None:
    way = NetworkDirection(5 * MS, bytes_per_second=1000)
    assert [way.transmit(10, 0), way.transmit(20, 0), way.transmit(10, SECOND)] == [
        15 * MS,
        35 * MS,
        15 * MS,
    ]


def test_in_a_stall_nothing_leaves_and_then_everything() -> None:
    way = NetworkDirection(5 * MS, stalls=((100 * MS, 300 * MS), (300 * MS, 400 * MS)))
    assert way.transmit(1, 99 * MS) == 5 * MS
    assert way.transmit(1, 150 * MS) == 255 * MS
    assert way.transmit(1, 399 * MS) == 6 * MS
    assert way.transmit(1, 400 * MS) == 5 * MS


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_when_all_trouble_is_over_only_the_latency_is_left(now: int, size: int) -> None:
    way = NetworkDirection(
        7, jitter_ns=5, bytes_per_second=9, stalls=((0, 2 * SECOND),), random=Random(1)
    )
    way.remove_impairments()
    assert way.transmit(size, now) == LinkDirection(7).transmit(size, now) == 7


@define(eq=False)
class Scribe:
    """A byte machine that writes down what it is told, with the time in ms."""

    dials: bool = False
    deadline: int | None = None
    told: list[tuple[Any, ...]] = field(factory=list[tuple[Any, ...]])

    def start(self, now: int) -> list[Any]:
        return [Connect("peer", "host", 1, tls=False)] if self.dials else []

    def connected(self, peer: Hashable, now: int) -> list[Any]:
        return []

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[Any]:
        return []

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[Any]:
        self.told.append((now // MS, data))
        return []

    def receive_eof(self, peer: Hashable, now: int) -> list[Any]:
        self.told.append((now // MS, "eof"))
        return []

    def handle_timeout(self, now: int) -> list[Any]:
        return []

    def write(self, data: bytes, now: int) -> list[Any]:
        return [SendBytes("peer", data)]


def stream() -> tuple[ByteWorld, Scribe, Scribe]:
    """A stream with 10 ms each way, open for 100 ms."""
    world, near, far = ByteWorld(), Scribe(dials=True), Scribe()
    world.add("near", near)
    world.add("far", far)
    world.join(("near", "peer"), ("far", "peer"), latency_ns=10 * MS)
    world.run(100 * MS)
    return world, near, far


def test_a_stream_that_is_closed_at_a_byte_ends_behind_that_byte_for_both() -> None:
    world, near, far = stream()
    world.cut("near", "peer", 5)
    world.call("near", "write", b"abc")
    world.call("near", "write", b"defg")
    world.call("near", "write", b"hij")
    world.call("far", "write", b"on its way")
    world.run(SECOND)
    assert far.told == [(110, b"abc"), (110, b"de"), (110, "eof")]
    assert near.told == [(110, b"on its way"), (120, "eof")]
    world.call("near", "write", b"nobody hears this")
    world.call("far", "write", b"nor this")
    world.run(2 * SECOND)
    assert len(far.told) + len(near.told) == 5


def test_a_stream_that_is_reset_at_a_byte_is_gone_for_both_at_once() -> None:
    world, near, far = stream()
    world.cut("near", "peer", 3, reset=True)
    world.call("near", "write", b"abc")
    world.run(105 * MS)
    world.call("far", "write", b"on its way")
    world.run(SECOND)
    assert far.told == [(110, b"abc"), (110, "eof")]
    assert near.told == [(110, "eof")]


def test_a_stream_is_not_cut_before_so_much_was_written() -> None:
    world, near, far = stream()
    world.cut("near", "peer", 100)
    world.call("near", "write", b"abc")
    world.run(SECOND)
    assert (near.told, far.told) == ([], [(110, b"abc")])


def test_pieces_are_cut_where_the_choices_say() -> None:
    def pieces(seed: int) -> list[tuple[Any, ...]]:
        world, far = ByteWorld(seed=seed, is_segmented=True), Scribe()
        world.add("near", Scribe(dials=True))
        world.add("far", far)
        world.join(("near", "peer"), ("far", "peer"))
        world.run(0)
        world.call("near", "write", bytes(range(200)))
        world.run(SECOND)
        assert [draw.label for draw in world.choices.draws] == ["where writes are cut"]
        return far.told

    assert b"".join(data for _, data in pieces(1)) == bytes(range(200))
    assert pieces(1) == pieces(1) != pieces(2)

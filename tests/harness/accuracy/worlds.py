"""The worlds in which accuracy is measured, and what happens in their calls: drawn from a seed."""

from collections.abc import Iterator
from random import Random
from typing import Final

from attrs import evolve, frozen

from twilio_realtime.sim.line_profile import LineProfile
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime_core.machine.units import MS, SECOND

__all__ = ["TURNS", "WORLDS", "Drawn", "Made", "Turn", "World", "draw"]

TURNS: Final = 4
"""Replies in a call, each of them interrupted."""

_STALL_NS: Final = (300 * MS, 1_500 * MS)
_ITEM_MS: Final = (800, 6_000)
_EARLY: Final = 0.2
_EARLY_NS: Final = 500 * MS
"""One interruption in five falls into the first half second of audio, where echoes are still under
way; the others fall anywhere in what was made."""

_REST_NS: Final = (1_200 * MS, 3_000 * MS)
"""From an interruption to the next reply: the caller has spoken, the model has thought."""

_RETRANSMISSION_NS: Final = (50 * MS, 250 * MS)
"""What a lost packet costs a TCP stream: the least retransmission time-out is 200 ms on Linux."""


@frozen
class World:
    """What lines and servers are like there. Each pair is a range, evenly drawn from.

    `one_way_ms` for each call and direction. `start_ms`: the player's hidden start delay for each
    call; for each burst `start_varies_ms` on top. `jitter_ms`: the mean of what each message takes
    longer (exponential), or a range of it (even); `losses`: the share of messages that wait for a
    retransmission. `stalls`: the share of audio deltas before which the model pauses for 0.3 to
    1.5 s; `stalled_items`: the share of items with one such pause. `speed`: how many times faster
    than speech audio is made.
    """

    name: str
    what: str
    items: tuple[int, int] = (1, 1)
    one_way_ms: tuple[int, int] = (20, 90)
    start_ms: tuple[int, int] = (0, 0)
    start_varies_ms: int = 0
    jitter_ms: float | tuple[int, int] = 0.5
    losses: float = 0.0
    stalls: float = 0.0
    stalled_items: float = 0.0
    speed: tuple[float, float] = (3.0, 30.0)
    pings: bool = True
    line: LineProfile | None = None
    """What recordings have shown of a line, in place of the ranges as far as it is known."""

    def start_varies(self, random: Random) -> int:
        """By how much a burst starts later than others of its call (ns)."""
        if self.line is not None and self.line.start_delay_varies_ms is not None:
            return self.line.start_delay_varies_ms.draw_ns(random)
        return random.randint(0, self.start_varies_ms) * MS

    def jitter(self, random: Random) -> int:
        """What one message takes longer (ns)."""
        if self.line is not None and self.line.jitter_ms is not None:
            late = self.line.jitter_ms.draw_ns(random)
        elif isinstance(self.jitter_ms, tuple):
            low, high = self.jitter_ms
            late = random.randint(low * MS, high * MS)
        else:
            late = round(random.expovariate(1 / self.jitter_ms) * MS)
        return late + (random.randint(*_RETRANSMISSION_NS) if random.random() < self.losses else 0)


MIXED: Final = World(
    "mixed",
    "all of these, less of each",
    items=(1, 3),
    one_way_ms=(20, 200),
    start_ms=(0, 100),
    start_varies_ms=20,
    jitter_ms=2.0,
    losses=0.002,
    stalls=0.02,
)

WORLDS: Final = (
    World("clean", "one item, a line of 20 to 90 ms each way"),
    World("queued", "two or three items, one behind the other", items=(2, 3)),
    World("hidden", "a start delay of 0 to 300 ms for each call", start_ms=(0, 300)),
    World("restless", "a start delay of 0 to 300 ms for each burst", start_varies_ms=300),
    World("stalls", "one delta in twenty comes 0.3 to 1.5 s late", stalls=0.05, speed=(1.5, 5.0)),
    World(
        "far",
        "90 to 250 ms each way, start delays of 0 to 100 ms",
        one_way_ms=(90, 250),
        start_ms=(0, 80),
        start_varies_ms=20,
        jitter_ms=2.0,
    ),
    World("jittery", "10 ms of jitter, one message in a hundred lost", jitter_ms=10.0, losses=0.01),
    MIXED,
    evolve(MIXED, name="no ping", what="mixed, and no ping is answered", pings=False),
    World(
        "mixed-jitter",
        "0 to 20 ms of jitter, start delays of 0 to 200 ms, stalls",
        items=(1, 3),
        one_way_ms=(20, 120),
        start_ms=(0, 200),
        jitter_ms=(0, 20),
        stalled_items=0.2,
    ),
    World(
        "far-jitter",
        "90 to 250 ms each way, 0 to 30 ms of jitter, start delays of 0 to 100 ms",
        one_way_ms=(90, 250),
        start_ms=(0, 100),
        jitter_ms=(0, 30),
    ),
)


@frozen
class Made:
    """Audio of an item that the model's server sends `at` (ns after the session is ready)."""

    at: int
    item: int
    ms: int


@frozen
class Turn:
    """A reply: when it begins, its items, their audio, when each has all (`None`: not before the
    interruption), and when the caller interrupts."""

    begins: int
    items: tuple[int, ...]
    made: tuple[Made, ...]
    ends: dict[int, int]
    interrupted: int

    @property
    def done(self) -> bool:
        """Whether the reply was made to its end before the interruption."""
        return len(self.ends) == len(self.items)


@frozen
class Drawn:
    """What a call is like: one-way latencies (ns) to the phone and back, the part of the start
    delay that is the same for all its bursts (ns), and its turns."""

    there: int
    back: int
    start: int
    turns: tuple[Turn, ...]


def draw(world: World, random: Random) -> Drawn:
    """The call that `random` makes of a world."""
    low, high = (ms * MS for ms in world.one_way_ms)
    there, back = random.randint(low, high), random.randint(low, high)
    start = random.randint(*world.start_ms) * MS
    if world.line is not None and world.line.round_trip_ms is not None:
        there = back = world.line.round_trip_ms.draw_ns(random) // 2
    if world.line is not None and world.line.start_delay_ms is not None:
        start = world.line.start_delay_ms.draw_ns(random)
    return Drawn(there, back, start, tuple(_turns(world, random)))


def _turns(world: World, random: Random) -> Iterator[Turn]:
    at = SECOND
    first = 0
    for _ in range(TURNS):
        turn = _turn(world, random, at, first)
        yield turn
        first = turn.items[-1] + 1
        at = turn.interrupted + random.randint(*_REST_NS)


def _turn(world: World, random: Random, begins: int, first: int) -> Turn:
    items = tuple(range(first, first + random.randint(*world.items)))
    speed = random.uniform(*world.speed)
    if world.line is not None and world.line.audio_speed is not None:
        speed = world.line.audio_speed.draw(random)
    pace = Pace(audio_speed=speed)
    made: list[Made] = []
    ends: dict[int, int] = {}
    now = begins
    for item in items:
        deltas_ms = tuple(pace.delta_sizes_ms(random.randrange(*_ITEM_MS, 50)))
        stalled = world.stalled_items and random.random() < world.stalled_items
        stall = random.randrange(len(deltas_ms)) if stalled else None
        for number, ms in enumerate(deltas_ms):
            now += pace.generation_ns(ms)
            if random.random() < world.stalls or number == stall:
                now += random.randint(*_STALL_NS)
            made.append(Made(now, item, ms))
        ends[item] = now
    speech = sum(each.ms for each in made) * MS
    spread = _EARLY_NS if random.random() < _EARLY else speech
    interrupted = made[0].at + random.randint(0, spread)
    return Turn(
        begins,
        items,
        tuple(each for each in made if each.at < interrupted),
        {item: at for item, at in ends.items() if at < interrupted},
        interrupted,
    )

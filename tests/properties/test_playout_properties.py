"""The estimate of the playout keeps its bounds and its direction for any echoes."""

from typing import TypeAlias

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.downlink.playout import Playout
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.values.playback_position import (
    AudioSource,
    Clip,
    PartKey,
    PlaybackPosition,
)

SOURCES: list[AudioSource] = [*(PartKey(1, "r", item, 0) for item in "ab"), Clip(1, "clip", 800)]

Step: TypeAlias = tuple[int, str, int]
"""The time since the step before (ns), what happens, and a number that determines how."""

waits = st.one_of(st.just(0), st.integers(0, 60 * MS), st.integers(0, SECOND))
kinds = st.sampled_from(["sent", "sent", "mark", "mark", "echo", "echo", "ping", "pong"])
steps = st.lists(st.tuples(waits, kinds, st.integers(0, 4000)), max_size=40)
histories = st.builds(StartDelayHistory, st.lists(st.integers(0, 400 * MS), max_size=3).map(tuple))


@define
class Watched:
    """A playout, and what is true of it after each step. `marks` have no echo: name, position."""

    playout: Playout
    now: int = 0
    sent: int = 0
    marks: list[tuple[str, int]] = field(factory=list[tuple[str, int]])
    confirmed: dict[AudioSource, int] = field(factory=dict[AudioSource, int])

    def position(self, now: int) -> int:
        """How much of everything is estimated to have been heard at `now` (samples)."""
        return sum(each.estimated_samples for each in self.playout.positions(now))

    def take(self, step: Step) -> None:
        wait, kind, number = step
        before = self.position(self.now)
        self.now += wait
        assert self.position(self.now) >= before
        match kind:
            case "sent":
                self.playout.audio_sent(SOURCES[number % 3], 1 + number, self.now)
                self.sent += 1 + number
            case "mark":
                self.marks.append((self.playout.next_mark(self.now), self.sent))
            case "echo" if self.marks:
                self.echo(number)
                return
            case "ping":
                self.playout.round_trip.ping_sent(b"x", self.now)
            case _:
                self.playout.round_trip.pong(b"x", self.now)
        assert self.position(self.now) >= before

    def echo(self, number: int) -> None:
        """Echo a mark, as a rule the next. Only a late echo may set the estimate back: that of a
        mark that the estimate passed more than a round trip ago."""
        index = 0 if number % 4 else number % len(self.marks)
        name, position = self.marks[index]
        del self.marks[: index + 1]
        before = self.position(self.now)
        took = self.playout.round_trip.estimate_ns
        late = took is not None and self.position(self.now - took) > position
        self.playout.mark_echoed(name, self.now)
        assert late or self.position(self.now) >= before - 1  # late by less than a sample

    def check(self) -> None:
        positions = self.playout.positions(self.now)
        assert sum(each.sent_samples for each in positions) == self.sent
        for each in positions:
            self.check_source(each)
        assert self.playout.is_playing(self.now) == (
            self.playout.silent_at_ns is not None and self.now < self.playout.silent_at_ns
        )

    def check_source(self, position: PlaybackPosition) -> None:
        assert self.confirmed.get(position.source, 0) <= position.confirmed_samples
        assert position.confirmed_samples <= position.estimated_samples <= position.sent_samples
        off = max(
            position.estimated_samples - position.confirmed_samples,
            position.sent_samples - position.estimated_samples,
        )
        assert 0 <= position.margin_samples <= off
        self.confirmed[position.source] = position.confirmed_samples


@settings(max_examples=100, deadline=None)
@given(histories, steps)
def test_the_estimate_steps_back_only_on_a_late_echo(
    history: StartDelayHistory, steps: list[Step]
) -> None:
    watched = Watched(Playout(history))
    for step in steps:
        watched.take(step)
        watched.check()


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 300 * MS),
    st.integers(0, 400 * MS),
    st.lists(st.integers(0, 30 * MS), min_size=12, max_size=12),
    st.integers(0, 3 * SECOND),
)
def test_jitter_moves_the_estimate_by_at_most_the_margin(
    start: int, trip: int, jitter: list[int], rest: int
) -> None:
    playout = Playout()
    playout.mark_echoed(playout.next_mark(0), trip)
    echoes: list[tuple[int, str]] = []
    for number, late in enumerate(jitter):
        playout.audio_sent(SOURCES[0], 2000, SECOND)
        due = SECOND + start + 250 * MS * (number + 1) + trip + late
        echoes.append((due, playout.next_mark(SECOND)))
    now = echoes[0][0] + rest
    for due, name in echoes:
        if due <= now:
            playout.mark_echoed(name, due)
    truth = min(24_000, (now - SECOND - start) // 125_000)
    (position,) = playout.positions(now)
    off = abs(truth - position.estimated_samples)
    assert off <= max(max(jitter) // 125_000, position.margin_samples) + 1

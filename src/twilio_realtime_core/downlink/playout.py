"""What the caller has heard: what was sent, what marks confirm, and what must have played since.

Twilio plays what it gets in order, at real time, and echoes a mark when all before it has played.
Its queue is modelled by `fifo`. Times here are those of our own clock, *as if the line had no
delay*: audio sent at `t` reaches the player one trip later, and the `clear` that cuts it travels
the same way, so that the two trips cancel, and "heard when a clear sent now takes effect" is what
the model says for now.

A mark's echo has come back as well: it is seen one round trip after the model's time. By as much as
it is later, the player is behind the model, and `lag` says how much of that is believed. Until the
first echo of a burst has come, the lag that earlier bursts had is expected, and one thing more is
known: a mark without an echo had not been reached a round trip ago.

Positions are in samples. Bounds are never crossed: not below what marks confirm, not above what
was sent. What is estimated only ever steps back where an echo has come later than expected.
"""

from collections import deque
from typing import Final

from attrs import define, frozen

from ..config.start_delay_history import StartDelayHistory
from ..machine.units import SECOND, ns_to_samples, samples_to_ns
from ..values.playback_position import PartKey, PlaybackPosition
from .play_queue import PlayQueue
from .round_trip import RoundTrip
from .start_delay import StartDelayEstimator

__all__ = ["CHECKPOINT_SAMPLES", "MAX_QUEUED_SAMPLES", "PlaybackProgress", "Playout"]

MAX_QUEUED_SAMPLES: Final = 600 * 8000
"""Audio that may wait to be played: Twilio discards more than ten minutes (warning 31931)."""

CHECKPOINT_SAMPLES: Final = 2000
"""Audio between checkpoint marks: 250 ms, at most four marks a second. One with each delta floods
the stream, audibly; the model interpolates between them."""

_GRACE_NS: Final = 2 * SECOND
"""How long after the model's end of all audio the player may still be playing: hidden start delays
are a few hundred ms, and a mark that is later than this has been lost."""

_MAX_MARKS: Final = 32_768
"""Marks under way: more than there can be 20 ms frames in ten minutes of audio. Only of a Twilio
that echoes none are there more; then the oldest is forgotten, since any later one answers for it.
"""

_MAX_PARTS: Final = 1024
"""Parts told apart: a response has a handful. Only of a server that never ends what it begins are
there more; then the oldest that was heard as far as it was sent is forgotten."""

_MAX_RUNS: Final = 4096
"""Pieces of audio, each of another part than the one before, that wait to be played: in ten minutes
there is one for each sentence. Only of a server that changes within words are there more; then no
more is taken."""

_MAX_DIGITS: Final = 9
"""Digits of a mark's serial: more marks than a day's call can hold."""


@frozen
class PlaybackProgress:
    """What newly counts as heard: parts whose first audio was, and parts heard to the end."""

    started: tuple[PartKey, ...] = ()
    finished: tuple[PartKey, ...] = ()


@define(eq=False)
class _Mark:
    """A mark under way, behind all audio before `position`. `probes`: nothing waited to be played
    when it was sent. `overdue_ns`: from then on its echo is later than echoes are (`None`: not
    known). (A value: do not change it.)"""

    serial: int
    position: int
    sent_at_ns: int
    is_probe: bool
    overdue_ns: int | None


@define
class _PartState:
    """Of the `sent` samples, `confirmed` are in runs that marks confirm whole, and that are no
    longer kept."""

    sent_samples: int = 0
    confirmed_samples: int = 0
    is_complete: bool = False
    is_started: bool = False


_NOTHING: Final = PlaybackProgress()


class Playout:
    """The queue at Twilio, as far as it can be known. `history`: what earlier calls have shown."""

    def __init__(self, history: StartDelayHistory | None = None) -> None:
        self._history = history or StartDelayHistory()
        self._serial = 0
        self._parts: dict[PartKey, _PartState] = {}
        self.restart()

    def restart(self) -> None:
        """Another stream has begun, on a line that is still to be measured.

        Positions in a part that goes on count from its own beginning: what of it the old stream
        took lies before what will be heard next, and counts as heard.
        """
        unfinished = {
            part: _PartState(
                state.sent_samples,
                confirmed_samples=state.sent_samples,
                is_started=state.is_started,
            )
            for part, state in self._parts.items()
            if not state.is_complete
        }
        self.round_trip = RoundTrip()
        self._start_delays = StartDelayEstimator(self._history)
        self._has_echo = False
        self.clear()
        self._parts = unfinished

    def clear(self) -> None:
        """A `clear` was sent: Twilio's queue is empty, and echoes of older marks mean nothing.

        How late the player was stays the best guess for what comes next.
        """
        self._parts = {}
        self._queue = PlayQueue()
        self._marks: deque[_Mark] = deque(maxlen=_MAX_MARKS)
        self._first_valid_serial = self._serial
        self._confirmed_position = 0
        self._marked_position = 0
        self._marked_at_ns = 0

    @property
    def start_delay_history(self) -> StartDelayHistory:
        """What the player has shown on this stream, for the benefit of later calls."""
        return self._start_delays.history

    # What is sent.

    def has_capacity(self, samples: int, now: int) -> bool:
        """Whether Twilio's queue can take `samples` more, and we can remember them."""
        fits = self._unconfirmed_samples + samples <= MAX_QUEUED_SAMPLES
        # Marks may be late, or lost: what must have been played by now does not wait either.
        fits = fits or self._queued_samples(now) + samples <= MAX_QUEUED_SAMPLES
        return fits and (len(self._queue) < _MAX_RUNS or not self.is_playing(now))

    def _queued_samples(self, now: int) -> int:
        ends_at = self._queue.ends_at_ns
        return 0 if ends_at is None else ns_to_samples(ends_at - now)

    def starts_burst(self, now: int) -> bool:
        """Whether audio sent now finds the player idle, and may have a mark behind it. A first
        piece of one frame, with a mark of its own, then tells soonest how late the player starts.
        """
        return self._queue.is_idle(now) and self._is_mark_allowed(now)

    def audio_sent(self, part: PartKey, samples: int, now: int) -> PlaybackProgress:
        """`samples` of `part` were sent to Twilio."""
        progress = _NOTHING
        if self._unconfirmed_samples and not self.is_playing(now):
            # The marks are lost, but the audio must have been played.
            self._marks.clear()
            self._first_valid_serial = self._serial
            progress = self._confirm(self._queue.sent_samples)
        state = self._get_or_create_state(part)
        state.sent_samples += samples
        lag = self._start_delays.expected_ns if self._queue.is_idle(now) else 0
        self._queue.append(part, samples, now, lag)
        return progress

    def _get_or_create_state(self, part: PartKey) -> _PartState:
        state = self._parts.get(part)
        if state is None:
            if len(self._parts) >= _MAX_PARTS:
                heard = (
                    old
                    for old, known in self._parts.items()
                    if known.sent_samples == known.confirmed_samples
                )
                self._parts.pop(next(heard, part), None)  # if there is none, each has a run
            state = self._parts[part] = _PartState()
        return state

    def part_completed(self, part: PartKey) -> PlaybackProgress:
        """No more audio of `part` will come."""
        state = self._parts.get(part)
        if state is None:
            return _NOTHING
        state.is_complete = True
        return PlaybackProgress(finished=self._take_finished())

    def response_done(self, response_id: str) -> PlaybackProgress:
        """No more audio of any part of a response will come."""
        for part, state in self._parts.items():
            if part.response_id == response_id:
                state.is_complete = True
        return PlaybackProgress(finished=self._take_finished())

    # Marks.

    def is_checkpoint_due(self, now: int) -> bool:
        """Whether a mark should follow what was sent last: at the first audio after a pause, and
        every `CHECKPOINT_SAMPLES` from then on."""
        unmarked = self._queue.sent_samples - self._marked_position
        if unmarked >= CHECKPOINT_SAMPLES:
            return True
        return unmarked > 0 and self._is_mark_allowed(now)

    def _is_mark_allowed(self, now: int) -> bool:
        """Whether the last mark is long enough ago."""
        return not self._marked_position or now >= self._marked_at_ns + samples_to_ns(
            CHECKPOINT_SAMPLES
        )

    def is_final_mark_due(self) -> bool:
        """Whether a mark should follow the last audio of a part."""
        return self._queue.sent_samples > self._marked_position

    def is_probe_due(self) -> bool:
        """Whether a mark sent now measures the round trip: nothing waits, no mark is under way."""
        return not self._unconfirmed_samples and not self._marks

    def next_mark(self, now: int) -> str:
        """The name of a mark to be sent now, unique in the call."""
        overdue_ns = self.round_trip.slowest_ns if self._has_echo else None
        mark = _Mark(
            self._serial, self._queue.sent_samples, now, not self._unconfirmed_samples, overdue_ns
        )
        self._marks.append(mark)
        self._serial += 1
        self._marked_position = self._queue.sent_samples
        if not mark.is_probe:
            self._marked_at_ns = now
        return str(mark.serial)

    def mark_echoed(self, name: str, now: int) -> PlaybackProgress | None:
        """A mark came back; `None` if no such mark was ever sent, or it came back before.

        Marks of a cleared generation, or long given up, are known and confirm nothing. Marks come
        back in order, so that one echo also answers for those before it.
        """
        serial = _serial_of(name)
        if not 0 <= serial < self._serial:
            return None
        if serial < self._first_valid_serial:
            return _NOTHING
        if not self._marks or serial < self._marks[0].serial:
            return None
        while self._marks[0].serial < serial:
            self._marks.popleft()
        mark = self._marks.popleft()
        self._has_echo = True
        if mark.is_probe:
            self.round_trip.probe_echoed(mark.sent_at_ns, now)
        elif mark.position > self._confirmed_position:
            self._learn(mark, now)
        return self._confirm(mark.position)

    def _learn(self, mark: _Mark, now: int) -> None:
        """Learn from an echo how late the player is, and how long a round trip takes at most."""
        burst = self._queue.burst_of(mark.position)
        expected_at = burst.reached_at_ns(mark.position)
        bound = now - max(mark.sent_at_ns, expected_at - burst.start_delay_ns)
        if bound < 0:
            return  # no player is so early; whoever answered, it was none
        late = now - expected_at - self.round_trip.add_upper_bound(bound)
        # The echo of a mark that found the player idle tells when it was sent, and no more.
        if mark.sent_at_ns < expected_at or late < 0:
            lag = self._start_delays.learn(
                burst, burst.start_delay_ns + late, self.round_trip.jitter_ns or 0
            )
            if lag != burst.start_delay_ns:
                self._queue.set_start_delay(burst, lag)

    # What is heard.

    @property
    def _unconfirmed_samples(self) -> int:
        return self._queue.sent_samples - self._confirmed_position

    @property
    def silent_at_ns(self) -> int | None:
        """When, at the latest, all that was sent must have been played (ns): from then on nothing
        is `playing`. `None`: all of it was heard."""
        ends_at = self._queue.ends_at_ns
        return None if ends_at is None else ends_at + _GRACE_NS

    def is_playing(self, now: int) -> bool:
        """Whether audio may still be audible, or waiting: sent, not confirmed, and not so long ago
        that it must have been played."""
        silent_at = self.silent_at_ns
        return silent_at is not None and now < silent_at

    def positions(self, now: int) -> list[PlaybackPosition]:
        """How far each part has been played, those heard to the end excepted, in the order in
        which they began to be sent."""
        position = self._estimated_position(now)
        margin = self._margin_samples(position)
        confirmed, estimated = (
            self._samples_before(self._confirmed_position),
            self._samples_before(position),
        )
        return [
            PlaybackPosition(
                part,
                confirmed[part],
                estimated[part],
                state.sent_samples,
                state.is_complete,
                min(
                    margin,
                    max(estimated[part] - confirmed[part], state.sent_samples - estimated[part]),
                ),
            )
            for part, state in self._parts.items()
        ]

    def _estimated_position(self, now: int) -> int:
        """The position in the stream that a clear sent now leaves heard."""
        if not self.is_playing(now):
            return (
                self._queue.sent_samples
            )  # it must have been played, whatever became of its marks
        reached = self._queue.position_at(now)
        mark = next(
            (mark for mark in self._marks if mark.position > self._confirmed_position), None
        )
        if mark is not None and mark.overdue_ns is not None and not self._is_learned(mark.position):
            reached = min(reached, mark.position + ns_to_samples(mark.overdue_ns))
        return max(self._confirmed_position, reached)

    def _is_learned(self, position: int) -> bool:
        """Whether it is known how late the player is there. What is known is not made later by an
        echo that does not come: that may be late, or lost."""
        return self._start_delays.is_learned(self._queue.burst_of(position))

    def _margin_samples(self, position: int) -> int:
        """How far the player may be from a position, in samples."""
        jitter = self.round_trip.jitter_ns
        if jitter is None or not self._unconfirmed_samples:
            return self._unconfirmed_samples
        learned = self._is_learned(max(position, self._confirmed_position + 1))
        unknown = 0 if learned else self._start_delays.spread_ns
        return self._unconfirmed_samples if unknown is None else ns_to_samples(jitter + unknown)

    def _samples_before(self, position: int) -> dict[PartKey, int]:
        """How much of each part lies before a position in the stream."""
        before = {part: state.confirmed_samples for part, state in self._parts.items()}
        for part, samples in self._queue.samples_before(position).items():
            before[part] += samples
        return before

    def _confirm(self, position: int) -> PlaybackProgress:
        self._confirmed_position = max(self._confirmed_position, position)
        started: list[PartKey] = []
        for part in self._queue.samples_before(self._confirmed_position):
            state = self._parts[part]
            if not state.is_started:
                state.is_started = True
                started.append(part)
        taken = self._queue.take_played(self._confirmed_position)
        for part, samples in taken:
            self._parts[part].confirmed_samples += samples
        finished = self._take_finished() if taken else ()
        return PlaybackProgress(tuple(started), finished) if started or finished else _NOTHING

    def _take_finished(self) -> tuple[PartKey, ...]:
        """The parts heard to the end; they are forgotten. (One that a stream took away whole is
        forgotten too, but was not heard.)"""
        ended = {
            part: state
            for part, state in self._parts.items()
            if state.is_complete and state.confirmed_samples == state.sent_samples
        }
        for part in ended:
            del self._parts[part]
        return tuple(part for part, state in ended.items() if state.is_started)


def _serial_of(name: str) -> int:
    """The serial in a name that `Playout.mark` could have given; -1 for any other."""
    if not (name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS):
        return -1
    serial = int(name)
    return serial if str(serial) == name else -1

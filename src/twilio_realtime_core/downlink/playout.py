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

from ..config.start_delay_history import LineHistory
from ..machine.units import SECOND, duration_ns, samples_in
from ..values.playback_position import Heard, Part
from .play_queue import PlayQueue
from .round_trip import RoundTrip
from .start_delay import Lags

__all__ = ["CHECKPOINT_SAMPLES", "MAX_UNHEARD_SAMPLES", "Playout", "Progress"]

MAX_UNHEARD_SAMPLES: Final = 600 * 8000
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
class Progress:
    """What newly counts as heard: parts whose first audio was, and parts heard to the end."""

    started: tuple[Part, ...] = ()
    finished: tuple[Part, ...] = ()


@define(eq=False)
class _Mark:
    """A mark under way, behind all audio before `position`. `probes`: nothing waited to be played
    when it was sent. `overdue_ns`: from then on its echo is later than echoes are (`None`: not
    known). (A value: do not change it.)"""

    serial: int
    position: int
    sent_at: int
    probes: bool
    overdue_ns: int | None


@define
class _PartState:
    """Of the `sent` samples, `confirmed` are in runs that marks confirm whole, and that are no
    longer kept."""

    sent: int = 0
    confirmed: int = 0
    complete: bool = False
    started: bool = False


_NOTHING: Final = Progress()


class Playout:
    """The queue at Twilio, as far as it can be known. `history`: what earlier calls have shown."""

    def __init__(self, history: LineHistory | None = None) -> None:
        self._history = history or LineHistory()
        self._serial = 0
        self._parts: dict[Part, _PartState] = {}
        self.restart()

    def restart(self) -> None:
        """Another stream has begun, on a line that is still to be measured.

        Positions in a part that goes on count from its own beginning: what of it the old stream
        took lies before what will be heard next, and counts as heard.
        """
        unfinished = {
            part: _PartState(state.sent, confirmed=state.sent, started=state.started)
            for part, state in self._parts.items()
            if not state.complete
        }
        self.round_trip = RoundTrip()
        self._lags = Lags(self._history)
        self._echoed = False
        self.clear()
        self._parts = unfinished

    def clear(self) -> None:
        """A `clear` was sent: Twilio's queue is empty, and echoes of older marks mean nothing.

        How late the player was stays the best guess for what comes next.
        """
        self._parts = {}
        self._fifo = PlayQueue()
        self._marks: deque[_Mark] = deque(maxlen=_MAX_MARKS)
        self._first_serial = self._serial
        self._confirmed = 0
        self._marked = 0
        self._marked_at = 0

    @property
    def history(self) -> LineHistory:
        """What the player has shown on this stream, for the benefit of later calls."""
        return self._lags.learned

    # What is sent.

    def room(self, samples: int, now: int) -> bool:
        """Whether Twilio's queue can take `samples` more, and we can remember them."""
        fits = self._unheard + samples <= MAX_UNHEARD_SAMPLES
        # Marks may be late, or lost: what must have been played by now does not wait either.
        fits = fits or self._waiting(now) + samples <= MAX_UNHEARD_SAMPLES
        return fits and (len(self._fifo) < _MAX_RUNS or not self.playing(now))

    def _waiting(self, now: int) -> int:
        ends_at = self._fifo.ends_at
        return 0 if ends_at is None else samples_in(ends_at - now)

    def begins_burst(self, now: int) -> bool:
        """Whether audio sent now finds the player idle, and may have a mark behind it. A first
        piece of one frame, with a mark of its own, then tells soonest how late the player starts.
        """
        return self._fifo.is_idle(now) and self._may_mark(now)

    def sent(self, part: Part, samples: int, now: int) -> Progress:
        """`samples` of `part` were sent to Twilio."""
        progress = _NOTHING
        if self._unheard and not self.playing(now):
            # The marks are lost, but the audio must have been played.
            self._marks.clear()
            self._first_serial = self._serial
            progress = self._confirm(self._fifo.sent)
        state = self._state_of(part)
        state.sent += samples
        lag = self._lags.expected if self._fifo.is_idle(now) else 0
        self._fifo.append(part, samples, now, lag)
        return progress

    def _state_of(self, part: Part) -> _PartState:
        state = self._parts.get(part)
        if state is None:
            if len(self._parts) >= _MAX_PARTS:
                heard = (old for old, known in self._parts.items() if known.sent == known.confirmed)
                self._parts.pop(next(heard, part), None)  # if there is none, each has a run
            state = self._parts[part] = _PartState()
        return state

    def completed(self, part: Part) -> Progress:
        """No more audio of `part` will come."""
        state = self._parts.get(part)
        if state is None:
            return _NOTHING
        state.complete = True
        return Progress(finished=self._finished())

    def response_done(self, response_id: str) -> Progress:
        """No more audio of any part of a response will come."""
        for part, state in self._parts.items():
            if part.response_id == response_id:
                state.complete = True
        return Progress(finished=self._finished())

    # Marks.

    def checkpoint_due(self, now: int) -> bool:
        """Whether a mark should follow what was sent last: at the first audio after a pause, and
        every `CHECKPOINT_SAMPLES` from then on."""
        unmarked = self._fifo.sent - self._marked
        if unmarked >= CHECKPOINT_SAMPLES:
            return True
        return unmarked > 0 and self._may_mark(now)

    def _may_mark(self, now: int) -> bool:
        """Whether the last mark is long enough ago."""
        return not self._marked or now >= self._marked_at + duration_ns(CHECKPOINT_SAMPLES)

    def tail_due(self) -> bool:
        """Whether a mark should follow the last audio of a part."""
        return self._fifo.sent > self._marked

    def probe_due(self) -> bool:
        """Whether a mark sent now measures the round trip: nothing waits, no mark is under way."""
        return not self._unheard and not self._marks

    def mark(self, now: int) -> str:
        """The name of a mark to be sent now, unique in the call."""
        overdue_ns = self.round_trip.slowest if self._echoed else None
        mark = _Mark(self._serial, self._fifo.sent, now, not self._unheard, overdue_ns)
        self._marks.append(mark)
        self._serial += 1
        self._marked = self._fifo.sent
        if not mark.probes:
            self._marked_at = now
        return str(mark.serial)

    def echo(self, name: str, now: int) -> Progress | None:
        """A mark came back; `None` if no such mark was ever sent, or it came back before.

        Marks of a cleared generation, or long given up, are known and confirm nothing. Marks come
        back in order, so that one echo also answers for those before it.
        """
        serial = _serial_of(name)
        if not 0 <= serial < self._serial:
            return None
        if serial < self._first_serial:
            return _NOTHING
        if not self._marks or serial < self._marks[0].serial:
            return None
        while self._marks[0].serial < serial:
            self._marks.popleft()
        mark = self._marks.popleft()
        self._echoed = True
        if mark.probes:
            self.round_trip.probe_echoed(mark.sent_at, now)
        elif mark.position > self._confirmed:
            self._learn(mark, now)
        return self._confirm(mark.position)

    def _learn(self, mark: _Mark, now: int) -> None:
        """Learn from an echo how late the player is, and how long a round trip takes at most."""
        burst = self._fifo.burst_of(mark.position)
        expected_at = burst.reached_at(mark.position)
        bound = now - max(mark.sent_at, expected_at - burst.start_delay_ns)
        if bound < 0:
            return  # no player is so early; whoever answered, it was none
        late = now - expected_at - self.round_trip.at_most(bound)
        # The echo of a mark that found the player idle tells when it was sent, and no more.
        if mark.sent_at < expected_at or late < 0:
            lag = self._lags.learn(burst, burst.start_delay_ns + late, self.round_trip.jitter or 0)
            if lag != burst.start_delay_ns:
                self._fifo.set_start_delay(burst, lag)

    # What is heard.

    @property
    def _unheard(self) -> int:
        return self._fifo.sent - self._confirmed

    @property
    def silent_at(self) -> int | None:
        """When, at the latest, all that was sent must have been played (ns): from then on nothing
        is `playing`. `None`: all of it was heard."""
        ends_at = self._fifo.ends_at
        return None if ends_at is None else ends_at + _GRACE_NS

    def playing(self, now: int) -> bool:
        """Whether audio may still be audible, or waiting: sent, not confirmed, and not so long ago
        that it must have been played."""
        silent_at = self.silent_at
        return silent_at is not None and now < silent_at

    def heard(self, now: int) -> list[Heard]:
        """How far each part has been played, those heard to the end excepted, in the order in
        which they began to be sent."""
        position = self._estimated(now)
        margin = self._margin(position)
        confirmed, estimated = self._before(self._confirmed), self._before(position)
        return [
            Heard(
                part,
                confirmed[part],
                estimated[part],
                state.sent,
                state.complete,
                min(margin, max(estimated[part] - confirmed[part], state.sent - estimated[part])),
            )
            for part, state in self._parts.items()
        ]

    def _estimated(self, now: int) -> int:
        """The position in the stream that a clear sent now leaves heard."""
        if not self.playing(now):
            return self._fifo.sent  # it must have been played, whatever became of its marks
        reached = self._fifo.played(now)
        mark = next((mark for mark in self._marks if mark.position > self._confirmed), None)
        if mark is not None and mark.overdue_ns is not None and not self._is_learned(mark.position):
            reached = min(reached, mark.position + samples_in(mark.overdue_ns))
        return max(self._confirmed, reached)

    def _is_learned(self, position: int) -> bool:
        """Whether it is known how late the player is there. What is known is not made later by an
        echo that does not come: that may be late, or lost."""
        return self._lags.is_learned(self._fifo.burst_of(position))

    def _margin(self, position: int) -> int:
        """How far the player may be from a position, in samples."""
        jitter = self.round_trip.jitter
        if jitter is None or not self._unheard:
            return self._unheard
        learned = self._is_learned(max(position, self._confirmed + 1))
        unknown = 0 if learned else self._lags.spread
        return self._unheard if unknown is None else samples_in(jitter + unknown)

    def _before(self, position: int) -> dict[Part, int]:
        """How much of each part lies before a position in the stream."""
        before = {part: state.confirmed for part, state in self._parts.items()}
        for part, samples in self._fifo.before(position).items():
            before[part] += samples
        return before

    def _confirm(self, position: int) -> Progress:
        self._confirmed = max(self._confirmed, position)
        started: list[Part] = []
        for part in self._fifo.before(self._confirmed):
            state = self._parts[part]
            if not state.started:
                state.started = True
                started.append(part)
        taken = self._fifo.take(self._confirmed)
        for part, samples in taken:
            self._parts[part].confirmed += samples
        finished = self._finished() if taken else ()
        return Progress(tuple(started), finished) if started or finished else _NOTHING

    def _finished(self) -> tuple[Part, ...]:
        """The parts heard to the end; they are forgotten. (One that a stream took away whole is
        forgotten too, but was not heard.)"""
        ended = {
            part: state
            for part, state in self._parts.items()
            if state.complete and state.confirmed == state.sent
        }
        for part in ended:
            del self._parts[part]
        return tuple(part for part, state in ended.items() if state.started)


def _serial_of(name: str) -> int:
    """The serial in a name that `Playout.mark` could have given; -1 for any other."""
    if not (name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS):
        return -1
    serial = int(name)
    return serial if str(serial) == name else -1

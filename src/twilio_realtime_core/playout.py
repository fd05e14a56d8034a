"""What the caller has heard: what was sent, what marks confirm, and what must have played since.

Twilio plays what it gets in order, at real time, and echoes a mark when all before it has played.
Its queue is modelled as a FIFO: audio starts at the later of its arrival and the end of the audio
before it. Times here are those of our own clock, *as if the line had no delay*: audio sent at `t`
reaches the player one trip later, and the `clear` that cuts it travels the same way, so that the
two trips cancel, and "heard when a clear sent now takes effect" is what the model says for now.

A mark's echo has come back as well: it is seen one round trip after the model's time. When it is
later than that, the player is behind the model (a start delay, a stall), and by as much the model
is shifted: what finds the player still busy so follows without a gap, and a mark that finds it idle
tells nothing new. Without a measured round trip nothing can be told from lateness, and nothing is.

Positions are in samples. Bounds are never crossed: not below what marks confirm, not above what
was sent.
"""

from collections import deque
from typing import Final

from attrs import define, frozen

from .roundtrip import RoundTrip
from .times import SECOND, duration_ns, samples_in

__all__ = ["CHECKPOINT_SAMPLES", "MAX_UNHEARD_SAMPLES", "Heard", "Part", "Playout", "Progress"]

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
class Part:
    """A content part of an item: what audio belongs to, and what can be truncated.

    `session` counts the Realtime sessions of the call, since ids are unique only within one.
    """

    session: int
    response_id: str
    item_id: str
    content_index: int


@frozen
class Heard:
    """How far a part has been played, in samples: `confirmed <= estimated <= sent`.

    `confirmed` is known from marks; `estimated` is what a `clear` sent at that moment leaves
    heard. `complete`: all audio of the part has been sent.
    """

    part: Part
    confirmed: int
    estimated: int
    sent: int
    complete: bool


@frozen
class Progress:
    """What newly counts as heard: parts whose first audio was, and parts heard to the end."""

    started: tuple[Part, ...] = ()
    finished: tuple[Part, ...] = ()


@define
class _Run:
    """Audio of one part that plays without a gap. `begin` is its position in the stream (samples),
    `starts_at` when it starts by the model (ns)."""

    part: Part
    begin: int
    samples: int
    starts_at: int


@frozen
class _Mark:
    """A mark under way. All before `position` has been played at `ends_at`, by the model, perhaps
    before the mark was sent. `probes`: nothing waited to be played when it was sent."""

    serial: int
    position: int
    sent_at: int
    ends_at: int
    probes: bool


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
    """The queue at Twilio, as far as it can be known."""

    def __init__(self) -> None:
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
        self._behind = 0
        self.clear()
        self._parts = unfinished

    def clear(self) -> None:
        """A `clear` was sent: Twilio's queue is empty, and echoes of older marks mean nothing.

        How far the player was behind the model stays the best guess for what comes next.
        """
        self._parts = {}
        self._runs: deque[_Run] = deque()
        self._marks: deque[_Mark] = deque(maxlen=_MAX_MARKS)
        self._first_serial = self._serial
        self._sent = 0
        self._confirmed = 0
        self._marked = 0
        self._marked_at = 0
        self._ends_at = 0

    # What is sent.

    def room(self, samples: int, now: int) -> bool:
        """Whether Twilio's queue can take `samples` more, and we can remember them."""
        waiting = samples_in(self._ends_at + self._behind - now)
        fits = min(self._unheard, waiting) + samples <= MAX_UNHEARD_SAMPLES
        return fits and (len(self._runs) < _MAX_RUNS or not self.playing(now))

    def sent(self, part: Part, samples: int, now: int) -> Progress:
        """`samples` of `part` were sent to Twilio."""
        progress = _NOTHING
        if self._unheard and not self.playing(now):
            # The marks are lost, but the audio must have been played.
            self._marks.clear()
            self._first_serial = self._serial
            progress = self._confirm(self._sent)
        state = self._state_of(part)
        follows = self._unheard > 0 and now <= self._ends_at + self._behind
        if not follows:
            self._ends_at = now
        if follows and self._runs[-1].part == part:
            self._runs[-1].samples += samples
        else:
            self._runs.append(_Run(part, self._sent, samples, self._ends_at))
        state.sent += samples
        self._sent += samples
        self._ends_at += duration_ns(samples)
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
        unmarked = self._sent - self._marked
        if unmarked >= CHECKPOINT_SAMPLES:
            return True
        waited = not self._marked or now >= self._marked_at + duration_ns(CHECKPOINT_SAMPLES)
        return unmarked > 0 and waited

    def tail_due(self) -> bool:
        """Whether a mark should follow the last audio of a part."""
        return self._sent > self._marked

    def probe_due(self) -> bool:
        """Whether a mark sent now measures the round trip: nothing waits, no mark is under way."""
        return not self._unheard and not self._marks

    def mark(self, now: int) -> str:
        """The name of a mark to be sent now, unique in the call."""
        mark = _Mark(self._serial, self._sent, now, self._ends_at, probes=not self._unheard)
        self._marks.append(mark)
        self._serial += 1
        self._marked = self._sent
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
        if mark.probes:
            self.round_trip.probe_echoed(mark.sent_at, now)
        elif self.round_trip.estimate is not None:
            reached_at = max(mark.ends_at, mark.sent_at - self._behind)
            self._behind = max(0, now - reached_at - self.round_trip.estimate)
        return self._confirm(mark.position)

    # What is heard.

    @property
    def _unheard(self) -> int:
        return self._sent - self._confirmed

    def playing(self, now: int) -> bool:
        """Whether audio may still be audible, or waiting: sent, not confirmed, and not so long ago
        that it must have been played."""
        return self._unheard > 0 and now < self._ends_at + self._behind + _GRACE_NS

    def heard(self, now: int) -> list[Heard]:
        """How far each part has been played, those heard to the end excepted, in the order in
        which they began to be sent."""
        confirmed = self._before(self._confirmed)
        estimated = self._before(max(self._confirmed, self._played(now - self._behind)))
        return [
            Heard(part, confirmed[part], estimated[part], state.sent, state.complete)
            for part, state in self._parts.items()
        ]

    def _played(self, at: int) -> int:
        """The position in the stream that the model has reached at `at`."""
        for run in reversed(self._runs):
            if run.starts_at <= at:
                return run.begin + min(run.samples, samples_in(at - run.starts_at))
        return 0

    def _before(self, position: int) -> dict[Part, int]:
        """How much of each part lies before a position in the stream."""
        before = {part: state.confirmed for part, state in self._parts.items()}
        for run in self._runs:
            before[run.part] += min(run.samples, max(0, position - run.begin))
        return before

    def _confirm(self, position: int) -> Progress:
        self._confirmed = max(self._confirmed, position)
        started: list[Part] = []
        while self._runs and self._runs[0].begin < self._confirmed:
            run = self._runs[0]
            state = self._parts[run.part]
            if not state.started:
                state.started = True
                started.append(run.part)
            if run.begin + run.samples > self._confirmed:
                break
            state.confirmed += run.samples
            self._runs.popleft()
        return Progress(tuple(started), self._finished())

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

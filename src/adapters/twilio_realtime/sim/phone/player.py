"""What the phone plays, and when: the true queue of one Media Stream, and so the ground truth.

Audio is played in the order received, without pause, 125 µs a byte; a mark is due when everything
queued before it has been played, at once when nothing is; `clear` empties the queue and makes all
pending marks due (Twilio documentation, "Media Streams - WebSocket Messages"). How Twilio frames
what it plays is not documented; here the queue is one of bytes.

Nothing has to happen while audio plays, so nothing is done: a queue is known by when its current
run of audio began, and only marks need a timer.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from twilio_realtime_core.machine.units import SAMPLE_NS, SECOND, samples_to_ns

__all__ = ["MAX_PENDING_MARKS", "MAX_QUEUED_BYTES", "PlayedSegment", "Player"]

MAX_QUEUED_BYTES: Final = 10 * 60 * SECOND // SAMPLE_NS
"""Bytes that can wait to be played: ten minutes of audio (Twilio documentation, warning 31931)."""

MAX_PENDING_MARKS: Final = 100_000
"""Marks that can wait: three for each 20 ms of a full queue. Twilio states no limit."""


@frozen
class PlayedSegment:
    """Audio played without a pause: when its first byte began, and its bytes."""

    start_ns: int
    audio: bytes = field(repr=False)

    @property
    def end_ns(self) -> int:
        """When its last byte ended."""
        return self.start_ns + samples_to_ns(len(self.audio))


@define
class _Run:
    """Audio without a pause: it starts with byte `first` of all that is ever played."""

    start_ns: int
    first_byte: int


@define(eq=False)
class Player:
    """The queue of one stream.

    `start_delay` (ns, or called for each value) passes between the arrival of audio in an empty
    queue and its first byte; a real phone has one that nobody can see. With `record` the audio
    itself is kept, 8,000 bytes for each second played.

    Methods take `now` in ns; it may not run backwards, and `take_due_marks(now)` must come first.
    """

    start_delay_ns: int | Callable[[], int] = 0
    record_audio: bool = True
    _runs: list[_Run] = field(init=False, factory=list[_Run])
    _end_ns: int = field(init=False, default=0)
    _total_bytes: int = field(init=False, default=0)
    _audio: bytearray = field(init=False, factory=bytearray)
    _marks: deque[tuple[int, str]] = field(init=False, factory=deque[tuple[int, str]])

    @property
    def total_bytes(self) -> int:
        """Bytes played so far or still to be played: all taken, less what was cleared."""
        return self._total_bytes

    @property
    def end_ns(self) -> int:
        """When the queue is, or was, empty."""
        return self._end_ns

    @property
    def next_mark_ns(self) -> int | None:
        """When the next mark is due."""
        return self._marks[0][0] if self._marks else None

    def queued_bytes(self, now: int) -> int:
        """Bytes not yet played to the end."""
        return self._total_bytes - self.heard_bytes_at(now)

    def enqueue_audio(self, audio: bytes, now: int) -> bool:
        """Put audio at the end of the queue; `False`, and nothing done, if it does not fit."""
        if self.queued_bytes(now) + len(audio) > MAX_QUEUED_BYTES:
            return False
        if not audio:
            return True
        if self._end_ns <= now:
            delay = (
                self.start_delay_ns
                if isinstance(self.start_delay_ns, int)
                else self.start_delay_ns()
            )
            self._end_ns = now + delay
            if not self._continues_run():
                self._runs.append(_Run(self._end_ns, self._total_bytes))
        self._end_ns += samples_to_ns(len(audio))
        self._total_bytes += len(audio)
        if self.record_audio:
            self._audio += audio
        return True

    def enqueue_mark(self, name: str, now: int) -> bool:
        """Put a mark at the end of the queue; `False`, and nothing done, if too many wait."""
        if len(self._marks) >= MAX_PENDING_MARKS:
            return False
        self._marks.append((max(now, self._end_ns), name))
        return True

    def take_due_marks(self, now: int) -> list[str]:
        """The marks that have come due, in the order they were sent."""
        due: list[str] = []
        while self._marks and self._marks[0][0] <= now:
            due.append(self._marks.popleft()[1])
        return due

    def clear(self, now: int) -> tuple[int, list[str]]:
        """Throw away what has not been played; bytes thrown away, and all marks that waited.

        A byte of which a part has been played counts as thrown away.
        """
        discarded = self.queued_bytes(now)
        self._total_bytes -= discarded
        if self.record_audio:
            del self._audio[self._total_bytes :]
        if self._runs and self._runs[-1].first_byte == self._total_bytes:
            self._runs.pop()
        self._end_ns = min(self._end_ns, now)
        marks = [name for _, name in self._marks]
        self._marks.clear()
        return discarded, marks

    def heard_bytes_at(self, at_ns: int) -> int:
        """Bytes played to the end at `when` (ns), in the past or, as things stand, the future."""
        index = bisect_right(self._runs, at_ns, key=_start_ns_of)
        if index == 0:
            return 0
        run = self._runs[index - 1]
        size = self._end_byte_of_run_before(index) - run.first_byte
        return run.first_byte + min(size, (at_ns - run.start_ns) // SAMPLE_NS)

    def heard_at_ns(self, count_bytes: int) -> int | None:
        """When `count` bytes will have, or had, been played (ns); `None`: there are not as many."""
        if count_bytes > self._total_bytes or not self._runs:
            return None
        index = max(1, bisect_right(self._runs, count_bytes - 1, key=_first_byte_of))
        run = self._runs[index - 1]
        return run.start_ns + samples_to_ns(count_bytes - run.first_byte)

    def segments(self, until_ns: int) -> list[PlayedSegment]:
        """What was played until `until` (ns), a segment for each run without a pause."""
        heard = self.heard_bytes_at(until_ns)
        segments = (
            PlayedSegment(
                run.start_ns,
                bytes(self._audio[run.first_byte : min(heard, self._end_byte_of_run_before(n))]),
            )
            for n, run in enumerate(self._runs, 1)
        )
        return [segment for segment in segments if segment.audio]

    def _continues_run(self) -> bool:
        """Whether audio put at the end of the queue follows the last run without a pause. (After
        `clear` in the middle of a byte it does not.)"""
        if not self._runs:
            return False
        run = self._runs[-1]
        return run.start_ns + samples_to_ns(self._total_bytes - run.first_byte) == self._end_ns

    def _end_byte_of_run_before(self, index: int) -> int:
        """The first byte of the run at `index`, or the end of all."""
        return self._runs[index].first_byte if index < len(self._runs) else self._total_bytes


def _start_ns_of(run: _Run) -> int:
    return run.start_ns


def _first_byte_of(run: _Run) -> int:
    return run.first_byte

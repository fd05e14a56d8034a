"""The audio queue of one Media Stream at Twilio: the ground truth of what the phone plays, and
when.

Audio is played in the order received, without pause, 125 µs a byte; a mark is due when everything
queued before it has been played, at once when the queue is empty; `clear` empties the queue and
makes all pending marks due (https://www.twilio.com/docs/voice/media-streams/websocket-messages).
Twilio does not document how it frames what it plays; this queue is one of bytes.

Playing needs no timer: the queue stores when its current run of audio started, and only marks have
deadlines.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from twilio_realtime_core.machine.units import SAMPLE_NS, SECOND, samples_to_ns

__all__ = ["MAX_PENDING_MARKS", "MAX_QUEUED_BYTES", "PlayedSegment", "Player"]

MAX_QUEUED_BYTES: Final = 10 * 60 * SECOND // SAMPLE_NS
"""The most bytes that can be queued: ten minutes of audio (Twilio documentation, warning 31931)."""

MAX_PENDING_MARKS: Final = 100_000
"""The most marks that can be pending: three for each 20 ms of a full queue. Twilio states no
limit."""


@frozen
class PlayedSegment:
    """A stretch of audio played without a pause: the start of its first byte (ns), and the
    audio."""

    start_ns: int
    audio: bytes = field(repr=False)

    @property
    def end_ns(self) -> int:
        """The end of its last byte (ns)."""
        return self.start_ns + samples_to_ns(len(self.audio))


@define
class _Run:
    """A run of audio without a pause; `first_byte` is its position in all audio of the stream."""

    start_ns: int
    first_byte: int


@define(eq=False)
class Player:
    """The audio queue of one stream.

    `start_delay_ns` (or a function that returns one each time) passes between the arrival of audio
    in an empty queue and its first byte; on a real phone nobody can measure it. With `record_audio`
    the audio is kept, 8,000 bytes for each second played.

    Methods take `now` in ns; it may not run backwards, and `take_due_marks(now)` must be called
    first.
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
        """Bytes played so far or queued: all audio received, without what was cleared."""
        return self._total_bytes

    @property
    def end_ns(self) -> int:
        """When the queue is, or was, empty (ns)."""
        return self._end_ns

    @property
    def next_mark_ns(self) -> int | None:
        """When the next mark is due (ns)."""
        return self._marks[0][0] if self._marks else None

    def queued_bytes(self, now: int) -> int:
        """Return how many bytes have not been played to the end."""
        return self._total_bytes - self.heard_bytes_at(now)

    def enqueue_audio(self, audio: bytes, now: int) -> bool:
        """Append audio to the queue; return `False`, and change nothing, if it does not fit."""
        if self.queued_bytes(now) + len(audio) > MAX_QUEUED_BYTES:
            return False
        if not audio:
            return True
        if self._end_ns <= now:
            delay_ns = self.start_delay_ns
            if not isinstance(delay_ns, int):
                delay_ns = delay_ns()
            self._end_ns = now + delay_ns
            if not self._continues_run():
                self._runs.append(_Run(self._end_ns, self._total_bytes))
        self._end_ns += samples_to_ns(len(audio))
        self._total_bytes += len(audio)
        if self.record_audio:
            self._audio += audio
        return True

    def enqueue_mark(self, name: str, now: int) -> bool:
        """Append a mark to the queue; return `False`, and change nothing, if too many are
        pending."""
        if len(self._marks) >= MAX_PENDING_MARKS:
            return False
        self._marks.append((max(now, self._end_ns), name))
        return True

    def take_due_marks(self, now: int) -> list[str]:
        """Remove and return the marks that are due, in the order they were sent."""
        due: list[str] = []
        while self._marks and self._marks[0][0] <= now:
            due.append(self._marks.popleft()[1])
        return due

    def clear(self, now: int) -> tuple[int, list[str]]:
        """Discard what has not been played; return the number of bytes discarded, and all pending
        marks.

        A byte that has been played in part counts as discarded.
        """
        discarded_bytes = self.queued_bytes(now)
        self._total_bytes -= discarded_bytes
        if self.record_audio:
            del self._audio[self._total_bytes :]
        if self._runs and self._runs[-1].first_byte == self._total_bytes:
            self._runs.pop()
        self._end_ns = min(self._end_ns, now)
        marks = [name for _, name in self._marks]
        self._marks.clear()
        return discarded_bytes, marks

    def heard_bytes_at(self, at_ns: int) -> int:
        """Return how many bytes have been played to the end at `at_ns`; for the future, as if no
        more audio came."""
        index = bisect_right(self._runs, at_ns, key=_start_ns_of)
        if index == 0:
            return 0
        run = self._runs[index - 1]
        size_bytes = self._first_byte_or_end(index) - run.first_byte
        return run.first_byte + min(size_bytes, (at_ns - run.start_ns) // SAMPLE_NS)

    def heard_at_ns(self, count_bytes: int) -> int | None:
        """Return when `count_bytes` bytes will have, or had, been played (ns); `None`: there are
        fewer bytes."""
        if count_bytes > self._total_bytes or not self._runs:
            return None
        index = max(1, bisect_right(self._runs, count_bytes - 1, key=_first_byte_of))
        run = self._runs[index - 1]
        return run.start_ns + samples_to_ns(count_bytes - run.first_byte)

    def segments(self, until_ns: int) -> list[PlayedSegment]:
        """Return what was played until `until_ns`, one segment for each run without a pause."""
        heard_bytes = self.heard_bytes_at(until_ns)
        segments = (
            PlayedSegment(
                run.start_ns,
                bytes(self._audio[run.first_byte : min(heard_bytes, self._first_byte_or_end(n))]),
            )
            for n, run in enumerate(self._runs, 1)
        )
        return [segment for segment in segments if segment.audio]

    def _continues_run(self) -> bool:
        """Return whether audio appended now follows the last run without a pause. (After a `clear`
        in the middle of a byte it does not.)"""
        if not self._runs:
            return False
        run = self._runs[-1]
        return run.start_ns + samples_to_ns(self._total_bytes - run.first_byte) == self._end_ns

    def _first_byte_or_end(self, index: int) -> int:
        """Return the first byte of the run at `index`, or the end of all audio."""
        return self._runs[index].first_byte if index < len(self._runs) else self._total_bytes


def _start_ns_of(run: _Run) -> int:
    return run.start_ns


def _first_byte_of(run: _Run) -> int:
    return run.first_byte

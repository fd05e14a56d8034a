"""The times at which Twilio sends the frames of the caller."""

from collections.abc import Iterable
from random import Random

from attrs import define, field

from twilio_realtime_core.machine.units import MS

__all__ = ["FrameSchedule"]


@define(eq=False)
class FrameSchedule:
    """When the next frame of a stream is due: `first_frame_ns` after its start, later ones
    `frame_ms` after each other, each up to `jitter_ns` sooner or later by the draws of `_random`.

    Timestamps are clock readings, so they jitter.
    """

    first_frame_ns: int
    frame_ms: int
    jitter_ns: int
    _random: Random
    count: int = field(init=False, default=0)
    """How many frames were sent."""
    due_ns: int = field(init=False, default=0)
    """When the next frame is due (ns)."""
    _start_ns: int = field(init=False, default=0)
    _returned_due_ns: list[int] = field(init=False, factory=list[int])
    """When frames after the next one are due that were taken back, the earliest last."""

    def start(self, now: int) -> None:
        """Start the stream."""
        self._start_ns = now
        self._draw_due()

    def advance(self) -> None:
        """Count the next frame as sent."""
        self.count += 1
        if self._returned_due_ns:
            self.due_ns = self._returned_due_ns.pop()
        else:
            self._draw_due()

    def _draw_due(self) -> None:
        jitter_ns = int((2 * self._random.random() - 1) * self.jitter_ns)
        after_ns = self.first_frame_ns + self.count * self.frame_ms * MS + jitter_ns
        self.due_ns = self._start_ns + (after_ns if after_ns > 0 else 0)

    def take_back(self, due_ns: Iterable[int]) -> None:
        """Take back frames that were due at these times (ns) and are still to be sent, the latest
        first."""
        for each in due_ns:
            self._returned_due_ns.append(self.due_ns)
            self.due_ns = each
            self.count -= 1

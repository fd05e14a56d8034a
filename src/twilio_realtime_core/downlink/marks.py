"""The marks in the audio to the caller: when one is due, and which came back.

A mark follows the first audio after a pause, then every `MARK_INTERVAL_SAMPLES`, then the last
audio of a part. While nothing is queued, a mark is a probe that measures the round trip.

Source: Twilio documentation, "Media Streams - WebSocket Messages", `mark`,
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from collections import deque
from typing import Final

from attrs import define

from ..machine.units import samples_to_ns

__all__ = ["MARK_INTERVAL_SAMPLES", "Marks", "PendingMark"]

MARK_INTERVAL_SAMPLES: Final = 2000
"""Audio between marks: 250 ms, so at most four marks a second. A mark with each delta floods the
stream, audibly; the model of the queue interpolates between marks."""

_MAX_MARKS: Final = 32_768
"""Marks without an echo: more than there are 20 ms frames in ten minutes of audio. Only a Twilio
that echoes nothing causes more; then the oldest is forgotten, since any later one answers for it.
"""

_MAX_DIGITS: Final = 9
"""Digits of a mark's serial: more marks than the call of a day holds."""


@define(eq=False)
class PendingMark:
    """A mark without an echo, behind all audio before `position`. `is_probe`: no audio was queued
    when it was sent. `overdue_ns`: how long its echo takes (`None`: not known). (A value: do not
    change it.)"""

    serial: int
    position: int
    sent_at_ns: int
    is_probe: bool
    overdue_ns: int | None

    @property
    def name(self) -> str:
        """Its name in messages."""
        return str(self.serial)


class Marks:
    """The marks of one call. Positions are in samples, counted from the last `clear`."""

    def __init__(self) -> None:
        self._next_serial = 0
        self.clear()

    def clear(self) -> None:
        """Count positions anew, since a `clear` was sent: echoes of older marks mean nothing."""
        self._marked_position = 0
        self._marked_at_ns = 0
        self._sent: deque[PendingMark] = deque(maxlen=_MAX_MARKS)
        self._first_valid_serial = self._next_serial

    def forget_sent(self) -> None:
        """Forget the marks without an echo, which are lost."""
        self._sent.clear()
        self._first_valid_serial = self._next_serial

    # Which are due.

    @property
    def has_unechoed(self) -> bool:
        """Whether a mark has no echo yet."""
        return bool(self._sent)

    def is_due(self, position: int, now: int) -> bool:
        """Whether a mark should follow the audio before `position`, which was sent now."""
        unmarked = position - self._marked_position
        return unmarked >= MARK_INTERVAL_SAMPLES or (unmarked > 0 and self.is_allowed(now))

    def is_allowed(self, now: int) -> bool:
        """Whether the last mark behind audio is long enough ago."""
        interval_ns = samples_to_ns(MARK_INTERVAL_SAMPLES)
        return not self._marked_position or now >= self._marked_at_ns + interval_ns

    def is_final_due(self, position: int) -> bool:
        """Whether a mark should follow the last audio of a source, which ends at `position`."""
        return position > self._marked_position

    def next_after(self, position: int) -> PendingMark | None:
        """The first mark without an echo behind `position`."""
        return next((mark for mark in self._sent if mark.position > position), None)

    # Sent, and echoed.

    def add(self, position: int, now: int, *, is_probe: bool, overdue_ns: int | None) -> str:
        """Note that a mark is sent now; return its name, unique in the call."""
        mark = PendingMark(self._next_serial, position, now, is_probe, overdue_ns)
        self._sent.append(mark)
        self._next_serial += 1
        self._marked_position = position
        if not is_probe:
            self._marked_at_ns = now
        return mark.name

    def is_outdated(self, name: str) -> bool:
        """Whether a mark was sent before a `clear`, or given up."""
        return 0 <= _serial_of(name) < self._first_valid_serial

    def take_echoed(self, name: str) -> PendingMark | None:
        """Remove a mark that came back, and those before it, since marks come back in order; `None`
        if no such mark was sent, or it came back before."""
        serial = _serial_of(name)
        if not self._sent or not self._sent[0].serial <= serial < self._next_serial:
            return None
        while self._sent[0].serial < serial:
            self._sent.popleft()
        return self._sent.popleft()


def _serial_of(name: str) -> int:
    """The serial in a name that `Marks.add` could have given; -1 for any other."""
    if not (name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS):
        return -1
    serial = int(name)
    return serial if str(serial) == name else -1

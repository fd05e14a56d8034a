"""A call with a phone that plays: marks come back when all before them has been heard."""

from base64 import b64decode
from collections import deque
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from calling import Call, Done, mark
from twilio_realtime_core.actions import Action
from twilio_realtime_core.times import duration_ns
from twilio_realtime_core.twilio import Clear, Mark, Media

__all__ = ["Phone"]


@define(eq=False)
class Phone(Call):
    """A call whose marks are echoed while it waits. What is sent arrives at once; `late_ns` is how
    much later the player begins after a pause, `back_ns` how long an echo takes."""

    late_ns: int = 0
    back_ns: int = 0
    _heard_at: int = field(init=False, default=0)
    _marks: deque[tuple[int, str]] = field(init=False, factory=deque[tuple[int, str]])

    def done(self, actions: list[Action]) -> Done:
        """One step; what it sends is played."""
        done = Call.done(self, actions)
        for each in done.to_twilio:
            match each:
                case Media(payload=payload):
                    idle = self._heard_at <= self.now
                    begins = self.now + self.late_ns if idle else self._heard_at
                    self._heard_at = begins + duration_ns(len(b64decode(payload)))
                case Mark(name=name):
                    self._marks.append((max(self.now, self._heard_at), name))
                case Clear():
                    self._heard_at = self.now
                    self._marks = deque((min(at, self.now), name) for at, name in self._marks)
                case _:
                    pass
        return done

    def phone(self, message: Mapping[str, Any] | str) -> Done:
        """A message from Twilio; an echo that comes by hand does not come again."""
        match message:
            case {"event": "mark", "mark": {"name": str(echoed)}}:
                self._marks = deque((at, name) for at, name in self._marks if name != echoed)
            case _:
                pass
        return Call.phone(self, message)

    def wait_until(self, until: int) -> Done:
        """Time passes; timers fire, and marks come back."""
        actions = list[Action]()
        while self._marks and self._marks[0][0] + self.back_ns <= until:
            at, name = self._marks[0]
            actions += Call.wait_until(self, max(self.now, at + self.back_ns)).actions
            actions += self.phone(mark(name)).actions
        return Done(actions + Call.wait_until(self, until).actions)

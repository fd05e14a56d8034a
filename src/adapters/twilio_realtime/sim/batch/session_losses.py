"""Sessions of the model that are lost at the moments that matter, and what happens after that.

A link that is lost at any time seldom hits the second in which an item is corrected, or a function
is answered. So a call whose sessions are replaced loses some at a notification, or shortly after.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallerSpeechStarted,
    CallerSpeechStopped,
    FunctionCallRequested,
    Interrupted,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
    SessionRestored,
)

from ..choices import Choices

__all__ = ["SessionLosses"]

_MAX_LOSSES: Final = 3
_MAX_ACTS: Final = 2

_MOMENTS: Final[tuple[tuple[int, tuple[type[object], int]], ...]] = (
    (4, (PlaybackStarted, 2500)),
    (1, (Interrupted, 150)),
    (1, (ResponseStarted, 600)),
    (1, (ResponseFinished, 1000)),
    (2, (FunctionCallRequested, 1000)),
    (1, (CallerSpeechStarted, 1000)),
    (1, (CallerSpeechStopped, 500)),
    (1, (SessionRestored, 400)),
)
"""Notifications after which a session is lost, by weight, and the longest time from the
notification to the loss (ms)."""

_MAX_ACT_MS: Final = 800
"""The longest time from a restored session to what follows it (ms): while Twilio still plays what
it holds of the last one."""

_Act: TypeAlias = Callable[[], None]


@define
class _Planned:
    """What is to be done `after_ms` a notification, after `skip_count` others of its kind."""

    moment: type[object]
    skip_count: int
    after_ms: int
    act: _Act


@define(eq=False)
class SessionLosses:
    """The losses of one call, drawn from its choices; `lose` loses the session, and one of `acts`
    follows a session that is restored. `schedule_after(delay_ns, job)` does a job later."""

    _choices: Choices
    _lose: _Act
    _acts: tuple[_Act, ...]
    _schedule_after: Callable[[int, _Act], None]
    _planned: list[_Planned] = field(init=False, factory=list[_Planned])

    def draw(self) -> None:
        """Draw whether, when and how often."""
        choices = self._choices
        if not choices.draw_bool("sessions are lost at a moment", 60):
            return
        for _ in range(choices.draw_integer("sessions lost at a moment", 1, _MAX_LOSSES)):
            moment, max_ms = choices.draw_weighted("a session is lost at", _MOMENTS)
            skip_count = choices.draw_integer("moments before the loss", 0, 2)
            after_ms = choices.draw_integer("a session is lost after, ms", 0, max_ms)
            self._planned.append(_Planned(moment, skip_count, after_ms, self._lose))
        for _ in range(choices.draw_integer("acts after a restored session", 0, _MAX_ACTS)):
            act = choices.draw_option("a restored session is followed by", self._acts)
            skip_count = choices.draw_integer("sessions restored before", 0, 1)
            after_ms = choices.draw_integer("it follows after, ms", 0, _MAX_ACT_MS)
            self._planned.append(_Planned(SessionRestored, skip_count, after_ms, act))

    def on_notification(self, event: object) -> None:
        """Do what is planned for a notification of the bridge."""
        for each in [each for each in self._planned if isinstance(event, each.moment)]:
            if each.skip_count:
                each.skip_count -= 1
            else:
                self._planned.remove(each)
                self._schedule_after(each.after_ms * MS, each.act)

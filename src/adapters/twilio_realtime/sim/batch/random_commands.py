"""The commands of the application in a random call, at random times and after notifications."""

from typing import Final

from attrs import define, field

from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallStarted,
    FunctionCallRequested,
    Interrupted,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
    SessionReady,
)

from ..choices import Choices
from ..world.byte_world import ByteWorld
from ..world.message_world import MessageWorld
from .application import RANDOM_COMMANDS, SimApplication

__all__ = ["RandomCommands"]

_MAX_COMMANDS: Final = 6
_MAX_TRIGGERED_COMMANDS: Final = 3

_MAX_EARLY_MS: Final = 200
_MAX_CLOSE_MS: Final = 150
"""The longest time between commands that are close to each other: effects of one on the other occur
within a round trip."""

_TRIGGERS: Final[dict[type[object], int]] = {
    CallerSpeechStarted: 1000,
    CallerSpeechStopped: 1000,
    ResponseStarted: 600,
    ResponseFinished: 300,
    PlaybackStarted: 1000,
    Interrupted: 300,
    FunctionCallRequested: 400,
    SessionReady: 100,
    CallStarted: 300,
}
"""Notifications that can trigger a command, and the longest time from the notification to the
command (ms)."""


@define
class _TriggeredCommand:
    """A command to be given `after_ms` a notification, after `skip_count` others of its kind."""

    trigger: type[object]
    skip_count: int
    after_ms: int


@define(eq=False)
class RandomCommands:
    """The commands of one call, drawn from its choices, which the application gives."""

    _choices: Choices
    _application: SimApplication
    _world: MessageWorld | ByteWorld
    _triggered: list[_TriggeredCommand] = field(init=False, factory=list[_TriggeredCommand])

    def draw(self, *, until_ns: int) -> None:
        """Draw how many there are, and when they are given: until a time, or after
        notifications."""
        choices = self._choices
        at_ms = 0
        for _ in range(choices.draw_integer("commands", 0, _MAX_COMMANDS)):
            at_ms = self._draw_time_ms(at_ms, until_ns // MS)
            self._world.schedule(at_ms * MS, self.send)
        for _ in range(choices.draw_integer("commands at a moment", 0, _MAX_TRIGGERED_COMMANDS)):
            self._triggered.append(self._draw_triggered())

    def _draw_time_ms(self, before_ms: int, until_ms: int) -> int:
        """Draw when a command is given: at any time, close to the command before, or close to the
        start (ms)."""
        choices = self._choices
        if choices.draw_bool("a command close to the one before", 25):
            return before_ms + choices.draw_integer("command later by, ms", 0, _MAX_CLOSE_MS)
        if choices.draw_bool("a command at first", 5):
            return choices.draw_integer("command at first, ms", 0, _MAX_EARLY_MS)
        return choices.draw_integer("command at, ms", 0, until_ms)

    def _draw_triggered(self) -> _TriggeredCommand:
        choices = self._choices
        trigger = choices.draw_option("moment", tuple(_TRIGGERS))
        return _TriggeredCommand(
            trigger,
            choices.draw_integer("moments before", 0, 2),
            choices.draw_integer("command after, ms", 0, _TRIGGERS[trigger]),
        )

    def on_notification(self, event: object) -> None:
        """Schedule the commands that a notification of the bridge triggers."""
        for triggered in [each for each in self._triggered if isinstance(event, each.trigger)]:
            if triggered.skip_count:
                triggered.skip_count -= 1
            else:
                self._triggered.remove(triggered)
                self._world.schedule(self._world.now + triggered.after_ms * MS, self.send)

    def send(self) -> None:
        """Draw a command, and give it now."""
        command = self._choices.draw_weighted("command", RANDOM_COMMANDS)(
            self._application, self._choices
        )
        self._choices.decisions.append(f"at {self._world.now // MS} ms: {command}")
        self._application.send_command(command)

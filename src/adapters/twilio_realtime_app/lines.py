"""What the calls of a process have shown of telephone lines, for the calls that follow."""

from attrs import define, field

from twilio_realtime_core import Bridge
from twilio_realtime_core.lag import LineHistory

__all__ = ["Lines"]


@define(eq=False)
class Lines:
    """The history of all calls that have ended. A call that goes on is watched until then."""

    _history: LineHistory = field(init=False, factory=LineHistory)
    _going_on: list[Bridge] = field(init=False, factory=list[Bridge])

    def watch(self, call: Bridge) -> Bridge:
        """Learn of this call once it has ended."""
        self._going_on.append(call)
        return call

    def known(self) -> LineHistory:
        """What is known by now."""
        for call in [each for each in self._going_on if each.ended]:
            self._going_on.remove(call)
            self._history = self._history.joined(call.line_history)
        return self._history

"""What the calls of a process have shown of telephone lines, for the calls that follow."""

from typing import Final

from attrs import define, field

from twilio_realtime_core import Bridge, CallConfig
from twilio_realtime_core.config.start_delay_history import StartDelayHistory

__all__ = ["MAX_CALLS", "Lines"]

MAX_CALLS: Final = 400
"""Calls that are waited for: twice as many as a process takes at a time. Only of calls whose driver
has failed, so that they never end, are there more; then the oldest counts as ended."""


@define(eq=False)
class Lines:
    """The history of all calls that are over."""

    _known: StartDelayHistory = field(init=False, factory=StartDelayHistory)
    _calls: list[Bridge] = field(init=False, factory=list[Bridge])

    def bridge(self, config: CallConfig) -> Bridge:
        """A bridge that is learned of once its call is over."""
        bridge = Bridge(config)
        self._calls.append(bridge)
        return bridge

    def known(self) -> StartDelayHistory:
        """What is known by now."""
        too_many = len(self._calls) - MAX_CALLS
        over = [each for n, each in enumerate(self._calls) if each.has_ended or n < too_many]
        for each in over:
            self._calls.remove(each)
            self._known = self._known.merged_with(each.start_delay_history)
        return self._known

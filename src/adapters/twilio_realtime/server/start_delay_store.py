"""The start delays that the calls of a process have measured, for the calls that follow."""

import time
from typing import Final

from attrs import define, field

from twilio_realtime_core import Action, Bridge, CallConfig
from twilio_realtime_core.config.start_delay_history import StartDelayHistory

__all__ = ["MAX_TRACKED_CALLS", "StartDelayStore"]

MAX_TRACKED_CALLS: Final = 400
"""Calls tracked until they end: twice as many as a process handles at a time. There are more only
if drivers have failed, so that their calls never end; then the oldest count as ended."""


class _ClockedBridge(Bridge):
    """A bridge that gets the wall clock when its call starts, by which sessions expire."""

    def start(self, now: int, unix_ns: int | None = None) -> list[Action]:
        """See `Bridge.start`."""
        return super().start(now, time.time_ns() if unix_ns is None else unix_ns)


@define(eq=False)
class StartDelayStore:
    """The start delays of all calls that have ended, and the bridges of those that have not."""

    _history: StartDelayHistory = field(init=False, factory=StartDelayHistory)
    _bridges: list[Bridge] = field(init=False, factory=list[Bridge])

    @property
    def history(self) -> StartDelayHistory:
        """The start delays of the calls that were collected so far."""
        return self._history

    def create_bridge(self, config: CallConfig) -> Bridge:
        """Return a new bridge, whose start delays are collected once its call has ended."""
        bridge = _ClockedBridge(config)
        self._bridges.append(bridge)
        return bridge

    def collect_ended(self) -> None:
        """Add the start delays of calls that have ended to `history`."""
        excess = len(self._bridges) - MAX_TRACKED_CALLS
        ended = [
            bridge
            for index, bridge in enumerate(self._bridges)
            if bridge.has_ended or index < excess
        ]
        for bridge in ended:
            self._bridges.remove(bridge)
            self._history = self._history.merged_with(bridge.start_delay_history)

"""The phone calls that somebody follows: what Twilio reports of each reaches its listeners once, in
order, and never after the end."""

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

from ..agents.phone_events import CallEvent, PhoneCallStatus, PhoneEvent

__all__ = ["MAX_EVENTS", "MAX_FOLLOWED_CALLS", "MAX_UNKNOWN_CALLS", "Listener", "PhoneCalls"]

MAX_FOLLOWED_CALLS: Final = 2_000
"""Calls whose reports are kept: those in progress, and those that ended lately. The oldest that
nobody follows any more goes first."""

MAX_UNKNOWN_CALLS: Final = 256
"""Calls that nobody follows yet: the first report may come before the answer to the request that
placed the call, or before the stream."""

MAX_EVENTS: Final = 64
"""Reports of one call that are kept: four states, who answered, its streams, a few recordings."""

Listener: TypeAlias = Callable[[CallEvent], None]
"""Gets what Twilio reports of a call. It must neither block nor raise."""


@define(eq=False)
class _FollowedCall:
    events: list[PhoneEvent] = field(init=False, factory=list[PhoneEvent])
    listeners: list[Listener] = field(init=False, factory=list[Listener])
    last_sequence_number: int = field(init=False, default=-1)
    is_over: bool = field(init=False, default=False)

    def accept(self, event: PhoneEvent) -> bool:
        """Keep a report, unless it came before, is late, or is one too many."""
        if event in self.events or len(self.events) >= MAX_EVENTS:
            return False
        if isinstance(event, PhoneCallStatus):
            number = event.sequence_number
            if self.is_over or (number is not None and number <= self.last_sequence_number):
                return False
            self.is_over = event.is_final
            self.last_sequence_number = self.last_sequence_number if number is None else number
        self.events.append(event)
        return True


@define(eq=False)
class PhoneCalls:
    """The calls by SID. Reports that came before somebody follows the call are passed on then."""

    _followed: dict[str, _FollowedCall] = field(init=False, factory=dict[str, _FollowedCall])
    _unknown: dict[str, _FollowedCall] = field(init=False, factory=dict[str, _FollowedCall])

    def receive(self, event: PhoneEvent) -> bool:
        """Pass a report on; return whether it was news."""
        call = self._followed.get(event.call_sid)
        if call is None:
            call = self._unknown.get(event.call_sid) or _FollowedCall()
            _put(self._unknown, event.call_sid, call, MAX_UNKNOWN_CALLS)
        if not call.accept(event):
            return False
        for listener in tuple(call.listeners):
            listener(event)
        return True

    def follow(self, call_sid: str, listener: Listener) -> None:
        """Pass the reports of a call to `listener`: those that have come, and those to come."""
        call = self._unknown.pop(call_sid, None) or self._followed.get(call_sid) or _FollowedCall()
        _put(self._followed, call_sid, call, MAX_FOLLOWED_CALLS)
        call.listeners.append(listener)
        for event in tuple(call.events):
            listener(event)

    def unfollow(self, call_sid: str, listener: Listener) -> None:
        """Pass no more reports of a call to `listener`."""
        call = self._followed.get(call_sid)
        if call is not None and listener in call.listeners:
            call.listeners.remove(listener)


def _put(calls: dict[str, _FollowedCall], sid: str, call: _FollowedCall, limit: int) -> None:
    if sid not in calls and len(calls) >= limit:
        unheard = (sid for sid, each in calls.items() if not each.listeners)
        del calls[next(unheard, next(iter(calls)))]
    calls[sid] = call

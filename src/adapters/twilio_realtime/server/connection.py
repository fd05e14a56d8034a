"""The machine of one accepted connection of a service: what all its outputs pass through."""

from collections.abc import Callable, Hashable
from typing import Protocol

from attrs import define, field

from twilio_realtime_core.commands import GoAway, HangUp
from twilio_realtime_core.machine.actions import Action, ByteAction, Notify
from twilio_realtime_core.machine.contract import ByteMachine, HeaderResolver
from twilio_realtime_core.notifications import CallEnded
from twilio_realtime_core.transport.http import HttpResponse
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ..recordings.bridge_wrapper import BridgeLike
from ..telemetry.observer import Observers
from .call_log import CallLog
from .spending import TokenBudget

__all__ = ["ServiceConnection"]


class _PerformingMachine(ByteMachine, HeaderResolver, Protocol):
    def perform(self, actions: list[Action], now: int) -> list[ByteAction]: ...

    def answer(self, response: HttpResponse, now: int) -> list[ByteAction]: ...


def _ignore() -> None:
    """Ignore a call that has used its tokens."""


@define(eq=False, repr=False, weakref_slot=True)
class ServiceConnection:
    """A `ByteMachine` around another, `machine`, which logs what it notifies.

    `begin_call` is called when the connection becomes a call, and `on_call_end`, with the object
    itself, when the call is over. The methods are those of
    `ByteMachine`, of `Tls.perform`, of `Tls.answer` and of `GoingAway`.
    """

    _machine: _PerformingMachine = field(alias="machine")
    _log: CallLog = field(alias="log")
    _on_call_end: Callable[["ServiceConnection"], object] = field(alias="on_call_end")
    _observers: Observers | None = field(default=None, alias="observers")
    _budget: TokenBudget = field(factory=TokenBudget, alias="budget")
    _on_over_budget: Callable[[], object] = field(default=_ignore, alias="on_over_budget")
    _bridge: BridgeLike | None = field(init=False, default=None)
    _number: int = field(init=False, default=0)
    _now: int | None = field(init=False, default=None)
    """The time of the last step."""

    @property
    def deadline(self) -> int | None:
        """See `ByteMachine.deadline`."""
        return self._machine.deadline

    @property
    def is_established(self) -> bool:
        """Whether the connection is a call."""
        return self._bridge is not None

    @property
    def playback_positions(self) -> tuple[PlaybackPosition, ...]:
        """The positions of what plays in the call, at the time of its last step."""
        if self._bridge is None or self._now is None:
            return ()
        return self._bridge.playback_positions(self._now)

    def begin_call(self, bridge: BridgeLike, number: int) -> None:
        """The connection becomes the call of `bridge`, with a number for the log; before `start`,
        with that."""
        self._bridge, self._number = bridge, number
        if self._now is not None:
            self._log.begin(number, self._now)

    def start(self, now: int) -> list[ByteAction]:
        """See `ByteMachine.start`."""
        if self._bridge is not None:
            self._log.begin(self._number, now)
        return self._step(self._machine.start, now)

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """See `ByteMachine.connected`."""
        return self._step(self._machine.connected, now, peer)

    def headers_resolved(self, peer: Hashable, headers: object, now: int) -> list[ByteAction]:
        """See `HeaderResolver.headers_resolved`."""
        return self._step(self._machine.headers_resolved, now, peer, headers)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """See `ByteMachine.connect_failed`."""
        return self._step(self._machine.connect_failed, now, peer, reason)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """See `ByteMachine.receive_bytes`."""
        self._now = now
        actions = self._machine.receive_bytes(peer, data, now)
        for action in actions:
            if isinstance(action, Notify):
                return self._handle_notifications(actions, now)
        return actions

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """See `ByteMachine.receive_eof`."""
        return self._step(self._machine.receive_eof, now, peer)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """See `ByteMachine.handle_timeout`."""
        return self._step(self._machine.handle_timeout, now)

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """See `Tls.perform`."""
        return self._step(self._machine.perform, now, actions)

    def answer(self, response: HttpResponse, now: int) -> list[ByteAction]:
        """See `Tls.answer`."""
        return self._step(self._machine.answer, now, response)

    def go_away(self, now: int) -> list[ByteAction]:
        """End the call, if the connection is one (see `GoAway`)."""
        if self._bridge is None:
            return []
        return self.perform(self._bridge.send(GoAway(), now), now)

    def _step(
        self, method: Callable[..., list[ByteAction]], now: int, *arguments: object
    ) -> list[ByteAction]:
        self._now = now
        return self._handle_notifications(method(*arguments, now), now)

    def _handle_notifications(self, actions: list[ByteAction], now: int) -> list[ByteAction]:
        """Handle what a step has notified; return its actions, with those that this leads to."""
        is_over_budget = False
        for action in actions:
            if isinstance(action, Notify):
                self._log.on_notification(action.event, now)
                if self._observers is not None:
                    self._observers.on_notification(action.event, now)
                is_over_budget |= self._budget.is_used_up_by(action.event)
                if isinstance(action.event, CallEnded):
                    self._on_call_end(self)
        return actions + self._end_costly_call(now) if is_over_budget else actions

    def _end_costly_call(self, now: int) -> list[ByteAction]:
        """End a call that has used its tokens, once all was heard."""
        self._on_over_budget()
        if self._bridge is None:
            return []
        return self.perform(self._bridge.send(HangUp(after_playback=True), now), now)

"""What takes the place of a bridge: `BridgeLike`, and the base of those that stand in front of one.

A recorder is the first of them, so they are here.
"""

from collections.abc import Hashable
from typing import Protocol

from attrs import define

from twilio_realtime_core.commands import Command
from twilio_realtime_core.machine.actions import Action, Refusal
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

__all__ = ["BridgeLike", "BridgeWrapper"]


class BridgeLike(MessageMachine, Protocol):
    """A `Bridge`, or an object that takes its place."""

    def start(self, now: int, unix_ns: int | None = None) -> list[Action]:
        """See `Bridge.start`."""
        ...

    def send(self, command: Command, now: int) -> list[Action]:
        """Carry out a command of the application."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether `CallEnded` was notified."""
        ...

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far."""
        ...

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """How far each content part has been heard."""
        ...

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the last step did what it did where there was a choice."""
        ...


@define(eq=False, repr=False)
class BridgeWrapper:
    """Passes everything on to a bridge: override what is to be different."""

    _bridge: BridgeLike

    @property
    def deadline(self) -> int | None:
        """See `Bridge.deadline`."""
        return self._bridge.deadline

    @property
    def has_ended(self) -> bool:
        """See `Bridge.has_ended`."""
        return self._bridge.has_ended

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """See `Bridge.items`."""
        return self._bridge.items

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """See `Bridge.reasons`."""
        return self._bridge.reasons

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """See `Bridge.playback_positions`."""
        return self._bridge.playback_positions(now)

    def start(self, now: int, unix_ns: int | None = None) -> list[Action]:
        """See `Bridge.start`."""
        return self._bridge.start(now, unix_ns)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """See `Bridge.opened`."""
        return self._bridge.opened(peer, now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """See `Bridge.receive_text`."""
        return self._bridge.receive_text(peer, text, now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """See `Bridge.pong`."""
        return self._bridge.pong(peer, payload, now)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """See `Bridge.refused`."""
        return self._bridge.refused(peer, refusal, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """See `Bridge.closed`."""
        return self._bridge.closed(peer, code, reason, now)

    def handle_timeout(self, now: int) -> list[Action]:
        """See `Bridge.handle_timeout`."""
        return self._bridge.handle_timeout(now)

    def send(self, command: Command, now: int) -> list[Action]:
        """See `Bridge.send`."""
        return self._bridge.send(command, now)

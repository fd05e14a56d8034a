"""A bridge whose model can be made to fall silent, for calls of the browser phone."""

from collections.abc import Hashable

from attrs import define, field

from twilio_realtime_core.commands import Command
from twilio_realtime_core.machine.actions import Action, Peer, Refusal
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ...recordings.recorder import BridgeLike

__all__ = ["StoppableModel"]


@define(eq=False)
class StoppableModel:
    """Takes the place of a bridge; after `stop`, nothing of the sessions that are open reaches it.

    Their sockets stay open, as those of a server that hangs. A session that is opened later works.
    """

    _bridge: BridgeLike
    _open: set[Hashable] = field(init=False, factory=set[Hashable])
    _stopped: set[Hashable] = field(init=False, factory=set[Hashable])

    def stop(self) -> None:
        """Have the sessions that are open fall silent."""
        self._stopped |= self._open

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
        if peer != Peer.TWILIO:
            self._open.add(peer)
        return self._bridge.opened(peer, now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """See `Bridge.receive_text`."""
        return [] if peer in self._stopped else self._bridge.receive_text(peer, text, now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """See `Bridge.pong`."""
        return [] if peer in self._stopped else self._bridge.pong(peer, payload, now)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """See `Bridge.refused`."""
        return self._bridge.refused(peer, refusal, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """See `Bridge.closed`."""
        self._open.discard(peer)
        self._stopped.discard(peer)
        return self._bridge.closed(peer, code, reason, now)

    def handle_timeout(self, now: int) -> list[Action]:
        """See `Bridge.handle_timeout`."""
        return self._bridge.handle_timeout(now)

    def send(self, command: Command, now: int) -> list[Action]:
        """See `Bridge.send`."""
        return self._bridge.send(command, now)

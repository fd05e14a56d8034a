"""A bridge whose model can be made to fall silent, for calls of the browser phone."""

from collections.abc import Hashable

from attrs import define, field

from twilio_realtime_core.machine.actions import Action, Peer

from ...recordings.bridge_wrapper import BridgeWrapper

__all__ = ["StoppableModel"]


@define(eq=False)
class StoppableModel(BridgeWrapper):
    """Takes the place of a bridge; after `stop`, nothing of the sessions that are open reaches it.

    Their sockets stay open, as those of a server that hangs. A session that is opened later works.
    """

    _open: set[Hashable] = field(init=False, factory=set[Hashable])
    _stopped: set[Hashable] = field(init=False, factory=set[Hashable])

    def stop(self) -> None:
        """Have the sessions that are open fall silent."""
        self._stopped |= self._open

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

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """See `Bridge.closed`."""
        self._open.discard(peer)
        self._stopped.discard(peer)
        return self._bridge.closed(peer, code, reason, now)

"""A world of message machines: WebSockets as in RFC 6455, without the bytes.

- A dialled link is open at the far end one way after `Open`, and at the near end one way later.
- Text and pings arrive in order, one way later; a pong comes a round trip after its ping.
- `Close` is `closed` at the far end one way later, and at the near end a round trip later, with the
  same code: the far end answers with it (section 5.5.1). If both ends close at once, each gets the
  code of the other. After its own `Close` an end gets nothing else.
- A link that cannot be opened, is abandoned or is lost is `closed` with 1006 (section 7.4.1).
"""

from collections.abc import Hashable
from typing import Final

from attrs import define

from twilio_realtime_core.machine.actions import Close, Open, Send, SendPing
from twilio_realtime_core.machine.contract import MessageMachine

from .world import LinkEnd, LinkEndState, Node, SimConnection, SimLink, SimulationError, World

__all__ = ["MessageWorld"]

_ABNORMAL_CLOSURE: Final = 1006


@define(eq=False, kw_only=True)
class MessageWorld(World[MessageMachine]):
    """A world of `MessageMachine`s."""

    def sever(self, link: SimLink[MessageMachine]) -> None:
        """Lose the link's connection now: each end that takes part in it is `closed` with 1006."""
        affected = [(c, side) for side, c in enumerate(link.connections) if c is not None]
        for connection, _ in affected:
            connection.is_lost = True
        for connection, side in affected:
            self._report_lost(connection, side)

    def _perform(self, node: Node[MessageMachine], action: object) -> None:
        match action:
            case Send():
                connection, side = self._sendable_connection(node, action.peer, "sends")
                text = action.message.encode()
                self._transmit(connection, side, self._arrive_text, text, size_bytes=len(text))
            case SendPing(peer, payload):
                connection, side = self._sendable_connection(node, peer, "sends a ping")
                connection.link.ping_count += 1
                self._transmit(connection, side, self._arrive_ping, payload)
            case Open(peer):
                self._dial(node, peer)
            case Close(peer, code, reason):
                self._close(node, peer, code, reason)
            case _:
                raise SimulationError(
                    f"{node.name} returned {action!r}, which is no action of a message machine"
                )

    def _close(self, node: Node[MessageMachine], peer: Hashable, code: int, reason: str) -> None:
        link, side = self._link_of(node, peer)
        connection = link.connections[side]
        if connection is None:
            raise SimulationError(f"{node.name} closes {peer}, which was never opened")
        match connection.states[side]:
            case LinkEndState.OPEN:
                connection.states[side] = LinkEndState.CLOSING
                self._transmit(connection, side, self._arrive_close, code, reason)
            case LinkEndState.PENDING:
                connection.states[side] = LinkEndState.CLOSING
                self._push_event(self.now, self._report_lost, connection, side)
                self._transmit(connection, side, self._report_lost)
            case _:
                pass

    def _arrive_text(self, connection: SimConnection[MessageMachine], side: int, text: str) -> None:
        if connection.states[side] is LinkEndState.OPEN:
            end = connection.link.ends[side]
            self._deliver(end.node, end.node.machine.receive_text, end.peer, text)

    def _arrive_ping(
        self, connection: SimConnection[MessageMachine], side: int, data: bytes
    ) -> None:
        if connection.states[side] is LinkEndState.OPEN:
            self._transmit(connection, side, self._arrive_pong, data)

    def _arrive_pong(
        self, connection: SimConnection[MessageMachine], side: int, data: bytes
    ) -> None:
        if connection.states[side] is LinkEndState.OPEN:
            end = connection.link.ends[side]
            self._deliver(end.node, end.node.machine.pong, end.peer, data)

    def _arrive_close(
        self, connection: SimConnection[MessageMachine], side: int, code: int, reason: str
    ) -> None:
        if connection.states[side] is LinkEndState.OPEN:
            self._transmit(connection, side, self._arrive_close, code, reason)
        self._report_closed(connection, side, code, reason)

    def _report_lost(self, connection: SimConnection[MessageMachine], side: int) -> None:
        self._report_closed(connection, side, _ABNORMAL_CLOSURE, "")

    def _report_closed(
        self, connection: SimConnection[MessageMachine], side: int, code: int, reason: str
    ) -> None:
        """Notify an end that its connection is closed, once."""
        if connection.states[side] is not LinkEndState.CLOSED:
            connection.states[side] = LinkEndState.CLOSED
            end = connection.link.ends[side]
            self._deliver(end.node, end.node.machine.closed, end.peer, code, reason)

    def _report_open(self, end: LinkEnd[MessageMachine]) -> None:
        self._deliver(end.node, end.node.machine.opened, end.peer)

    def _report_refused(self, end: LinkEnd[MessageMachine]) -> None:
        self._deliver(end.node, end.node.machine.closed, end.peer, _ABNORMAL_CLOSURE, "refused")

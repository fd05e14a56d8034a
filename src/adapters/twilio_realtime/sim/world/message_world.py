"""A world of machines that speak in messages: WebSockets as RFC 6455 has them, without the bytes.

- A dialled link is open at the far end one way after `Open`, and at the near end a way later.
- Text and pings arrive in order, one way later; a pong comes a round trip after its ping.
- `Close` is `closed` at the far end a way later, at the near end a round trip later, with the same
  code: the far end answers with it (section 5.5.1). Where both close at once each is told the
  other's code. After its own `Close` an end is told nothing else.
- A link that cannot be opened, is given up or is lost is `closed` with 1006 (section 7.4.1).
"""

from collections.abc import Hashable
from typing import Final

from attrs import define

from twilio_realtime_core.machine.actions import Close, Open, Send, SendPing
from twilio_realtime_core.machine.contract import MessageMachine

from .world import Connection, End, EndState, Link, Node, SimulationError, World

__all__ = ["MessageWorld"]

_LOST: Final = 1006


@define(eq=False, kw_only=True)
class MessageWorld(World[MessageMachine]):
    """A world of `MessageMachine`s."""

    def sever(self, link: Link[MessageMachine]) -> None:
        """Lose the link's connection, now: each end that knows of it is `closed` with 1006."""
        told = [(c, side) for side, c in enumerate(link.current) if c is not None]
        for connection, _ in told:
            connection.lost = True
        for connection, side in told:
            self._lose(connection, side)

    def _perform(self, node: Node[MessageMachine], action: object) -> None:
        match action:
            case Send():
                connection, side = self._sending(node, action.peer, "sends")
                text = action.message.encode()
                self._carry(connection, side, self._arrive_text, text, size=len(text))
            case SendPing(peer, payload):
                connection, side = self._sending(node, peer, "sends a ping")
                connection.link.pings += 1
                self._carry(connection, side, self._arrive_ping, payload)
            case Open(peer):
                self._dial(node, peer)
            case Close(peer, code, reason):
                self._close(node, peer, code, reason)
            case _:
                raise SimulationError(f"{node.name} asks for {action!r}: no action of messages")

    def _close(self, node: Node[MessageMachine], peer: Hashable, code: int, reason: str) -> None:
        link, side = self._link(node, peer)
        connection = link.current[side]
        if connection is None:
            raise SimulationError(f"{node.name} closes {peer}, which was never opened")
        match connection.states[side]:
            case EndState.OPEN:
                connection.states[side] = EndState.CLOSING
                self._carry(connection, side, self._arrive_close, code, reason)
            case EndState.UNTOLD:
                connection.states[side] = EndState.CLOSING
                self._at(self.now, self._lose, connection, side)
                self._carry(connection, side, self._lose)
            case _:
                pass

    def _arrive_text(self, connection: Connection[MessageMachine], side: int, text: str) -> None:
        if connection.states[side] is EndState.OPEN:
            end = connection.link.ends[side]
            self._give(end.node, end.node.machine.receive_text, end.peer, text)

    def _arrive_ping(self, connection: Connection[MessageMachine], side: int, data: bytes) -> None:
        if connection.states[side] is EndState.OPEN:
            self._carry(connection, side, self._arrive_pong, data)

    def _arrive_pong(self, connection: Connection[MessageMachine], side: int, data: bytes) -> None:
        if connection.states[side] is EndState.OPEN:
            end = connection.link.ends[side]
            self._give(end.node, end.node.machine.pong, end.peer, data)

    def _arrive_close(
        self, connection: Connection[MessageMachine], side: int, code: int, reason: str
    ) -> None:
        if connection.states[side] is EndState.OPEN:
            self._carry(connection, side, self._arrive_close, code, reason)
        self._end(connection, side, code, reason)

    def _lose(self, connection: Connection[MessageMachine], side: int) -> None:
        self._end(connection, side, _LOST, "")

    def _end(
        self, connection: Connection[MessageMachine], side: int, code: int, reason: str
    ) -> None:
        """Tell an end that its link is gone, once."""
        if connection.states[side] is not EndState.CLOSED:
            connection.states[side] = EndState.CLOSED
            end = connection.link.ends[side]
            self._give(end.node, end.node.machine.closed, end.peer, code, reason)

    def _tell_open(self, end: End[MessageMachine]) -> None:
        self._give(end.node, end.node.machine.opened, end.peer)

    def _tell_refused(self, end: End[MessageMachine]) -> None:
        self._give(end.node, end.node.machine.closed, end.peer, _LOST, "refused")

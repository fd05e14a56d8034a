"""A world of byte machines: TCP connections without the packets.

- A dialled stream is `connected` at the far end one way after `Connect`, and at the near end a way
  later; one that is not accepted is `connect_failed` after a round trip.
- Bytes arrive in order, one way later, in random pieces if `is_segmented`.
- After `Shutdown` the far end gets `receive_eof` behind all bytes, and the near end nothing more.
- A stream that is lost is `receive_eof` at both ends; what they still write is dropped.
- A stream can be cut at any byte: see `cut`.
"""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from random import Random
from typing import Final

from attrs import Factory, define, field

from twilio_realtime_core.machine.actions import Connect, SendBytes, Shutdown
from twilio_realtime_core.machine.contract import ByteMachine

from .world import LinkEnd, LinkEndState, Node, SimConnection, SimLink, SimulationError, World

__all__ = ["ByteWorld"]

_MAX_PIECE_BOUNDARIES: Final = 3
"""Boundaries within one write: enough to split off a header, and to split the header itself."""


@define(eq=False, kw_only=True)
class ByteWorld(World[ByteMachine]):
    """A world of `ByteMachine`s. With `is_segmented`, each write arrives in pieces with random
    boundaries."""

    is_segmented: bool = False
    _boundary_random: Random | None = field(
        init=False,
        default=Factory(
            lambda self: (
                self.choices.draw_random("where writes are cut") if self.is_segmented else None
            ),
            takes_self=True,
        ),
    )

    def cut(self, name: str, peer: Hashable, after_bytes: int, *, reset: bool = False) -> None:
        """Cut a stream once a machine has written `after_bytes` more bytes to a peer, at least one:
        what it writes after them is dropped.

        With `reset` (RST), both ends are notified as soon as the last of these bytes arrives, and
        what is in transit is lost. Otherwise (FIN), the far end is notified behind these bytes, and
        the near end behind all that the far end has written by then.
        """
        link, side = self._link_of(self._node_named(name), peer)
        link.cuts[side] = after_bytes, reset

    def sever(self, link: SimLink[ByteMachine]) -> None:
        """Lose the link's connection now: each end that takes part in it gets `receive_eof`, or
        `connect_failed`."""
        affected = [(c, side) for side, c in enumerate(link.connections) if c is not None]
        for connection, _ in affected:
            connection.is_lost = True
        for connection, side in affected:
            if connection.states[side] is LinkEndState.PENDING:
                connection.states[side] = LinkEndState.CLOSED
                self._report_refused(link.ends[side])
            else:
                self._arrive_eof(connection, side)

    def _perform(self, node: Node[ByteMachine], action: object) -> None:
        if type(action) is SendBytes:  # most actions
            connection, side = self._sendable_connection(node, action.peer, "writes")
            self._write(connection, side, action.data)
            return
        match action:
            case Connect(peer):
                self._dial(node, peer)
            case Shutdown(peer):
                self._shut_down(node, peer)
            case _:
                raise SimulationError(
                    f"{node.name} returned {action!r}, which is no action of a byte machine"
                )

    def _write(self, connection: SimConnection[ByteMachine], side: int, data: bytes) -> None:
        cut = connection.link.cuts[side]
        if cut is None and self._boundary_random is None:
            if data:
                self._transmit(connection, side, self._arrive_bytes, data, size_bytes=len(data))
            return
        left_bytes, is_reset = cut or (len(data) + 1, False)
        for piece in self._split(data[:left_bytes]):
            self._transmit(connection, side, self._arrive_bytes, piece, size_bytes=len(piece))
        if cut is not None:
            connection.link.cuts[side] = max(0, left_bytes - len(data)), is_reset
            if 0 < left_bytes <= len(data):
                self._transmit(
                    connection, side, self._arrive_reset if is_reset else self._arrive_last_byte
                )

    def _split(self, data: bytes) -> Sequence[bytes]:
        if self._boundary_random is None:
            return (data,) if data else ()
        boundaries = [
            self._boundary_random.randint(0, len(data)) for _ in range(_MAX_PIECE_BOUNDARIES)
        ]
        return [data[a:b] for a, b in pairwise(sorted((0, len(data), *boundaries))) if a < b]

    def _shut_down(self, node: Node[ByteMachine], peer: Hashable) -> None:
        link, side = self._link_of(node, peer)
        connection = link.connections[side]
        if connection is None:
            raise SimulationError(f"{node.name} shuts down {peer}, which was never connected")
        if connection.states[side] is not LinkEndState.CLOSED:
            connection.states[side] = LinkEndState.CLOSED
            self._transmit(connection, side, self._arrive_eof)

    def _arrive_bytes(self, connection: SimConnection[ByteMachine], side: int, data: bytes) -> None:
        if connection.states[side] is LinkEndState.OPEN:
            end = connection.link.ends[side]
            self._deliver(end.node, end.node.machine.receive_bytes, end.peer, data)

    def _arrive_eof(self, connection: SimConnection[ByteMachine], side: int) -> None:
        if connection.states[side] is LinkEndState.OPEN:
            connection.states[side] = LinkEndState.EOF_RECEIVED
            end = connection.link.ends[side]
            self._deliver(end.node, end.node.machine.receive_eof, end.peer)

    def _arrive_reset(self, connection: SimConnection[ByteMachine], side: int) -> None:
        del side
        self.sever(connection.link)

    def _arrive_last_byte(self, connection: SimConnection[ByteMachine], side: int) -> None:
        self._arrive_eof(connection, side)
        self._transmit(connection, side, self._arrive_eof)

    def _report_open(self, end: LinkEnd[ByteMachine]) -> None:
        self._deliver(end.node, end.node.machine.connected, end.peer)

    def _report_refused(self, end: LinkEnd[ByteMachine]) -> None:
        self._deliver(end.node, end.node.machine.connect_failed, end.peer, "refused")

"""A world of message machines: WebSockets as in RFC 6455, without the bytes.

- A dialled link is open at the far end one way after `Open`, and at the near end one way later.
- Text and pings arrive in order, one way later; a pong comes a round trip after its ping.
- `Close` is `closed` at the far end one way later, and at the near end a round trip later, with the
  same code: the far end answers with it (section 5.5.1). If both ends close at once, each gets the
  code of the other. After its own `Close` an end gets nothing else.
- A link that cannot be opened, is abandoned or is lost is `closed` with 1006 (section 7.4.1).
"""

from collections.abc import Hashable
from heapq import heapify
from typing import Final

from attrs import define

from twilio_realtime_core.machine.actions import Action, Close, Open, Send, SendPing
from twilio_realtime_core.machine.contract import MessageMachine

from .silence import SilencePath, SilentStretch, find_silence_path, start_silent_stretch
from .world import LinkEnd, LinkEndState, Node, SimConnection, SimLink, SimulationError, World

__all__ = ["MessageWorld"]

_ABNORMAL_CLOSURE: Final = 1006


@define(eq=False, kw_only=True)
class MessageWorld(World[MessageMachine]):
    """A world of `MessageMachine`s. With `skips_silence`, `run` lets frames of silence pass in one
    go where nothing else happens (see `silence`): the result is the same, and comes faster."""

    skips_silence: bool = True

    def run(self, until_ns: int) -> None:
        """Handle every event up to and at `until_ns`, which is `now` afterwards."""
        is_watched = self.trace_limit > 0 or bool(self.step_observers)
        is_skipping = self.skips_silence and not is_watched
        path = find_silence_path(self._nodes.values()) if is_skipping else None
        if path is None:
            super().run(until_ns)
            return
        events, source_node = self._events, path.source_node
        link_count = len(path.relay_node.links)
        while events and (event := events[0])[0] <= until_ns:
            if len(path.relay_node.links) != link_count or not path.is_open:
                link_count = len(path.relay_node.links)
                path = self._find_other_path(path)
            arguments = event[4]
            is_frame_due = bool(arguments) and arguments[0] is source_node
            may_skip = is_frame_due and event[0] >= path.blocked_until_ns
            if not (may_skip and self._skip_silence(path, until_ns)):
                self.step()
        self.now = max(self.now, until_ns)

    def _find_other_path(self, path: SilencePath) -> SilencePath:
        """The way of silence now that a connection was opened, or that of `path` is not open."""
        other = find_silence_path(self._nodes.values()) or path
        other.blocked_until_ns = path.blocked_until_ns  # so that there is no search at each frame
        return other

    def _skip_silence(self, path: SilencePath, until_ns: int) -> bool:
        """Let frames of silence pass until the next other event; `False`, and nothing has changed,
        if that is not possible."""
        stretch = start_silent_stretch(path, self._events, self._arrive_text, until_ns)
        if stretch is None:
            return False
        relay, peer = path.relay_node, path.hops[0].far_peer
        receive_text = relay.machine.receive_text
        end_ns, text, actions = stretch.end_ns, "", list[Action]()
        try:
            for end_ns, text in stretch.arrivals():
                self.now = end_ns
                actions = receive_text(peer, text, end_ns)
                if not stretch.forward(actions, end_ns):
                    break
            else:
                end_ns, actions = stretch.end_ns, []
        finally:
            self._resume(path, stretch, end_ns)
        if actions:
            self._carry_out(relay, receive_text, (peer, text), actions)
        return True

    def _resume(self, path: SilencePath, stretch: SilentStretch, end_ns: int) -> None:
        """Queue what is on its way at the end of a stretch, and the timer of the source."""
        messages = stretch.finish(end_ns)
        self._events[:] = stretch.kept_events
        heapify(self._events)
        for each in messages:
            connection = each.hop.open_connection()
            arguments = connection, each.hop.far, each.text
            self._push_event(each.arrives_ns, connection, self._arrive_text, arguments)
        node = path.source_node
        node.timer_ns = deadline = node.machine.deadline
        if deadline is not None:
            self._push_event(deadline, None, self._fire_timer, (node, deadline))

    def sever(self, link: SimLink[MessageMachine]) -> None:
        """Lose the link's connection now: each end that takes part in it is `closed` with 1006."""
        affected = [(c, side) for side, c in enumerate(link.connections) if c is not None]
        for connection, _ in affected:
            connection.is_lost = True
        for connection, side in affected:
            self._report_lost(connection, side)

    def _perform(self, node: Node[MessageMachine], action: object) -> None:
        if type(action) is Send:  # most actions
            connection, side = self._sendable_connection(node, action.peer, "sends")
            text = action.message.encode()
            self._transmit(connection, side, self._arrive_text, text, size_bytes=len(text))
            return
        match action:
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
                self._push_event(self.now, None, self._report_lost, (connection, side))
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

"""A bridge with one peer behind a WebSocket that somebody else reads and writes.

bridge -> PeerSplitter -> Stack -> driver     links to the model
                |
                +-> carry_out                 the hosted peer
"""

from collections.abc import Callable, Hashable
from typing import TypeAlias

from attrs import define, field

from twilio_realtime_core.commands import Command
from twilio_realtime_core.machine.actions import (
    Action,
    Close,
    Notify,
    Open,
    Refusal,
    Send,
    SendPing,
)

from ..recordings.bridge_wrapper import BridgeWrapper

__all__ = ["HostedAction", "PeerSplitter"]

HostedAction: TypeAlias = Send | SendPing | Close
"""What is done with a WebSocket that is open already."""


@define(eq=False, repr=False)
class PeerSplitter(BridgeWrapper):
    """A bridge that passes the actions for `peer` to `carry_out`, and returns all others.

    Neither `carry_out` nor `on_start`, which is called when the bridge is started, may block or
    call the splitter. The socket of `peer` is open: `start`
    starts the bridge and reports that, in one step, since a driver stops at a machine that waits
    for nothing. The methods are those of `Bridge`.
    """

    _peer: Hashable = field(alias="peer")
    _carry_out: Callable[[HostedAction], None] = field(alias="carry_out")
    _on_start: Callable[[], None] = field(alias="on_start")

    def start(self, now: int, unix_ns: int | None = None) -> list[Action]:
        """Start the bridge; the socket of the hosted peer is open."""
        self._on_start()
        started = self._bridge.start(now, unix_ns)
        return self._split([*started, *self._bridge.opened(self._peer, now)])

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """See `Bridge.opened`; for other peers than the hosted one."""
        return self._split(self._bridge.opened(peer, now))

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """See `Bridge.receive_text`."""
        return self._split(self._bridge.receive_text(peer, text, now))

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """See `Bridge.pong`."""
        return self._split(self._bridge.pong(peer, payload, now))

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """See `Bridge.refused`."""
        return self._split(self._bridge.refused(peer, refusal, now))

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """See `Bridge.closed`."""
        return self._split(self._bridge.closed(peer, code, reason, now))

    def send(self, command: Command, now: int) -> list[Action]:
        """See `Bridge.send`."""
        return self._split(self._bridge.send(command, now))

    def handle_timeout(self, now: int) -> list[Action]:
        """See `Bridge.handle_timeout`."""
        return self._split(self._bridge.handle_timeout(now))

    def _split(self, actions: list[Action]) -> list[Action]:
        """Carry out the actions for the hosted peer; return the others."""
        others: list[Action] = []
        for action in actions:
            if isinstance(action, Notify | Open) or action.peer != self._peer:
                others.append(action)
            else:
                self._carry_out(action)
        return others

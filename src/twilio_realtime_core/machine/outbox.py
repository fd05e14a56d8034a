"""Where the parts of a bridge put what is to be done, in the order in which it is to be done."""

from typing import Final

from ..errors import Fault, FaultKind
from .actions import Action, Encodable, Notify, Peer, Send

__all__ = ["Outbox"]

# Asked for with every message; looking them up in the enum would take 0.1 µs a time.
_TWILIO: Final = Peer.TWILIO
_REALTIME: Final = Peer.REALTIME


class Outbox:
    """The actions of one step."""

    def __init__(self) -> None:
        self._actions: list[Action] = []

    def add(self, action: Action) -> None:
        """Any action."""
        self._actions.append(action)

    def send_to_twilio(self, message: Encodable) -> None:
        """A message to Twilio."""
        self._actions.append(Send(_TWILIO, message))

    def send_to_realtime(self, event: Encodable) -> None:
        """An event to the model's server."""
        self._actions.append(Send(_REALTIME, event))

    def notify(self, event: object) -> None:
        """A notification for the application."""
        self._actions.append(Notify(event))

    def notify_fault(
        self, peer: Peer, kind: FaultKind, message: str, code: str | None = None
    ) -> None:
        """A notification that a peer did wrong."""
        self.notify(Fault(peer, kind, message, code))

    def take_actions(self) -> list[Action]:
        """The actions of this step; the next step begins empty."""
        actions, self._actions = self._actions, []
        return actions

"""The actions of one step, collected in the order in which they are to be done."""

from ..errors import Fault, FaultKind
from .actions import REALTIME, TWILIO, Action, Encodable, Notify, Peer, Send

__all__ = ["Outbox"]


class Outbox:
    """The actions of the current step."""

    def __init__(self) -> None:
        self._actions: list[Action] = []

    def add(self, action: Action) -> None:
        """Add any action."""
        self._actions.append(action)

    def send_to_twilio(self, message: Encodable) -> None:
        """Send a message to Twilio."""
        self._actions.append(Send(TWILIO, message))

    def send_to_realtime(self, event: Encodable) -> None:
        """Send an event to the Realtime server."""
        self._actions.append(Send(REALTIME, event))

    def notify(self, notification: object) -> None:
        """Notify the application of one of `notifications`."""
        self._actions.append(Notify(notification))

    def notify_fault(
        self, peer: Peer, kind: FaultKind, message: str, code: str | None = None
    ) -> None:
        """Notify the application of what a peer did wrong."""
        self.notify(Fault(peer, kind, message, code))

    def take_actions(self) -> list[Action]:
        """Return the actions of this step; the next step starts empty."""
        actions, self._actions = self._actions, []
        return actions

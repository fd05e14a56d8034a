"""The collection of the actions of one step, in order, and of the reasons for them."""

from collections.abc import Hashable

from ..errors import Fault, FaultKind
from .actions import REALTIME, TWILIO, Action, Encodable, Notify, Peer, Send
from .reasons import MAX_REASONS, Reason

__all__ = ["Outbox"]


class Outbox:
    """The actions of the current step, and its reasons, which are shown once it is complete."""

    def __init__(self) -> None:
        self._actions: list[Action] = []
        self.realtime_link: Hashable = REALTIME
        """The key of the connection to the Realtime server that is used."""
        self.reasons: list[Reason] = []
        """Why the last step did what it did; kept until another step is complete, so that one which
        is refused leaves them as they are."""
        self._reasons: list[Reason] = []

    def add(self, action: Action) -> None:
        """Add an action."""
        self._actions.append(action)

    def send_to_twilio(self, message: Encodable) -> None:
        """Send a message to Twilio."""
        self._actions.append(Send(TWILIO, message))

    def send_to_realtime(self, event: Encodable) -> None:
        """Send an event to the Realtime server."""
        self._actions.append(Send(self.realtime_link, event))

    def notify(self, notification: object) -> None:
        """Notify the application."""
        self._actions.append(Notify(notification))

    def notify_fault(
        self, peer: Peer, kind: FaultKind, message: str, code: str | None = None
    ) -> None:
        """Notify the application of a fault of a peer."""
        self.notify(Fault(peer, kind, message, code))

    def explain(self, reason: Reason) -> None:
        """Give the reason for a decision."""
        if len(self._reasons) < MAX_REASONS:
            self._reasons.append(reason)

    def take_actions(self) -> list[Action]:
        """Remove and return the actions of this step, and set `reasons` to its reasons."""
        if self._reasons or self.reasons:
            self.reasons, self._reasons = self._reasons, []
        actions, self._actions = self._actions, []
        return actions

"""The state and services that the parts of one simulated Realtime connection share."""

from functools import partial

from attrs import define, field

from .conversation import StoredConversation, StoredItem
from .event_queue import EventQueue
from .output_items import PacedEvents
from .pace import Pace
from .server_events import ServerEvent, ServerEventWriter
from .session import RealtimeSession

__all__ = ["RealtimeConnection"]


@define(eq=False)
class RealtimeConnection:
    """One connection, as its parts see it. `unsent` holds the events to send with this step."""

    pace: Pace
    event_queue: EventQueue
    writer: ServerEventWriter
    session: RealtimeSession
    conversation_id: str
    conversation: StoredConversation = field(factory=StoredConversation)
    unsent: list[ServerEvent] = field(factory=list[ServerEvent])

    def send(self, event: ServerEvent) -> None:
        """Send an event now."""
        self.unsent.append(event)

    def send_new(self, type_: str, /, **fields: object) -> None:
        """Make an event of a type, with its fields in the order given, and send it now."""
        self.unsent.append(self.writer.make_event(type_, **fields))

    def send_item_added(self, item: StoredItem) -> None:
        """Report that a complete item was added to the conversation."""
        for type_ in ("conversation.item.added", "conversation.item.done"):
            self.send_new(type_, previous_item_id=item.previous_item_id, item=item.to_wire())

    def send_paced(self, events: PacedEvents) -> None:
        """Send events, waiting where `events` says so, until they end or are closed."""
        for each in events:
            if isinstance(each, int):
                self.event_queue.schedule_after(each, partial(self.send_paced, events))
                return
            self.send(each)

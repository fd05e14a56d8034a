"""What the parts of one simulated Realtime connection share: the time, the pen, the memory."""

from functools import partial

from attrs import define, field

from .conversation import ConversationItem, Memory
from .event_queue import Agenda
from .output_items import Steps
from .pace import Pace
from .server_events import EventWriter, ServerEvent
from .session import RealtimeSession

__all__ = ["RealtimeConnection"]


@define(eq=False)
class RealtimeConnection:
    """One connection, as its parts see it. `unsent` are the events to go out with this step."""

    pace: Pace
    agenda: Agenda
    writer: EventWriter
    session: RealtimeSession
    conversation_id: str
    memory: Memory = field(factory=Memory)
    unsent: list[ServerEvent] = field(factory=list[ServerEvent])

    def send(self, event: ServerEvent) -> None:
        """Send an event now."""
        self.unsent.append(event)

    def tell(self, type_: str, /, **fields: object) -> None:
        """Send a new event now; its fields in the order given."""
        self.unsent.append(self.writer.event(type_, **fields))

    def tell_of(self, item: ConversationItem) -> None:
        """Send that an item was added to the conversation, complete as it is."""
        for type_ in ("conversation.item.added", "conversation.item.done"):
            self.tell(type_, previous_item_id=item.previous_item_id, item=item.wire())

    def follow(self, steps: Steps) -> None:
        """Send events and wait as `steps` say, until they end or are closed."""
        for step in steps:
            if isinstance(step, int):
                self.agenda.after(step, partial(self.follow, steps))
                return
            self.send(step)

"""The items that were sent and that the server has not added yet: the next session gets them again.

The server echoes each as `conversation.item.added`; one without an id gets one from the server, so
it is told by what else it holds.

Source: OpenAI API reference, "Realtime", `conversation.item.create`,
https://platform.openai.com/docs/api-reference/realtime-client-events (read 2026-09-30).
"""

from collections import deque
from typing import Final, cast

from ..protocols.realtime import ClientEvent, CreateItem, Item

__all__ = ["MAX_UNECHOED_ITEMS", "UnechoedItems"]

MAX_UNECHOED_ITEMS: Final = 256
"""Items remembered whose echo is awaited: it takes a round trip. The oldest counts as echoed."""


class UnechoedItems:
    """The events that create the items, oldest first."""

    def __init__(self) -> None:
        self._events: deque[CreateItem] = deque(maxlen=MAX_UNECHOED_ITEMS)

    def add(self, event: ClientEvent) -> None:
        """Note that an event is sent, which may create an item."""
        if isinstance(event, CreateItem):
            self._events.append(event)

    def added(self, item: Item) -> None:
        """Note that the server has added an item."""
        for event in self._events:
            if _creates(event, item):
                self._events.remove(event)
                return

    def refused(self, event_id: str | None) -> None:
        """Note that the server has refused the event of this id."""
        for event in self._events:
            if event_id and event.event_id == event_id:
                self._events.remove(event)
                return

    def take_all(self) -> list[CreateItem]:
        """Remove and return all, for the next session."""
        events = list(self._events)
        self._events.clear()
        return events


def _creates(event: CreateItem, item: Item) -> bool:
    body = event.item
    if body.get("id") is not None:
        return bool(body["id"] == item.id)
    sent = body.get("type"), body.get("role"), body.get("call_id"), _kinds_of(body.get("content"))
    return sent == (item.type, item.role, item.call_id, _kinds_of(item.content))


def _kinds_of(content: object) -> list[object]:
    """The types of the content parts: what the caller says is an item like a message, but audio."""
    parts = cast("list[object]", content) if isinstance(content, list) else []
    return [cast("dict[str, object]", each).get("type") for each in parts if isinstance(each, dict)]

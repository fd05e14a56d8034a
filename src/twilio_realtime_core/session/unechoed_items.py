"""The items that were sent and that the server has not added yet: the next session gets them again.

The server echoes each as `conversation.item.added`; one without an id gets one from the server, so
it is told by what else it holds.

Source: OpenAI API reference, "Realtime", `conversation.item.create`,
https://platform.openai.com/docs/api-reference/realtime-client-events (read 2026-09-30).
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from ..config.fields import as_mapping
from ..protocols.realtime import ClientEvent, CreateItem, Item, RawClientEvent

__all__ = ["MAX_UNECHOED_ITEMS", "UnechoedItems"]

MAX_UNECHOED_ITEMS: Final = 256
"""Items remembered whose echo is awaited: it takes a round trip. The oldest counts as echoed."""


class UnechoedItems:
    """The events that create the items, oldest first."""

    def __init__(self) -> None:
        self._events: deque[ClientEvent] = deque(maxlen=MAX_UNECHOED_ITEMS)

    def add(self, event: ClientEvent) -> None:
        """Note that an event is sent, which may create an item."""
        if _item_of(event) is not None:
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
            if event_id and _event_id(event) == event_id:
                self._events.remove(event)
                return

    def take_all(self) -> list[ClientEvent]:
        """Remove and return all, for the next session."""
        events = list(self._events)
        self._events.clear()
        return events


def _item_of(event: ClientEvent) -> Mapping[str, Any] | None:
    match event:
        case CreateItem(item=item):
            return item
        case RawClientEvent(body={"type": CreateItem.type, "item": item}):
            return as_mapping(item)
        case _:
            return None


def _event_id(event: ClientEvent) -> object:
    return event.body.get("event_id") if isinstance(event, RawClientEvent) else event.event_id


def _creates(event: ClientEvent, item: Item) -> bool:
    body = _item_of(event) or {}
    if body.get("id") is not None:
        return bool(body["id"] == item.id)
    sent = body.get("type"), body.get("role"), body.get("call_id")
    return sent == (item.type, item.role, item.call_id)

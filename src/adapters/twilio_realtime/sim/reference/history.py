"""What the conversation holds, as the server tells it and as it was asked to be."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from twilio_realtime_core.commands import ResetHistory
from twilio_realtime_core.protocols.realtime import (
    CreateItem,
    DeleteItem,
    ItemAddedEvent,
    ItemDeletedEvent,
    ItemDoneEvent,
)
from twilio_realtime_core.values.items import ConversationItem

from .step_record import Fact, Told

__all__ = ["History", "Reset"]


@define(eq=False)
class Reset:
    """The events that make the conversation hold the `wanted` items and no others: it `must`
    delete and create these, and `may` do so to those of which more is not known."""

    must_delete: set[str]
    must_create: set[str]
    may: set[str]

    @property
    def complete(self) -> bool:
        """Whether all has been done that must be."""
        return not self.must_delete and not self.must_create

    def has(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is one of those."""
        kind, item_id = _edit(event)
        must = {"delete": self.must_delete, "create": self.must_create}.get(kind, set[str]())
        return bool(kind) and item_id in must | self.may

    def take(self, event: Mapping[str, Any]) -> None:
        """It has been sent."""
        kind, item_id = _edit(event)
        (self.must_delete if kind == "delete" else self.must_create).discard(item_id)


def _edit(event: Mapping[str, Any]) -> tuple[str, str]:
    match event:
        case {"type": "conversation.item.delete", "item_id": str(item_id)}:
            return "delete", item_id
        case {"type": "conversation.item.create", "item": {"id": str(item_id)}}:
            return "create", item_id
        case _:
            return "", ""


@define(eq=False)
class History(Fact):
    """The items of the conversation."""

    inputs = (ItemAddedEvent, ItemDoneEvent, ItemDeletedEvent, DeleteItem, ResetHistory)
    outputs = (CreateItem, DeleteItem)

    _known: set[str] = field(init=False, factory=set[str])
    """Complete items that the server has told of."""
    _unsure: set[str] = field(init=False, factory=set[str])
    """Items under way: being generated, or asked to be created or deleted."""
    _created: set[str] = field(init=False, factory=set[str])
    """Items that were asked for, and that the server has not told of."""
    _unwanted: set[str] = field(init=False, factory=set[str])
    """Items that were to be deleted, and that the server has not told to be gone."""
    _deleted: set[str] = field(init=False, factory=set[str])
    _forgotten: set[str] = field(init=False, factory=set[str])
    """Items that commands delete, or may."""

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""
        match told.event:
            case ItemAddedEvent(item):
                self._unsure.add(item.id)
                self._deleted.discard(item.id)
                self._created.discard(item.id)
            case ItemDoneEvent(item):
                if item.id in self._unsure - self._unwanted - self._created:
                    self._unsure.discard(item.id)
                    self._known.add(item.id)
            case ItemDeletedEvent(item_id):
                self._known.discard(item_id)
                self._unwanted.discard(item_id)
                if item_id not in self._created:
                    self._unsure.discard(item_id)
                    self._deleted.add(item_id)
            case DeleteItem(item_id):
                self._forgotten.add(item_id)
            case ResetHistory():
                self._forgotten |= self._known | self._unsure
            case _:
                pass

    def asked(self, value: object, told: Told) -> None:
        """Take in one thing that the bridge asked for."""
        match value:
            case CreateItem(item={"id": str(item_id)}):
                self._deleted.discard(item_id)
                self._created.add(item_id)
            case DeleteItem(item_id):
                self._unwanted.add(item_id)
            case _:
                return
        self._known.discard(item_id)
        self._unsure.add(item_id)

    def is_deleted(self, item_id: str) -> bool:
        """Whether the server has said that an item is gone."""
        return item_id in self._deleted

    def is_forgotten(self, item_id: str) -> bool:
        """Whether a command deletes an item, or may."""
        return item_id in self._forgotten

    def reset(self, items: tuple[ConversationItem, ...], before: Sequence[Reset] = ()) -> Reset:
        """What it takes to make these the items of the conversation, once what resets `before` this
        one ask for is under way."""
        wanted = {each.id for each in items}
        unsure = self._unsure.union(*(each.must_delete | each.must_create for each in before))
        known = self._known - unsure
        return Reset(
            must_delete=known - wanted,
            must_create=wanted - known - unsure,
            may=unsure | (known & wanted),
        )

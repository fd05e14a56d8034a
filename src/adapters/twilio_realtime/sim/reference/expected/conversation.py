"""The expected items of the conversation, as the server describes them and commands change them."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from twilio_realtime_core.commands import ResetHistory
from twilio_realtime_core.protocols.realtime import DeleteItem
from twilio_realtime_core.values.items import ConversationItem

from ..received import ReceivedItemAdded, ReceivedItemDeleted, ReceivedItemDone
from ..sent import SentDelete, SentItem
from ..step_record import ExpectedState, StepRecord

__all__ = ["ExpectedConversation", "ExpectedReset"]


@define(eq=False)
class ExpectedReset:
    """The events by which the conversation gets exactly the items of a reset: those that must
    delete or create items, and items of which that is not certain."""

    must_delete: set[str]
    must_create: set[str]
    uncertain: set[str]

    @property
    def is_complete(self) -> bool:
        """Whether all necessary events were sent."""
        return not self.must_delete and not self.must_create

    def has(self, event: Mapping[str, Any]) -> bool:
        """Whether an event may be one of the reset."""
        kind, item_id = _edit_of(event)
        required = {"delete": self.must_delete, "create": self.must_create}.get(kind, set[str]())
        return bool(kind) and item_id in required | self.uncertain

    def remove(self, event: Mapping[str, Any]) -> None:
        """Remove an event that was sent."""
        kind, item_id = _edit_of(event)
        (self.must_delete if kind == "delete" else self.must_create).discard(item_id)


def _edit_of(event: Mapping[str, Any]) -> tuple[str, str]:
    match event:
        case {"type": "conversation.item.delete", "item_id": str(item_id)}:
            return "delete", item_id
        case {"type": "conversation.item.create", "item": {"id": str(item_id)}}:
            return "create", item_id
        case _:
            return "", ""


@define(eq=False)
class ExpectedConversation(ExpectedState):
    """The items of the conversation, by id."""

    inputs = (ReceivedItemAdded, ReceivedItemDone, ReceivedItemDeleted, DeleteItem, ResetHistory)
    outputs = (SentItem, SentDelete)

    _complete: set[str] = field(init=False, factory=set[str])
    """Items that the server has completed."""
    _uncertain: set[str] = field(init=False, factory=set[str])
    """Items that are being generated, created or deleted."""
    _creating: set[str] = field(init=False, factory=set[str])
    """Items that were sent, and that the server has not added."""
    _deleting: set[str] = field(init=False, factory=set[str])
    """Items whose deletion was sent, and that the server has not deleted."""
    _deleted: set[str] = field(init=False, factory=set[str])
    _dropped_by_command: set[str] = field(init=False, factory=set[str])
    """Items that commands delete, or may delete."""

    def apply_input(self, step: StepRecord) -> None:
        """Apply what the server says of an item, or a command that deletes some."""
        match step.event:
            case ReceivedItemAdded(item):
                self._uncertain.add(item.id)
                self._deleted.discard(item.id)
                self._creating.discard(item.id)
            case ReceivedItemDone(item):
                if item.id in self._uncertain - self._deleting - self._creating:
                    self._uncertain.discard(item.id)
                    self._complete.add(item.id)
            case ReceivedItemDeleted(item_id):
                self._complete.discard(item_id)
                self._deleting.discard(item_id)
                if item_id not in self._creating:
                    self._uncertain.discard(item_id)
                    self._deleted.add(item_id)
            case DeleteItem(item_id):
                self._dropped_by_command.add(item_id)
            case ResetHistory():
                self._dropped_by_command |= self._complete | self._uncertain
            case _:
                pass

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Apply an item that the bridge creates or deletes."""
        match value:
            case SentItem(item={"id": str(item_id)}):
                self._deleted.discard(item_id)
                self._creating.add(item_id)
            case SentDelete(item_id=item_id):
                self._deleting.add(item_id)
            case _:
                return
        self._complete.discard(item_id)
        self._uncertain.add(item_id)

    def is_deleted(self, item_id: str) -> bool:
        """Whether the server has deleted an item."""
        return item_id in self._deleted

    def is_dropped_by_command(self, item_id: str) -> bool:
        """Whether a command deletes an item, or may delete it."""
        return item_id in self._dropped_by_command

    def plan_reset(
        self, items: Sequence[ConversationItem], earlier: Sequence[ExpectedReset] = ()
    ) -> ExpectedReset:
        """Return what makes these the items of the conversation, once the `earlier` resets that
        still wait are sent."""
        given = {each.id for each in items}
        uncertain = self._uncertain.union(
            *(each.must_delete | each.must_create for each in earlier)
        )
        complete = self._complete - uncertain
        return ExpectedReset(
            must_delete=complete - given,
            must_create=given - complete - uncertain,
            uncertain=uncertain | (complete & given),
        )

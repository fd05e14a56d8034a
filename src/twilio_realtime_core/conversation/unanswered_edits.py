"""The edits of the conversation that were sent to the server, which has not confirmed them."""

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from ..protocols.realtime import CreateItem, DeleteItem, ServerError
from ..values.items import ConversationItem
from .history_diff import Edit, apply_edits, item_id_of

__all__ = ["EDIT_ID", "MAX_UNANSWERED_EDITS", "UnansweredEdits", "refuses_unnamed_deletion"]

EDIT_ID: Final = "history-"
"""The prefix of the event ids of a reset."""

_DELETION_CODE: Final = "item_delete"
"""How the codes of the errors start that refuse a deletion, such as `item_delete_invalid_item_id`.
(As clients have reported, since the vendor lists none.)"""

_DELETION_WORDS: Final = ("conversation.item.delete", "Error deleting item")
"""What the messages of such errors hold."""

MAX_UNANSWERED_EDITS: Final = 8192
"""Edits without an answer: as many as two resets, each of which deletes 2,048 items and creates as
many. The oldest counts as lost."""


def refuses_unnamed_deletion(error: ServerError) -> bool:
    """Whether an error refuses a deletion that has no event id."""
    is_of_deletion = (error.code or "").startswith(_DELETION_CODE)
    return not error.event_id and (
        is_of_deletion or any(each in error.message for each in _DELETION_WORDS)
    )


class UnansweredEdits:
    """The edits without an answer, by their event ids, by which errors name them."""

    def __init__(self) -> None:
        self._edits: dict[str | int, Edit] = {}
        """In the order in which they were sent. Deletions without an event id have numbers."""
        self._count = 0
        self._unnamed_count = 0

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._edits

    def clear(self) -> None:
        """Forget all: their session is lost."""
        self._edits.clear()

    def number(self, edit: Edit) -> Edit:
        """Add an edit of a reset; return it with its event id."""
        self._count += 1
        event_id = f"{EDIT_ID}{self._count}"
        numbered = evolve(edit, event_id=event_id)
        self._add(event_id, numbered)
        return numbered

    def add_deletion(self, item_id: str, event_id: str | None) -> None:
        """Add the deletion of an item."""
        self._unnamed_count += 1
        self._add(event_id or self._unnamed_count, DeleteItem(item_id))

    def _add(self, key: str | int, edit: Edit) -> None:
        if len(self._edits) >= MAX_UNANSWERED_EDITS:
            del self._edits[next(iter(self._edits))]
        self._edits[key] = edit

    def take_answered(self, kind: type[Edit], item_id: str) -> bool:
        """Remove the edit that the server has now carried out; `False`: it is none of ours."""
        for key, edit in self._edits.items():
            if isinstance(edit, kind) and item_id_of(edit) == item_id:
                del self._edits[key]
                return True
        return False

    def take_refused(self, error: ServerError) -> Edit | None:
        """Remove the edit that an error refuses, and return it. An error about a deletion without
        an event id refuses the oldest such deletion, since the server answers in order.

        `None`: the error refuses none of these edits.
        """
        if error.event_id:
            return self._edits.pop(error.event_id, None)
        unnamed = (key for key in self._edits if isinstance(key, int))
        key = next(unnamed, None) if refuses_unnamed_deletion(error) else None
        return None if key is None else self._edits.pop(key)

    def deletes(self, item_id: str) -> bool:
        """Whether the server was told to delete an item, and has not answered."""
        return DeleteItem(item_id) in self._edits.values()

    @property
    def created_ids(self) -> set[str]:
        """The ids of the items that the server was told to create, perhaps in place of others."""
        return {item_id_of(each) for each in self._edits.values() if isinstance(each, CreateItem)}

    def apply_to(self, items: Sequence[ConversationItem]) -> list[ConversationItem]:
        """Return what the items will be once the server has carried out all edits."""
        return apply_edits(self._edits.values(), items)

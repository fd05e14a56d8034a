"""The edits of the conversation that were sent to the server, which has not confirmed them."""

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from ..protocols.realtime import CreateItem, DeleteItem
from ..values.items import ConversationItem
from .history_diff import Edit, apply_edits, item_id_of

__all__ = ["EDIT_ID", "MAX_UNANSWERED_EDITS", "UnansweredEdits"]

EDIT_ID: Final = "history-"
"""The prefix of the event ids of a reset."""

_DELETION: Final = "deletion of "
"""The prefix of the keys of deletions without an event id."""

MAX_UNANSWERED_EDITS: Final = 8192
"""Edits without an answer: as many as two resets, each of which deletes 2,048 items and creates as
many. The oldest counts as lost."""


class UnansweredEdits:
    """The edits without an answer, by their event ids, by which errors name them."""

    def __init__(self) -> None:
        self._edits: dict[str, Edit] = {}
        self._count = 0

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
        self._add(event_id or f"{_DELETION}{item_id}", DeleteItem(item_id))

    def _add(self, key: str, edit: Edit) -> None:
        if len(self._edits) >= MAX_UNANSWERED_EDITS:
            del self._edits[next(iter(self._edits))]
        self._edits[key] = edit

    def take_answered(self, kind: type[Edit], item_id: str) -> bool:
        """Remove the edit that the server has now carried out; `False`: it is none of ours."""
        for event_id, edit in self._edits.items():
            if isinstance(edit, kind) and item_id_of(edit) == item_id:
                del self._edits[event_id]
                return True
        return False

    def refused(self, event_id: str | None) -> None:
        """Remove an edit that the server refuses, if the event is one."""
        self._edits.pop(event_id or "", None)

    @property
    def created_ids(self) -> set[str]:
        """The ids of the items that the server was told to create, perhaps in place of others."""
        return {item_id_of(each) for each in self._edits.values() if isinstance(each, CreateItem)}

    def apply_to(self, items: Sequence[ConversationItem]) -> list[ConversationItem]:
        """Return what the items will be once the server has carried out all edits."""
        return apply_edits(self._edits.values(), items)

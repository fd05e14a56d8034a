"""The responses of the model: a record of all that is known about each.

A response is known by id for the rest of the call, since audio of an interrupted one may arrive
after any number of others. The oldest that have ended are forgotten first. Looking a record up
never creates one.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

from attrs import define, field

from ..machine.lifecycles import RESPONSE, Lifecycle, LifecycleFactory, ResponseInput, ResponseState
from ..protocols.realtime import Response
from ..values.usage import Usage

__all__ = ["MAX_ITEMS", "MAX_RESPONSES", "ResponseRecord", "Responses"]

MAX_RESPONSES: Final = 1024
"""Responses remembered: a session lasts an hour, and a response every four seconds is a fast one.
What is forgotten can at worst be heard, should the server still send audio of it."""

MAX_ITEMS: Final = 256
"""Items, and parts, of one response that are told apart: a response has a handful. What is beyond
counts as neither done nor heard: it is never deleted, and truncated only while it plays."""

_MAX_ITEMS_INDEXED: Final = 1024
"""MCP items whose response is remembered: several for each response of an hour. The oldest is
forgotten first."""

# Looked up for every delta; in the enum that would take 0.1 µs each.
_UNHEARD: Final = (ResponseState.INTERRUPTED, ResponseState.INTERRUPTED_DONE)
_ENDED: Final = (ResponseState.DONE, ResponseState.INTERRUPTED_DONE)

T = TypeVar("T")


@define(eq=False)
class ResponseRecord:
    """All that is known about one response."""

    id: str
    is_in_conversation: bool = True
    """Whether it belongs to the conversation; an out-of-band response does not."""
    is_announced: bool = False
    """Whether `response.created` or `response.done` was received."""
    is_cancelled: bool = False
    """Whether a cancel was sent."""
    is_followup_requested: bool = False
    """Whether the model is to respond to the outcome of a function or MCP call of it."""
    unsent_outputs: int = 0
    """Its function calls whose output was not sent yet."""
    sent_samples: int = 0
    """Samples of it that were sent to the caller."""
    lifecycle: Lifecycle[ResponseState, ResponseInput] = field(
        factory=lambda: Lifecycle(RESPONSE, ResponseState.GENERATING)
    )
    done_items: set[str] = field(factory=set[str])
    """Its message items that are done."""
    heard_items: set[str] = field(factory=set[str])
    """Its items of which some was heard: the conversation keeps them after an interruption."""
    done_parts: set[tuple[str, int]] = field(factory=set[tuple[str, int]])
    """Its content parts, by item id and index, whose audio is complete."""

    def mark_item_done(self, item_id: str) -> bool:
        """Mark an item as done; `False` if it was before, or there are too many."""
        return _add(self.done_items, item_id)

    def mark_item_heard(self, item_id: str) -> None:
        """Note that some of an item was heard."""
        _add(self.heard_items, item_id)

    def mark_part_done(self, item_id: str, content_index: int) -> None:
        """Note that the audio of a content part is complete."""
        _add(self.done_parts, (item_id, content_index))

    @property
    def is_audible(self) -> bool:
        """Whether its audio may still be played."""
        return self.lifecycle.state not in _UNHEARD

    @property
    def is_generating(self) -> bool:
        """Whether the server has not said that it is done."""
        return self.lifecycle.state not in _ENDED


def _add(known: set[T], item: T) -> bool:
    is_new = item not in known and len(known) < MAX_ITEMS
    if is_new:
        known.add(item)
    return is_new


class Responses:
    """The records of all responses of one Realtime session. `usage` is that of all of them."""

    def __init__(self, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._make_lifecycle = make_lifecycle
        self.usage = Usage()
        self._by_id: dict[str, ResponseRecord] = {}
        self._by_item: dict[str, ResponseRecord] = {}
        self._not_ended: list[ResponseRecord] = []
        self._deleted_items: dict[str, None] = {}

    def __iter__(self) -> Iterator[ResponseRecord]:
        return iter(self._by_id.values())

    def get(self, response_id: str) -> ResponseRecord | None:
        """The record of a response; `None` if it is unknown, or was forgotten."""
        return self._by_id.get(response_id)

    def get_or_create(self, response_id: str) -> ResponseRecord:
        """The record of a response of which an event was received; a new one for the first."""
        record = self._by_id.get(response_id)
        if record is None:
            if len(self._by_id) >= MAX_RESPONSES:
                self._forget_one()
            lifecycle = self._make_lifecycle(RESPONSE, ResponseState.GENERATING)
            record = self._by_id[response_id] = ResponseRecord(response_id, lifecycle=lifecycle)
            self._not_ended = [*self.generating, record]
        return record

    def update_from(self, response: Response) -> ResponseRecord:
        """The record of the response that an event describes, updated from it."""
        record = self.get_or_create(response.id)
        record.is_in_conversation = response.conversation_id is not None
        return record

    @property
    def generating(self) -> list[ResponseRecord]:
        """Those that the server has not said to be done: few, however many were before them."""
        return [each for each in self._not_ended if each.is_generating]

    @property
    def is_any_stoppable(self) -> bool:
        """Whether an audible response of the conversation is being generated."""
        return any(each.is_audible and each.is_in_conversation for each in self.generating)

    def _forget_one(self) -> None:
        ended = (each for each in self if not each.is_generating)
        forgotten = next(ended, next(iter(self)))
        del self._by_id[forgotten.id]
        self._not_ended = [each for each in self._not_ended if each is not forgotten]

    def mark_cancelled(self, response_id: str | None) -> None:
        """Note that the application cancels a response; `None`: the one of the conversation."""
        for each in self.generating:
            if each.id == response_id or (response_id is None and each.is_in_conversation):
                each.lifecycle.step(ResponseInput.CANCEL)
                each.is_cancelled = True

    # Items.

    def index_item(self, item_id: str, record: ResponseRecord) -> None:
        """Remember that an item belongs to a response; the first response counts."""
        if item_id not in self._by_item:
            if len(self._by_item) >= _MAX_ITEMS_INDEXED:
                del self._by_item[next(iter(self._by_item))]
            self._by_item[item_id] = record

    def of_item(self, item_id: str) -> ResponseRecord | None:
        """The response that an indexed item belongs to; `None` if that is not known."""
        return self._by_item.get(item_id)

    def mark_item_deleted(self, item_id: str) -> None:
        """Note that the application deletes an item, which is not corrected any more. The oldest is
        forgotten first."""
        if len(self._deleted_items) >= MAX_RESPONSES:
            del self._deleted_items[next(iter(self._deleted_items))]
        self._deleted_items[item_id] = None

    def is_item_deleted(self, item_id: str) -> bool:
        """Whether the application has deleted an item."""
        return item_id in self._deleted_items

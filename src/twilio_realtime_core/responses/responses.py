"""The model's responses and their items, as far as the server has told of them.

Responses are known by id for the rest of the call, since audio of an interrupted one may arrive
after any number of others. The oldest that have ended are forgotten first.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

from attrs import define, field

from ..machine.lifecycles import RESPONSE, Lifecycle, LifecycleFactory, ResponseInput, ResponseState
from ..protocols.realtime import Response

__all__ = ["MAX_ITEMS", "MAX_RESPONSES", "ResponseRecord", "Responses"]

MAX_RESPONSES: Final = 1024
"""Responses remembered: a session lasts an hour, and a response every four seconds is a fast one.
What is forgotten can at worst be heard, should the server still send audio of it."""

MAX_ITEMS: Final = 256
"""Items, and parts, of one response that are told apart: a response has a handful. What is beyond
counts as neither done nor heard: it is never deleted, and truncated only while it plays."""

# Asked of every delta; looking them up in the enum would take 0.1 µs a time.
_UNHEARD: Final = (ResponseState.INTERRUPTED, ResponseState.INTERRUPTED_DONE)
_ENDED: Final = (ResponseState.DONE, ResponseState.INTERRUPTED_DONE)

T = TypeVar("T")


@define(eq=False)
class ResponseRecord:
    """One response. `created`: the server has told its begin, and not only something of it. `sent`
    counts the samples sent to the caller; `cancelled`: a cancel was sent.
    `done_items` are its message items that are done; `heard_items` those of which some part was
    heard, so that the conversation keeps them even if the response is interrupted; `done_parts` the
    content parts, by item and index, all of whose audio has come."""

    id: str
    lifecycle: Lifecycle[ResponseState, ResponseInput]
    is_in_conversation: bool = True
    is_created: bool = False
    sent_samples: int = 0
    is_cancelled: bool = False
    done_items: set[str] = field(factory=set[str])
    heard_items: set[str] = field(factory=set[str])
    done_parts: set[tuple[str, int]] = field(factory=set[tuple[str, int]])

    def mark_item_done(self, item_id: str) -> bool:
        """Note that an item is done; `False` if that was noted before, or there are too many."""
        return _note(self.done_items, item_id)

    def mark_item_heard(self, item_id: str) -> None:
        """Note that some part of an item was heard."""
        _note(self.heard_items, item_id)

    def mark_part_done(self, item_id: str, content_index: int) -> None:
        """Note that all audio of a content part has come."""
        _note(self.done_parts, (item_id, content_index))

    @property
    def is_audible(self) -> bool:
        """Whether its audio is still to be heard."""
        return self.lifecycle.state not in _UNHEARD

    @property
    def is_generating(self) -> bool:
        """Whether the server has not yet said that it is done."""
        return self.lifecycle.state not in _ENDED


def _note(known: set[T], item: T) -> bool:
    new = item not in known and len(known) < MAX_ITEMS
    if new:
        known.add(item)
    return new


class Responses:
    """All responses of one Realtime session."""

    def __init__(self, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._make_lifecycle = make_lifecycle
        self._by_id: dict[str, ResponseRecord] = {}
        self._generating: list[ResponseRecord] = []
        self._deleted_items: dict[str, None] = {}

    def __iter__(self) -> Iterator[ResponseRecord]:
        return iter(self._by_id.values())

    def get_or_create(self, response_id: str) -> ResponseRecord:
        """The response of this id; a new one if it was not heard of before."""
        response = self._by_id.get(response_id)
        if response is None:
            if len(self._by_id) >= MAX_RESPONSES:
                self._forget_one()
            lifecycle = self._make_lifecycle(RESPONSE, ResponseState.GENERATING)
            response = self._by_id[response_id] = ResponseRecord(response_id, lifecycle)
            self._generating = [*self.generating, response]
        return response

    @property
    def generating(self) -> list[ResponseRecord]:
        """Those that the server has not yet said to be done: few, whatever has been before them."""
        self._generating = [each for each in self._generating if each.is_generating]
        return self._generating

    def _forget_one(self) -> None:
        ended = (each for each in self if not each.is_generating)
        forgotten = next(ended, next(iter(self)))
        del self._by_id[forgotten.id]
        self._generating = [each for each in self._generating if each is not forgotten]

    def mark_item_deleted(self, item_id: str) -> None:
        """An item is deleted by the application; the oldest such is forgotten first."""
        if len(self._deleted_items) >= MAX_RESPONSES:
            del self._deleted_items[next(iter(self._deleted_items))]
        self._deleted_items[item_id] = None

    def is_item_deleted(self, item_id: str) -> bool:
        """Whether the application has deleted an item."""
        return item_id in self._deleted_items

    def update_from(self, response: Response) -> ResponseRecord:
        """The response that an event describes, with what the event says of it."""
        known = self.get_or_create(response.id)
        known.is_in_conversation = response.conversation_id is not None
        return known

    def mark_cancelled(self, response_id: str | None) -> None:
        """The application cancels a response; `None`: the one of the conversation."""
        for each in self.generating:
            if each.id == response_id or (response_id is None and each.is_in_conversation):
                each.lifecycle.step(ResponseInput.CANCEL)
                each.is_cancelled = True

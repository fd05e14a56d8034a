"""The responses of the model: a record of all that is known about each.

A response is known by id for the rest of the call, since audio of an interrupted one may arrive
after any number of others. The oldest that have ended are forgotten first. Looking a record up
never creates one.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final, TypeVar

from attrs import define, field

from ..config.fields import as_mapping
from ..machine.lifecycles import RESPONSE, Lifecycle, LifecycleFactory, ResponseInput, ResponseState
from ..machine.units import SECOND
from ..protocols.realtime import CreateResponse, Response
from ..values.usage import Usage

__all__ = ["LOST_NS", "MAX_ITEMS", "MAX_RESPONSES", "UNKNOWN_ID", "ResponseRecord", "Responses"]

MAX_RESPONSES: Final = 1024
"""Responses remembered: a session lasts an hour, and a response every four seconds is a fast one.
What is forgotten can at worst be heard, should the server still send audio of it."""

LOST_NS: Final = 10 * SECOND
"""How long a response may send no event until no more is expected of it: several times as long as
the longest pauses while it is generated."""

UNKNOWN_ID: Final = ""
"""Stands for the id of a response that was created without one, until an event names it."""

MAX_ITEMS: Final = 256
"""Items, and parts, of one response that are told apart: a response has a handful. What is beyond
counts as neither done nor heard: it is never deleted, and truncated only while it plays."""

_MAX_ITEMS_INDEXED: Final = 1024
"""MCP items whose response is remembered: several for each response of an hour. The oldest is
forgotten first."""

# Looked up for every delta; in the enum that would take 0.1 µs each.
_UNHEARD: Final = (ResponseState.INTERRUPTED, ResponseState.INTERRUPTED_DONE)
_ENDED: Final = (ResponseState.DONE, ResponseState.INTERRUPTED_DONE)
_ENDED_OR_UNHEARD: Final = (*_ENDED, *_UNHEARD)

T = TypeVar("T")


@define(eq=False)
class ResponseRecord:
    """All that is known about one response."""

    id: str
    is_in_conversation: bool = True
    """Whether it belongs to the conversation; an out-of-band response does not."""
    is_announced: bool = False
    """Whether `response.created` or `response.done` was received."""
    is_text: bool | None = None
    """Whether it is text alone, which the caller does not hear, as the server says, or as it was
    asked for. `None`: nobody has said."""
    metadata: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    """Those of its request, as the server has repeated them."""
    progress_at_ns: int = 0
    """When an event of it was received last (ns)."""
    is_lost: bool = False
    """Whether no event of it was received for too long while it was generated."""
    is_given_up: bool = False
    """Whether it was cancelled since the model fell silent."""
    is_of_old_session: bool = False
    """Whether it is of a session that was replaced: the server does not know it any more."""
    request: CreateResponse | None = None
    """The request of the application that it seems to answer."""
    is_cancelled: bool = False
    """Whether a cancel was sent."""
    is_followup_requested: bool = False
    """Whether the model is to respond to the outcome of a function or MCP call of it."""
    is_followup_urgent: bool = False
    """Whether the model is to respond though other calls of it have no outcome."""
    unsent_outputs: int = 0
    """Its function calls whose output was not sent yet."""
    sent_outputs: list[str] = field(factory=list[str])
    """The outcomes of its calls that were sent, and that the model is to respond to: call ids, and
    the ids of answers to approval requests."""
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
    last_part: tuple[str, int] | None = None
    """The content part whose audio was received last."""
    items: set[str] = field(factory=set[str])
    """Its items, of whatever type, that were added or are done."""
    open_items: set[str] = field(factory=set[str])
    """Those that were added and are not done."""
    has_done_item: bool = False
    """Whether an item of it is done."""

    def mark_item_done(self, item_id: str) -> bool:
        """Mark an item as done; `False` if it was before, or there are too many."""
        return _add(self.done_items, item_id)

    def mark_item_heard(self, item_id: str) -> None:
        """Note that some of an item was heard."""
        _add(self.heard_items, item_id)

    def mark_part_done(self, item_id: str, content_index: int) -> None:
        """Note that the audio of a content part is complete."""
        _add(self.done_parts, (item_id, content_index))

    def mark_item_open(self, item_id: str) -> None:
        """Note that an item was added, which is not done."""
        _add(self.items, item_id)
        _add(self.open_items, item_id)

    def mark_item_closed(self, item_id: str) -> None:
        """Note that an item is done, of whatever type."""
        _add(self.items, item_id)
        self.open_items.discard(item_id)
        self.has_done_item = True

    @property
    def has_begun(self) -> bool:
        """Whether any of it was sent to the caller, or an item of it is done."""
        return self.has_done_item or self.sent_samples > 0

    @property
    def is_output_complete(self) -> bool:
        """Whether all audio and items that were started are complete, so that nothing but
        `response.done` need follow."""
        part = self.last_part
        if part is not None and part not in self.done_parts:
            return False
        heard: set[str] = set() if part is None else {part[0]}
        return not self.open_items - heard and (part is not None or self.has_done_item)

    @property
    def is_audible(self) -> bool:
        """Whether its audio may still be played."""
        return self.lifecycle.state not in _UNHEARD

    @property
    def is_generating(self) -> bool:
        """Whether the server has not said that it is done."""
        return self.lifecycle.state not in _ENDED

    @property
    def is_stoppable(self) -> bool:
        """Whether it is being generated, and an interruption stops it: not where it is silenced,
        or text out of band."""
        return (
            self.is_generating and self.is_audible and (self.is_in_conversation or not self.is_text)
        )

    @property
    def is_nameable(self) -> bool:
        """Whether a cancel can name it: without an id it is that of the conversation."""
        return bool(self.id) or (self.is_in_conversation and not self.is_lost)

    def mark_cancelled(self) -> None:
        """Note that the application cancels it."""
        self.lifecycle.step(ResponseInput.CANCEL)
        self.is_cancelled = True

    @property
    def may_be_heard(self) -> bool:
        """Whether it is being generated, and more of it would be played."""
        return not self.is_lost and self.lifecycle.state not in _ENDED_OR_UNHEARD


def _add(known: set[T], item: T) -> bool:
    is_new = item not in known and len(known) < MAX_ITEMS
    if is_new:
        known.add(item)
    return is_new


def _item_ids(output: Any) -> Iterator[str]:
    """The ids of the items of a response that is done."""
    match output:
        case [*entries]:
            for each in entries:
                match each:
                    case {"id": str(item_id)}:
                        yield item_id
                    case _:
                        pass
        case _:
            pass


def _update(record: ResponseRecord, response: Response) -> None:
    record.is_in_conversation = response.conversation_id is not None
    if response.output_modalities is not None:
        record.is_text = response.output_modalities == ["text"]
    record.metadata = as_mapping(response.metadata)
    record.is_lost = False


class Responses:
    """The records of all responses of one Realtime session. `usage` is that of all of them."""

    def __init__(self, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._make_lifecycle = make_lifecycle
        self.usage = Usage()
        self._by_id: dict[str | int, ResponseRecord] = {}
        """By id; one that was created without an id by its number, until an event names it."""
        self._unnamed_count = 0
        self._old: dict[str | int, ResponseRecord] = {}
        """Those of old sessions, of which some may still be heard."""
        self._by_item: dict[str, ResponseRecord] = {}
        self._not_ended: list[ResponseRecord] = []
        self._deleted_items: dict[str, None] = {}

    def __iter__(self) -> Iterator[ResponseRecord]:
        return chain(self._old.values(), self._by_id.values())

    def get(self, response_id: str) -> ResponseRecord | None:
        """The record of a response; `None` if it is unknown, or was forgotten."""
        key = response_id or self._unnamed_count
        return self._by_id.get(key) or self._old.get(key)

    def get_or_create(self, response_id: str) -> ResponseRecord:
        """The record of a response of which an event was received; a new one for the first."""
        known = self._by_id.get(response_id or self._unnamed_count)
        return known or self._name(response_id) or self._create(response_id)

    def _create(self, response_id: str | None) -> ResponseRecord:
        if len(self._by_id) >= MAX_RESPONSES:
            self._forget_one()
        lifecycle = self._make_lifecycle(RESPONSE, ResponseState.GENERATING)
        record = ResponseRecord(response_id or UNKNOWN_ID, lifecycle=lifecycle)
        self._unnamed_count += not response_id
        self._by_id[response_id or self._unnamed_count] = record
        self._not_ended = [*self.generating, record]
        return record

    def _name(self, response_id: str) -> ResponseRecord | None:
        """The record of a response that was created without an id, which this id must be of: of
        several the first, unless another one of the conversation has followed it."""
        unnamed = [
            (each.is_lost, number)
            for number, each in self._by_id.items()
            if isinstance(number, int) and each.is_generating
        ]
        if not unnamed or not response_id:
            return None
        _, number = min(unnamed)
        record = self._by_id[response_id] = self._by_id.pop(number)
        record.id = response_id
        return record

    def start(self, response: Response, now: int) -> ResponseRecord:
        """The record of a response that was created, perhaps without an id. It ends the one before
        it in the conversation, of which the server has one at a time."""
        known = self._by_id.get(response.id) if response.id else None
        record = known or self._create(response.id)
        _update(record, response)
        record.progress_at_ns = now
        for each in self.generating if record.is_in_conversation else ():
            each.is_lost |= each.is_in_conversation and each is not record
        return record

    def progressed(self, response_id: str, now: int) -> None:
        """Note that an event of a response was received."""
        record = self.get(response_id)
        if record is not None:
            record.progress_at_ns = now

    def finish(self, response: Response) -> ResponseRecord | None:
        """The record of a response that is done. Without an id it is the one that is under way, and
        of several the one whose items it has, or that was stopped where it is cancelled; `None`:
        there is none."""
        record = self.get_or_create(response.id) if response.id else self._find_unnamed(response)
        if record is not None and (response.id or not record.is_announced):
            _update(record, response)
        return record

    def _find_unnamed(self, response: Response) -> ResponseRecord | None:
        items = set(_item_ids(response.output))
        is_in_conversation = response.conversation_id is not None

        def likelihood(record: ResponseRecord) -> tuple[bool, bool, bool]:
            is_of_kind = record.is_in_conversation is is_in_conversation
            is_stopped = record.is_cancelled or not record.is_audible
            is_of_status = is_stopped is (response.status == "cancelled")
            return not items.isdisjoint(record.items), is_of_kind, is_of_status

        return max(reversed(self.generating), key=likelihood, default=None)

    @property
    def has_current(self) -> bool:
        """Whether the current session has created any."""
        return bool(self._by_id)

    @property
    def generating(self) -> list[ResponseRecord]:
        """Those that the server has not said to be done: few, however many were before them."""
        return [each for each in self._not_ended if each.is_generating]

    @property
    def is_any_stoppable(self) -> bool:
        """Whether a response is being generated, and more of it expected, that an interruption
        stops."""
        return any(each.is_stoppable for each in self.unfinished)

    @property
    def is_speech_pending(self) -> bool:
        """Whether more is to be said by a response that is being generated."""
        return any(each.may_be_heard and not each.is_text for each in self._not_ended)

    @property
    def unfinished(self) -> list[ResponseRecord]:
        """Those that are being generated, and of which more is expected."""
        return [each for each in self._not_ended if each.is_generating and not each.is_lost]

    @property
    def due_at_ns(self) -> int | None:
        """When the next response counts as lost, if nothing more is received of it (ns)."""
        instants = [each.progress_at_ns for each in self.unfinished]
        return min(instants) + LOST_NS if instants else None

    def mark_lost(self, now: int) -> list[ResponseRecord]:
        """Expect no more of the responses of which nothing was received for too long; return
        them."""
        lost = [each for each in self.unfinished if now >= each.progress_at_ns + LOST_NS]
        for each in lost:
            each.is_lost = True
        return lost

    def _forget_one(self) -> None:
        ended = (key for key, each in self._by_id.items() if not each.is_generating)
        forgotten = self._by_id.pop(next(ended, next(iter(self._by_id))))
        self._not_ended = [each for each in self._not_ended if each is not forgotten]

    def find_cancellable(self, response_id: str | None) -> list[ResponseRecord]:
        """The responses that a cancel of the application would stop, by their id or, for `None`,
        in the conversation: those that are generated and were not cancelled before. Without an id
        the server cancels the active one, which is none that is lost."""
        if response_id is None:
            found = [each for each in self.unfinished if each.is_in_conversation]
        else:
            found = [each for each in self.generating if each.id == response_id]
        return [each for each in found if not each.is_cancelled]

    def session_replaced(self) -> None:
        """Count all responses as those of an old session; none is generated any more."""
        for each in self._by_id.values():
            each.is_of_old_session = True
            each.lifecycle.step(ResponseInput.DONE)
        self._old = dict(list({**self._old, **self._by_id}.items())[-MAX_RESPONSES:])
        self._by_id, self._not_ended = {}, []

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

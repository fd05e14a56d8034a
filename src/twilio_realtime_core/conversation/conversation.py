"""The conversation as the server holds it, and what of it was heard.

Items have the order that `conversation.item.added` gives them, and no later event moves them: where
`conversation.item.done` tells of the order it is wrong at times. An item is added behind
`previous_item_id`; at the front if that is `None` or "root"; at the end if it is unknown here.

Words come in events of their own, before their item has its place or after, and are kept by item
and content part. No description of an item takes them away again: of what the server has truncated
it knows no words any more.

An item is notified when it is added, and again when it has changed and something has come to an
end: the item is done, the words of a part are complete or have failed, or it was cut. Deltas notify
nothing, but show in `items` at once.

Source: OpenAI API reference, "Realtime", conversation items and their server events.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from attrs import define, evolve, field

from ..errors import LocalProtocolError
from ..notifications import ItemAdded, ItemDeleted, ItemUpdated
from ..protocols import realtime
from ..protocols.realtime import CreateItem, DeleteItem
from ..values.items import AudioPart, ContentPart, ConversationItem, FunctionCall, Message
from .history_diff import Edit, apply_edits, diff, item_id_of
from .item_json import item_from_server
from .transcript import Transcript

__all__ = [
    "EDIT_ID",
    "MAX_ITEMS",
    "MAX_OUT_OF_BAND_ITEMS",
    "MAX_PARTS",
    "MAX_UNANSWERED_EDITS",
    "Conversation",
    "ItemNotification",
]

EDIT_ID: Final = "history-"
"""Begins the event ids of the events of `reset`."""

MAX_ITEMS: Final = 2048
"""Items of a conversation: a session lasts an hour, and an item every two seconds is a lively one.
The one at the front is forgotten first; the server still holds it."""

MAX_OUT_OF_BAND_ITEMS: Final = 64
"""Items outside the conversation whose words are kept: what the caller is still saying, and what
responses outside of it say. The one that began first is forgotten first."""

MAX_PARTS: Final = 64
"""Content parts of an item whose words are kept: an item has one or two."""

MAX_UNANSWERED_EDITS: Final = 4 * MAX_ITEMS
"""Edits under way: as many as two resets that change everything. The oldest counts as lost."""

ItemNotification: TypeAlias = ItemAdded | ItemUpdated | ItemDeleted


class Conversation:
    """The items of one Realtime session. What is told of an item that it does not hold is no
    mistake, and notifies nothing."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._entries: dict[str, _Entry] = {}
        self._out_of_band: dict[str, dict[int, Transcript]] = {}
        self._unanswered_edits: dict[str, Edit] = {}
        self._edit_count = 0

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The items in order, with all that is known of them by now."""
        return tuple(self._entries[id_].snapshot() for id_ in self._order)

    def get(self, item_id: str) -> ConversationItem | None:
        """The item of this id, if the conversation holds it."""
        entry = self._entries.get(item_id)
        return None if entry is None else entry.snapshot()

    # What the server says.

    def receive(self, event: realtime.ServerEvent) -> list[ItemNotification]:
        """What an event changes, to be notified in this order. Events that are not about items
        change nothing."""
        match event:
            case realtime.OutputTranscriptDeltaEvent():
                self._get_or_create_transcript(event.item_id, event.content_index).append(
                    event.delta
                )
            case realtime.OutputTextDeltaEvent():
                self._get_or_create_transcript(
                    event.item_id, event.content_index, spoken=False
                ).append(event.delta)
            case realtime.InputTranscriptDeltaEvent():
                self._get_or_create_transcript(event.item_id).append(event.delta or "")
            case realtime.OutputTranscriptDoneEvent():
                self._get_or_create_transcript(event.item_id, event.content_index).complete(
                    event.transcript
                )
                return self._updates_of(event.item_id)
            case realtime.OutputTextDoneEvent():
                self._get_or_create_transcript(
                    event.item_id, event.content_index, spoken=False
                ).complete(event.text)
                return self._updates_of(event.item_id)
            case realtime.InputTranscriptCompletedEvent():
                self._get_or_create_transcript(event.item_id).complete(event.transcript)
                return self._updates_of(event.item_id)
            case realtime.InputTranscriptFailedEvent():
                return self._updates_of(event.item_id)
            case realtime.ItemAddedEvent():
                return self._add(event)
            case realtime.ItemDoneEvent():
                return self._describe(event.item, done=True)
            case realtime.ItemRetrievedEvent():
                return self._describe(event.item)
            case realtime.ItemTruncatedEvent():
                return self._truncate(event)
            case realtime.ItemDeletedEvent():
                return self._delete(event.item_id)
            case realtime.ErrorEvent():
                self._unanswered_edits.pop(event.error.event_id or "", None)
            case _:
                pass
        return []

    # What the caller heard.

    def cut(
        self, item_id: str, content_index: int, heard_ms: int, sent_ms: int
    ) -> list[ItemNotification]:
        """A part was interrupted: of `sent_ms` of its audio, all that had come, `heard_ms` were
        heard. Of an item outside the conversation it is remembered for `split` alone."""
        self._get_or_create_transcript(item_id, content_index).cut(heard_ms, sent_ms)
        return self._updates_of(item_id)

    def split_transcript(self, item_id: str, content_index: int) -> tuple[str | None, str | None]:
        """The words of a part that was cut, heard and not heard: together they are all, and the
        first end with a word. `None`: there are none. All words count as heard of a part that was
        not cut."""
        entry = self._entries.get(item_id)
        parts = self._out_of_band.get(item_id, {}) if entry is None else entry.transcripts
        return parts[content_index].split_at_cut() if content_index in parts else (None, None)

    # What the application wants it to hold.

    def reset(self, items: Iterable[ConversationItem]) -> list[Edit]:
        """The events that make the server hold exactly these items, in this order (see `diff` of
        `history_diff`). To be sent in order, with their event ids, by which errors name them.

        Events of an earlier reset that the server has not answered yet are counted on. Raises
        `LocalProtocolError` as `diff` does, and for more than `MAX_ITEMS`.
        """
        return [self._submit(edit) for edit in self.plan_reset(items)]

    def plan_reset(self, items: Iterable[ConversationItem]) -> list[Edit]:
        """What `reset` would ask for, without event ids. Raises as it does."""
        wanted = tuple(items)
        if len(wanted) > MAX_ITEMS:
            raise LocalProtocolError(
                f"a history holds {MAX_ITEMS} items at most: leave out the old"
            )
        expected = apply_edits(self._unanswered_edits.values(), self.items)
        return diff(expected, wanted)

    def _submit(self, edit: Edit) -> Edit:
        self._edit_count += 1
        event_id = f"{EDIT_ID}{self._edit_count}"
        if len(self._unanswered_edits) >= MAX_UNANSWERED_EDITS:
            del self._unanswered_edits[next(iter(self._unanswered_edits))]
        asked = self._unanswered_edits[event_id] = evolve(edit, event_id=event_id)
        return asked

    def _take_answered_edit(self, kind: type[Edit], item_id: str) -> bool:
        """Whether the server has now done what one of our edits asked for."""
        for event_id, edit in self._unanswered_edits.items():
            if isinstance(edit, kind) and item_id_of(edit) == item_id:
                del self._unanswered_edits[event_id]
                return True
        return False

    # Items.

    def _add(self, event: realtime.ItemAddedEvent) -> list[ItemNotification]:
        item = event.item
        if self._take_answered_edit(CreateItem, item.id):
            self._out_of_band.pop(item.id, None)  # its words are its own, whoever had the id before
        if item.id in self._entries:
            return self._describe(item)
        if len(self._order) >= MAX_ITEMS:
            del self._entries[self._order.pop(0)]
        place = self._index_after(event.previous_item_id)
        previous = self._order[place - 1] if place else None
        self._order.insert(place, item.id)
        entry = self._entries[item.id] = _Entry(self._out_of_band.pop(item.id, {}))
        entry.update_from(item)
        return [ItemAdded(entry.snapshot_notified(), previous)]

    def _index_after(self, item_id: str | None) -> int:
        if item_id in (None, "root"):
            return 0
        return self._order.index(item_id) + 1 if item_id in self._entries else len(self._order)

    def _describe(self, item: realtime.Item, *, done: bool = False) -> list[ItemNotification]:
        entry = self._entries.get(item.id)
        if entry is not None:
            entry.update_from(item, done=done)
        return self._updates_of(item.id)

    def _truncate(self, event: realtime.ItemTruncatedEvent) -> list[ItemNotification]:
        if event.item_id in self._entries:
            self._get_or_create_transcript(event.item_id, event.content_index).truncate(
                event.audio_end_ms
            )
        return self._updates_of(event.item_id)

    def _delete(self, item_id: str) -> list[ItemNotification]:
        self._take_answered_edit(DeleteItem, item_id)
        self._out_of_band.pop(item_id, None)
        if self._entries.pop(item_id, None) is None:
            return []
        self._order.remove(item_id)
        return [ItemDeleted(item_id)]

    def _updates_of(self, item_id: str) -> list[ItemNotification]:
        entry = self._entries.get(item_id)
        if entry is None or entry.notified == entry.snapshot():
            return []
        return [ItemUpdated(entry.snapshot_notified())]

    def _get_or_create_transcript(
        self, item_id: str, content_index: int = 0, *, spoken: bool = True
    ) -> Transcript:
        """The words of a part, which may be new; not kept where there are too many parts."""
        entry = self._entries.get(item_id)
        parts = self._out_of_band.get(item_id) if entry is None else entry.transcripts
        if parts is None:
            if len(self._out_of_band) >= MAX_OUT_OF_BAND_ITEMS:
                del self._out_of_band[next(iter(self._out_of_band))]
            parts = self._out_of_band[item_id] = {}
        return _part(parts, content_index, spoken=spoken)


def _part(parts: dict[int, Transcript], content_index: int, *, spoken: bool) -> Transcript:
    known = parts.get(content_index)
    if known is None:
        known = Transcript(spoken)
        if len(parts) < MAX_PARTS:
            parts[content_index] = known
    return known


@define
class _Entry:
    """One item: its words by content index, and itself as the server describes it. `told` is what
    was notified of it, `done` that no more of it will come."""

    transcripts: dict[int, Transcript]
    item: ConversationItem = field(init=False)
    notified: ConversationItem | None = None
    done: bool = False

    def update_from(self, item: realtime.Item, *, done: bool = False) -> None:
        self.item = item_from_server(item)
        self.done = self.done or done
        if isinstance(self.item, Message):
            for index, part in enumerate(self.item.parts):
                if isinstance(part, AudioPart):
                    _part(self.transcripts, index, spoken=True).update_from_item(part.transcript)

    def snapshot_notified(self) -> ConversationItem:
        self.notified = self.snapshot()
        return self.notified

    def snapshot(self) -> ConversationItem:
        match self.item:
            case Message():
                complete = self.done or self.item.is_complete
                return evolve(self.item, parts=tuple(self._parts(self.item)), is_complete=complete)
            case FunctionCall():
                return evolve(self.item, is_complete=self.done or self.item.is_complete)
            case _:
                return self.item

    def _parts(self, item: Message) -> Iterator[ContentPart]:
        """The parts that the item tells of, and those behind them of which there are words."""
        for index, part in enumerate(item.parts):
            words = self.transcripts.get(index)
            yield part if words is None else words.to_part(part)
        index = len(item.parts)
        while (words := self.transcripts.get(index)) is not None:
            yield words.to_part()
            index += 1

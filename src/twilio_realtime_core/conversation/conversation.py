"""The conversation as the server holds it, and what of it was heard.

Items have the order that `conversation.item.added` gives them, and no later event moves them: where
`conversation.item.done` states an order it is wrong at times. An item is added behind
`previous_item_id`; at the front if that is `None` or "root"; at the end if it is unknown here.

Words come in events of their own, before their item is added or after, and are kept by item and
content part. No later description of an item removes them: of what the server has truncated it
knows no words any more.

An item is notified when it is added, and again when it has changed and something has ended: the
item is done, the words of a part are complete or have failed, or it was interrupted. Deltas notify
nothing, but show in `items` at once.

Source: OpenAI API reference, "Realtime", conversation items and their server events,
https://platform.openai.com/docs/api-reference/realtime-server-events.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from attrs import define, evolve, field

from ..errors import LocalProtocolError
from ..notifications import ItemAdded, ItemDeleted, ItemUpdated
from ..protocols.realtime import CreateItem, DeleteItem, Item
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
"""The prefix of the event ids of `reset`."""

MAX_ITEMS: Final = 2048
"""Items of a conversation: a session lasts an hour, and an item every two seconds is a lively one.
The one at the front is forgotten first; the server still holds it."""

MAX_OUT_OF_BAND_ITEMS: Final = 64
"""Items whose words are kept though the conversation does not hold them: what the caller is still
saying, and what out-of-band responses say. The oldest is forgotten first."""

MAX_PARTS: Final = 64
"""Content parts of an item whose words are kept: an item has one or two."""

MAX_UNANSWERED_EDITS: Final = 4 * MAX_ITEMS
"""Edits without an answer: as many as two resets that change everything. The oldest counts as
lost."""

ItemNotification: TypeAlias = ItemAdded | ItemUpdated | ItemDeleted


class Conversation:
    """The conversation of one Realtime session."""

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

    # From the server. Each method returns what to notify, in this order; what it says about an
    # item that is not held here is no mistake, and notifies nothing.

    def transcript_delta(
        self, item_id: str, content_index: int, text: str, *, is_spoken: bool = True
    ) -> None:
        """Append to the words of a part."""
        self._get_or_create_transcript(item_id, content_index, is_spoken=is_spoken).append(text)

    def transcript_done(
        self, item_id: str, content_index: int, text: str, *, is_spoken: bool = True
    ) -> list[ItemNotification]:
        """Complete the words of a part."""
        self._get_or_create_transcript(item_id, content_index, is_spoken=is_spoken).complete(text)
        return self._take_updates(item_id)

    def transcript_failed(self, item_id: str) -> list[ItemNotification]:
        """Note that the words of the caller's item will not come."""
        return self._take_updates(item_id)

    def item_added(self, item: Item, previous_item_id: str | None) -> list[ItemNotification]:
        """Add an item behind another."""
        if self._take_answered_edit(CreateItem, item.id):
            self._out_of_band.pop(item.id, None)  # words of an earlier item with this id
        if item.id in self._entries:
            return self._update(item)
        if len(self._order) >= MAX_ITEMS:
            del self._entries[self._order.pop(0)]
        place = self._index_after(previous_item_id)
        previous = self._order[place - 1] if place else None
        self._order.insert(place, item.id)
        entry = self._entries[item.id] = _Entry(self._out_of_band.pop(item.id, {}))
        entry.update_from(item)
        return [ItemAdded(entry.snapshot_notified(), previous)]

    def item_done(self, item: Item) -> list[ItemNotification]:
        """Update an item that is done."""
        return self._update(item, is_done=True)

    def item_retrieved(self, item: Item) -> list[ItemNotification]:
        """Update an item that the application has retrieved."""
        return self._update(item)

    def item_truncated(
        self, item_id: str, content_index: int, audio_end_ms: int
    ) -> list[ItemNotification]:
        """Truncate the audio of a part."""
        if item_id in self._entries:
            self._get_or_create_transcript(item_id, content_index).truncate(audio_end_ms)
        return self._take_updates(item_id)

    def item_deleted(self, item_id: str) -> list[ItemNotification]:
        """Delete an item."""
        self._take_answered_edit(DeleteItem, item_id)
        self._out_of_band.pop(item_id, None)
        if self._entries.pop(item_id, None) is None:
            return []
        self._order.remove(item_id)
        return [ItemDeleted(item_id)]

    def edit_refused(self, event_id: str | None) -> None:
        """Note that the server has refused an event, which may be one of `reset`."""
        self._unanswered_edits.pop(event_id or "", None)

    # From the downlink.

    def cut(
        self, item_id: str, content_index: int, heard_ms: int, sent_ms: int
    ) -> list[ItemNotification]:
        """Note that a part was interrupted: of `sent_ms` of its audio, which is all that was
        received, `heard_ms` were heard. Of an out-of-band item only `split_transcript` shows it."""
        self._get_or_create_transcript(item_id, content_index).cut(heard_ms, sent_ms)
        return self._take_updates(item_id)

    def split_transcript(self, item_id: str, content_index: int) -> tuple[str | None, str | None]:
        """The words of a part that was cut: those heard, which end with a word, and the rest.
        `None`: there are none. All words of a part that was not cut count as heard."""
        entry = self._entries.get(item_id)
        parts = self._out_of_band.get(item_id, {}) if entry is None else entry.transcripts
        return parts[content_index].split_at_cut() if content_index in parts else (None, None)

    # From the application.

    def reset(self, items: Iterable[ConversationItem]) -> list[Edit]:
        """Return the events that make the server hold exactly these items, in this order (see
        `history_diff.diff`). They are to be sent in order, with their event ids, by which errors
        name them.

        Events of an earlier reset that the server has not answered yet are taken as done. Raises
        `LocalProtocolError` as `diff` does, and for more than `MAX_ITEMS`.
        """
        return [self._submit(edit) for edit in self.plan_reset(items)]

    def plan_reset(self, items: Iterable[ConversationItem]) -> list[Edit]:
        """The events of `reset`, without event ids; nothing changes. Raises as `reset` does."""
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
        submitted = self._unanswered_edits[event_id] = evolve(edit, event_id=event_id)
        return submitted

    def _take_answered_edit(self, kind: type[Edit], item_id: str) -> bool:
        """Remove the edit that the server has now carried out, if it was one of ours."""
        for event_id, edit in self._unanswered_edits.items():
            if isinstance(edit, kind) and item_id_of(edit) == item_id:
                del self._unanswered_edits[event_id]
                return True
        return False

    # Inside.

    def _index_after(self, item_id: str | None) -> int:
        if item_id in (None, "root"):
            return 0
        return self._order.index(item_id) + 1 if item_id in self._entries else len(self._order)

    def _update(self, item: Item, *, is_done: bool = False) -> list[ItemNotification]:
        entry = self._entries.get(item.id)
        if entry is not None:
            entry.update_from(item, is_done=is_done)
        return self._take_updates(item.id)

    def _take_updates(self, item_id: str) -> list[ItemNotification]:
        entry = self._entries.get(item_id)
        if entry is None or entry.notified == entry.snapshot():
            return []
        return [ItemUpdated(entry.snapshot_notified())]

    def _get_or_create_transcript(
        self, item_id: str, content_index: int, *, is_spoken: bool = True
    ) -> Transcript:
        """The words of a part; those of a new part are not kept where there are too many."""
        entry = self._entries.get(item_id)
        parts = self._out_of_band.get(item_id) if entry is None else entry.transcripts
        if parts is None:
            if len(self._out_of_band) >= MAX_OUT_OF_BAND_ITEMS:
                del self._out_of_band[next(iter(self._out_of_band))]
            parts = self._out_of_band[item_id] = {}
        return _get_or_create_part(parts, content_index, is_spoken=is_spoken)


def _get_or_create_part(
    parts: dict[int, Transcript], content_index: int, *, is_spoken: bool
) -> Transcript:
    known = parts.get(content_index)
    if known is None:
        known = Transcript(is_spoken)
        if len(parts) < MAX_PARTS:
            parts[content_index] = known
    return known


@define
class _Entry:
    """An item as the server describes it, and its words by content index. `notified` is what the
    application was last notified of; `is_done`: no more of it will come."""

    transcripts: dict[int, Transcript]
    item: ConversationItem = field(init=False)
    notified: ConversationItem | None = None
    is_done: bool = False

    def update_from(self, item: Item, *, is_done: bool = False) -> None:
        """Take the server's description of the item."""
        self.item = item_from_server(item)
        self.is_done = self.is_done or is_done
        if isinstance(self.item, Message):
            for index, part in enumerate(self.item.parts):
                if isinstance(part, AudioPart):
                    _get_or_create_part(self.transcripts, index, is_spoken=True).update_from_item(
                        part.transcript
                    )

    def snapshot_notified(self) -> ConversationItem:
        """Return the item, and note that the application is notified of it."""
        self.notified = self.snapshot()
        return self.notified

    def snapshot(self) -> ConversationItem:
        """The item with all that is known of it."""
        match self.item:
            case Message():
                is_complete = self.is_done or self.item.is_complete
                parts = tuple(self._parts(self.item))
                return evolve(self.item, parts=parts, is_complete=is_complete)
            case FunctionCall():
                return evolve(self.item, is_complete=self.is_done or self.item.is_complete)
            case _:
                return self.item

    def _parts(self, item: Message) -> Iterator[ContentPart]:
        """The parts that the item has, and those behind them of which there are words."""
        for index, part in enumerate(item.parts):
            transcript = self.transcripts.get(index)
            yield part if transcript is None else transcript.to_part(part)
        index = len(item.parts)
        while (transcript := self.transcripts.get(index)) is not None:
            yield transcript.to_part()
            index += 1

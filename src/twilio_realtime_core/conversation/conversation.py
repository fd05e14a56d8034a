"""The conversation as the server holds it, and what of it was heard.

Items have the order that `conversation.item.added` gives them, and no later event moves them: where
`conversation.item.done` states an order it is wrong at times. An item is added behind
`previous_item_id`; at the front if that is `None` or "root"; at the end if it is unknown here.

Words come in events of their own, before their item is added or after, and are kept by item and
content part. No later description of an item removes them: of what the server has truncated it
knows no words any more. But an item that is done has all its words, where the pieces are stale.

An item is notified when it is added, and again when it has changed and something has ended: the
item is done, the words of a part are complete or have failed, it was interrupted, or the call ended
while it was said. Deltas notify nothing, but show in `items` at once.

Source: OpenAI API reference, "Realtime", conversation items and their server events,
https://platform.openai.com/docs/api-reference/realtime-server-events.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from ..errors import Fault, LocalProtocolError
from ..machine.arguments import MAX_MS
from ..notifications import ItemAdded, ItemDeleted, ItemUpdated
from ..protocols.realtime import CreateItem, DeleteItem, Item, ServerError, ServerEvent
from ..values.identifiers import ROOT, GivenNames
from ..values.items import ConversationItem
from .entry import Entry, get_or_create_transcript
from .given_names import FREQUENT_EVENTS, names_in
from .history_diff import Edit, diff, item_id_of
from .item_json import item_from_json
from .restore import Restoration, plan_restoration
from .speaking_pace import SpeakingPace
from .transcript import Transcript
from .unanswered_edits import UnansweredEdits

__all__ = ["MAX_ITEMS", "MAX_OUT_OF_BAND_ITEMS", "Conversation", "ItemNotification"]

MAX_ITEMS: Final = 2048
"""Items of a conversation: a session lasts an hour, and an item every two seconds is a lively one.
The one at the front is forgotten first; the server still holds it."""

MAX_OUT_OF_BAND_ITEMS: Final = 64
"""Items whose words are kept though the conversation does not hold them: what the caller is still
saying, and what out-of-band responses say. The oldest is forgotten first."""

ItemNotification: TypeAlias = ItemAdded | ItemUpdated | ItemDeleted


class Conversation:
    """The conversation of a call, which has the items of an earlier one at first (`resume`)."""

    def __init__(self, resume: Iterable[ConversationItem] = ()) -> None:
        self._entries: dict[str, Entry] = {item.id: Entry.of(item) for item in resume}
        self._order: list[str] = list(self._entries)
        self._out_of_band: dict[str, dict[int, Transcript]] = {}
        self._deleted: dict[str, dict[int, Transcript]] = {}
        """The words of items that were deleted: the agent may still be speaking them."""
        self._edits = UnansweredEdits()
        """What the server was told to change, and has not confirmed."""
        self._unheard: set[str] = set()
        """The items that it was told to delete since the caller heard nothing of them."""
        self.pace = SpeakingPace()
        """The pace at which the agent speaks."""
        self._restored: dict[str, CreateItem] = {}
        """The items that this session got as text, with the events that created them."""
        self._replaced: set[str] = set()
        """Those of them that are deleted, and created again with fewer words."""
        self._renamed: dict[str, str] = {}
        """The ids that items had in an earlier session, where this one has given them others."""
        self.given_names = GivenNames()
        """The odd ids and names that the server has given."""
        self._noted_item_id = ""
        """The id of the item of which the last audio or words were received, which is noted."""

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The items in order, with all that is known of them by now."""
        return tuple(self._entries[id_].snapshot() for id_ in self._order)

    def get(self, item_id: str) -> ConversationItem | None:
        """The item of this id, if the conversation holds it."""
        entry = self._entries.get(item_id)
        return None if entry is None else entry.snapshot()

    def is_transcribed(self, item_id: str) -> bool:
        """Whether the conversation holds an item, and all that was said in it is known in words."""
        entry = self._entries.get(item_id)
        parts = [] if entry is None else list(entry.transcripts.values())
        return any(each.text for each in parts) and not any(each.is_partial for each in parts)

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

    def audio_completed(self, item_id: str, content_index: int, audio_ms: int) -> None:
        """Note that all audio of a part was received, and how long it is."""
        if item_id in self._entries:
            self._get_or_create_transcript(item_id, content_index).audio_ms = audio_ms

    def transcript_failed(self, item_id: str) -> list[ItemNotification]:
        """Note that the words of the caller's item will not come."""
        return self._take_updates(item_id)

    def item_added(self, item: Item, previous_item_id: str | None) -> list[ItemNotification]:
        """Add an item behind another."""
        if self._edits.take_answered(CreateItem, item.id):
            self._out_of_band.pop(item.id, None)  # words of an earlier item with this id
        if item.id in self._restored:
            return []  # what is known here is more than the text that the server was told
        if item.id in self._entries:
            return self._update(item)
        if len(self._order) >= MAX_ITEMS:
            self._unheard.discard(self._order[0])
            del self._entries[self._order.pop(0)]
        place = self._index_after(previous_item_id)
        previous = self._order[place - 1] if place else None
        self._order.insert(place, item.id)
        self._deleted.pop(item.id, None)
        entry = self._entries[item.id] = Entry(self._out_of_band.pop(item.id, {}))
        entry.update_from(item)
        return [ItemAdded(entry.snapshot_notified(), previous)]

    def item_done(self, item: Item) -> list[ItemNotification]:
        """Update an item that is done."""
        if item.id in self._restored:
            return []
        notifications = self._update(item, is_done=True)
        entry = self._entries.get(item.id)
        if entry is not None and entry.is_whole:
            for transcript in entry.transcripts.values():
                self._learn_pace(transcript)
        return notifications

    def _learn_pace(self, transcript: Transcript) -> None:
        """Learn the pace of the agent from a part that is complete, once."""
        text, audio_ms = transcript.text, transcript.audio_ms
        if text and audio_ms and transcript.heard_ms is None:
            self.pace.learn(text, audio_ms)
        transcript.audio_ms = None

    def note_given_names(self, event: ServerEvent | Fault, text: str) -> None:
        """Note the ids and the names that an event of the server gives, of the conversation or
        not. `text` is that of the event."""
        if isinstance(event, FREQUENT_EVENTS):
            if event.item_id == self._noted_item_id:
                return
            self._noted_item_id = event.item_id
        for item_id, call_id, name in names_in(event, text):
            self.given_names.note(item_id, call_id, name)

    def item_retrieved(self, item: Item) -> list[ItemNotification]:
        """Update an item that the application has retrieved."""
        return self._update(item)

    def item_truncated(
        self, item_id: str, content_index: int, audio_end_ms: int
    ) -> list[ItemNotification]:
        """Truncate the audio of a part."""
        if item_id in self._entries:
            end_ms = min(max(0, audio_end_ms), MAX_MS)
            self._get_or_create_transcript(item_id, content_index).truncate(end_ms)
        return self._take_updates(item_id)

    def item_deleted(self, item_id: str) -> list[ItemNotification]:
        """Delete an item."""
        self._edits.take_answered(DeleteItem, item_id)
        self._unheard.discard(item_id)
        if item_id in self._replaced:
            self._replaced.remove(item_id)
            return []
        self._restored.pop(item_id, None)
        entry = self._entries.pop(item_id, None)
        words = self._out_of_band.pop(item_id, {}) if entry is None else entry.transcripts
        if words:
            _add_words(self._deleted, item_id, words)
        if entry is None:
            return []
        self._order.remove(item_id)
        return [ItemDeleted(item_id)]

    def edit_refused(self, error: ServerError) -> None:
        """Note that the server has refused an event, which may be one of `reset`, or a deletion."""
        refused = self._edits.take_refused(error)
        if isinstance(refused, DeleteItem) and not self._edits.deletes(refused.item_id):
            self._unheard.discard(refused.item_id)

    # From one session to the next.

    def is_edit(self, event: object) -> bool:
        """Whether an event is one of a reset that the server has not answered, or the correction of
        a restored item: what it does is part of the conversation here."""
        event_id = getattr(event, "event_id", None)
        is_of_reset = isinstance(event_id, str) and event_id in self._edits
        return is_of_reset or any(each is event for each in self._restored.values())

    @property
    def edited_items(self) -> list[ConversationItem]:
        """The items as they will be once the server has carried out what it was told."""
        return self._edits.apply_to(self.items)

    def session_lost(self) -> None:
        """Follow no session: no correction of what one was told makes sense any more."""
        self._restored.clear()
        self._replaced.clear()

    def session_replaced(self, restoration: Restoration) -> list[ItemNotification]:
        """Start to follow another session, which is told what `restoration` says. The items that it
        does not get are deleted, and those that were to be created anew are added as they are now.
        """
        entries, created_ids = self._entries, self._edits.created_ids
        self._entries = {}
        self._order = []
        self._edits.clear()
        self._unheard.clear()
        self._replaced.clear()
        self._restored = {item_id_of(event): event for event in restoration.events}
        self._renamed = restoration.renamed
        old_ids = {new: old for old, new in restoration.renamed.items()}
        added: list[ItemNotification] = []
        for id_, event in self._restored.items():
            old_id = old_ids.get(id_, id_)
            entry = None if old_id in created_ids else entries.pop(old_id, None)
            if entry is None:
                entry = Entry.of(item_from_json(event.item))
                added.append(
                    ItemAdded(entry.snapshot_notified(), next(reversed(self._order), None))
                )
            elif id_ in old_ids:
                entry.rename(id_)
            self._entries[id_] = entry
            self._order.append(id_)
        return [*map(ItemDeleted, entries), *added]

    def correct_restored(self, item_id: str) -> list[Edit]:
        """Return the events that make the session hold the words of a restored item that were
        heard, which are now fewer. They are to be sent in order; none if nothing has changed, or
        the item is about to be deleted."""
        id_ = self._renamed.get(item_id, item_id)
        restored = self._restored.get(id_)
        if restored is None:
            return []
        ids = [each.id for each in self.edited_items]
        if id_ not in ids:
            return []
        previous_id = ids[ids.index(id_) - 1] if ids[0] != id_ else ROOT
        (event,) = plan_restoration((self._entries[id_].snapshot(),), frozenset()).events or (None,)
        if event is None:
            self.deletion_sent(id_, is_unheard=True)
            return [DeleteItem(id_)]
        if event.item == restored.item:
            return []
        self._replaced.add(id_)
        self._restored[id_] = created = CreateItem(event.item, previous_id)
        return [DeleteItem(id_), created]

    # From the downlink.

    def cut(
        self, item_id: str, content_index: int, heard_ms: int, sent_ms: int
    ) -> list[ItemNotification]:
        """Note that a part was interrupted: of `sent_ms` of its audio, which is all that was
        received, `heard_ms` were heard. Of an out-of-band item only `split_transcript` shows it."""
        item_id = self._renamed.get(item_id, item_id)
        entry = self._entries.get(item_id)
        pace = None if entry is not None and entry.is_whole else self.pace.current
        transcript = self._get_or_create_transcript(item_id, content_index)
        transcript.cut(heard_ms, sent_ms, pace or self.pace.fastest)
        return self._take_updates(item_id)

    def split_transcript(self, item_id: str, content_index: int) -> tuple[str | None, str | None]:
        """The words of a part that was cut: those heard, which end with a word, and the rest.
        `None`: there are none. All words of a part that was not cut count as heard."""
        item_id = self._renamed.get(item_id, item_id)
        parts = self._words_of(item_id) or {}
        return parts[content_index].split_at_cut() if content_index in parts else (None, None)

    def deletion_sent(self, item_id: str, *, is_unheard: bool, event_id: str | None = None) -> None:
        """Note that the server is told to delete an item, which later edits count with, unless it
        refuses the event. With `is_unheard` it is since the caller heard nothing of it, so no reset
        brings it back. One that is not held here counts too: an error without an event id is that
        of the oldest deletion."""
        self._edits.add_deletion(item_id, event_id)
        if is_unheard and item_id in self._entries:
            self._unheard.add(item_id)

    # From the application.

    def reset(self, items: Iterable[ConversationItem]) -> list[Edit]:
        """Return the events that make the server hold exactly these items, in this order (see
        `history_diff.diff`). They are to be sent in order, with their event ids, by which errors
        name them.

        What the server was told before and has not answered yet is taken as done; an item that is
        being deleted since nobody heard it is left out. Raises `LocalProtocolError` as `diff` does,
        and for more than `MAX_ITEMS`.
        """
        return [self._edits.number(edit) for edit in self.plan_reset(items)]

    def plan_reset(self, items: Iterable[ConversationItem]) -> list[Edit]:
        """The events of `reset`, without event ids; nothing changes. Raises as `reset` does."""
        wanted = tuple(items)
        if len(wanted) > MAX_ITEMS:
            raise LocalProtocolError(
                f"a history holds {MAX_ITEMS} items at most: leave out the old"
            )
        heard = [each for each in wanted if each.id not in self._unheard]
        return diff(self.edited_items, heard, self.given_names)

    # Inside.

    def _index_after(self, item_id: str | None) -> int:
        if item_id in (None, ROOT):
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
        """The words of a part; those of a part beyond `MAX_PARTS` are not kept."""
        entry = self._entries.get(item_id)
        if entry is not None:
            entry.snapshot_made = None  # what is done with the words changes the item
        parts = self._words_of(item_id)
        if parts is None:
            parts = _add_words(self._out_of_band, item_id, {})
        return get_or_create_transcript(parts, content_index, is_spoken=is_spoken)

    def _words_of(self, item_id: str) -> dict[int, Transcript] | None:
        entry = self._entries.get(item_id)
        if entry is not None:
            return entry.transcripts
        return self._deleted.get(item_id) or self._out_of_band.get(item_id)


def _add_words(
    known: dict[str, dict[int, Transcript]], item_id: str, parts: dict[int, Transcript]
) -> dict[int, Transcript]:
    """Add the words of an item that the conversation does not hold. The oldest are forgotten."""
    if len(known) >= MAX_OUT_OF_BAND_ITEMS:
        del known[next(iter(known))]
    known[item_id] = parts
    return parts

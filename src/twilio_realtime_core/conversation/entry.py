"""An item of the conversation as the server describes it, with the words that are known of it."""

from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field

from ..protocols.realtime import Item
from ..values.items import AudioPart, ContentPart, ConversationItem, FunctionCall, Message, Role
from .item_json import is_complete, item_from_server
from .transcript import Transcript

__all__ = ["MAX_PARTS", "Entry", "get_or_create_transcript"]

MAX_PARTS: Final = 64
"""Content parts of an item whose words are kept, the first: an item has one or two."""


def get_or_create_transcript(
    parts: dict[int, Transcript], content_index: int, *, is_spoken: bool
) -> Transcript:
    """The transcript of a part; that of a part beyond `MAX_PARTS` is not kept."""
    known = parts.get(content_index)
    if known is None:
        known = Transcript(is_spoken)
        if 0 <= content_index < MAX_PARTS:
            parts[content_index] = known
    return known


@define
class Entry:
    """An item as the server describes it, and its words by content index. `notified` is what the
    application was last notified of; `is_done`: no more of it will come; `is_whole`: and it was not
    cut short, so all audio and all words of it were received; `is_cut`: the server says that it
    was."""

    transcripts: dict[int, Transcript]
    item: ConversationItem = field(init=False)
    notified: ConversationItem | None = None
    is_done: bool = False
    is_whole: bool = False
    is_cut: bool = False
    snapshot_made: ConversationItem | None = field(init=False, default=None)
    """The item with all that is known of it; `None`: it has changed since. So reading a long
    conversation makes only those items again that have changed."""

    @classmethod
    def of(cls, item: ConversationItem) -> "Entry":
        """Return the entry of an item that is not the server's."""
        entry = cls({}, is_done=True)
        entry.item = item
        return entry

    def update_from(self, item: Item, *, is_done: bool = False) -> None:
        """Take the server's description of the item. One without a status says nothing new."""
        self.snapshot_made = None
        self.item = item_from_server(item)
        self.is_done = self.is_done or is_done or is_complete(item)
        self.is_cut = item.status == "incomplete" or (self.is_cut and item.status != "completed")
        if is_done:
            self.is_whole = item.status != "incomplete"
        if isinstance(self.item, Message):
            is_callers = self.item.role is Role.USER
            for index, part in enumerate(self.item.parts):
                if isinstance(part, AudioPart):
                    get_or_create_transcript(
                        self.transcripts, index, is_spoken=True
                    ).update_from_item(part.transcript, is_done=self.is_done, is_callers=is_callers)

    def rename(self, item_id: str) -> None:
        """Give the item another id."""
        self.snapshot_made = None
        self.item = evolve(self.item, id=item_id)

    def snapshot_notified(self) -> ConversationItem:
        """Return the item, and note that the application is notified of it."""
        self.notified = self.snapshot()
        return self.notified

    def snapshot(self) -> ConversationItem:
        """The item with all that is known of it."""
        if self.snapshot_made is None:
            self.snapshot_made = self._make_snapshot()
        return self.snapshot_made

    def _make_snapshot(self) -> ConversationItem:
        match self.item:
            case Message():
                parts = tuple(self._parts(self.item))
                item = self.item
                return Message(item.id, item.role, parts, self.is_done, item.phase)
            case FunctionCall():
                return evolve(self.item, is_complete=self.is_done and not self.is_cut)
            case _:
                return self.item

    def _parts(self, item: Message) -> Iterator[ContentPart]:
        """The parts that the item has, and those behind them up to the last of which there are
        words. One of these that is unknown has no words, and the kind of the next that has."""
        for index, part in enumerate(item.parts):
            transcript = self.transcripts.get(index)
            yield part if transcript is None else transcript.to_part(part)
        next_index = len(item.parts)
        for index in sorted(each for each in self.transcripts if each >= next_index):
            transcript = self.transcripts[index]
            for _ in range(next_index, index):
                yield Transcript(transcript.is_spoken).to_part()
            yield transcript.to_part()
            next_index = index + 1

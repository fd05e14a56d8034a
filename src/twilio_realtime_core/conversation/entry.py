"""An item of the conversation as the server describes it, with the words that are known of it."""

from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field

from ..protocols.realtime import Item
from ..values.items import (
    AudioPart,
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownPart,
)
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
        """Take the server's description of the item. One without a status says nothing new, and
        what a later one leaves out stays as it was."""
        self.snapshot_made = None
        known: ConversationItem | None = getattr(self, "item", None)
        if isinstance(known, Message) and item.type == "message" and item.role is None:
            item = evolve(item, role=known.role.value)
        described, is_over = item_from_server(item), is_done or is_complete(item)
        self.item = described if known is None else _merge(known, described, is_over=is_over)
        self.is_done = self.is_done or is_done or is_complete(item)
        self.is_cut = item.status == "incomplete" or (self.is_cut and item.status != "completed")
        if is_done:
            self.is_whole = item.status != "incomplete"
        if isinstance(described, Message):
            self._update_transcripts(described, is_completed=item.status == "completed")

    def _update_transcripts(self, item: Message, *, is_completed: bool) -> None:
        is_callers = item.role is Role.USER
        is_truncated = any(each.heard_ms is not None for each in self.transcripts.values())
        has_all = is_completed and not is_callers and not is_truncated
        for index, part in enumerate(item.parts):
            known = self.transcripts.get(index)
            match part:
                case AudioPart(transcript=text):
                    known = get_or_create_transcript(self.transcripts, index, is_spoken=True)
                case TextPart(text=text) if known is not None and not known.is_spoken:
                    pass
                case _:
                    continue
            known.update_from_item(
                text, is_done=self.is_done, is_callers=is_callers, has_all=has_all
            )

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


# What a later description of an item leaves out.


def _merge(
    known: ConversationItem, described: ConversationItem, *, is_over: bool
) -> ConversationItem:
    """Return the item as a later description says, with what is known where that says nothing.
    `is_over`: it is not an earlier state, so that shorter text replaces a longer one."""
    match known, described:
        case Message(), Message():
            return evolve(
                described,
                parts=_merge_parts(known.parts, described.parts, is_over=is_over),
                phase=known.phase if described.phase is None else described.phase,
            )
        case FunctionCall(), FunctionCall():
            return evolve(
                described,
                call_id=described.call_id or known.call_id,
                name=described.name or known.name,
                arguments=described.arguments or known.arguments,
            )
        case FunctionOutput(), FunctionOutput():
            return evolve(
                described,
                call_id=described.call_id or known.call_id,
                output=described.output or known.output,
            )
        case _:
            return described


def _merge_parts(
    known: tuple[ContentPart, ...], described: tuple[ContentPart, ...], *, is_over: bool
) -> tuple[ContentPart, ...]:
    both = zip(known, described, strict=False)
    merged = [_merge_part(before, after, is_over=is_over) for before, after in both]
    return (*merged, *described[len(known) :], *known[len(described) :])


def _merge_part(known: ContentPart, described: ContentPart, *, is_over: bool) -> ContentPart:
    match known, described:
        case (_, UnknownPart(type="")) | (AudioPart(), AudioPart(transcript=None | "")):
            return known
        case TextPart(text=before), TextPart(text=after):
            is_earlier = not after or (not is_over and before.startswith(after))
            return known if is_earlier else described
        case ImagePart(), ImagePart():
            detail = known.detail if described.detail is None else described.detail
            return ImagePart(described.image_url or known.image_url, detail)
        case _:
            return described

"""What the next session gets of the conversation: the items as text, in their order.

A session that is lost takes its conversation with it. Another can be given text alone: what the
caller said by its transcript, what the agent said by the words that were heard. Function calls come
with their outputs. What only the server makes, such as the calls of MCP tools, cannot be restored;
nor can a turn of the caller without a transcript, or a part with which no client can create a
message of its role. Of an image a detail that no client can give is left out.

Source: OpenAI API reference, "Realtime", `conversation.item.create`,
https://platform.openai.com/docs/api-reference/realtime-client-events (read 2026-09-30).
"""

from collections.abc import Callable, Container, Iterable, Sequence, Set
from itertools import chain, count
from typing import Any, Final, TypeAlias

import msgspec
from attrs import define, evolve, field, frozen

from ..protocols.realtime import CreateItem
from ..values.identifiers import is_item_id
from ..values.items import (
    AudioPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    Message,
    UnknownItem,
    replace_audio_with_text,
)
from .history_diff import as_creatable_part, creation_body

__all__ = [
    "MAX_RESTORED_BYTES",
    "MAX_RESTORED_ITEMS",
    "Restoration",
    "Summarize",
    "plan_restoration",
]

Summarize: TypeAlias = Callable[[tuple[ConversationItem, ...]], str]
"""Returns the text that stands for the items that are left out."""

MAX_RESTORED_ITEMS: Final = 500
"""Items that are restored: each is an event, and the caller waits until the server has taken all.
The oldest are left out."""

MAX_RESTORED_BYTES: Final = 256 * 1024
"""The most JSON of items that is restored: some fifty thousand words, more than is said in an
hour."""

_SUMMARY_ID: Final = "summary"
"""The id of the message that stands for the items that are left out; with a number behind it where
another item has it."""


@frozen
class Restoration:
    """What is restored. `lost` are the ids of the items of which the next session knows nothing;
    `renamed`: those with ids that the server refuses from a client, such as longer ones than 32
    characters, with their new ones."""

    events: tuple[CreateItem, ...]
    lost: tuple[str, ...]
    renamed: dict[str, str]

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The ids of the items that are restored, as the next session knows them."""
        return tuple(str(event.item["id"]) for event in self.events)

    def known_id(self, item_id: str) -> str | None:
        """Return the id by which the next session knows an item; `None`: it does not."""
        new_id = self.renamed.get(item_id, item_id)
        return new_id if new_id in self.item_ids else None


@define
class _Text:
    """An item as text, with the JSON that creates it."""

    item: ConversationItem
    body: dict[str, Any] = field(init=False)
    size: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.body = creation_body(self.item)
        self.size = len(msgspec.json.encode(self.body))


def plan_restoration(
    items: Sequence[ConversationItem],
    unheard: Set[str],
    summarize: Summarize | None = None,
    *,
    renamed_before: int = 0,
) -> Restoration:
    """Plan what the next session gets of `items`. `renamed_before` is how many items got another id
    in earlier sessions: an id stands for one item in the whole call.

    `unheard` are the items of which the caller has heard nothing and will hear nothing: the agent
    never said them. `summarize` returns the text that stands for the items that are left out.
    """
    said = [item for item in items if item.id not in unheard]
    texts = [_Text(text) for text in map(_to_text, said) if text is not None]
    newest = _newest(texts)
    left_out = [text for text in texts if text.item.id not in newest]
    kept = _with_calls(newest.values(), left_out)
    kept_ids = dict.fromkeys(text.item.id for text in kept)
    lost = tuple(item.id for item in said if item.id not in kept_ids and _matters(item, left_out))
    renamed = _new_ids(kept_ids, renamed_before)
    events = [
        CreateItem({**text.body, "id": renamed.get(text.item.id, text.item.id)}) for text in kept
    ]
    summary = summarize(tuple(text.item for text in left_out)) if summarize and left_out else ""
    if summary:
        content = [{"type": "input_text", "text": summary}]
        body = {"type": "message", "role": "system", "content": content}
        ids = {item.id for item in items}  # of the whole call: an earlier summary is left out now
        events.insert(0, CreateItem({"id": _summary_id(ids), **body}))
    return Restoration(tuple(events), lost, renamed)


def _to_text(item: ConversationItem) -> ConversationItem | None:
    """The item as it can be created; `None`: it cannot."""
    match item:
        case Message():
            text = replace_audio_with_text(item)
            given = text.parts if isinstance(text, Message) else ()
            parts = [as_creatable_part(item.role, part) for part in given]
            known = tuple(part for part in parts if part is not None)
            return evolve(item, parts=known) if known else None
        case FunctionCall():
            return item if item.is_complete else None
        case UnknownItem():
            return None
        case _:  # FunctionOutput
            return item


def _matters(item: ConversationItem, left_out: Iterable[_Text]) -> bool:
    """Whether the next session misses an item that it does not get: not one that was not
    finished, so that its response is requested again; of which nothing was heard; or that the
    server makes anew."""
    match item:
        case Message(parts=parts):
            is_cut = any(text.item.id == item.id for text in left_out)
            return is_cut or not all(map(_is_unsaid, parts))
        case FunctionCall(is_complete=is_complete):
            return is_complete
        case UnknownItem(type=kind):
            return kind != "mcp_list_tools"
        case _:  # FunctionOutput
            return True


def _is_unsaid(part: object) -> bool:
    return isinstance(part, AudioPart) and (part.heard_ms == 0 or part.heard == "")


def _newest(texts: Sequence[_Text]) -> dict[str, _Text]:
    """The newest items that are within the limits, in their order, by id. One that is too large by
    itself does not take those before it with it."""
    kept: list[_Text] = []
    left_bytes = MAX_RESTORED_BYTES
    for text in reversed([each for each in texts if each.size <= MAX_RESTORED_BYTES]):
        left_bytes -= text.size
        if left_bytes < 0 or len(kept) == MAX_RESTORED_ITEMS:
            break
        kept.append(text)
    return {text.item.id: text for text in reversed(kept)}


def _with_calls(texts: Iterable[_Text], left_out: Iterable[_Text]) -> list[_Text]:
    """The items without the outputs whose calls are not among those before them, which the server
    refuses, and without the calls whose outputs are left out, which would count as unanswered."""
    calls: set[str] = set()
    unknown = {text.item.call_id for text in left_out if isinstance(text.item, FunctionOutput)}
    kept: list[_Text] = []
    for text in texts:
        match text.item:
            case FunctionCall(call_id=call_id) if call_id in unknown:
                continue
            case FunctionCall(call_id=call_id):
                calls.add(call_id)
            case FunctionOutput(call_id=call_id) if call_id not in calls:
                continue
            case _:
                pass
        kept.append(text)
    return kept


def _summary_id(ids: Container[str]) -> str:
    """Return an id for the summary that no item has."""
    numbered = map(f"{_SUMMARY_ID}-{{}}".format, count(2))
    return next(id_ for id_ in chain((_SUMMARY_ID,), numbered) if id_ not in ids)


def _new_ids(ids: Iterable[str], used: int) -> dict[str, str]:
    """Return other ids for those of `ids` that the server refuses from a client."""
    known = list(ids)
    unused = (id_ for id_ in map("restored-{}".format, count(used + 1)) if id_ not in known)
    return {id_: next(unused) for id_ in known if not is_item_id(id_)}

"""The difference between two conversations: the fewest deletions and creations of items.

An item cannot be changed or moved on the server; it must be deleted, and created again with the
same id. Audio cannot be created. So of the items that are the same in both conversations, as many
are kept as the target order allows, and those with audio always are; so are items that only the
server makes, such as those of MCP tools.

Source: OpenAI API reference, "Realtime", `conversation.item.create`, `conversation.item.delete`,
https://platform.openai.com/docs/api-reference/realtime-client-events.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import accumulate
from typing import Any, Final, TypeAlias

from attrs import evolve

from ..errors import LocalProtocolError
from ..protocols.realtime import CreateItem, DeleteItem
from ..values.identifiers import ROOT, GivenNames, check_invented_names
from ..values.items import (
    IMAGE_DETAIL,
    AudioPart,
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownItem,
    check_creatable_part,
    check_unique_ids,
)
from .item_json import item_from_json, item_to_json

__all__ = ["Edit", "apply_edits", "as_creatable_part", "creation_body", "diff", "item_id_of"]

Edit: TypeAlias = DeleteItem | CreateItem


def diff(
    current: Sequence[ConversationItem],
    target: Sequence[ConversationItem],
    given_names: GivenNames | None = None,
) -> list[Edit]:
    """Return the events that turn `current` into `target`: deletions, then creations in order.

    Items with the same id are the same if they agree in everything that the application can choose.
    What the server adds is not compared: status, what was heard, the caller's transcript (which the
    model does not read), and the agent's transcript where the target has none. An incomplete item
    of the target is an earlier state of one that has grown, so its content is not compared.

    Raises `LocalProtocolError` for an id that is missing or used twice, and for an item that must
    be created and cannot be: one with audio, a message without content or with content that its
    role cannot have, the output of a function call that is not among the items before it, an item
    that only the server makes, such as those of MCP tools, and an id, a name or the detail of an
    image that the server would refuse. `given_names` are those that it has given itself.
    """
    _check_ids(target)
    current_by_id = {item.id: (index, item) for index, item in enumerate(current)}
    unchanged: list[tuple[int, bool]] = []
    for item in target:
        index, current_item = current_by_id.get(item.id, (0, None))
        if current_item is not None and _is_same(current_item, item):
            unchanged.append((index, _is_of_server(current_item)))
    kept_ids = {current[index].id for index in _choose_kept(unchanged)}
    _check_creatable(target, kept_ids, given_names or GivenNames())
    previous_ids = [ROOT, *(item.id for item in target)]
    return [
        *(DeleteItem(item.id) for item in current if item.id not in kept_ids),
        *(
            CreateItem(creation_body(item), previous_ids[index])
            for index, item in enumerate(target)
            if item.id not in kept_ids
        ),
    ]


def item_id_of(edit: Edit) -> str:
    """Return the id of the item that an edit deletes or creates."""
    return edit.item_id if isinstance(edit, DeleteItem) else str(edit.item["id"])


def apply_edits(edits: Iterable[Edit], items: Sequence[ConversationItem]) -> list[ConversationItem]:
    """Return `items` after edits; an edit that the server would refuse has no effect."""
    by_id = {item.id: item for item in items}
    # A linked list, closed by `None`, so that each of many edits costs the same at any place.
    ids: list[str | None] = [None, *by_id]
    after = dict(zip(ids, [*ids[1:], None], strict=True))
    before = {later: earlier for earlier, later in after.items()}
    for edit in edits:
        id_ = item_id_of(edit)
        match edit:
            case DeleteItem() if id_ in by_id:
                del by_id[id_]
                earlier, later = before.pop(id_), after.pop(id_)
                after[earlier], before[later] = later, earlier
            case CreateItem(item=body, previous_item_id=previous_id) if id_ not in by_id:
                earlier = None if previous_id == ROOT else previous_id
                if earlier not in after:
                    continue
                by_id[id_] = item_from_json(body)
                later = after[earlier]
                after[earlier] = before[later] = id_
                before[id_], after[id_] = earlier, later
            case _:
                pass
    result: list[ConversationItem] = []
    next_id = after[None]
    while next_id is not None:
        result.append(by_id[next_id])
        next_id = after[next_id]
    return result


def _check_ids(target: Sequence[ConversationItem]) -> None:
    for index, item in enumerate(target):
        if item.id in ("", ROOT):
            raise LocalProtocolError(f"items[{index}] needs an id: choose one that is not used")
    check_unique_ids(target, "items")


def creation_body(item: ConversationItem) -> dict[str, Any]:
    """The fields that `conversation.item.create` takes; status and phase are the server's."""
    body = item_to_json(item)
    return {name: value for name, value in body.items() if name not in ("status", "phase")}


def as_creatable_part(role: Role, part: ContentPart) -> ContentPart | None:
    """Return a part as a message of `role` can be created with it: an image without a detail that
    only the server gives. `None`: no message of `role` can be created with it."""
    if not isinstance(part, _PARTS_BY_ROLE[role]):
        return None
    if isinstance(part, ImagePart) and not IMAGE_DETAIL.accepts(part.detail):
        return evolve(part, detail=None)
    return part


# Comparison of items.


def _is_same(current: ConversationItem, target: ConversationItem) -> bool:
    match current, target:
        case Message(), Message():
            is_same_content = not target.is_complete or _has_same_parts(current, target)
            return current.role is target.role and is_same_content
        case FunctionCall(), FunctionCall():
            before = current.call_id, current.name, current.arguments
            after = target.call_id, target.name, target.arguments
            return not target.is_complete or before == after
        case UnknownItem(), UnknownItem():  # made by the server, which may change it further
            return current.type == target.type
        case _:
            return current == target


def _has_same_parts(current: Message, target: Message) -> bool:
    return len(current.parts) == len(target.parts) and all(
        _is_same_part(current.role, *parts)
        for parts in zip(current.parts, target.parts, strict=True)
    )


def _is_same_part(role: Role, current: ContentPart, target: ContentPart) -> bool:
    match current, target:
        case AudioPart(), AudioPart():
            return role is Role.USER or target.transcript in (None, current.transcript)
        case ImagePart(), ImagePart():
            is_same_detail = target.detail in (None, current.detail)
            return current.image_url == target.image_url and is_same_detail
        case _:
            return current == target


# The choice of the items that are kept.


def _choose_kept(places: Sequence[tuple[int, bool]]) -> list[int]:
    """Return the longest increasing selection of places that includes all those that must be kept
    (`True`), provided that these increase."""
    floors = accumulate((place if must else -1 for place, must in places), max, initial=-1)
    ceilings = accumulate(
        (place if must else math.inf for place, must in reversed(places)), min, initial=math.inf
    )
    limits = zip(places, floors, [*ceilings][-2::-1], strict=False)
    return _longest_increasing([place for (place, _), low, high in limits if low < place < high])


def _longest_increasing(places: Sequence[int]) -> list[int]:
    """Return the longest increasing subsequence, in any order, by patience sorting."""
    ends: list[int] = []  # the least last place of an increasing subsequence of each length
    before: dict[int, int | None] = {}
    for place in places:
        length = bisect_left(ends, place)
        before[place] = ends[length - 1] if length else None
        ends[length : length + 1] = [place]
    longest: list[int] = []
    last = ends[-1] if ends else None
    while last is not None:
        longest.append(last)
        last = before[last]
    return longest


def _is_of_server(item: ConversationItem) -> bool:
    """Whether an item cannot be created, so that it stays where it is, or goes for good."""
    return _has_audio(item) or isinstance(item, UnknownItem)


def _has_audio(item: ConversationItem) -> bool:
    return isinstance(item, Message) and any(isinstance(part, AudioPart) for part in item.parts)


# The check of the items that are created.


_PARTS_BY_ROLE: Final[Mapping[Role, tuple[type[ContentPart], ...]]] = {
    Role.SYSTEM: (TextPart,),
    Role.USER: (TextPart, ImagePart),
    Role.ASSISTANT: (TextPart,),
}
"""The parts with which a message can be created. (The same source.)"""


def _check_creatable(
    target: Sequence[ConversationItem], kept_ids: Set[str], given_names: GivenNames
) -> None:
    calls: set[str] = set()
    for index, item in enumerate(target):
        if isinstance(item, FunctionCall):
            calls.add(item.call_id)
        if item.id in kept_ids:
            continue
        place = f"items[{index}]"
        reason = _find_obstacle(item, calls)
        if reason is not None:
            raise LocalProtocolError(f"{place} cannot be created: {reason}")
        check_invented_names(creation_body(item), given_names, place)
        for part_index, part in enumerate(item.parts if isinstance(item, Message) else ()):
            check_creatable_part(part, f"{place}.parts[{part_index}]")


def _find_obstacle(item: ConversationItem, calls: Set[str]) -> str | None:
    match item:
        case Message() if _has_audio(item):
            return (
                "it has audio that is new, changed or moved; the server accepts no audio of the"
                " agent, and the caller's is not kept: use `replace_audio_with_text`"
            )
        case Message(parts=()):
            return "it has no content: leave it out"
        case Message(role=role, parts=parts) if not all(
            isinstance(part, _PARTS_BY_ROLE[role]) for part in parts
        ):
            kinds = " and ".join(kind.__name__ for kind in _PARTS_BY_ROLE[role])
            return f"a message of the {role.value} can have only {kinds}"
        case UnknownItem(type=kind):
            return (
                f"only the server makes items of type {kind!r}: it can stay where the conversation"
                " has it, or be left out, but not be added, changed or moved"
            )
        case FunctionOutput() if item.call_id not in calls:
            return "its function call is not among the items before it: add the call"
        case _:
            return None

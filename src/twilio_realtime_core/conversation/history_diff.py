"""What makes the server's conversation hold other items: the fewest deletions and creations.

An item cannot be changed or moved on the server: it is deleted, and created again under the same
id. Sound cannot be created. So of the items that are the same in both, as many stay as can in the
wanted order, and those with sound always do.

Source: OpenAI API reference, "Realtime", `conversation.item.create`, `conversation.item.delete`.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from itertools import accumulate
from typing import Any, TypeAlias

from ..errors import LocalProtocolError
from ..protocols.realtime import CreateItem, DeleteItem
from ..values.items import (
    AudioPart,
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    UnknownItem,
)
from .item_json import item_from_json, item_to_json

__all__ = ["Edit", "apply_edits", "diff", "item_id_of"]

Edit: TypeAlias = DeleteItem | CreateItem


def diff(current: Sequence[ConversationItem], target: Sequence[ConversationItem]) -> list[Edit]:
    """The events that turn `current` into `wanted`: deletions, then creations from the front.

    Items of one id are the same if all is the same that one can choose. So what the server adds
    does not count: status, what was heard, the transcript of the caller (a note that the model does
    not read), and of the agent's if none is given. Of an item given as incomplete nothing counts:
    it is an earlier view of one that has grown.

    Raises `LocalProtocolError` for an id that is missing or used twice, and where an item would be
    created that cannot be: one with audio, a message without content, the output of a call that is
    not among the items before it.
    """
    _check_ids(target)
    places = {item.id: (index, item) for index, item in enumerate(current)}
    same: list[tuple[int, bool]] = []
    for item in target:
        index, known = places.get(item.id, (0, None))
        if known is not None and _is_same(known, item):
            same.append((index, _has_audio(known)))
    staying = {current[index].id for index in _choose_kept(same)}
    _check_creatable(target, staying)
    before = ["root", *(item.id for item in target)]
    return [
        *(DeleteItem(item.id) for item in current if item.id not in staying),
        *(
            CreateItem(_to_item_body(item), before[index])
            for index, item in enumerate(target)
            if item.id not in staying
        ),
    ]


def item_id_of(edit: Edit) -> str:
    """The id of the item that is deleted or created."""
    return edit.item_id if isinstance(edit, DeleteItem) else str(edit.item["id"])


def apply_edits(edits: Iterable[Edit], items: Sequence[ConversationItem]) -> list[ConversationItem]:
    """What `items` become by edits; those that the server would refuse do nothing."""
    by_id = {item.id: item for item in items}
    ring = ["root", *by_id]  # so that edits, which may be many, cost the same wherever they are
    behind = dict(zip(ring, [*by_id, "root"], strict=True))
    before = {later: earlier for earlier, later in behind.items()}
    for edit in edits:
        id_ = item_id_of(edit)
        match edit:
            case DeleteItem() if id_ in by_id:
                del by_id[id_]
                earlier, later = before.pop(id_), behind.pop(id_)
                behind[earlier], before[later] = later, earlier
            case CreateItem(item=body, previous_item_id=str(earlier)) if (
                earlier in behind and id_ not in by_id
            ):
                by_id[id_] = item_from_json(body)
                later = behind[earlier]
                behind[earlier] = before[later] = id_
                before[id_], behind[id_] = earlier, later
            case _:
                pass
    result: list[ConversationItem] = []
    id_ = "root"
    while (id_ := behind[id_]) != "root":
        result.append(by_id[id_])
    return result


def _check_ids(target: Sequence[ConversationItem]) -> None:
    seen: set[str] = set()
    for index, item in enumerate(target):
        if item.id in ("", "root"):  # "root" names the front of a conversation
            raise LocalProtocolError(f"items[{index}] needs an id of its own: choose any")
        if item.id in seen:
            raise LocalProtocolError(f"items[{index}] has the id of one before it: choose another")
        seen.add(item.id)


def _to_item_body(item: ConversationItem) -> dict[str, Any]:
    return {name: value for name, value in item_to_json(item).items() if name != "status"}


# What is the same.


def _is_same(known: ConversationItem, given: ConversationItem) -> bool:
    match known, given:
        case Message(), Message():
            return known.role is given.role and (
                not given.is_complete or _has_same_parts(known, given)
            )
        case FunctionCall(), FunctionCall():
            chosen = known.call_id, known.name, known.arguments
            return not given.is_complete or chosen == (given.call_id, given.name, given.arguments)
        case UnknownItem(), UnknownItem():  # the server's own, and it goes on with it
            return known.type == given.type
        case _:
            return known == given


def _has_same_parts(known: Message, given: Message) -> bool:
    return len(known.parts) == len(given.parts) and all(
        _is_same_part(known.role, *parts) for parts in zip(known.parts, given.parts, strict=True)
    )


def _is_same_part(role: Role, known: ContentPart, given: ContentPart) -> bool:
    match known, given:
        case AudioPart(), AudioPart():
            return role is Role.USER or given.transcript in (None, known.transcript)
        case ImagePart(), ImagePart():
            return known.image_url == given.image_url and given.detail in (None, known.detail)
        case _:
            return known == given


# What stays.


def _choose_kept(places: Sequence[tuple[int, bool]]) -> list[int]:
    """The longest rising choice of places that has all those which must stay (`True`), if they
    rise themselves."""
    floors = accumulate((place if must else -1 for place, must in places), max, initial=-1)
    ceilings = accumulate(
        (place if must else math.inf for place, must in reversed(places)), min, initial=math.inf
    )
    limits = zip(places, floors, [*ceilings][-2::-1], strict=False)
    return _longest_increasing([place for (place, _), low, high in limits if low < place < high])


def _longest_increasing(places: Sequence[int]) -> list[int]:
    """The longest rising subsequence, in any order, by patience sorting."""
    ends: list[int] = []  # the least end of a rising run of each length
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


def _has_audio(item: ConversationItem) -> bool:
    return isinstance(item, Message) and any(isinstance(part, AudioPart) for part in item.parts)


# What can be created.


def _check_creatable(target: Sequence[ConversationItem], kept_ids: Set[str]) -> None:
    calls: set[str] = set()
    for index, item in enumerate(target):
        if isinstance(item, FunctionCall):
            calls.add(item.call_id)
        reason = None if item.id in kept_ids else _find_obstacle(item, calls)
        if reason is not None:
            raise LocalProtocolError(f"items[{index}] cannot be created: {reason}")


def _find_obstacle(item: ConversationItem, calls: Set[str]) -> str | None:
    match item:
        case Message() if _has_audio(item):
            return (
                "it has audio that is new, changed or moved; the server takes none of the agent,"
                " and that of the caller is not kept: give `as_text` of it"
            )
        case Message(parts=()):
            return "it has no content: leave it out"
        case FunctionOutput() if item.call_id not in calls:
            return "the call that it answers is not among the items before it: give that too"
        case _:
            return None

"""The ids and names that the events of the server give.

Any event may be the first, or the only one, that names an item or a function call, since others may
be lost: the end of a response has its items again, and so has the item that is retrieved.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from ..errors import Fault
from ..protocols.realtime import (
    AudioCommittedEvent,
    InputTranscriptDeltaEvent,
    Item,
    ItemDoneEvent,
    OutputAudioDeltaEvent,
    OutputTextDeltaEvent,
    OutputTranscriptDeltaEvent,
    Response,
    ServerEvent,
    UnknownServerEvent,
    decode_informational,
)
from .item_json import read_output

__all__ = ["FREQUENT_EVENTS", "names_in"]

FREQUENT_EVENTS: Final = (
    OutputAudioDeltaEvent,
    OutputTranscriptDeltaEvent,
    OutputTextDeltaEvent,
    InputTranscriptDeltaEvent,
)
"""The events of which an item has many, each with the id of the item and no other."""

_Names: TypeAlias = tuple[str | None, str | None, str | None]
"""The id of an item, the id and the name of a function call."""


class _OnlyPrevious(msgspec.Struct):
    previous_item_id: Any = None


_decode_previous: Final = msgspec.json.Decoder(_OnlyPrevious).decode


def names_in(event: ServerEvent | Fault, text: str) -> Iterator[_Names]:
    """Return the ids and names in an event, whose text is `text`, of each item that it names."""
    given: Any = decode_informational(text) if isinstance(event, UnknownServerEvent) else event
    previous_item_id = getattr(given, "previous_item_id", None)
    if isinstance(event, AudioCommittedEvent | ItemDoneEvent):
        previous_item_id = _decode_previous(text).previous_item_id
    item_ids = (getattr(given, "item_id", None), previous_item_id)
    call = (getattr(given, "call_id", None), getattr(given, "name", None))
    for names in ((item_ids[0], *call), (item_ids[1], None, None)):
        item_id, call_id, name = (each if isinstance(each, str) else None for each in names)
        yield item_id, call_id, name
    yield from map(_names_of, _items_in(given))


def _items_in(event: Any) -> Iterator[Item]:
    item, response = getattr(event, "item", None), getattr(event, "response", None)
    if isinstance(item, Item):
        yield item
    if isinstance(response, Response):
        yield from read_output(response.output)


def _names_of(item: Item) -> _Names:
    return item.id, item.call_id, item.name

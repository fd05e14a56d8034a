"""Conversion of conversation items from the server's events, to JSON data, and from JSON data.

`item_from_server` accepts whatever a server sends. `item_to_json` and `item_from_json` are for
storing a conversation. The data have the shape of the protocol's items; a part that was interrupted
also has `heard` and `heard_ms`, and an item that is unknown though its type is known has `unknown`.

Source: OpenAI API reference, "Realtime", conversation items,
https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create.
"""

from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeGuard

import attrs
import msgspec
from attrs import evolve

from ..errors import LocalProtocolError
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
    UnknownItem,
    UnknownPart,
)

__all__ = [
    "is_complete",
    "item_from_json",
    "item_from_server",
    "item_to_json",
    "items_from_response",
    "read_output",
]

_MAX_DEPTH: Final = 32
"""The deepest nesting that is kept of an item of another type. The schemas of tools have a dozen
levels; data with a thousand cannot be compared."""

_TYPES: Final = ("message", "function_call", "function_call_output")
"""The types of the items that this version knows."""

_UNKNOWN: Final = "unknown"
"""The key that marks an item of such a type as an `UnknownItem`: a message of a role that this
version does not know. No item of the server has it."""

_ROLES: Final[Mapping[str | None, Role]] = {role.value: role for role in Role}


# From the server.


def is_complete(item: Item) -> bool:
    """Whether the server says that an item will not grow any more. Without a status it does not."""
    return item.status in ("completed", "incomplete")


def item_from_server(item: Item) -> ConversationItem:
    """Return the item that an event describes, without its audio.

    Text that is missing or not a string is empty. An item or a part that this version does not know
    is an `UnknownItem` or an `UnknownPart`. An item without a status counts as complete here; the
    conversation knows better (see `is_complete`).
    """
    is_whole = item.status != "in_progress"
    content = _without_audio(item.content)
    match item.type:
        case "message" if item.role in _ROLES:
            parts = tuple(_part_from_server(part) for part in content)
            phase = _text_or_none(item.phase)
            return Message(item.id, _ROLES[item.role], parts, is_whole, phase)
        case "function_call":
            call_id, name, arguments = item.call_id or "", item.name or "", item.arguments or ""
            is_whole = is_whole and item.status != "incomplete"
            return FunctionCall(item.id, call_id, name, arguments, is_whole)
        case "function_call_output":
            return FunctionOutput(item.id, item.call_id or "", _text_or_none(item.output) or "")
        case _:
            fields = attrs.asdict(
                evolve(item, content=content or None),
                recurse=False,
                filter=lambda _, value: value is not None,
            )
            return UnknownItem(item.id, item.type, _without_keys(fields, "id", "type"))


def items_from_response(output: Any) -> tuple[ConversationItem, ...]:
    """Return the items of a response that is done, as its `output` describes them.

    An entry that describes no item is left out.
    """
    return tuple(map(item_from_server, read_output(output)))


def read_output(output: Any) -> tuple[Item, ...]:
    """Return the items of a response that is done as the server describes them; see
    `items_from_response`."""
    match output:
        case [*entries]:
            return tuple(item for entry in entries for item in _read_item(entry))
        case _:
            return ()


def _read_item(entry: Any) -> list[Item]:
    try:
        return [msgspec.convert(entry, Item)]
    except msgspec.ValidationError:
        return []


def _without_audio(content: Any) -> list[Any]:
    match content:
        case [*parts]:
            return [_without_keys(part, "audio") if _is_object(part) else part for part in parts]
        case _:
            return []


def _is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, (dict, Mapping))  # nearly always a `dict`: see `as_mapping`


def _part_from_server(part: Any) -> ContentPart:
    match part:
        case {"type": "input_text" | "output_text"}:
            return TextPart(_text_or_none(part.get("text")) or "")
        case {"type": "input_audio" | "output_audio"}:
            return AudioPart(_text_or_none(part.get("transcript")))
        case {"type": "input_image"}:
            return ImagePart(
                _text_or_none(part.get("image_url")) or "", _text_or_none(part.get("detail"))
            )
        case {"type": str(type_)}:
            return UnknownPart(type_, _without_keys(part, "type"))
        case _:
            return UnknownPart("")


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _without_keys(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: _limit_depth(value) for name, value in data.items() if name not in names}


def _limit_depth(value: Any, depth: int = 0) -> Any:
    """Return a value in which everything nested too deeply is null."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, str):  # as most are
        return value
    if _is_object(value):
        return {name: _limit_depth(each, depth + 1) for name, each in value.items()}
    match value:
        case [*values]:
            return [_limit_depth(each, depth + 1) for each in values]
        case _:
            return value


# To JSON data, and from it.


def item_to_json(item: ConversationItem) -> dict[str, Any]:
    """Return an item as JSON data, from which `item_from_json` makes the same item again."""
    match item:
        case Message(id=id_, role=role, parts=parts):
            fields = {"role": role.value, "content": [_part_to_json(role, part) for part in parts]}
            if item.phase is not None:
                fields["phase"] = item.phase
            status = _status_of(item.is_complete)
            return {"id": id_, "type": "message", "status": status, **fields}
        case FunctionCall(id=id_, call_id=call_id, name=name, arguments=arguments):
            fields = {"call_id": call_id, "name": name, "arguments": arguments}
            status = _status_of(item.is_complete)
            return {"id": id_, "type": "function_call", "status": status, **fields}
        case FunctionOutput(id=id_, call_id=call_id, output=output):
            kind = "function_call_output"
            return {"id": id_, "type": kind, "call_id": call_id, "output": output}
        case _:
            mark = {_UNKNOWN: True} if item.type in _TYPES else {}
            return {"id": item.id, "type": item.type, **mark, **item.data}


def _status_of(is_complete: bool) -> str:  # noqa: FBT001
    return "completed" if is_complete else "in_progress"


def _part_to_json(role: Role, part: ContentPart) -> dict[str, Any]:
    direction = "output" if role is Role.ASSISTANT else "input"
    match part:
        case TextPart(text=text):
            return {"type": f"{direction}_text", "text": text}
        case AudioPart(transcript=transcript, heard=heard, heard_ms=heard_ms):
            heard_fields = {} if heard_ms is None else {"heard": heard, "heard_ms": heard_ms}
            return {"type": f"{direction}_audio", "transcript": transcript, **heard_fields}
        case ImagePart(image_url=url, detail=detail):
            detail_field = {} if detail is None else {"detail": detail}
            return {"type": "input_image", "image_url": url, **detail_field}
        case _:
            return {"type": part.type, **part.data}


def item_from_json(data: Mapping[str, Any]) -> ConversationItem:
    """Return the item of JSON data; keys that `item_to_json` does not write are ignored.

    Raises `LocalProtocolError`, which names the place, if a field is missing or of the wrong type.
    """
    _check_mapping(data, "item")
    kind, id_ = _require_string(data, "type", "item"), _require_string(data, "id", "item")
    is_whole = data.get("status") != "in_progress"
    match kind:
        case _ if data.get(_UNKNOWN) is True and kind in _TYPES:
            return UnknownItem(id_, kind, _without_keys(data, "id", "type", _UNKNOWN))
        case "message":
            role = _ROLES.get(_require_string(data, "role", "item"))
            if role is None:
                _raise_invalid("item.role", "'system', 'user' or 'assistant'")
            phase = _require_string_or_null(data, "phase", "item")
            return Message(id_, role, _parts_from_json(data.get("content")), is_whole, phase)
        case "function_call":
            call_id = _require_string(data, "call_id", "item")
            name = _require_string(data, "name", "item")
            arguments = _require_string(data, "arguments", "item")
            return FunctionCall(id_, call_id, name, arguments, is_whole)
        case "function_call_output":
            call_id = _require_string(data, "call_id", "item")
            return FunctionOutput(id_, call_id, _require_string(data, "output", "item"))
        case _:
            return UnknownItem(id_, kind, _without_keys(data, "id", "type"))


def _parts_from_json(content: Any) -> tuple[ContentPart, ...]:
    match content:
        case [*parts]:
            pass
        case _:
            _raise_invalid("item.content", "a list of parts")
    places = (f"item.content[{index}]" for index in range(len(parts)))
    return tuple(map(_part_from_json, parts, places))


def _part_from_json(data: Any, place: str) -> ContentPart:
    _check_mapping(data, place)
    match _require_string(data, "type", place):
        case "input_text" | "output_text":
            return TextPart(_require_string(data, "text", place))
        case "input_audio" | "output_audio":
            heard_ms = data.get("heard_ms")
            if heard_ms is not None and (type(heard_ms) is not int or heard_ms < 0):
                _raise_invalid(f"{place}.heard_ms", "a whole number of milliseconds, or null")
            heard = _require_string_or_null(data, "heard", place)
            return AudioPart(_require_string_or_null(data, "transcript", place), heard, heard_ms)
        case "input_image":
            url = _require_string(data, "image_url", place)
            return ImagePart(url, _require_string_or_null(data, "detail", place))
        case kind:
            return UnknownPart(kind, _without_keys(data, "type"))


def _check_mapping(data: Any, place: str) -> None:
    if not _is_object(data):
        _raise_invalid(place, "an object")


def _require_string(data: Mapping[str, Any], name: str, place: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else _raise_invalid(f"{place}.{name}", "a string")


def _require_string_or_null(data: Mapping[str, Any], name: str, place: str) -> str | None:
    return None if data.get(name) is None else _require_string(data, name, place)


def _raise_invalid(place: str, expected: str) -> NoReturn:
    raise LocalProtocolError(f"{place} must be {expected}")

"""Conversation items from the server's events and from JSON, and to JSON.

`item_from_server` accepts whatever a server sends. `item_to_json` and `item_from_json` keep a
conversation: JSON data in the protocol's own shape, with `heard` and `heard_ms` beside the
transcript of audio that was cut.

Source: OpenAI API reference, "Realtime", conversation items.
"""

from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeGuard

import attrs
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

__all__ = ["item_from_json", "item_from_server", "item_to_json"]

_MAX_DEPTH: Final = 32
"""Levels of what is nested in an item of another kind: schemas of tools have a dozen, and what has
a thousand cannot be compared."""

_ROLES: Final[Mapping[str | None, Role]] = {role.value: role for role in Role}


# Read from the server.


def item_from_server(item: Item) -> ConversationItem:
    """An item as an event describes it; its audio is dropped.

    It takes what comes: text that is missing, or none, is empty; what this version does not know is
    an `OtherItem`, or an `OtherPart`.
    """
    complete = item.status != "in_progress"
    content = _without_audio(item.content)
    match item.type:
        case "message" if item.role in _ROLES:
            parts = tuple(_part_from_server(part) for part in content)
            return Message(item.id, _ROLES[item.role], parts, complete)
        case "function_call":
            call_id, name, arguments = item.call_id or "", item.name or "", item.arguments or ""
            return FunctionCall(item.id, call_id, name, arguments, complete)
        case "function_call_output":
            return FunctionOutput(item.id, item.call_id or "", _text_or_none(item.output) or "")
        case _:
            fields = attrs.asdict(
                evolve(item, content=content or None),
                recurse=False,
                filter=lambda _, value: value is not None,
            )
            return UnknownItem(item.id, item.type, _without_keys(fields, "id", "type"))


def _without_audio(content: Any) -> list[Any]:
    match content:
        case [*parts]:
            return [_without_keys(part, "audio") if _is_object(part) else part for part in parts]
        case _:
            return []


def _is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


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
    """A value without what is nested too deeply to mean anything."""
    if depth > _MAX_DEPTH:
        return None
    if _is_object(value):
        return {name: _limit_depth(each, depth + 1) for name, each in value.items()}
    match value:
        case [*values]:
            return [_limit_depth(each, depth + 1) for each in values]
        case _:
            return value


# JSON.


def item_to_json(item: ConversationItem) -> dict[str, Any]:
    """An item as JSON data, of which `item_from_json` makes the same item again."""
    match item:
        case Message(id=id_, role=role, parts=parts, is_complete=complete):
            fields = {"role": role.value, "content": [_part_to_json(role, part) for part in parts]}
            return {"id": id_, "type": "message", "status": _status_of(complete), **fields}
        case FunctionCall(id=id_, call_id=call_id, name=name, arguments=arguments):
            fields = {"call_id": call_id, "name": name, "arguments": arguments}
            status = _status_of(item.is_complete)
            return {"id": id_, "type": "function_call", "status": status, **fields}
        case FunctionOutput(id=id_, call_id=call_id, output=output):
            kind = "function_call_output"
            return {"id": id_, "type": kind, "call_id": call_id, "output": output}
        case _:
            return {"id": item.id, "type": item.type, **item.data}


def _status_of(complete: bool) -> str:  # noqa: FBT001
    return "completed" if complete else "in_progress"


def _part_to_json(role: Role, part: ContentPart) -> dict[str, Any]:
    way = "output" if role is Role.ASSISTANT else "input"
    match part:
        case TextPart(text=text):
            return {"type": f"{way}_text", "text": text}
        case AudioPart(transcript=transcript, heard=heard, heard_ms=heard_ms):
            cut = {} if heard_ms is None else {"heard": heard, "heard_ms": heard_ms}
            return {"type": f"{way}_audio", "transcript": transcript, **cut}
        case ImagePart(image_url=url, detail=detail):
            detail_field = {} if detail is None else {"detail": detail}
            return {"type": "input_image", "image_url": url, **detail_field}
        case _:
            return {"type": part.type, **part.data}


def item_from_json(data: Mapping[str, Any]) -> ConversationItem:
    """Return the item of its JSON data; keys that `item_to_json` does not write are left out.

    Raises `LocalProtocolError`, with the place, where a field is missing or of the wrong type.
    """
    _check_mapping(data, "item")
    kind, id_ = _require_string(data, "type", "item"), _require_string(data, "id", "item")
    complete = data.get("status") != "in_progress"
    match kind:
        case "message":
            role = _ROLES.get(_require_string(data, "role", "item"))
            if role is None:
                _raise_invalid("item.role", "'system', 'user' or 'assistant'")
            return Message(id_, role, _parts_from_json(data.get("content")), complete)
        case "function_call":
            call_id, name = (
                _require_string(data, "call_id", "item"),
                _require_string(data, "name", "item"),
            )
            return FunctionCall(
                id_, call_id, name, _require_string(data, "arguments", "item"), complete
            )
        case "function_call_output":
            return FunctionOutput(
                id_,
                _require_string(data, "call_id", "item"),
                _require_string(data, "output", "item"),
            )
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


def _raise_invalid(place: str, needed: str) -> NoReturn:
    raise LocalProtocolError(f"{place} must be {needed}")

"""The items of a conversation, as values. What people say is not in their `repr`.

`conversation.item_json` makes them from the server's events and from JSON data, and writes them as
JSON data.

Source: OpenAI API reference, "Realtime", conversation items,
https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, unique
from typing import Any, Final, TypeAlias, cast

from attrs import Attribute, evolve, field, frozen

from ..errors import LocalProtocolError
from ..machine.arguments import (
    BOOLEAN,
    MAPPING,
    NULL,
    UNICODE,
    FieldRule,
    instance_of,
    milliseconds,
    one_of,
)

__all__ = [
    "IMAGE_DETAIL",
    "AudioPart",
    "ContentPart",
    "ConversationItem",
    "FunctionCall",
    "FunctionOutput",
    "ImagePart",
    "Message",
    "Role",
    "TextPart",
    "UnknownItem",
    "UnknownPart",
    "as_items",
    "check_creatable_part",
    "check_item",
    "check_items",
    "check_part",
    "check_unique_ids",
    "replace_audio_with_text",
]


@unique
class Role(Enum):
    """The author of a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@frozen
class TextPart:
    """Text that is written, not spoken."""

    text: str = field(repr=False)


@frozen
class AudioPart:
    """Speech: its transcript, and how much of it was heard. The audio is not kept."""

    transcript: str | None = field(default=None, repr=False)
    """The words, as far as they are known. Those of the agent include words that were not heard."""
    heard: str | None = field(default=None, repr=False)
    """The beginning of `transcript` that was heard, in proportion to the audio, since nothing shows
    where a word is. `None`: the part was not interrupted, or the proportion is unknown."""
    heard_ms: int | None = None
    """How much of the audio was heard. `None`: the part was not interrupted, so all of it was or
    will be heard; always so for the caller's."""


@frozen
class ImagePart:
    """An image."""

    image_url: str = field(repr=False)
    """A data URL, or a URL from which the server fetches the image."""
    detail: str | None = None
    """How closely the model looks, as the server has it: "auto", "low" or "high" where a client
    creates the part. `None`: the server decides."""


@frozen
class UnknownPart:
    """A part of another type, as the server describes it. It is kept so that the parts after it
    have the right index."""

    type: str
    data: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)


ContentPart: TypeAlias = TextPart | AudioPart | ImagePart | UnknownPart


@frozen
class Message:
    """A message of the system, the user (the caller), or the assistant (the agent)."""

    id: str
    role: Role
    parts: tuple[ContentPart, ...] = ()
    """The content. The index of a part is its `content_index`: a part that is not known yet stands
    before one with words as an `AudioPart` or a `TextPart` that has none."""
    is_complete: bool = True
    """Whether the message will not grow any more."""
    phase: str | None = None
    """Of what the agent says, with `gpt-realtime-2` and later: "commentary", such as a word before
    a function call, or "final_answer". `None`: the model has no phases."""


@frozen
class FunctionCall:
    """A call of a function, which the model has requested."""

    id: str
    call_id: str
    name: str
    arguments: str = field(default="", repr=False)
    """JSON text as the model wrote it, which may be invalid."""
    is_complete: bool = True
    """Whether the model has written all of it; never so where it was cut off."""


@frozen
class FunctionOutput:
    """The output of a function, as text."""

    id: str
    call_id: str
    output: str = field(default="", repr=False)


@frozen
class UnknownItem:
    """An item of another type, such as `mcp_call`, as the server describes it."""

    id: str
    type: str
    data: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)


ConversationItem: TypeAlias = Message | FunctionCall | FunctionOutput | UnknownItem


def replace_audio_with_text(item: ConversationItem) -> ConversationItem:
    """Return the item with text in place of audio, so that it can be created on the server.

    The text is the transcript; of a part that was interrupted, only the words that were heard. A
    part without words is left out, so a message may have no part left.
    """
    if not isinstance(item, Message):
        return item
    parts = (_to_text_part(part) if isinstance(part, AudioPart) else part for part in item.parts)
    return evolve(item, parts=tuple(part for part in parts if part is not None))


def _to_text_part(part: AudioPart) -> TextPart | None:
    words = part.transcript if part.heard_ms is None else part.heard
    return TextPart(words) if words else None


# Checks of items that the application gives. (Those of the server are never wrong values.)

_Rules: TypeAlias = Mapping[type, Mapping[str, FieldRule]]

_PART_RULES: Final[_Rules] = {
    TextPart: {"text": UNICODE},
    AudioPart: {
        "transcript": UNICODE | NULL,
        "heard": UNICODE | NULL,
        "heard_ms": milliseconds(0) | NULL,
    },
    ImagePart: {"image_url": UNICODE, "detail": UNICODE | NULL},
    UnknownPart: {"type": UNICODE, "data": MAPPING},
}
_ITEM_RULES: Final[_Rules] = {
    Message: {
        "id": UNICODE,
        "role": instance_of(Role),
        "parts": FieldRule("a tuple of parts", lambda value: isinstance(value, tuple)),
        "is_complete": BOOLEAN,
        "phase": UNICODE | NULL,
    },
    FunctionCall: {
        "id": UNICODE,
        "call_id": UNICODE,
        "name": UNICODE,
        "arguments": UNICODE,
        "is_complete": BOOLEAN,
    },
    FunctionOutput: {"id": UNICODE, "call_id": UNICODE, "output": UNICODE},
    UnknownItem: {"id": UNICODE, "type": UNICODE, "data": MAPPING},
}
IMAGE_DETAIL: Final = one_of("auto", "low", "high") | NULL
"""The detail with which an image can be created; one that the server has may have another."""
_PART: Final = instance_of(*_PART_RULES)
_ITEM: Final = instance_of(*_ITEM_RULES)
_ITEMS: Final = FieldRule("a list of conversation items", lambda value: isinstance(value, tuple))


def as_items(items: Iterable[ConversationItem]) -> tuple[ConversationItem, ...]:
    """Return the items of any iterable as a tuple; a converter of a field. What is no list of items
    is returned as it is, for `check_items` to refuse."""
    given = cast(object, items)
    is_list = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    return tuple(items) if is_list else cast(Any, items)


def check_items(
    owner: object, attribute: "Attribute[Any]", items: tuple[ConversationItem, ...]
) -> None:
    """Check a field that has items of the application, as `check_item` does; an attrs validator."""
    _ITEMS(owner, attribute, items)
    for index, item in enumerate(items):
        check_item(item, f"{type(owner).__name__}.{attribute.name}[{index}]")


def check_unique_ids(items: Iterable[ConversationItem], place: str) -> None:
    """Check that no two items have the same id.

    Raises `LocalProtocolError`, which names the place of the later one.
    """
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item.id in seen:
            raise LocalProtocolError(
                f"{place}[{index}] has the id of an earlier item: choose another"
            )
        seen.add(item.id)


def check_item(item: object, place: str) -> None:
    """Check the types of an item that the application gives, and of all its fields.

    Raises `LocalProtocolError`, which names the place.
    """
    _ITEM.check(place, item)
    _check_fields(item, _ITEM_RULES, place)
    if isinstance(item, Message):
        for index, part in enumerate(item.parts):
            check_part(part, f"{place}.parts[{index}]")


def check_part(part: object, place: str) -> None:
    """Check the types of a content part, and of all its fields, as `check_item` does."""
    _PART.check(place, part)
    _check_fields(part, _PART_RULES, place)


def check_creatable_part(part: ContentPart, place: str) -> None:
    """Check the values with which the server refuses to create a part; a part that it has already
    may have others.

    Raises `LocalProtocolError`, which names the place.
    """
    if isinstance(part, ImagePart):
        IMAGE_DETAIL.check(f"{place}.detail", part.detail)


def _check_fields(value: object, rules: _Rules, place: str) -> None:
    for kind, fields in rules.items():
        if isinstance(value, kind):
            for name, rule in fields.items():
                rule.check(f"{place}.{name}", getattr(value, name))

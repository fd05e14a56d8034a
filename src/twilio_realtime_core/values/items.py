"""The items of a conversation, as values.

`conversation.item_json` reads them from the server's events and from JSON, and writes them.

Source: OpenAI API reference, "Realtime", conversation items. What is said stays out of `repr`.
"""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

__all__ = [
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
    "replace_audio_with_text",
]


@unique
class Role(Enum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@frozen
class TextPart:
    """Words that were written, not spoken."""

    text: str = field(repr=False)


@frozen
class AudioPart:
    """Words that were spoken. The sound itself is not kept.

    `transcript` is what was said, as far as it is known; of the agent's, all that it meant to say.
    `heard_ms` is `None` for the caller's, and where the agent was not interrupted: all of it was,
    or will be, heard. Else it is how much of the audio was, and `heard` the beginning of
    `transcript` that goes with it, in proportion to the audio (nothing better is known of where a
    word lies); `None` where the proportion is not known either.
    """

    transcript: str | None = field(default=None, repr=False)
    heard: str | None = field(default=None, repr=False)
    heard_ms: int | None = None


@frozen
class ImagePart:
    """A picture: a data URL, or one to fetch it from."""

    image_url: str = field(repr=False)
    detail: str | None = None


@frozen
class UnknownPart:
    """A part of another kind, as the server describes it; it keeps the places of those after it."""

    type: str
    data: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)


ContentPart: TypeAlias = TextPart | AudioPart | ImagePart | UnknownPart


@frozen
class Message:
    """What somebody says. A part's place in `parts` is its `content_index`. `complete`: no more of
    it will come."""

    id: str
    role: Role
    parts: tuple[ContentPart, ...] = ()
    is_complete: bool = True


@frozen
class FunctionCall:
    """The model wants a function called. `arguments` is JSON text as the model wrote it."""

    id: str
    call_id: str
    name: str
    arguments: str = field(default="", repr=False)
    is_complete: bool = True


@frozen
class FunctionOutput:
    """What a function has returned, as text."""

    id: str
    call_id: str
    output: str = field(default="", repr=False)


@frozen
class UnknownItem:
    """An item of another kind, such as `mcp_call`, as the server describes it."""

    id: str
    type: str
    data: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)


ConversationItem: TypeAlias = Message | FunctionCall | FunctionOutput | UnknownItem


def replace_audio_with_text(item: ConversationItem) -> ConversationItem:
    """The item with written words in the place of spoken ones, so that it can be created.

    Of audio that was cut only the words that were heard are taken, of other audio its transcript;
    parts without words are left out, so that a message may be left with none.
    """
    if not isinstance(item, Message):
        return item
    parts = (_to_text_part(part) if isinstance(part, AudioPart) else part for part in item.parts)
    return evolve(item, parts=tuple(part for part in parts if part is not None))


def _to_text_part(part: AudioPart) -> TextPart | None:
    words = part.transcript if part.heard_ms is None else part.heard
    return TextPart(words) if words else None

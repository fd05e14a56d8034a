"""The items that were sent and that the server has not echoed yet, as `conversation.item.added`.

The order of the echoes and of `response.created` shows which items a response may have seen.

Source: OpenAI API reference, "Realtime", `conversation.item.added`,
https://platform.openai.com/docs/api-reference/realtime-server-events (read 2026-09-30).
"""

from collections.abc import Iterable
from typing import Final, cast

from ..protocols.realtime import Item

__all__ = ["MAX_SENT_ITEMS", "SentItems"]

MAX_SENT_ITEMS: Final = 256
"""Items remembered whose echo is awaited: it takes a round trip. One that is forgotten counts as
echoed."""

_MESSAGE_PREFIX: Final = "message "
"""Starts the key of a message of the user, whose id the server chooses."""


class SentItems:
    """The items whose echo is awaited, by key: the call id of an output, or the id of an item. A
    message of the user without an id has a key of its own."""

    def __init__(self) -> None:
        self._count = 0
        self._keys: dict[str, None] = {}

    def add(self, key: str = "") -> str:
        """Add an item that is sent. Without a key it is a message of the user. Returns the key."""
        self._count += 1
        key = key or f"{_MESSAGE_PREFIX}{self._count}"
        if len(self._keys) >= MAX_SENT_ITEMS:
            del self._keys[next(iter(self._keys))]
        self._keys[key] = None
        return key

    def take(self, item: Item) -> str | None:
        """Remove an item that the server has added, and return its key; `None`: it was not awaited.
        A message without a known id is taken for the one sent first."""
        key = self._key_of(item)
        if key not in self._keys:
            return None
        del self._keys[key]
        return key

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return those of `keys` whose echo is awaited."""
        return [key for key in keys if key in self._keys]

    def _key_of(self, item: Item) -> str:
        match item:
            case Item(type="function_call_output", call_id=str(call_id)):
                return call_id
            case Item(type="message", role="user") if not _is_speech(item):
                if item.id in self._keys:
                    return item.id
                return next((key for key in self._keys if key.startswith(_MESSAGE_PREFIX)), "")
            case _:
                return item.id


def _is_speech(item: Item) -> bool:
    """Whether an item of the user is audio, which no automatic request follows."""
    content = item.content
    return isinstance(content, list) and any(map(_is_audio, cast("list[object]", content)))


def _is_audio(part: object) -> bool:
    match part:
        case {"type": "input_audio"}:
            return True
        case _:
            return False

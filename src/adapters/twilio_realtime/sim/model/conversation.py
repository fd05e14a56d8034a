"""The default conversation as the simulated server stores it.

Tests judge a bridge by it: after a call, `assumed_heard_ms` of each spoken item is how much of it
the model assumes the caller has heard.
"""

import base64
from collections.abc import Iterator
from typing import Any, TypeAlias

from attrs import define, field

__all__ = ["StoredConversation", "StoredItem"]

JsonFields: TypeAlias = dict[str, Any]

_TEXT_FIELDS = ("arguments", "output", "text", "transcript")
"""The fields of items and content parts that hold text for the model."""


@define(eq=False)
class StoredItem:
    """One item of the conversation, of the agent, the caller or the client.

    `fields` are those on the wire except the content, in the server's order. `audio` is the audio
    of its only audio part, in the wire format.
    """

    fields: JsonFields
    content: list[JsonFields] | None = None
    response_id: str | None = None
    """The response that made it; `None` for items of the client and of the caller."""
    audio: bytearray = field(factory=bytearray, repr=False)
    audio_bytes_per_ms: int = 8
    generated_ms: int = 0
    """How much of its audio has been sent to the client (ms)."""
    truncated_ms: int | None = None
    """Where the client truncated it (ms)."""
    is_deleted: bool = False
    """Whether the client has deleted it."""
    previous_item_id: str | None = None
    """The item before it when it was added."""
    is_second: bool = False
    """Whether it was added as the second item of the conversation."""

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.fields["id"])

    @property
    def type(self) -> str:
        """`message`, `function_call`, `function_call_output` …"""
        return str(self.fields["type"])

    @property
    def role(self) -> str | None:
        """The role of a message: `system`, `user` or `assistant`."""
        return self.fields.get("role")

    @property
    def status(self) -> str | None:
        """`in_progress`, `completed` or `incomplete`, if the item has a status."""
        return self.fields.get("status")

    @property
    def is_spoken(self) -> bool:
        """Whether it is a message with audio of the model."""
        return any(part["type"] == "output_audio" for part in self.content or ())

    @property
    def transcript(self) -> str | None:
        """The transcript of its audio, as far as the model has one."""
        return self.content[0].get("transcript") if self.content else None

    @property
    def texts(self) -> list[str]:
        """All texts in it that the model can read."""
        parts = [self.fields, *(self.content or ())]
        found = [part.get(name) for part in parts for name in _TEXT_FIELDS]
        return [text for text in found if text]

    @property
    def audio_ms(self) -> int:
        """How much audio of it the model has (ms)."""
        return len(self.audio) // self.audio_bytes_per_ms

    @property
    def remaining_ms(self) -> int:
        """How much of its audio is left after truncation, whether or not it is deleted (ms)."""
        return self.generated_ms if self.truncated_ms is None else self.truncated_ms

    @property
    def assumed_heard_ms(self) -> int:
        """How much of its audio the model assumes was heard (ms): nothing of a deleted item."""
        return 0 if self.is_deleted else self.remaining_ms

    def to_wire(self, *, with_audio: bool = False) -> JsonFields:
        """Return the item as events hold it: a new object that later changes do not affect."""
        if self.content is None:
            return dict(self.fields)
        content = [dict(part) for part in self.content]
        if with_audio and self.audio:
            content[0]["audio"] = base64.b64encode(self.audio).decode()
        return {**self.fields, "content": content}

    def add_audio(self, audio: bytes, duration_ms: int) -> None:
        """Add `duration_ms` of audio that was sent; a truncated item does not keep it."""
        self.generated_ms += duration_ms
        if self.truncated_ms is None:
            self.audio += audio

    def set_transcript(self, transcript: str) -> None:
        """Set the transcript of its audio as far as it is known; a truncated item keeps none."""
        if self.content and self.truncated_ms is None:
            self.content[0]["transcript"] = transcript

    def truncate(self, audio_end_ms: int) -> None:
        """Drop its audio from `audio_end_ms` on, and its transcript: the server cannot know which
        words are left (API reference, `conversation.item.truncate`)."""
        self.truncated_ms = audio_end_ms
        del self.audio[audio_end_ms * self.audio_bytes_per_ms :]
        if self.content:
            self.content[0]["transcript"] = None


class StoredConversation:
    """The items of the default conversation, in order; deleted items stay in `items`, marked as
    deleted."""

    def __init__(self) -> None:
        self.items: list[StoredItem] = []

    def __iter__(self) -> Iterator[StoredItem]:
        return (item for item in self.items if not item.is_deleted)

    @property
    def last_id(self) -> str | None:
        """The id of the newest item."""
        return next((item.id for item in reversed(self.items) if not item.is_deleted), None)

    def find(self, item_id: str) -> StoredItem | None:
        """Return the item of an id; `None` if there is none or it is deleted."""
        return next((item for item in self if item.id == item_id), None)

    def has_call(self, call_id: str) -> bool:
        """Return whether there is a function call of an id."""
        return any(
            item.fields.get("call_id") == call_id for item in self if item.type == "function_call"
        )

    def append(self, item: StoredItem) -> None:
        """Add an item at the end."""
        item.previous_item_id = self.last_id
        self._insert(len(self.items), item)

    def insert_after(self, previous: StoredItem | None, item: StoredItem) -> None:
        """Add an item behind another; `None` stands for the front (`previous_item_id: root`)."""
        item.previous_item_id = None if previous is None else previous.id
        self._insert(self.items.index(previous) + 1 if previous else 0, item)

    def _insert(self, index: int, item: StoredItem) -> None:
        before = sum(not earlier.is_deleted for earlier in self.items[:index])
        item.is_second = before == 1
        self.items.insert(index, item)

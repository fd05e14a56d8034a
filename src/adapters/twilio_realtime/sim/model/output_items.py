"""The items of a response while they are generated: a spoken message, a text message, a function
call.

Each item yields events to send now, and nanoseconds to wait: from `open`, `generate` and `close`.
The order of events, the sizes of deltas and the pace are those of recorded sessions.
"""

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from ..audio import silence
from .audio_formats import AudioFormat
from .conversation import StoredConversation, StoredItem
from .pace import Pace
from .server_events import ServerEvent, ServerEventWriter

__all__ = [
    "DelayOrEvent",
    "FunctionCallOutputItem",
    "ItemContext",
    "OutputItem",
    "PacedEvents",
    "SpokenOutputItem",
    "TextOutputItem",
    "split_tokens",
]

DelayOrEvent: TypeAlias = int | ServerEvent
"""Nanoseconds to wait, or an event to send."""

PacedEvents: TypeAlias = Generator[DelayOrEvent, None, None]
"""Events and the delays between them; once it is closed, nothing more is sent."""

TOKEN_MS: Final = 50
"""The model generates audio in tokens of 50 ms, as `usage` counts them."""

_LEADING_TOKENS: Final = 4
"""How many transcript deltas come before any audio."""

_TRANSCRIPT_LEAD: Final = 3 / 2
"""How much faster than the audio the transcript comes: it is complete after two thirds of the
audio."""


@frozen(eq=False)
class ItemContext:
    """Where an item is generated: its index in a response, and what it needs of the connection.

    `conversation` is the default conversation, or `None` out of band.
    """

    response_id: str
    index: int
    pace: Pace
    writer: ServerEventWriter
    conversation: StoredConversation | None
    audio_format: AudioFormat
    phase: str | None = None
    """The phase of a message, for models that have phases."""


@define(eq=False)
class OutputItem(ABC):
    """An item of a response. `sent_text` is what has been sent of its transcript, text or
    arguments."""

    context: ItemContext
    item: StoredItem = field(init=False)
    sent_text: str = field(init=False, default="")
    sent_tokens: int = field(init=False, default=0)
    """How many tokens of text have been sent."""

    def open(self) -> Generator[ServerEvent, None, None]:
        """Add the item, empty."""
        context = self.context
        self.item = StoredItem(
            {"id": context.writer.new_id("item"), **self._initial_fields()},
            content=self._initial_content(),
            response_id=context.response_id,
            audio_bytes_per_ms=context.audio_format.bytes_per_ms,
        )
        if context.conversation is not None:
            context.conversation.append(self.item)
        yield self._item_event("response.output_item.added")
        if context.conversation is not None:
            yield self._conversation_event("conversation.item.added", self.item.previous_item_id)

    @abstractmethod
    def generate(self) -> PacedEvents:
        """Yield its contents in deltas."""

    def close(self, status: str) -> Generator[ServerEvent, None, None]:
        """Finish the item as `completed` or `incomplete`, with what has been sent."""
        self.item.fields["status"] = status
        if self.context.conversation is not None:
            # Recorded sessions name no predecessor here for the second item of a conversation.
            previous = None if self.item.is_second else self.item.previous_item_id
            yield self._conversation_event("conversation.item.done", previous)
        yield self._item_event("response.output_item.done")

    def _initial_fields(self) -> dict[str, Any]:
        fields = {"type": "message", "status": "in_progress", "role": "assistant"}
        return fields if self.context.phase is None else {**fields, "phase": self.context.phase}

    def _initial_content(self) -> list[dict[str, Any]] | None:
        return []

    def _item_event(self, type_: str) -> ServerEvent:
        context, wire = self.context, self.item.to_wire()
        return context.writer.make_event(
            type_, response_id=context.response_id, output_index=context.index, item=wire
        )

    def _conversation_event(self, type_: str, previous: str | None) -> ServerEvent:
        return self.context.writer.make_event(
            type_, previous_item_id=previous, item=self.item.to_wire()
        )

    def _make_event(self, type_: str, **fields: object) -> ServerEvent:
        return self.context.writer.make_event(type_, **self._position_fields(), **fields)

    def _send_token(self, type_: str, token: str, **fields: object) -> ServerEvent:
        self.sent_text += token
        self.sent_tokens += 1
        return self.context.writer.make_delta(type_, token, **self._position_fields(), **fields)

    def _position_fields(self) -> dict[str, Any]:
        context = self.context
        return {
            "response_id": context.response_id,
            "item_id": self.item.id,
            "output_index": context.index,
        }


@define(eq=False)
class SpokenOutputItem(OutputItem):
    """A spoken message: its transcript runs ahead of its audio."""

    _audio: bytes
    _transcript: str

    def open(self) -> Generator[ServerEvent, None, None]:
        """Add the item, with an empty audio part."""
        yield from super().open()
        self.item.content = [{"type": "output_audio", "transcript": ""}]
        part = {"type": "audio", "transcript": ""}
        yield self._make_event("response.content_part.added", content_index=0, part=part)

    def generate(self) -> PacedEvents:
        """Yield transcript and audio in deltas."""
        pace = self.context.pace
        audio = self._audio + silence(-len(self._audio) % (8 * TOKEN_MS))
        total_ms = len(audio) // 8
        tokens = split_tokens(self._transcript)
        yield pace.transcript_ns
        yield from self._send_transcript(tokens[:_LEADING_TOKENS])
        at_ms = 0
        for delta_ms in pace.delta_sizes_ms(total_ms):
            yield pace.generation_ns(delta_ms) if at_ms else pace.first_audio_ns
            due_tokens = int(len(tokens) * _TRANSCRIPT_LEAD * at_ms / total_ms)
            yield from self._send_transcript(tokens[self.sent_tokens : due_tokens])
            yield self._make_audio_delta(audio[8 * at_ms : 8 * (at_ms + delta_ms)], delta_ms)
            at_ms += delta_ms
        yield from self._send_transcript(tokens[self.sent_tokens :])

    def close(self, status: str) -> Generator[ServerEvent, None, None]:
        """Finish the item, with as much of the transcript as was sent."""
        yield self._make_event("response.output_audio.done", content_index=0)
        yield self._make_event(
            "response.output_audio_transcript.done", content_index=0, transcript=self.sent_text
        )
        part = {"type": "audio", "transcript": self.sent_text}
        yield self._make_event("response.content_part.done", content_index=0, part=part)
        yield from super().close(status)

    def _send_transcript(self, tokens: list[str]) -> Generator[ServerEvent, None, None]:
        for token in tokens:
            yield self._send_token("response.output_audio_transcript.delta", token, content_index=0)
            self.item.set_transcript(self.sent_text)

    def _make_audio_delta(self, piece: bytes, duration_ms: int) -> ServerEvent:
        wire = self.context.audio_format.encode(piece)
        self.item.add_audio(wire, duration_ms)
        delta = base64.b64encode(wire).decode()
        return self._make_event("response.output_audio.delta", content_index=0, delta=delta)


@define(eq=False)
class TextOutputItem(OutputItem):
    """A text message."""

    _text: str

    def open(self) -> Generator[ServerEvent, None, None]:
        """Add the item, with an empty text part."""
        yield from super().open()
        self.item.content = [{"type": "output_text", "text": ""}]
        part = {"type": "text", "text": ""}
        yield self._make_event("response.content_part.added", content_index=0, part=part)

    def generate(self) -> PacedEvents:
        """Yield its text in deltas."""
        for index, token in enumerate(split_tokens(self._text)):
            if index:
                yield self.context.pace.text_delta_ns
            yield self._send_token("response.output_text.delta", token, content_index=0)

    def close(self, status: str) -> Generator[ServerEvent, None, None]:
        """Finish the item, with as much of the text as was sent."""
        self.item.content = [{"type": "output_text", "text": self.sent_text}]
        yield self._make_event("response.output_text.done", content_index=0, text=self.sent_text)
        part = {"type": "text", "text": self.sent_text}
        yield self._make_event("response.content_part.done", content_index=0, part=part)
        yield from super().close(status)


@define(eq=False)
class FunctionCallOutputItem(OutputItem):
    """A function call; it has no content parts."""

    _name: str
    _call_id: str
    _arguments: str

    def generate(self) -> PacedEvents:
        """Yield its arguments in deltas."""
        for index, token in enumerate(split_tokens(self._arguments)):
            if index:
                yield self.context.pace.text_delta_ns
            yield self._send_token(
                "response.function_call_arguments.delta", token, call_id=self._call_id
            )

    def close(self, status: str) -> Generator[ServerEvent, None, None]:
        """Finish the call, with as much of the arguments as was sent."""
        self.item.fields["arguments"] = self.sent_text
        yield self._make_event(
            "response.function_call_arguments.done",
            call_id=self._call_id,
            name=self._name,
            arguments=self.sent_text,
        )
        yield from super().close(status)

    def _initial_fields(self) -> dict[str, Any]:
        return {
            "type": "function_call",
            "status": "in_progress",
            "name": self._name,
            "call_id": self._call_id,
            "arguments": "",
        }

    def _initial_content(self) -> None:
        return None


def split_tokens(text: str) -> list[str]:
    """Split text into pieces as a model generates it: a word or some punctuation, with the space
    before it."""
    return re.findall(r"\s*(?:\w+|[^\w\s]+)|\s+", text)

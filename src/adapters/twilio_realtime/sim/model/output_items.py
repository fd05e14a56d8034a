"""The items of a response as they are made: a spoken message, a written one, a function call.

Each is written as the client sees it, in iterators of events to send now and of nanoseconds to
wait: `begin`, `make`, `end`. Order of events, delta sizes and pace are those of recorded sessions.
"""

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from ..audio import silence
from .audio_formats import AudioFormat
from .conversation import ConversationItem, Memory
from .pace import Pace
from .server_events import EventWriter, ServerEvent

__all__ = [
    "CallItem",
    "OutputItem",
    "Place",
    "SpokenItem",
    "Step",
    "Steps",
    "WrittenItem",
    "split_tokens",
]

Step: TypeAlias = int | ServerEvent
"""Nanoseconds to wait, or an event to send."""

Steps: TypeAlias = Generator[Step, None, None]
"""What is to be done, one thing after another; closed, nothing more of it is."""

TOKEN_MS: Final = 50
"""The model makes sound in pieces of 50 ms; each is one audio token of `usage`."""

_LEAD_TOKENS: Final = 4
"""So many transcript deltas come before any audio."""

_LEAD: Final = 3 / 2
"""The transcript is finished when two thirds of the audio are out."""


@frozen(eq=False)
class Place:
    """Where an item is made: as the item of `index` in a response, and in which surroundings.

    `memory` is the default conversation, or `None` out of band.
    """

    response_id: str
    index: int
    pace: Pace
    writer: EventWriter
    memory: Memory | None
    audio_format: AudioFormat


@define(eq=False)
class OutputItem(ABC):
    """An item of a response; `text` is what has been sent of its transcript, text or arguments."""

    place: Place
    item: ConversationItem = field(init=False)
    text: str = field(init=False, default="")
    tokens: int = field(init=False, default=0)
    """How many tokens of text have been sent."""

    def begin(self) -> Generator[ServerEvent, None, None]:
        """The item is there, with nothing in it."""
        place = self.place
        self.item = ConversationItem(
            {"id": place.writer.id("item"), **self._fields()},
            content=self._no_content(),
            response_id=place.response_id,
            audio_bytes_per_ms=place.audio_format.bytes_per_ms,
        )
        if place.memory is not None:
            place.memory.append(self.item)
        yield self._item_event("response.output_item.added")
        if place.memory is not None:
            yield self._conversation_event("conversation.item.added", self.item.previous_item_id)

    @abstractmethod
    def make(self) -> Steps:
        """What is in it, piece by piece."""

    def end(self, status: str) -> Generator[ServerEvent, None, None]:
        """The item is `completed`, or as it stands `incomplete`."""
        self.item.fields["status"] = status
        if self.place.memory is not None:
            # Recorded sessions name no predecessor here for the second item of a conversation.
            previous = None if self.item.second else self.item.previous_item_id
            yield self._conversation_event("conversation.item.done", previous)
        yield self._item_event("response.output_item.done")

    def _fields(self) -> dict[str, Any]:
        return {"type": "message", "status": "in_progress", "role": "assistant"}

    def _no_content(self) -> list[dict[str, Any]] | None:
        return []

    def _item_event(self, type_: str) -> ServerEvent:
        place, wire = self.place, self.item.wire()
        return place.writer.event(
            type_, response_id=place.response_id, output_index=place.index, item=wire
        )

    def _conversation_event(self, type_: str, previous: str | None) -> ServerEvent:
        return self.place.writer.event(type_, previous_item_id=previous, item=self.item.wire())

    def _event(self, type_: str, **fields: object) -> ServerEvent:
        return self.place.writer.event(type_, **self._where(), **fields)

    def _say(self, type_: str, token: str, **where: object) -> ServerEvent:
        self.text += token
        self.tokens += 1
        return self.place.writer.delta(type_, token, **self._where(), **where)

    def _where(self) -> dict[str, Any]:
        place = self.place
        return {
            "response_id": place.response_id,
            "item_id": self.item.id,
            "output_index": place.index,
        }


@define(eq=False)
class SpokenItem(OutputItem):
    """A message that is spoken: its transcript runs ahead of its audio."""

    _audio: bytes
    _transcript: str

    def begin(self) -> Generator[ServerEvent, None, None]:
        """The item is there, with an empty audio part."""
        yield from super().begin()
        self.item.content = [{"type": "output_audio", "transcript": ""}]
        part = {"type": "audio", "transcript": ""}
        yield self._event("response.content_part.added", content_index=0, part=part)

    def make(self) -> Steps:
        """Transcript and audio, in deltas."""
        pace = self.place.pace
        audio = self._audio + silence(-len(self._audio) % (8 * TOKEN_MS))
        total_ms = len(audio) // 8
        tokens = split_tokens(self._transcript)
        yield pace.transcript_ns
        yield from self._transcribe(tokens[:_LEAD_TOKENS])
        at_ms = 0
        for size_ms in pace.sizes(total_ms):
            yield pace.making(size_ms) if at_ms else pace.audio_ns
            due = int(len(tokens) * _LEAD * at_ms / total_ms)
            yield from self._transcribe(tokens[self.tokens : due])
            yield self._sound(audio[8 * at_ms : 8 * (at_ms + size_ms)], size_ms)
            at_ms += size_ms
        yield from self._transcribe(tokens[self.tokens :])

    def end(self, status: str) -> Generator[ServerEvent, None, None]:
        """The item is done, with as much of the transcript as was sent."""
        yield self._event("response.output_audio.done", content_index=0)
        yield self._event(
            "response.output_audio_transcript.done", content_index=0, transcript=self.text
        )
        part = {"type": "audio", "transcript": self.text}
        yield self._event("response.content_part.done", content_index=0, part=part)
        yield from super().end(status)

    def _transcribe(self, tokens: list[str]) -> Generator[ServerEvent, None, None]:
        for token in tokens:
            yield self._say("response.output_audio_transcript.delta", token, content_index=0)
            self.item.transcribe(self.text)

    def _sound(self, piece: bytes, duration_ms: int) -> ServerEvent:
        wire = self.place.audio_format.encode(piece)
        self.item.say(wire, duration_ms)
        delta = base64.b64encode(wire).decode()
        return self._event("response.output_audio.delta", content_index=0, delta=delta)


@define(eq=False)
class WrittenItem(OutputItem):
    """A message that is written."""

    _text: str

    def begin(self) -> Generator[ServerEvent, None, None]:
        """The item is there, with an empty text part."""
        yield from super().begin()
        self.item.content = [{"type": "output_text", "text": ""}]
        part = {"type": "text", "text": ""}
        yield self._event("response.content_part.added", content_index=0, part=part)

    def make(self) -> Steps:
        """Its text, in deltas."""
        for index, token in enumerate(split_tokens(self._text)):
            if index:
                yield self.place.pace.token_ns
            yield self._say("response.output_text.delta", token, content_index=0)

    def end(self, status: str) -> Generator[ServerEvent, None, None]:
        """The item is done, with as much of the text as was sent."""
        self.item.content = [{"type": "output_text", "text": self.text}]
        yield self._event("response.output_text.done", content_index=0, text=self.text)
        part = {"type": "text", "text": self.text}
        yield self._event("response.content_part.done", content_index=0, part=part)
        yield from super().end(status)


@define(eq=False)
class CallItem(OutputItem):
    """A function call; it has no content parts."""

    _name: str
    _call_id: str
    _arguments: str

    def make(self) -> Steps:
        """Its arguments, in deltas."""
        for index, token in enumerate(split_tokens(self._arguments)):
            if index:
                yield self.place.pace.token_ns
            yield self._say("response.function_call_arguments.delta", token, call_id=self._call_id)

    def end(self, status: str) -> Generator[ServerEvent, None, None]:
        """The call is done, with as much of the arguments as was sent."""
        self.item.fields["arguments"] = self.text
        yield self._event(
            "response.function_call_arguments.done",
            call_id=self._call_id,
            name=self._name,
            arguments=self.text,
        )
        yield from super().end(status)

    def _fields(self) -> dict[str, Any]:
        return {
            "type": "function_call",
            "status": "in_progress",
            "name": self._name,
            "call_id": self._call_id,
            "arguments": "",
        }

    def _no_content(self) -> None:
        return None


def split_tokens(text: str) -> list[str]:
    """Text in pieces as a model writes it: a word or some punctuation, with the space before it."""
    return re.findall(r"\s*(?:\w+|[^\w\s]+)|\s+", text)

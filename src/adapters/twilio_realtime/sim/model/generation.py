"""One response of the simulated model, from `response.created` to `response.done`."""

from typing import Any

from attrs import define, field, frozen

from .audio_formats import AudioFormat
from .conversation import Memory
from .output_items import (
    TOKEN_MS,
    CallItem,
    OutputItem,
    Place,
    SpokenItem,
    Step,
    Steps,
    WrittenItem,
)
from .pace import Pace
from .replies import FunctionCall, Reply, ReplyItem, Speech, Text
from .server_events import EventWriter

__all__ = ["Generation", "ResponseSettings"]


@frozen
class ResponseSettings:
    """What a response takes from the session, from its own `response.create`, and from what was
    said before.

    `wire` are the fields of the Response object that tell: `conversation_id`, `output_modalities`,
    `max_output_tokens`, `audio`, `metadata`. The tokens are those of the model's input.
    """

    wire: dict[str, Any]
    audio_format: AudioFormat
    text_tokens: int
    audio_tokens: int

    @property
    def written(self) -> bool:
        """Whether the response is written rather than spoken."""
        return bool(self.wire["output_modalities"] == ["text"])


@define(eq=False)
class Generation:
    """A response being made.

    `run` are its steps, up to `response.done`; `cancel` those that close it early, wherever it
    stands. `memory` is the default conversation, or `None` out of band.
    """

    id: str
    _reply: Reply
    _settings: ResponseSettings
    _pace: Pace
    _writer: EventWriter
    _memory: Memory | None
    _made: list[OutputItem] = field(init=False, factory=list[OutputItem])
    _open: OutputItem | None = field(init=False, default=None)

    @property
    def in_conversation(self) -> bool:
        """Whether its items belong to the default conversation."""
        return self._memory is not None

    @property
    def audio_ms(self) -> int:
        """How much audio of it has been sent."""
        return sum(made.item.generated_ms for made in self._made)

    def run(self) -> Steps:
        """All of it, from `response.created`."""
        yield self._event("response.created", "in_progress", None, None)
        reply = self._reply
        for index, item in enumerate(reply.items):
            yield self._pause_before(item, index)
            made = self._prepare(item, index)
            yield from made.begin()
            self._made.append(made)
            self._open = made
            yield from made.make()
            self._open = None
            broken = reply.status != "completed" and index == len(reply.items) - 1
            yield from made.end("incomplete" if broken else "completed")
        yield self._event("response.done", reply.status, _details(reply), self._usage())

    def cancel(self, reason: str) -> Steps:
        """Close what is open; `reason` is `turn_detected` or `client_cancelled`."""
        if self._open is not None:
            yield from self._open.end("incomplete")
        if self._pace.cancelled_ns:
            yield self._pace.cancelled_ns
        details = {"type": "cancelled", "reason": reason}
        yield self._event("response.done", "cancelled", details, self._usage())

    def _pause_before(self, item: ReplyItem, index: int) -> int:
        if index:
            return self._pace.next_item_ns
        spoken = isinstance(item, Speech) and not self._settings.written
        return self._pace.item_ns if spoken else self._pace.text_ns

    def _prepare(self, item: ReplyItem, index: int) -> OutputItem:
        settings, writer = self._settings, self._writer
        place = Place(self.id, index, self._pace, writer, self._memory, settings.audio_format)
        match item:
            case Speech(audio, transcript) if not settings.written:
                return SpokenItem(place, audio, transcript)
            case Speech(transcript=text) | Text(text):
                return WrittenItem(place, text)
            case FunctionCall(name, arguments, call_id):
                return CallItem(place, name, call_id or writer.call_id(), arguments)

    def _event(
        self, type_: str, status: str, details: dict[str, Any] | None, usage: dict[str, Any] | None
    ) -> Step:
        wire = self._settings.wire
        response = {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [made.item.wire() for made in self._made],
            "conversation_id": wire["conversation_id"],
            "output_modalities": wire["output_modalities"],
            "max_output_tokens": wire["max_output_tokens"],
            "audio": wire["audio"],
            "usage": usage,
            "metadata": wire["metadata"],
        }
        return self._writer.event(type_, response=response)

    def _usage(self) -> dict[str, Any] | None:
        """As the server counts: a token for 50 ms of audio, and those of text (API reference,
        `response.done`). A response that failed before it began used nothing."""
        if self._reply.status == "failed" and not self._made:
            return None
        read, heard = self._settings.text_tokens, self._settings.audio_tokens
        written, spoken = sum(made.tokens for made in self._made), self.audio_ms // TOKEN_MS
        none = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
        return {
            "total_tokens": read + heard + written + spoken,
            "input_tokens": read + heard,
            "output_tokens": written + spoken,
            "input_token_details": {
                "text_tokens": read,
                "audio_tokens": heard,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": none,
            },
            "output_token_details": {"text_tokens": written, "audio_tokens": spoken},
        }


def _details(reply: Reply) -> dict[str, Any] | None:
    match reply:
        case Reply(reason=str(reason)):
            return {"type": reply.status, "reason": reason}
        case Reply(error=(type_, code, message)):
            return {
                "type": reply.status,
                "error": {"type": type_, "code": code, "message": message},
            }
        case _:
            return None

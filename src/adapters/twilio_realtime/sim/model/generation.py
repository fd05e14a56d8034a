"""One response of the simulated model, from `response.created` to `response.done`."""

from typing import Any

from attrs import define, field, frozen

from .audio_formats import AudioFormat
from .conversation import StoredConversation
from .output_items import (
    TOKEN_MS,
    DelayOrEvent,
    FunctionCallOutputItem,
    ItemContext,
    OutputItem,
    PacedEvents,
    SpokenOutputItem,
    TextOutputItem,
)
from .pace import Pace
from .replies import FunctionCallReply, Reply, ReplyItem, SpokenReply, TextReply
from .server_events import ServerEventWriter

__all__ = ["ResponseGeneration", "ResponseSettings"]


@frozen
class ResponseSettings:
    """The settings of a response: from the session, from its own `response.create`, and from the
    conversation.

    `wire_fields` are fields of the Response object: `conversation_id`, `output_modalities`,
    `max_output_tokens`, `audio`, `metadata`. `text_tokens` and `audio_tokens` are those of the
    model's input.
    """

    wire_fields: dict[str, Any]
    audio_format: AudioFormat
    text_tokens: int
    audio_tokens: int
    has_phases: bool = False
    """Whether messages have a phase: the last item of a response is the answer, and what comes
    before it is commentary."""

    @property
    def is_text(self) -> bool:
        """Whether the response is text rather than audio."""
        return bool(self.wire_fields["output_modalities"] == ["text"])


@define(eq=False)
class ResponseGeneration:
    """The generation of one response.

    `run` returns all its events, up to `response.done`; `cancel` those that close it early, at any
    point. `conversation` is the default conversation, or `None` out of band.
    """

    id: str
    _reply: Reply
    _settings: ResponseSettings
    _pace: Pace
    _writer: ServerEventWriter
    _conversation: StoredConversation | None
    _items: list[OutputItem] = field(init=False, factory=list[OutputItem])
    _open_item: OutputItem | None = field(init=False, default=None)

    @property
    def is_in_conversation(self) -> bool:
        """Whether its items belong to the default conversation."""
        return self._conversation is not None

    @property
    def audio_ms(self) -> int:
        """How much audio of it has been sent (ms)."""
        return sum(each.item.generated_ms for each in self._items)

    def run(self) -> PacedEvents:
        """Yield all its events, from `response.created`."""
        yield self._make_event("response.created", "in_progress", None, None)
        reply = self._reply
        for index, item in enumerate(reply.items):
            yield self._pause_before_ns(item, index)
            output = self._make_item(item, index)
            yield from output.open()
            self._items.append(output)
            self._open_item = output
            yield from output.generate()
            self._open_item = None
            is_cut = reply.status != "completed" and index == len(reply.items) - 1
            yield from output.close("incomplete" if is_cut else "completed")
        yield self._make_event("response.done", reply.status, _status_details(reply), self._usage())

    def cancel(self, reason: str) -> PacedEvents:
        """Close what is open; `reason` is `turn_detected` or `client_cancelled`."""
        if self._open_item is not None:
            yield from self._open_item.close("incomplete")
        if self._pace.cancelled_done_ns:
            yield self._pace.cancelled_done_ns
        details = {"type": "cancelled", "reason": reason}
        yield self._make_event("response.done", "cancelled", details, self._usage())

    def _pause_before_ns(self, item: ReplyItem, index: int) -> int:
        if index:
            return self._pace.next_item_ns
        is_spoken = isinstance(item, SpokenReply) and not self._settings.is_text
        return self._pace.first_spoken_item_ns if is_spoken else self._pace.first_text_item_ns

    def _make_item(self, item: ReplyItem, index: int) -> OutputItem:
        settings, writer = self._settings, self._writer
        phase = "final_answer" if index == len(self._reply.items) - 1 else "commentary"
        context = ItemContext(
            self.id,
            index,
            self._pace,
            writer,
            self._conversation,
            settings.audio_format,
            phase if settings.has_phases else None,
        )
        match item:
            case SpokenReply(audio, transcript) if not settings.is_text:
                return SpokenOutputItem(context, audio, transcript)
            case SpokenReply(transcript=text) | TextReply(text):
                return TextOutputItem(context, text)
            case FunctionCallReply(name, arguments, call_id):
                return FunctionCallOutputItem(
                    context, name, call_id or writer.new_call_id(), arguments
                )

    def _make_event(
        self, type_: str, status: str, details: dict[str, Any] | None, usage: dict[str, Any] | None
    ) -> DelayOrEvent:
        fields = self._settings.wire_fields
        response = {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [each.item.to_wire() for each in self._items],
            "conversation_id": fields["conversation_id"],
            "output_modalities": fields["output_modalities"],
            "max_output_tokens": fields["max_output_tokens"],
            "audio": fields["audio"],
            "usage": usage,
            "metadata": fields["metadata"],
        }
        return self._writer.make_event(type_, response=response)

    def _usage(self) -> dict[str, Any] | None:
        """Return the token counts as the server counts them: a token for 50 ms of audio, and those
        of text (API reference, `response.done`). A response that failed before its first item used
        none."""
        if self._reply.status == "failed" and not self._items:
            return None
        text_in, audio_in = self._settings.text_tokens, self._settings.audio_tokens
        text_out, audio_out = (
            sum(each.sent_tokens for each in self._items),
            self.audio_ms // TOKEN_MS,
        )
        none = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
        return {
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": none,
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        }


def _status_details(reply: Reply) -> dict[str, Any] | None:
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

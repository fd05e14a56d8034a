"""What the simulated model says: plain values, given by a test."""

from typing import Any, TypeAlias

from attrs import field, frozen

from .conversation import StoredItem

__all__ = ["FunctionCallReply", "Reply", "ReplyItem", "ResponseRequest", "SpokenReply", "TextReply"]


def _format_audio(audio: bytes) -> str:
    return f"<{len(audio)} bytes>"


@frozen
class SpokenReply:
    """A spoken message of the assistant.

    `audio` is G.711 µ-law at 8 kHz. The model generates audio in tokens of 50 ms, so the last one
    is filled with silence. In a text response only the transcript is sent, as text.
    """

    audio: bytes = field(repr=_format_audio)
    transcript: str


@frozen
class TextReply:
    """A text message of the assistant."""

    text: str


@frozen
class FunctionCallReply:
    """A call of one of the client's functions. `arguments` is JSON in a string; a `call_id` of
    `None` is drawn from the seed."""

    name: str
    arguments: str = "{}"
    call_id: str | None = None


ReplyItem: TypeAlias = SpokenReply | TextReply | FunctionCallReply


@frozen
class Reply:
    """One response: its items, and how it ends.

    Unless it is completed, its last item is `incomplete`. `reason` is `max_output_tokens` or
    `content_filter` for an incomplete response; `error` is the `type`, `code` and `message` of a
    failed one.
    """

    items: tuple[ReplyItem, ...] = field(converter=tuple[ReplyItem, ...], default=())
    status: str = "completed"
    reason: str | None = None
    error: tuple[str, str | None, str] | None = None

    @classmethod
    def incomplete(cls, *items: ReplyItem, reason: str = "max_output_tokens") -> "Reply":
        """Return a response that stops before its end."""
        return cls(items, "incomplete", reason)

    @classmethod
    def failed(
        cls,
        *items: ReplyItem,
        error_type: str = "server_error",
        code: str | None = None,
        message: str = "The server had an error while processing your request. Sorry about that!",
    ) -> "Reply":
        """Return a response that fails, usually before its first item."""
        return cls(items, "failed", None, (error_type, code, message))


@frozen
class ResponseRequest:
    """What a response is generated from, for a test that chooses the reply by it.

    `number` counts responses from 0. `params` is the client's `response.create.response`, empty for
    a response to a turn. `conversation` holds the items of the default conversation (not copies),
    and `is_out_of_band` says whether the response stays out of it.
    """

    number: int
    params: dict[str, Any]
    conversation: tuple[StoredItem, ...]
    is_out_of_band: bool = False

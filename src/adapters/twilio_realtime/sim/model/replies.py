"""What the simulated model says, and how fast: plain values that a test gives."""

from typing import Any, TypeAlias

from attrs import field, frozen

from .conversation import StoredItem

__all__ = ["FunctionCallReply", "Reply", "ReplyItem", "ResponseRequest", "SpokenReply", "TextReply"]


def _format_audio(audio: bytes) -> str:
    return f"<{len(audio)} bytes>"


@frozen
class SpokenReply:
    """An assistant message that is spoken.

    `audio` is G.711 µ-law at 8 kHz. The model makes sound in tokens of 50 ms, so silence fills
    the last one. In a response whose modality is text, only the transcript is written.
    """

    audio: bytes = field(repr=_format_audio)
    transcript: str


@frozen
class TextReply:
    """An assistant message that is written."""

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

    Any end but a completed one leaves its last item `incomplete`. `reason` is `max_output_tokens`
    or `content_filter` for an incomplete response; `error` the `type`, `code` and `message` of a
    failed one.
    """

    items: tuple[ReplyItem, ...] = field(converter=tuple[ReplyItem, ...], default=())
    status: str = "completed"
    reason: str | None = None
    error: tuple[str, str | None, str] | None = None

    @classmethod
    def incomplete(cls, *items: ReplyItem, reason: str = "max_output_tokens") -> "Reply":
        """A response that stops before its end."""
        return cls(items, "incomplete", reason)

    @classmethod
    def failed(
        cls,
        *items: ReplyItem,
        error_type: str = "server_error",
        code: str | None = None,
        message: str = "The server had an error while processing your request. Sorry about that!",
    ) -> "Reply":
        """A response that fails, as a rule before it has said anything."""
        return cls(items, "failed", None, (error_type, code, message))


@frozen
class ResponseRequest:
    """What a response is made from, for a test that decides by it what is said.

    `number` counts responses from 0. `params` is the client's `response.create.response`, empty
    where turn detection asks. `conversation` is the default conversation as it stands (not a copy
    of its items), and `out_of_band` whether the response stays out of it.
    """

    number: int
    params: dict[str, Any]
    conversation: tuple[StoredItem, ...]
    is_out_of_band: bool = False

"""Realtime server events: those that are received from the server (GA, over WebSocket).

Events that the bridge acts on are typed, with only the fields that it uses. Every other event is an
`UnknownServerEvent`.

Source: OpenAI API reference, "Realtime", server events,
https://platform.openai.com/docs/api-reference/realtime-server-events.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from attrs import define, field, frozen

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.values.identifiers import ROOT

from ..tagged import TaggedDecoder

__all__ = [
    "AudioCommittedEvent",
    "ErrorEvent",
    "IdleTimeoutEvent",
    "InputTranscriptCompletedEvent",
    "InputTranscriptDeltaEvent",
    "InputTranscriptFailedEvent",
    "Item",
    "ItemAddedEvent",
    "ItemDeletedEvent",
    "ItemDoneEvent",
    "ItemRetrievedEvent",
    "ItemTruncatedEvent",
    "McpCallCompletedEvent",
    "McpCallFailedEvent",
    "McpCallInProgressEvent",
    "McpToolsCompletedEvent",
    "McpToolsFailedEvent",
    "OutputAudioDeltaEvent",
    "OutputAudioDoneEvent",
    "OutputItemAddedEvent",
    "OutputItemDoneEvent",
    "OutputTextDeltaEvent",
    "OutputTextDoneEvent",
    "OutputTranscriptDeltaEvent",
    "OutputTranscriptDoneEvent",
    "RateLimitsEvent",
    "Response",
    "ResponseCreatedEvent",
    "ResponseDoneEvent",
    "ServerError",
    "ServerEvent",
    "SessionCreatedEvent",
    "SessionUpdatedEvent",
    "SpeechStartedEvent",
    "SpeechStoppedEvent",
    "UnknownServerEvent",
    "decode",
]

WholeNumber: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
"""An index, or a number of milliseconds: our events repeat it, and the server refuses others."""


@frozen
class SessionCreatedEvent:
    """`session.created`: the first event on the socket."""

    session: dict[str, Any] = field(repr=False)


@frozen
class SessionUpdatedEvent:
    """`session.updated`: the answer to `session.update`, with the whole configuration in effect."""

    session: dict[str, Any] = field(repr=False)


@frozen
class ServerError:
    """The content of an `error` event. `event_id` is that of the client event that it refuses, if
    it refuses one."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


@frozen
class ErrorEvent:
    """`error`: the server has refused a client event, or has failed. The session continues unless
    the server closes it."""

    error: ServerError


@frozen
class SpeechStartedEvent:
    """`input_audio_buffer.speech_started`: turn detection heard the caller start to speak."""

    item_id: str | None = None
    audio_start_ms: float | None = None
    """The position in the audio appended since the session started; it includes the prefix
    padding."""


@frozen
class SpeechStoppedEvent:
    """`input_audio_buffer.speech_stopped`: turn detection heard the caller stop, for as long as
    ends a turn."""

    item_id: str | None = None
    audio_end_ms: float | None = None
    """The position in the audio appended since the session started."""


@frozen
class AudioCommittedEvent:
    """`input_audio_buffer.committed`: the audio appended so far is now the user's item
    `item_id`."""

    item_id: str


@frozen
class InputTranscriptDeltaEvent:
    """`conversation.item.input_audio_transcription.delta`: a piece of the transcript of
    what the caller said."""

    item_id: str
    delta: str | None = field(default=None, repr=False)
    logprobs: Any = field(default=None, repr=False)
    content_index: WholeNumber = 0


@frozen
class InputTranscriptCompletedEvent:
    """`conversation.item.input_audio_transcription.completed`: the whole transcript of
    what the caller said."""

    item_id: str
    transcript: str = field(repr=False)
    logprobs: Any = field(default=None, repr=False)
    content_index: WholeNumber = 0


@frozen
class InputTranscriptFailedEvent:
    """`conversation.item.input_audio_transcription.failed`: what the caller said could not
    be transcribed. The conversation continues."""

    item_id: str
    error: ServerError = ServerError()


@frozen
class IdleTimeoutEvent:
    """`input_audio_buffer.timeout_triggered`: both sides were silent for the idle time-out of turn
    detection."""

    item_id: str | None = None
    audio_start_ms: float | None = None
    audio_end_ms: float | None = None


@frozen
class RateLimitsEvent:
    """`rate_limits.updated`: the limits of the account."""

    rate_limits: Any = None


@frozen
class Response:
    """A response, as `response.created` and `response.done` describe it."""

    id: str | None = None
    """`None`: the server has left it out, as its schema permits."""
    status: str | None = None
    conversation_id: str | None = ""
    """`None`: the response is out-of-band (`conversation: "none"`). Empty: the server has left the
    field out, and the response counts as part of the conversation."""
    output_modalities: Any = None
    """`["text"]`: it has no audio."""
    status_details: Any = None
    usage: Any = None
    metadata: Any = field(default=None, repr=False)
    output: Any = field(default=None, repr=False)
    """The items that were generated so far; all of them in `response.done`."""


@frozen
class ResponseCreatedEvent:
    """`response.created`: a response has started, requested by us or by turn detection."""

    response: Response


@frozen
class ResponseDoneEvent:
    """`response.done`: a response is generated. Most of its audio may not have been played yet."""

    response: Response


@frozen
class Item:
    """An item of the conversation, or of a response, as the server describes it.

    The fields depend on its `type`; the others are `None`. Raises `ValueError` for an id that no
    item can have: "root" stands for the front of the conversation, "" for an id that is left out.
    """

    id: str
    type: str
    role: str | None = None
    status: str | None = None
    content: Any = field(default=None, repr=False)
    """A list of parts. In items their types are `input_text`, `input_audio`, `input_image`,
    `output_text` and `output_audio`."""
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = field(default=None, repr=False)
    output: Any = field(default=None, repr=False)
    server_label: str | None = None
    tools: Any = field(default=None, repr=False)
    approval_request_id: str | None = None
    approve: bool | None = None
    reason: str | None = field(default=None, repr=False)
    error: Any = field(default=None, repr=False)
    phase: Any = None
    """Of a message of `gpt-realtime-2` and later: "commentary" or "final_answer"."""

    def __attrs_post_init__(self) -> None:
        if self.id in ("", ROOT):
            raise ValueError("an item cannot have this id")


@frozen
class ItemAddedEvent:
    """`conversation.item.added`: an item was added to the conversation. It may still be empty."""

    item: Item
    previous_item_id: str | None = ""
    """The item before it. `None`: it is the first. Empty: the server has left the field out."""


@frozen
class ItemDoneEvent:
    """`conversation.item.done`: an item is complete.

    Its `previous_item_id` is not read: the server often sends null, where
    `conversation.item.added` named the item before it.
    """

    item: Item


@frozen
class ItemDeletedEvent:
    """`conversation.item.deleted`: an item was deleted, as requested."""

    item_id: str


@frozen
class ItemRetrievedEvent:
    """`conversation.item.retrieved`: a retrieved item, with its audio."""

    item: Item


@frozen
class ItemTruncatedEvent:
    """`conversation.item.truncated`: the server has discarded the audio of a part after
    `audio_end_ms`, and the whole transcript of the part."""

    item_id: str
    content_index: WholeNumber
    audio_end_ms: WholeNumber


@frozen
class OutputItemDoneEvent:
    """`response.output_item.done`: an item of a response is complete, or was cancelled."""

    response_id: str
    item: Item


@define
class OutputAudioDeltaEvent:
    """`response.output_audio.delta`: a piece of a content part's audio. Treat it as immutable."""

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    """Base64 in the session's output format, not yet checked."""
    content_index: WholeNumber = 0


@frozen
class OutputAudioDoneEvent:
    """`response.output_audio.done`: all audio of a content part was sent."""

    response_id: str
    item_id: str
    content_index: WholeNumber = 0


@frozen
class OutputTranscriptDeltaEvent:
    """`response.output_audio_transcript.delta`: a piece of a content part's transcript, which is
    ahead of the audio."""

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    content_index: WholeNumber = 0


@frozen
class OutputTranscriptDoneEvent:
    """`response.output_audio_transcript.done`: the whole transcript of a content part."""

    response_id: str
    item_id: str
    transcript: str = field(repr=False)
    content_index: WholeNumber = 0


@frozen
class OutputTextDeltaEvent:
    """`response.output_text.delta`: a piece of a content part's text."""

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    content_index: WholeNumber = 0


@frozen
class OutputTextDoneEvent:
    """`response.output_text.done`: the whole text of a content part."""

    response_id: str
    item_id: str
    text: str = field(repr=False)
    content_index: WholeNumber = 0


@frozen
class OutputItemAddedEvent:
    """`response.output_item.added`: a response has started an item."""

    response_id: str
    item: Item


@frozen
class McpToolsCompletedEvent:
    """`mcp_list_tools.completed`: the tools of an MCP server were listed; the item contains
    them."""

    item_id: str


@frozen
class McpToolsFailedEvent:
    """`mcp_list_tools.failed`: the tools of an MCP server could not be listed."""

    item_id: str


@frozen
class McpCallInProgressEvent:
    """`response.mcp_call.in_progress`: the server has started to call a tool of an MCP server."""

    item_id: str


@frozen
class McpCallCompletedEvent:
    """`response.mcp_call.completed`: the tool was called; the item contains its output."""

    item_id: str


@frozen
class McpCallFailedEvent:
    """`response.mcp_call.failed`: the tool could not be called, or has failed."""

    item_id: str


@frozen
class UnknownServerEvent:
    """An event that the bridge does not act on, documented or not. `response_id` is that of the
    response that it is a part of, if it names one."""

    type: str
    response_id: str | None = None


ServerEvent: TypeAlias = (
    OutputAudioDeltaEvent
    | OutputTranscriptDeltaEvent
    | SpeechStartedEvent
    | SpeechStoppedEvent
    | AudioCommittedEvent
    | InputTranscriptDeltaEvent
    | InputTranscriptCompletedEvent
    | ResponseCreatedEvent
    | ResponseDoneEvent
    | OutputItemDoneEvent
    | OutputAudioDoneEvent
    | OutputTranscriptDoneEvent
    | SessionCreatedEvent
    | SessionUpdatedEvent
    | ErrorEvent
    | ItemAddedEvent
    | ItemDoneEvent
    | ItemDeletedEvent
    | ItemRetrievedEvent
    | ItemTruncatedEvent
    | InputTranscriptFailedEvent
    | IdleTimeoutEvent
    | RateLimitsEvent
    | OutputItemAddedEvent
    | OutputTextDeltaEvent
    | OutputTextDoneEvent
    | McpToolsCompletedEvent
    | McpToolsFailedEvent
    | McpCallInProgressEvent
    | McpCallCompletedEvent
    | McpCallFailedEvent
    | UnknownServerEvent
)


@frozen
class _PartOfResponse:
    """An event that may name the response that it is a part of."""

    response_id: Any = None


_decode_part: Final = msgspec.json.Decoder(_PartOfResponse).decode


def _make_unknown(type_: str, text: str) -> UnknownServerEvent:
    response_id = _decode_part(text).response_id
    return UnknownServerEvent(type_, response_id if isinstance(response_id, str) else None)


_decoder: TaggedDecoder[ServerEvent] = TaggedDecoder(
    Peer.REALTIME,
    "type",
    {
        "session.created": SessionCreatedEvent,
        "session.updated": SessionUpdatedEvent,
        "error": ErrorEvent,
        "input_audio_buffer.speech_started": SpeechStartedEvent,
        "input_audio_buffer.speech_stopped": SpeechStoppedEvent,
        "input_audio_buffer.committed": AudioCommittedEvent,
        "conversation.item.input_audio_transcription.delta": InputTranscriptDeltaEvent,
        "conversation.item.input_audio_transcription.completed": InputTranscriptCompletedEvent,
        "response.created": ResponseCreatedEvent,
        "response.done": ResponseDoneEvent,
        "response.output_item.done": OutputItemDoneEvent,
        "response.output_audio.delta": OutputAudioDeltaEvent,
        "response.output_audio.done": OutputAudioDoneEvent,
        "response.output_audio_transcript.delta": OutputTranscriptDeltaEvent,
        "response.output_audio_transcript.done": OutputTranscriptDoneEvent,
        "conversation.item.added": ItemAddedEvent,
        "conversation.item.created": ItemAddedEvent,
        "conversation.item.done": ItemDoneEvent,
        "conversation.item.deleted": ItemDeletedEvent,
        "conversation.item.retrieved": ItemRetrievedEvent,
        "conversation.item.truncated": ItemTruncatedEvent,
        "conversation.item.input_audio_transcription.failed": InputTranscriptFailedEvent,
        "input_audio_buffer.timeout_triggered": IdleTimeoutEvent,
        "rate_limits.updated": RateLimitsEvent,
        "response.output_item.added": OutputItemAddedEvent,
        "response.output_text.delta": OutputTextDeltaEvent,
        "response.output_text.done": OutputTextDoneEvent,
        "mcp_list_tools.completed": McpToolsCompletedEvent,
        "mcp_list_tools.failed": McpToolsFailedEvent,
        "response.mcp_call.in_progress": McpCallInProgressEvent,
        "response.mcp_call.completed": McpCallCompletedEvent,
        "response.mcp_call.failed": McpCallFailedEvent,
    },
    make_unlisted=_make_unknown,
)

decode: Final[Callable[[str], ServerEvent | Fault]] = _decoder.decode
"""Return one event from the server, or a fault."""

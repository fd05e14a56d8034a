"""What the Realtime server says.

Source: OpenAI API reference, "Realtime", server events (GA, over WebSocket). Events that the bridge
acts on are typed and carry only the fields it uses; all others pass through as `OtherEvent`.
"""

from typing import Any, TypeAlias

from attrs import define, field, frozen

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import Peer

from ..tagged import TaggedDecoder

__all__ = [
    "AudioCommittedEvent",
    "ErrorEvent",
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


@frozen
class SessionCreatedEvent:
    """`session.created`: the first event on the socket, unprompted."""

    session: dict[str, Any] = field(repr=False)


@frozen
class SessionUpdatedEvent:
    """`session.updated`: the whole configuration now in effect, in answer to `session.update`."""

    session: dict[str, Any] = field(repr=False)


@frozen
class ServerError:
    """What an `error` event says. `event_id` is that of the client event it answers, if any."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


@frozen
class ErrorEvent:
    """`error`: a client event was refused, or the server failed. The session goes on, unless the
    server closes it."""

    error: ServerError


@frozen
class SpeechStartedEvent:
    """`input_audio_buffer.speech_started`: turn detection heard the caller begin to speak.

    `audio_start_ms` counts the audio appended since the session began, prefix padding included.
    """

    item_id: str | None = None
    audio_start_ms: float | None = None


@frozen
class SpeechStoppedEvent:
    """`input_audio_buffer.speech_stopped`: turn detection heard the caller pause long enough."""

    item_id: str | None = None
    audio_end_ms: float | None = None


@frozen
class AudioCommittedEvent:
    """`input_audio_buffer.committed`: the audio so far has become the user's item `item_id`."""

    item_id: str


@frozen
class InputTranscriptDeltaEvent:
    """`conversation.item.input_audio_transcription.delta`: more of what the caller said."""

    item_id: str
    delta: str | None = field(default=None, repr=False)


@frozen
class InputTranscriptCompletedEvent:
    """`conversation.item.input_audio_transcription.completed`: all of what the caller said."""

    item_id: str
    transcript: str = field(repr=False)


@frozen
class InputTranscriptFailedEvent:
    """`conversation.item.input_audio_transcription.failed`: what the caller said could not be
    written down; the conversation goes on."""

    item_id: str
    error: ServerError = ServerError()


@frozen
class Response:
    """A response, as its first and last events describe it.

    `conversation_id` is `None` for a response outside the conversation (`conversation: "none"`);
    where a server leaves the field out, the response counts as inside.
    """

    id: str
    status: str | None = None
    conversation_id: str | None = ""
    status_details: Any = None
    usage: Any = None


@frozen
class ResponseCreatedEvent:
    """`response.created`: a response has begun, asked for by us or by turn detection."""

    response: Response


@frozen
class ResponseDoneEvent:
    """`response.done`: generation has ended. Most of the audio may still wait to be played."""

    response: Response


@frozen
class Item:
    """An item of the conversation, or of a response.

    Which fields it has depends on its `type`; those that it has not are `None`. `content` is a list
    of parts: in items they are named `input_text`, `input_audio`, `input_image`, `output_text` and
    `output_audio` (API reference, "Realtime", conversation items).
    """

    id: str
    type: str
    role: str | None = None
    status: str | None = None
    content: Any = field(default=None, repr=False)
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = field(default=None, repr=False)
    output: Any = field(default=None, repr=False)
    server_label: str | None = None
    tools: Any = field(default=None, repr=False)
    approval_request_id: str | None = None
    approve: bool | None = None
    error: Any = field(default=None, repr=False)


@frozen
class ItemAddedEvent:
    """`conversation.item.added`: an item has its place, after `previous_item_id` (`None`: it is the
    first; empty: the server does not tell). It may still be empty."""

    item: Item
    previous_item_id: str | None = ""


@frozen
class ItemDoneEvent:
    """`conversation.item.done`: an item is complete. Its `previous_item_id` is not to be trusted:
    the server often leaves it out where `conversation.item.added` told it."""

    item: Item


@frozen
class ItemDeletedEvent:
    """`conversation.item.deleted`: an item is gone, as was asked."""

    item_id: str


@frozen
class ItemRetrievedEvent:
    """`conversation.item.retrieved`: an item as the server holds it, with its audio."""

    item: Item


@frozen
class ItemTruncatedEvent:
    """`conversation.item.truncated`: the audio after `audio_end_ms` is forgotten, and the whole
    transcript of the part."""

    item_id: str
    content_index: int
    audio_end_ms: int


@frozen
class OutputItemDoneEvent:
    """`response.output_item.done`: an item of a response is complete, or was cut short."""

    response_id: str
    item: Item


@define
class OutputAudioDeltaEvent:
    """`response.output_audio.delta`: more audio of one content part. (A value: do not change it.)

    `delta` is base64 in the session's output format, not yet checked.
    """

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    content_index: int = 0


@frozen
class OutputAudioDoneEvent:
    """`response.output_audio.done`: all audio of one content part has come."""

    response_id: str
    item_id: str
    content_index: int = 0


@frozen
class OutputTranscriptDeltaEvent:
    """`response.output_audio_transcript.delta`: more of the words; they run ahead of the audio."""

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    content_index: int = 0


@frozen
class OutputTranscriptDoneEvent:
    """`response.output_audio_transcript.done`: all the words of one content part."""

    response_id: str
    item_id: str
    transcript: str = field(repr=False)
    content_index: int = 0


@frozen
class OutputTextDeltaEvent:
    """`response.output_text.delta`: more of an answer in text."""

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    content_index: int = 0


@frozen
class OutputTextDoneEvent:
    """`response.output_text.done`: the whole text of one content part."""

    response_id: str
    item_id: str
    text: str = field(repr=False)
    content_index: int = 0


@frozen
class OutputItemAddedEvent:
    """`response.output_item.added`: a response has begun an item."""

    response_id: str
    item: Item


@frozen
class McpToolsCompletedEvent:
    """`mcp_list_tools.completed`: the tools of an MCP server are known; they are in the item."""

    item_id: str


@frozen
class McpToolsFailedEvent:
    """`mcp_list_tools.failed`: the tools of an MCP server could not be listed."""

    item_id: str


@frozen
class McpCallInProgressEvent:
    """`response.mcp_call.in_progress`: the server calls a tool of an MCP server."""

    item_id: str


@frozen
class McpCallCompletedEvent:
    """`response.mcp_call.completed`: the tool has answered; what it said is in the item."""

    item_id: str


@frozen
class McpCallFailedEvent:
    """`response.mcp_call.failed`: the tool could not be called, or has failed."""

    item_id: str


@frozen
class UnknownServerEvent:
    """An event that the bridge does not act on, known or not."""

    type: str


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


def decode(text: str) -> ServerEvent | Fault:
    """One event from the server, or what is wrong with it."""
    return _decoder.decode(text)


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
        "response.output_item.added": OutputItemAddedEvent,
        "response.output_text.delta": OutputTextDeltaEvent,
        "response.output_text.done": OutputTextDoneEvent,
        "mcp_list_tools.completed": McpToolsCompletedEvent,
        "mcp_list_tools.failed": McpToolsFailedEvent,
        "response.mcp_call.in_progress": McpCallInProgressEvent,
        "response.mcp_call.completed": McpCallCompletedEvent,
        "response.mcp_call.failed": McpCallFailedEvent,
    },
    make_unlisted=UnknownServerEvent,
)

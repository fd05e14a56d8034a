"""Realtime server events on which the bridge does not act; an application can be notified of them.

They have all their documented fields but `event_id`. A field that the server leaves out is `None`,
and none is checked.

Source: OpenAI API reference, "Realtime", server events,
https://platform.openai.com/docs/api-reference/realtime-server-events, read 2026-11-30.
"""

from typing import Any, TypeAlias

from attrs import field, frozen

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.actions import Peer

from ..tagged import TaggedDecoder
from .server import UnknownServerEvent

__all__ = [
    "ContentPartAddedEvent",
    "ContentPartDoneEvent",
    "ConversationCreatedEvent",
    "DtmfReceivedEvent",
    "FunctionArgumentsDeltaEvent",
    "FunctionArgumentsDoneEvent",
    "InformationalEvent",
    "InputAudioClearedEvent",
    "McpArgumentsDeltaEvent",
    "McpArgumentsDoneEvent",
    "McpToolsInProgressEvent",
    "OutputAudioClearedEvent",
    "OutputAudioStartedEvent",
    "OutputAudioStoppedEvent",
    "TranscriptSegmentEvent",
    "decode_informational",
]


@frozen
class ConversationCreatedEvent:
    """`conversation.created`: the conversation of the session was created."""

    conversation: Any = field(default=None, repr=False)


@frozen
class InputAudioClearedEvent:
    """`input_audio_buffer.cleared`: the audio that was appended and not committed was discarded."""


@frozen
class DtmfReceivedEvent:
    """`input_audio_buffer.dtmf_event_received`: a key was pressed; over SIP only."""

    event: Any = field(default=None, repr=False)
    received_at: Any = None


@frozen
class TranscriptSegmentEvent:
    """`conversation.item.input_audio_transcription.segment`: a segment of what the
    caller said, with its speaker."""

    item_id: Any = None
    content_index: Any = None
    text: Any = field(default=None, repr=False)
    id: Any = None
    speaker: Any = None
    start: Any = None
    end: Any = None


@frozen
class ContentPartAddedEvent:
    """`response.content_part.added`: an item of a response has a new content part."""

    response_id: Any = None
    item_id: Any = None
    output_index: Any = None
    content_index: Any = None
    part: Any = field(default=None, repr=False)


@frozen
class ContentPartDoneEvent:
    """`response.content_part.done`: a content part is complete."""

    response_id: Any = None
    item_id: Any = None
    output_index: Any = None
    content_index: Any = None
    part: Any = field(default=None, repr=False)


@frozen
class FunctionArgumentsDeltaEvent:
    """`response.function_call_arguments.delta`: a piece of the arguments of a function call."""

    response_id: Any = None
    item_id: Any = None
    output_index: Any = None
    call_id: Any = None
    delta: Any = field(default=None, repr=False)


@frozen
class FunctionArgumentsDoneEvent:
    """`response.function_call_arguments.done`: the whole arguments of a function call."""

    response_id: Any = None
    item_id: Any = None
    output_index: Any = None
    call_id: Any = None
    name: Any = None
    arguments: Any = field(default=None, repr=False)


@frozen
class McpArgumentsDeltaEvent:
    """`response.mcp_call_arguments.delta`: a piece of the arguments of a call of an MCP tool."""

    response_id: Any = None
    item_id: Any = None
    output_index: Any = None
    delta: Any = field(default=None, repr=False)
    obfuscation: Any = None


@frozen
class McpArgumentsDoneEvent:
    """`response.mcp_call_arguments.done`: the whole arguments of a call of an MCP tool."""

    response_id: Any = None
    item_id: Any = None
    output_index: Any = None
    arguments: Any = field(default=None, repr=False)


@frozen
class McpToolsInProgressEvent:
    """`mcp_list_tools.in_progress`: the tools of an MCP server are being listed."""

    item_id: Any = None


@frozen
class OutputAudioStartedEvent:
    """`output_audio_buffer.started`: the server plays audio; over WebRTC and SIP only."""

    response_id: Any = None


@frozen
class OutputAudioStoppedEvent:
    """`output_audio_buffer.stopped`: the server has played all audio; over WebRTC and SIP only."""

    response_id: Any = None


@frozen
class OutputAudioClearedEvent:
    """`output_audio_buffer.cleared`: the server has discarded audio; over WebRTC and SIP only."""

    response_id: Any = None


InformationalEvent: TypeAlias = (
    ConversationCreatedEvent
    | InputAudioClearedEvent
    | DtmfReceivedEvent
    | TranscriptSegmentEvent
    | ContentPartAddedEvent
    | ContentPartDoneEvent
    | FunctionArgumentsDeltaEvent
    | FunctionArgumentsDoneEvent
    | McpArgumentsDeltaEvent
    | McpArgumentsDoneEvent
    | McpToolsInProgressEvent
    | OutputAudioStartedEvent
    | OutputAudioStoppedEvent
    | OutputAudioClearedEvent
    | UnknownServerEvent
)


def decode_informational(text: str) -> InformationalEvent:
    """Return an event on which the bridge does not act; one that cannot be read is unknown."""
    event = _decoder.decode(text)
    return UnknownServerEvent("") if isinstance(event, Fault) else event


_KINDS_BY_TYPE: dict[str, type[Any]] = {
    "conversation.created": ConversationCreatedEvent,
    "input_audio_buffer.cleared": InputAudioClearedEvent,
    "input_audio_buffer.dtmf_event_received": DtmfReceivedEvent,
    "conversation.item.input_audio_transcription.segment": TranscriptSegmentEvent,
    "response.content_part.added": ContentPartAddedEvent,
    "response.content_part.done": ContentPartDoneEvent,
    "response.function_call_arguments.delta": FunctionArgumentsDeltaEvent,
    "response.function_call_arguments.done": FunctionArgumentsDoneEvent,
    "response.mcp_call_arguments.delta": McpArgumentsDeltaEvent,
    "response.mcp_call_arguments.done": McpArgumentsDoneEvent,
    "mcp_list_tools.in_progress": McpToolsInProgressEvent,
    "output_audio_buffer.started": OutputAudioStartedEvent,
    "output_audio_buffer.stopped": OutputAudioStoppedEvent,
    "output_audio_buffer.cleared": OutputAudioClearedEvent,
}
_decoder: TaggedDecoder[InformationalEvent] = TaggedDecoder(
    Peer.REALTIME, "type", _KINDS_BY_TYPE, make_unlisted=lambda tag, _: UnknownServerEvent(tag)
)

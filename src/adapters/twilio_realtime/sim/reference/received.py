"""The messages of Twilio and of the Realtime server, as the judges read them.

A message has the fields that some judge looks at. A field may be missing, unless nothing can be
done without it; other fields are ignored, since both vendors add to theirs.

Sources: Twilio documentation, "Media Streams - WebSocket Messages",
https://www.twilio.com/docs/voice/media-streams/websocket-messages; OpenAI API reference,
"Realtime", server events, https://platform.openai.com/docs/api-reference/realtime-server-events.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import define

from twilio_realtime_core.errors import FaultKind
from twilio_realtime_core.machine.actions import Peer

from .wire import is_list, is_object

__all__ = [
    "RESPONSE_EVENTS",
    "Fields",
    "ReceivedAudio",
    "ReceivedAudioEnd",
    "ReceivedCommit",
    "ReceivedError",
    "ReceivedIdleTimeout",
    "ReceivedInputDelta",
    "ReceivedInputFailure",
    "ReceivedInputTranscript",
    "ReceivedItem",
    "ReceivedItemAdded",
    "ReceivedItemDeleted",
    "ReceivedItemDone",
    "ReceivedItemTruncated",
    "ReceivedKey",
    "ReceivedMark",
    "ReceivedMcpCallEnd",
    "ReceivedMcpCallStart",
    "ReceivedMcpTools",
    "ReceivedMcpToolsFailure",
    "ReceivedMedia",
    "ReceivedMessage",
    "ReceivedOfItem",
    "ReceivedOther",
    "ReceivedOutputItemAdded",
    "ReceivedOutputItemDone",
    "ReceivedRateLimits",
    "ReceivedResponseEnd",
    "ReceivedResponseProgress",
    "ReceivedResponseStart",
    "ReceivedSession",
    "ReceivedSpeechStart",
    "ReceivedSpeechStop",
    "ReceivedStart",
    "ReceivedStop",
    "ReceivedTextDelta",
    "ReceivedTextEnd",
    "ReceivedTranscriptDelta",
    "ReceivedTranscriptEnd",
    "ReceivedWords",
    "UnreadableMessage",
]

Fields: TypeAlias = Mapping[str, Any]


class ReceivedMessage:
    """A message of a peer. (A value: do not change it.)"""

    __slots__ = ()


@define(eq=False)
class UnreadableMessage(ReceivedMessage):
    """A text that is not JSON, or lacks a field that its message needs. `kinds` are the faults that
    it may be reported as: text that breaks off may have a wrong field before."""

    peer: Peer
    kinds: tuple[FaultKind, ...]


class ReceivedOther(ReceivedMessage):
    """A message that no judge looks at."""

    __slots__ = ()


# From Twilio.


@define(eq=False)
class ReceivedStart(ReceivedMessage):
    """`start`: a stream starts. `format` is its encoding, sample rate and channels, `None` where it
    does not say; `custom_parameters` are those of the TwiML that are texts; `has_outbound`: it has
    the outbound track, so it is not bidirectional."""

    stream_sid: str
    call_sid: str | None
    account_sid: str | None
    format: tuple[object, object, object]
    custom_parameters: dict[str, str]
    has_outbound: bool


@define(eq=False)
class ReceivedMedia(ReceivedMessage):
    """`media`: audio of the caller, in base64. `timestamp_ms` is the time since the start of the
    stream; `None` where it is missing or not a whole number. `is_outbound`: it is what the caller
    hears, and not what they say."""

    stream_sid: str
    payload: str
    timestamp_ms: int | None
    is_outbound: bool


@define(eq=False)
class ReceivedMark(ReceivedMessage):
    """`mark`: the echo of a mark."""

    stream_sid: str
    name: str


@define(eq=False)
class ReceivedKey(ReceivedMessage):
    """`dtmf`: the caller pressed a key."""

    stream_sid: str
    digit: str


@define(eq=False)
class ReceivedStop(ReceivedMessage):
    """`stop`: the stream ends."""

    stream_sid: str


# From the Realtime server: the session, and the caller.


@define(eq=False)
class ReceivedSession(ReceivedMessage):
    """`session.updated`: the configuration in effect."""

    session: dict[str, Any]


@define(eq=False)
class ReceivedError(ReceivedMessage):
    """`error`. `event_id` is that of the client event that it answers, if any."""

    message: str
    code: str | None
    event_id: str | None
    type: str | None = None
    param: str | None = None

    def names(self, event: str, code: str, field: str) -> bool:
        """Whether it names an event: in its message, or by its code or its parameter."""
        has_code = (self.code or "").startswith(code)
        return event in self.message or has_code or (self.param or "").split(".")[0] == field


@define(eq=False)
class ReceivedSpeechStart(ReceivedMessage):
    """`input_audio_buffer.speech_started`."""

    item_id: str | None
    at_ms: float | None


@define(eq=False)
class ReceivedSpeechStop(ReceivedMessage):
    """`input_audio_buffer.speech_stopped`."""

    item_id: str | None
    at_ms: float | None


@define(eq=False)
class ReceivedCommit(ReceivedMessage):
    """`input_audio_buffer.committed`: the audio of the caller became an item."""

    item_id: str


@define(eq=False)
class ReceivedInputDelta(ReceivedMessage):
    """`conversation.item.input_audio_transcription.delta`."""

    item_id: str
    text: str
    logprobs: Any
    content_index: int


@define(eq=False)
class ReceivedInputTranscript(ReceivedMessage):
    """`conversation.item.input_audio_transcription.completed`."""

    item_id: str
    text: str
    logprobs: Any
    content_index: int


@define(eq=False)
class ReceivedInputFailure(ReceivedMessage):
    """`conversation.item.input_audio_transcription.failed`."""

    item_id: str
    reason: str


@define(eq=False)
class ReceivedIdleTimeout(ReceivedMessage):
    """`input_audio_buffer.timeout_triggered`."""

    item_id: str | None
    start_ms: float | None
    end_ms: float | None


@define(eq=False)
class ReceivedRateLimits(ReceivedMessage):
    """`rate_limits.updated`."""

    limits: Any


# Responses. An out-of-band response is one outside the conversation.


@define(eq=False)
class ReceivedResponseStart(ReceivedMessage):
    """`response.created`. The id is empty where the server has left it out."""

    response_id: str
    is_out_of_band: bool
    metadata: Any
    is_text: bool | None = None
    """It has no audio; `None`: the server has not said."""
    output: "tuple[ReceivedItem, ...]" = ()


@define(eq=False)
class ReceivedResponseEnd(ReceivedMessage):
    """`response.done`."""

    response_id: str
    is_out_of_band: bool
    status: str | None
    details: Any
    usage: Any
    metadata: Any
    output: "tuple[ReceivedItem, ...]"
    is_text: bool | None = None


@define(eq=False)
class ReceivedAudio(ReceivedMessage):
    """`response.output_audio.delta`: audio of the agent, in base64."""

    response_id: str
    item_id: str
    content_index: int
    payload: str


@define(eq=False)
class ReceivedAudioEnd(ReceivedMessage):
    """`response.output_audio.done`."""

    response_id: str
    item_id: str
    content_index: int


@define(eq=False)
class ReceivedWords(ReceivedMessage):
    """Words of a content part of the agent, some or all."""

    response_id: str
    item_id: str
    content_index: int
    text: str


class ReceivedTranscriptDelta(ReceivedWords):
    """`response.output_audio_transcript.delta`."""

    __slots__ = ()


class ReceivedTranscriptEnd(ReceivedWords):
    """`response.output_audio_transcript.done`: the whole transcript of a part."""

    __slots__ = ()


class ReceivedTextDelta(ReceivedWords):
    """`response.output_text.delta`."""

    __slots__ = ()


class ReceivedTextEnd(ReceivedWords):
    """`response.output_text.done`: the whole text of a part."""

    __slots__ = ()


# Items.


@define(eq=False)
class ReceivedItem:
    """An item as an event describes it. `fields` are all that are not null."""

    id: str
    type: str
    status: str | None
    call_id: str | None
    name: str | None
    arguments: str | None
    server_label: str | None
    fields: Fields

    @property
    def parts(self) -> list[Fields]:
        """The content parts that are objects, in their places; an empty object for any other."""
        content = self.fields.get("content")
        return [part if is_object(part) else {} for part in content] if is_list(content) else []

    @property
    def has_outcome(self) -> bool:
        """Whether the tool of an MCP server has answered, or failed."""
        return "output" in self.fields or "error" in self.fields


@define(eq=False)
class ReceivedItemAdded(ReceivedMessage):
    """`conversation.item.added`, or `conversation.item.created` of earlier versions.
    `previous_item_id` is `None` for the first item, and empty where the server does not say."""

    item: ReceivedItem
    previous_item_id: str | None


@define(eq=False)
class ReceivedItemDone(ReceivedMessage):
    """`conversation.item.done`."""

    item: ReceivedItem


@define(eq=False)
class ReceivedItemDeleted(ReceivedMessage):
    """`conversation.item.deleted`."""

    item_id: str


@define(eq=False)
class ReceivedItemTruncated(ReceivedOther):
    """`conversation.item.truncated`."""

    item_id: str


@define(eq=False)
class ReceivedOutputItemAdded(ReceivedMessage):
    """`response.output_item.added`."""

    response_id: str
    item: ReceivedItem


@define(eq=False)
class ReceivedOutputItemDone(ReceivedMessage):
    """`response.output_item.done`."""

    response_id: str
    item: ReceivedItem


@define(eq=False)
class ReceivedResponseProgress(ReceivedOther):
    """Any other event that names a response: a part of an item, or arguments of a call."""

    response_id: str


RESPONSE_EVENTS = (
    ReceivedResponseStart,
    ReceivedResponseEnd,
    ReceivedAudio,
    ReceivedAudioEnd,
    ReceivedTranscriptDelta,
    ReceivedTranscriptEnd,
    ReceivedTextDelta,
    ReceivedTextEnd,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
    ReceivedResponseProgress,
)
"""What shows that a response is being generated."""


# Tools of MCP servers.


@define(eq=False)
class ReceivedOfItem(ReceivedMessage):
    """What says only which item it is about."""

    item_id: str


class ReceivedMcpTools(ReceivedOfItem):
    """`mcp_list_tools.completed`."""

    __slots__ = ()


class ReceivedMcpToolsFailure(ReceivedOfItem):
    """`mcp_list_tools.failed`."""

    __slots__ = ()


class ReceivedMcpCallStart(ReceivedOfItem):
    """`response.mcp_call.in_progress`."""

    __slots__ = ()


class ReceivedMcpCallEnd(ReceivedOfItem):
    """`response.mcp_call.completed` or `response.mcp_call.failed`."""

    __slots__ = ()

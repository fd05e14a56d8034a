"""What the application is told of a call: the events inside `Notify`.

`Fault` (in `errors`) is one of them as well. Ids are those of the Realtime API; durations are in
whole milliseconds where a protocol counts so. What people said stays out of `repr`.
"""

from enum import Enum, unique
from typing import Any, TypeAlias

from attrs import field, frozen

from .errors import Fault
from .values.block_cause import BlockCause
from .values.items import ConversationItem
from .values.usage import Usage

__all__ = [
    "AgentAudio",
    "AgentText",
    "AgentTranscript",
    "CallEnded",
    "CallStarted",
    "CallerAudioDropped",
    "CallerAudioPadded",
    "CallerSpeechStarted",
    "CallerSpeechStopped",
    "CallerTranscript",
    "CallerTranscriptFailed",
    "ClipFinished",
    "EndReason",
    "FunctionCallRequested",
    "Interrupted",
    "InterruptedItem",
    "InterruptionBlocked",
    "InterruptionCause",
    "ItemAdded",
    "ItemDeleted",
    "ItemUpdated",
    "KeyPressed",
    "McpApprovalRequested",
    "McpCallFinished",
    "McpCallStarted",
    "McpToolsListed",
    "Notification",
    "PaddingCause",
    "PlaybackFinished",
    "PlaybackStarted",
    "RealtimeEvent",
    "ResponseFinished",
    "ResponseRefused",
    "ResponseStarted",
    "SessionReady",
    "TwilioMessage",
]


@frozen
class CallStarted:
    """The stream has begun. `custom_parameters` come from the TwiML's `<Parameter>` elements.

    Sent again if the same socket begins another stream; playout and timing then begin anew.
    """

    stream_sid: str
    call_sid: str | None
    account_sid: str | None = field(repr=False)
    custom_parameters: dict[str, str] = field(repr=False)


@frozen
class SessionReady:
    """The Realtime session has taken our configuration; the caller's words now reach the model.

    `session` is the whole configuration in effect, as the server describes it. Sent again after
    every update that the server has accepted.
    """

    session: dict[str, Any] = field(repr=False)


@frozen
class CallerAudioDropped:
    """Caller audio that waited for the session was dropped: the oldest, beyond the limit."""

    samples: int


@unique
class PaddingCause(Enum):
    """Why silence was put into the caller's audio."""

    GAP = "gap"
    """Twilio's timestamps show that frames are missing."""
    INACTIVITY = "inactivity"
    """The caller spoke, and then no frame came for long."""


@frozen
class CallerAudioPadded:
    """Silence was appended to the caller's audio, so that turn detection keeps working."""

    samples: int
    cause: PaddingCause


@frozen
class CallerSpeechStarted:
    """Turn detection heard the caller begin to speak."""

    item_id: str | None
    audio_start_ms: float | None


@frozen
class CallerSpeechStopped:
    """Turn detection heard the caller stop."""

    item_id: str | None
    audio_end_ms: float | None


@frozen
class CallerTranscript:
    """What the caller said: a piece of it, or (`final`) all of it. Needs `transcription`."""

    item_id: str
    text: str = field(repr=False)
    final: bool


@frozen
class CallerTranscriptFailed:
    """What the caller said could not be written down. `reason` is the server's."""

    item_id: str
    reason: str = field(repr=False)


@frozen
class AgentAudio:
    """Audio of the agent as it came, base64 of µ-law; only where `CallConfig.agent_audio` asks for
    it. It runs ahead of what is heard, and stops with an interruption."""

    response_id: str
    item_id: str
    content_index: int
    audio: str = field(repr=False)


@frozen
class AgentText:
    """An answer in text: a piece of it, or (`final`) all of it."""

    response_id: str
    item_id: str
    content_index: int
    text: str = field(repr=False)
    final: bool


@frozen
class AgentTranscript:
    """What the agent says: a piece of it, or (`final`) all of it; it runs ahead of the sound."""

    response_id: str
    item_id: str
    content_index: int
    text: str = field(repr=False)
    final: bool


@frozen
class ResponseStarted:
    """The model has begun a response."""

    response_id: str


@frozen
class ResponseFinished:
    """The model has ended a response; its audio may still be playing.

    `status` is completed, cancelled, failed or incomplete; `details` are as the server gave them,
    so they may hold the words of an error. `usage` is `None` where the server tells none.
    """

    response_id: str
    status: str | None
    details: Any = field(repr=False)
    usage: Usage | None


@frozen
class ResponseRefused:
    """The server has refused a request for a response; it will not be made again."""

    event_id: str | None
    code: str | None
    message: str = field(repr=False)


@frozen
class PlaybackStarted:
    """Audio of this content part has certainly been heard: a mark behind it came back."""

    response_id: str
    item_id: str
    content_index: int


@frozen
class PlaybackFinished:
    """All audio of this content part has been heard: a mark behind it came back, or it must have
    been by the time of an interruption (then perhaps without `PlaybackStarted` before)."""

    response_id: str
    item_id: str
    content_index: int


@frozen
class ClipFinished:
    """Audio of `Play` or `PressKeys` was heard to the end, or cut. `heard_ms` of `sent_ms` were."""

    name: str
    heard_ms: int
    sent_ms: int


@unique
class InterruptionCause(Enum):
    """Who interrupted."""

    CALLER = "caller"
    APPLICATION = "application"


@frozen
class InterruptedItem:
    """How much of an item's content part was heard when it was interrupted, of what was sent.

    `heard` and `unheard` are its words, as far as they had come, parted in proportion to the audio:
    nothing better is known of where a word lies. `None`: there is no transcript.
    """

    response_id: str
    item_id: str
    content_index: int
    heard_ms: int
    sent_ms: int
    heard: str | None = field(default=None, repr=False)
    unheard: str | None = field(default=None, repr=False)


@frozen
class Interrupted:
    """The agent was cut off. `items` are those not heard to the end, in the order of playing; empty
    where the model was stopped before any sound."""

    cause: InterruptionCause
    items: tuple[InterruptedItem, ...]


@frozen
class InterruptionBlocked:
    """The caller spoke while the agent did, and has not interrupted it: the policy of the call
    (`CallConfig.interruption`) did not allow it."""

    cause: BlockCause


@frozen
class ItemAdded:
    """The conversation has a new item, after `previous_item_id`; `None`: at its beginning."""

    item: ConversationItem
    previous_item_id: str | None


@frozen
class ItemUpdated:
    """More is known of an item: it is complete, has its transcript, or was cut."""

    item: ConversationItem


@frozen
class ItemDeleted:
    """An item is gone from the conversation."""

    item_id: str


@frozen
class FunctionCallRequested:
    """The model wants a function called: to be answered with `SendFunctionOutput`, once.

    `arguments` is JSON text as the model wrote it, which need not be right.
    """

    call_id: str
    name: str
    arguments: str = field(repr=False)
    response_id: str
    item_id: str


@frozen
class McpToolsListed:
    """The server has the tools of an MCP server: `tools` are its descriptions of them. `None`: they
    could not be listed."""

    item_id: str
    server_label: str | None
    tools: tuple[Any, ...] | None = field(repr=False)


@frozen
class McpApprovalRequested:
    """The model wants to use a tool of an MCP server, and asks whether it may: to be answered with
    `AnswerApproval`."""

    approval_request_id: str
    server_label: str | None
    name: str | None
    arguments: str = field(repr=False)


@frozen
class McpCallStarted:
    """The server calls a tool of an MCP server."""

    item_id: str


@frozen
class McpCallFinished:
    """A tool of an MCP server has answered: `output`, or `error` as the server describes it."""

    item_id: str
    server_label: str | None
    name: str | None
    output: Any = field(repr=False)
    error: Any = field(repr=False)


@frozen
class KeyPressed:
    """The caller pressed a key: one of `0` to `9`, `*`, `#`, `A` to `D`."""

    digit: str = field(repr=False)


@unique
class EndReason(Enum):
    """What ended a call. The first cause counts."""

    CALLER_HUNG_UP = "caller hung up"
    """Twilio said `stop`, or closed its socket in good order."""
    TWILIO_LOST = "twilio lost"
    """The socket to Twilio broke."""
    STREAM_NOT_STARTED = "stream not started"
    """Twilio opened its socket and sent no `start` in time."""
    REALTIME_UNREACHABLE = "realtime unreachable"
    """The socket to the model could not be opened."""
    REALTIME_CLOSED = "realtime closed"
    """The server closed the session."""
    REALTIME_LOST = "realtime lost"
    """The socket to the model broke."""
    SESSION_REFUSED = "session refused"
    """The server refused the configuration, or took another audio format."""
    SESSION_NOT_READY = "session not ready"
    """The session was not open and configured in time."""
    HUNG_UP = "hung up"
    """The application ended the call."""


@frozen
class CallEnded:
    """The last notification of a call: both sockets are closed.

    `detail` is for people, for example the close code and reason that the peer gave. `usage` is
    that of all responses; `unanswered_requests` counts the requests for a response that the server
    has not answered, or that still waited to be sent.
    """

    reason: EndReason
    detail: str = ""
    usage: Usage = field(factory=Usage)
    unanswered_requests: int = 0


@frozen
class TwilioMessage:
    """A raw message from Twilio; only where `CallConfig.raw_messages` asks for it.

    It holds what the caller says and perhaps who calls: keep it out of logs.
    """

    text: str = field(repr=False)


@frozen
class RealtimeEvent:
    """A raw event from the model's server; only where `CallConfig.raw_messages` asks for it.

    It holds what both sides say: keep it out of logs.
    """

    text: str = field(repr=False)


Notification: TypeAlias = (
    CallStarted
    | SessionReady
    | CallerAudioDropped
    | CallerAudioPadded
    | CallerSpeechStarted
    | CallerSpeechStopped
    | CallerTranscript
    | CallerTranscriptFailed
    | AgentAudio
    | AgentText
    | AgentTranscript
    | ResponseStarted
    | ResponseFinished
    | ResponseRefused
    | PlaybackStarted
    | PlaybackFinished
    | ClipFinished
    | Interrupted
    | InterruptionBlocked
    | ItemAdded
    | ItemUpdated
    | ItemDeleted
    | FunctionCallRequested
    | McpToolsListed
    | McpApprovalRequested
    | McpCallStarted
    | McpCallFinished
    | KeyPressed
    | Fault
    | CallEnded
    | TwilioMessage
    | RealtimeEvent
)

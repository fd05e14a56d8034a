"""The notifications of a call: what `Notify` carries to the application.

`Fault` (in `errors`) is one as well. Ids are those of the Realtime API; durations are in whole
milliseconds where a protocol counts in them. What people say stays out of `repr`.
"""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Any, TypeAlias

from attrs import field, frozen

from .errors import Fault
from .protocols.realtime import InformationalEvent, ServerEvent
from .values.block_cause import BlockCause
from .values.items import ConversationItem
from .values.log_probability import TokenLogprob
from .values.rate_limit import RateLimit
from .values.usage import Usage

__all__ = [
    "AgentAudio",
    "AgentText",
    "AgentTranscript",
    "AllHeard",
    "CallEnded",
    "CallEndsSoon",
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
    "IdleTimeoutTriggered",
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
    "ModelSilent",
    "Notification",
    "PaddingCause",
    "PlaybackFinished",
    "PlaybackStarted",
    "RateLimitsUpdated",
    "RealtimeEvent",
    "ResponseFinished",
    "ResponseRefused",
    "ResponseStarted",
    "SessionLost",
    "SessionReady",
    "SessionRestored",
    "SessionRotated",
    "TwilioMessage",
    "TypedRealtimeEvent",
]


@frozen
class CallStarted:
    """The media stream has started. `custom_parameters` come from the TwiML's `<Parameter>`
    elements.

    Notified again if the same socket starts another stream; playback and timing then start anew.
    """

    stream_sid: str
    call_sid: str | None
    account_sid: str | None = field(repr=False)
    custom_parameters: dict[str, str] = field(repr=False)


@frozen
class SessionReady:
    """The Realtime session is configured; the caller's audio now reaches the model.

    `session` is the whole configuration in effect, as the server describes it. Notified again after
    every update that the server has accepted.
    """

    session: dict[str, Any] = field(repr=False)


@frozen
class SessionLost:
    """No session of the model is there: it was lost, or could not be opened. The caller hears what
    Twilio still holds.

    `cause` is the reason with which the call would end, `detail` is for people. `attempt` counts
    the attempts to have another one, in a row, and `retry_in_ms` is the delay before this one;
    both are `None` if none follows, and the application is asked what becomes of the call
    (`SessionLossPolicy`).
    """

    cause: "EndReason"
    detail: str
    attempt: int | None
    retry_in_ms: int | None


@frozen
class SessionRestored:
    """Another session goes on with the call. It got the conversation, as text.

    `items` are the ids of the items that it knows, in order; `lost` those of the items that it was
    not given: turns of the caller without a transcript, what only the server makes, and the
    oldest beyond the limits; `renamed` maps old ids that a client cannot give to the new ones.
    """

    items: tuple[str, ...]
    lost: tuple[str, ...]
    renamed: Mapping[str, str]


@frozen
class SessionRotated:
    """A session that was about to expire was replaced by another, while nobody spoke where that was
    possible."""


@frozen
class CallEndsSoon:
    """The call is about to reach its longest duration (`CallConfig.max_call_ms`), in `left_ms`."""

    left_ms: int


@frozen
class CallerAudioDropped:
    """The oldest caller audio that was queued for the session was dropped, beyond the limit: a
    second at a time."""

    samples: int


@unique
class PaddingCause(Enum):
    """Why silence was sent in the caller's audio."""

    GAP = "gap"
    """Twilio's timestamps show that frames are missing."""
    INACTIVITY = "inactivity"
    """The caller spoke, and then no frame arrived for a while."""


@frozen
class CallerAudioPadded:
    """Silence was sent in the caller's audio, so that turn detection keeps working."""

    samples: int
    cause: PaddingCause


@frozen
class CallerSpeechStarted:
    """Turn detection heard the caller start to speak."""

    item_id: str | None
    audio_start_ms: float | None


@frozen
class CallerSpeechStopped:
    """Turn detection heard the caller stop."""

    item_id: str | None
    audio_end_ms: float | None


@frozen
class IdleTimeoutTriggered:
    """Nobody has spoken for `ServerVad.idle_timeout_ms`, so the model responds to the silence.

    The silence from `audio_start_ms` to `audio_end_ms` of the caller's audio becomes the item
    `item_id`.
    """

    item_id: str | None
    audio_start_ms: float | None
    audio_end_ms: float | None


@frozen
class CallerTranscript:
    """The transcript of what the caller said: a piece of it, or (`final`) all of it. Needs
    `SessionConfig.transcription`.

    `logprobs` says how probable each token is, where `SessionConfig.include` asks for it and the
    transcription model supports it; else it is `None`.
    """

    item_id: str
    text: str = field(repr=False)
    final: bool
    logprobs: tuple[TokenLogprob, ...] | None = field(default=None, repr=False)
    content_index: int = 0


@frozen
class CallerTranscriptFailed:
    """What the caller said could not be transcribed. `reason` is the server's."""

    item_id: str
    reason: str = field(repr=False)


@frozen
class AgentAudio:
    """Audio of the agent as it was received, base64 of µ-law; only with
    `CallConfig.notify_agent_audio`. It is ahead of what is heard, and stops with an interruption.
    """

    response_id: str
    item_id: str
    content_index: int
    audio: str = field(repr=False)


@frozen
class AgentText:
    """Text of the agent that is not spoken: a piece of it, or (`final`) all of it."""

    response_id: str
    item_id: str
    content_index: int
    text: str = field(repr=False)
    final: bool


@frozen
class AgentTranscript:
    """The transcript of what the agent says: a piece of it, or (`final`) all of it. It is ahead of
    what is heard."""

    response_id: str
    item_id: str
    content_index: int
    text: str = field(repr=False)
    final: bool


@frozen
class ResponseStarted:
    """The model has started a response. `metadata` is that of the request, if it had any."""

    response_id: str
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)


@frozen
class ResponseFinished:
    """The model has finished a response; its audio may still be playing.

    `status` is completed, cancelled, failed or incomplete; `details` are as the server sent them,
    so they may hold the text of an error (`details["error"]["message"]`). `usage` is `None` where
    the server sends none. `metadata` is that of the request, if it had any. `items` are those that
    the model generated, as the server describes them at the end, without audio.
    """

    response_id: str
    status: str | None
    details: Any = field(repr=False)
    usage: Usage | None
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)
    items: tuple[ConversationItem, ...] = field(default=(), repr=False)


@frozen
class ResponseRefused:
    """The server has refused a request for a response; it is not made again."""

    event_id: str | None
    code: str | None
    message: str = field(repr=False)


@frozen
class ModelSilent:
    """No event of the model was received for `silent_ms` while it owed one: a response was
    generated or requested, or a request waited for the end of one. `response_ids` are those that
    were being generated, which the bridge cancels.

    `is_asked_again`: it requests the response again; otherwise `CallConfig.on_model_silent` says
    whether the call is ended.
    """

    silent_ms: int
    response_ids: tuple[str, ...]
    is_asked_again: bool


@frozen
class RateLimitsUpdated:
    """The server has updated the limits of the account, as it does at the start of a response."""

    limits: tuple[RateLimit, ...]


@frozen
class PlaybackStarted:
    """The first audio of a content part was heard: a mark behind it came back, or it must have been
    heard by the time of an interruption, and so must all of the part."""

    response_id: str
    item_id: str
    content_index: int


@frozen
class PlaybackFinished:
    """All audio of a content part was heard: a mark behind it came back, or it must have been by
    the time of an interruption. `PlaybackStarted` is notified before."""

    response_id: str
    item_id: str
    content_index: int


@frozen
class ClipFinished:
    """A clip of `Play` or `PressKeys` was heard to the end, or cut: `heard_ms` of `sent_ms` were
    heard."""

    name: str
    heard_ms: int
    sent_ms: int


@frozen
class AllHeard:
    """All that was queued or being generated was heard, as `NotifyAfterPlayback` has asked, by
    `name`; or the agent was interrupted, and is silent."""

    name: str


@unique
class InterruptionCause(Enum):
    """Who interrupted."""

    CALLER = "caller"
    APPLICATION = "application"


@frozen
class InterruptedItem:
    """How much of a content part was heard when it was interrupted, of what was sent.

    `heard` and `unheard` are its words received so far, divided in proportion to the audio, since
    nothing shows where a word is. `None`: there is no transcript.
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
    """The agent was interrupted. `items` are those not heard to the end, in the order of playing;
    empty where the model was stopped before any sound."""

    cause: InterruptionCause
    items: tuple[InterruptedItem, ...]


@frozen
class InterruptionBlocked:
    """The caller spoke while the agent did, and did not interrupt it, by the policy of the call
    (`CallConfig.interruption`)."""

    cause: BlockCause


@frozen
class ItemAdded:
    """The conversation has a new item, after `previous_item_id`; `None`: at its start."""

    item: ConversationItem
    previous_item_id: str | None


@frozen
class ItemUpdated:
    """An item has changed: it is complete, has its transcript, was interrupted, or was being said
    when the call ended."""

    item: ConversationItem


@frozen
class ItemDeleted:
    """An item was deleted from the conversation."""

    item_id: str


@frozen
class FunctionCallRequested:
    """The model calls a function. Answer once, with `SendFunctionOutput`.

    `arguments` is JSON text as the model wrote it, which may be invalid.
    """

    call_id: str
    name: str
    arguments: str = field(repr=False)
    response_id: str
    item_id: str


@frozen
class McpToolsListed:
    """The Realtime server has listed the tools of an MCP server: `tools` are their descriptions.
    `None`: they could not be listed."""

    item_id: str
    server_label: str | None
    tools: tuple[Any, ...] | None = field(repr=False)


@frozen
class McpApprovalRequested:
    """The model asks for approval to use a tool of an MCP server. Answer with `AnswerApproval`."""

    approval_request_id: str
    server_label: str | None
    name: str | None
    arguments: str = field(repr=False)


@frozen
class McpCallStarted:
    """The Realtime server has started to call a tool of an MCP server."""

    item_id: str


@frozen
class McpCallFinished:
    """A call of an MCP tool has finished: with `output`, or with `error` as the server describes
    it."""

    item_id: str
    server_label: str | None
    name: str | None
    output: Any = field(repr=False)
    error: Any = field(repr=False)


@frozen
class KeyPressed:
    """The caller pressed a key (DTMF): one of `0` to `9`, `*`, `#`, `A` to `D`."""

    digit: str = field(repr=False)


@unique
class EndReason(Enum):
    """What ended a call. The first cause counts."""

    CALLER_HUNG_UP = "caller hung up"
    """Twilio sent `stop`, or closed its socket with a close frame."""
    TWILIO_LOST = "twilio lost"
    """The socket to Twilio was lost."""
    STREAM_NOT_STARTED = "stream not started"
    """Twilio opened its socket and sent no `start` in time (`CallConfig.start_timeout_ms`)."""
    REALTIME_UNREACHABLE = "realtime unreachable"
    """The socket to the Realtime server could not be opened."""
    REALTIME_CLOSED = "realtime closed"
    """The Realtime server closed the session."""
    REALTIME_LOST = "realtime lost"
    """The socket to the Realtime server was lost."""
    SESSION_REFUSED = "session refused"
    """The server refused the configuration, or set another audio format."""
    SESSION_NOT_READY = "session not ready"
    """The session was not open and configured in time (`CallConfig.session_timeout_ms`)."""
    MODEL_SILENT = "model silent"
    """The model sent no event for too long while it owed a response
    (`CallConfig.on_model_silent`)."""
    HUNG_UP = "hung up"
    """The application ended the call."""
    STREAM_OVER_LIMIT = "stream over limit"
    """Twilio's socket sent more audio, or more of other messages, than a call has: audio at twice
    the speed of real time after a burst of a minute, 20 other messages a second for ten seconds."""
    STREAM_IDLE = "stream idle"
    """Twilio's socket sent no audio for too long (`CallConfig.idle_timeout_ms`)."""
    TOO_LONG = "too long"
    """The call has reached its longest duration (`CallConfig.max_call_ms`)."""
    GOING_AWAY = "going away"
    """The program that runs the call ends (`GoAway`)."""


@frozen
class CallEnded:
    """The last notification of a call: both sockets are closed.

    `detail` is for people, for example the close code and reason that the peer sent. `usage` is
    that of all responses; `unanswered_requests` counts the requests for a response that the server
    has not answered, or that were still queued.
    """

    reason: EndReason
    detail: str = ""
    usage: Usage = field(factory=Usage)
    unanswered_requests: int = 0


@frozen
class TwilioMessage:
    """A raw message from Twilio; only with `CallConfig.raw_messages`.

    It holds what the caller says, and perhaps who calls: keep it out of logs.
    """

    text: str = field(repr=False)


@frozen
class RealtimeEvent:
    """A raw event from the Realtime server; only with `CallConfig.raw_messages`.

    It holds what both sides say: keep it out of logs.
    """

    text: str = field(repr=False)


@frozen
class TypedRealtimeEvent:
    """An event of the Realtime server, decoded; only with `CallConfig.notify_typed_events`.

    `event` is of a class of `protocols.realtime`, by its type. Those on which the bridge acts have
    the fields that it uses; an event of a type that is not documented is an `UnknownServerEvent`.
    What cannot be read is a `Fault` instead.
    """

    event: ServerEvent | InformationalEvent


Notification: TypeAlias = (
    CallStarted
    | SessionReady
    | SessionLost
    | SessionRestored
    | SessionRotated
    | CallEndsSoon
    | CallerAudioDropped
    | CallerAudioPadded
    | CallerSpeechStarted
    | CallerSpeechStopped
    | CallerTranscript
    | CallerTranscriptFailed
    | IdleTimeoutTriggered
    | AgentAudio
    | AgentText
    | AgentTranscript
    | ResponseStarted
    | ResponseFinished
    | ResponseRefused
    | ModelSilent
    | RateLimitsUpdated
    | PlaybackStarted
    | PlaybackFinished
    | ClipFinished
    | AllHeard
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
    | TypedRealtimeEvent
)

"""What the application is told of a call: the events inside `Notify`.

`Fault` (in `errors`) is one of them as well. Ids are those of the Realtime API; durations are in
whole milliseconds where a protocol counts so. What people said stays out of `repr`.
"""

from enum import Enum, unique
from typing import Any, TypeAlias

from attrs import field, frozen

from .errors import Fault

__all__ = [
    "AgentTranscript",
    "CallEnded",
    "CallStarted",
    "CallerAudioDropped",
    "CallerSpeechStarted",
    "CallerSpeechStopped",
    "CallerTranscript",
    "EndReason",
    "HeardItem",
    "Interrupted",
    "InterruptionCause",
    "KeyPressed",
    "Notification",
    "PlaybackFinished",
    "PlaybackStarted",
    "RealtimeEvent",
    "ResponseFinished",
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

    `status` is completed, cancelled, failed or incomplete; `details` and `usage` are as the server
    gave them, so `details` may hold the words of an error.
    """

    response_id: str
    status: str | None
    details: Any = field(repr=False)
    usage: Any


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


@unique
class InterruptionCause(Enum):
    """Who interrupted."""

    CALLER = "caller"
    APPLICATION = "application"


@frozen
class HeardItem:
    """How much of an item's content part was heard when it was interrupted, of what was sent."""

    response_id: str
    item_id: str
    content_index: int
    heard_ms: int
    sent_ms: int


@frozen
class Interrupted:
    """The agent was cut off. `items` are those not heard to the end, in the order of playing; empty
    where the model was stopped before any sound."""

    cause: InterruptionCause
    items: tuple[HeardItem, ...]


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

    `detail` is for people, for example the close code and reason that the peer gave.
    """

    reason: EndReason
    detail: str = ""


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
    | CallerSpeechStarted
    | CallerSpeechStopped
    | CallerTranscript
    | AgentTranscript
    | ResponseStarted
    | ResponseFinished
    | PlaybackStarted
    | PlaybackFinished
    | Interrupted
    | KeyPressed
    | Fault
    | CallEnded
    | TwilioMessage
    | RealtimeEvent
)

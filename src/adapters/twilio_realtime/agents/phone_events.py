"""What Twilio reports of a phone call beside its stream: its state, who answered, its recordings.

Twilio posts these as forms (callbacks); `parse_phone_event` makes values of them. They reach the
agent as notifications of its `Call`, and the code that placed a call (`PlacedCall`). Sources, read
2026-12-01: Twilio, "Calls resource" (StatusCallback),
https://www.twilio.com/docs/voice/api/call-resource; "Answering machine detection",
https://www.twilio.com/docs/voice/answering-machine-detection; "Recordings resource",
https://www.twilio.com/docs/voice/api/recording; "TwiML Voice: <Stream>".
"""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Final, TypeAlias, TypeVar

from attrs import field, frozen

from twilio_realtime_core.notifications import Notification

__all__ = [
    "FINAL_STATES",
    "AnsweredBy",
    "CallEvent",
    "PhoneCallAnswered",
    "PhoneCallState",
    "PhoneCallStatus",
    "PhoneEvent",
    "StreamStatus",
    "TwilioRecordingStatus",
    "parse_phone_event",
]


@unique
class PhoneCallState(Enum):
    """The state of a phone call, in Twilio's words."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    """Somebody, or a machine, has answered."""
    COMPLETED = "completed"
    """The call was answered, and is over."""
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    """The number could not be reached: it may not exist."""
    CANCELED = "canceled"
    """The call was ended before it was answered."""


FINAL_STATES: Final = frozenset(
    {
        PhoneCallState.COMPLETED,
        PhoneCallState.BUSY,
        PhoneCallState.NO_ANSWER,
        PhoneCallState.FAILED,
        PhoneCallState.CANCELED,
    }
)
"""The states after which nothing follows."""


@frozen
class PhoneCallStatus:
    """The state of a phone call has changed."""

    call_sid: str
    state: PhoneCallState
    sequence_number: int | None = None
    """The place of this report in the order of the call's, from 0; they may arrive in another."""
    duration_s: int | None = None
    """How long the call lasted, once it is completed."""
    sip_response_code: int | None = None
    """Why a call failed, in SIP's numbers (RFC 3261, section 21): 404 for a number that does not
    exist."""

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.state in FINAL_STATES


@unique
class AnsweredBy(Enum):
    """Who has answered a call, in Twilio's words."""

    HUMAN = "human"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    """The greeting of a machine has ended with a beep."""
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"

    @property
    def is_machine(self) -> bool:
        """Whether it is an answering machine."""
        return self.value.startswith("machine")


@frozen
class PhoneCallAnswered:
    """Twilio has found out who answered an outbound call: a person at once, a machine at the end of
    its greeting."""

    call_sid: str
    answered_by: AnsweredBy
    detection_ms: int | None = None


@frozen
class TwilioRecordingStatus:
    """A recording of Twilio's has changed its state: in-progress, completed or absent."""

    call_sid: str
    recording_sid: str
    status: str
    duration_s: int | None = None
    url: str = field(default="", repr=False)
    """Where the recording is, once it is completed; reading it needs the account's credentials."""
    error_code: int | None = None


@frozen
class StreamStatus:
    """A media stream has started, stopped or failed, as Twilio sees it: stream-started,
    stream-stopped or stream-error."""

    call_sid: str
    stream_sid: str
    event: str
    error: str | None = field(default=None, repr=False)


PhoneEvent: TypeAlias = PhoneCallStatus | PhoneCallAnswered | TwilioRecordingStatus | StreamStatus
"""What Twilio reports beside the stream."""

CallEvent: TypeAlias = Notification | PhoneEvent
"""What a `Call` notifies: what the bridge does, and what Twilio reports."""

E = TypeVar("E", bound=Enum)


def parse_phone_event(parameters: Mapping[str, str]) -> PhoneEvent | None:
    """Return what the form of a callback reports, or `None` if it is none of these, or has a state
    that is unknown here."""
    call_sid = parameters.get("CallSid", "")
    if "RecordingSid" in parameters:
        return TwilioRecordingStatus(
            call_sid,
            parameters["RecordingSid"],
            parameters.get("RecordingStatus", ""),
            _integer(parameters, "RecordingDuration"),
            parameters.get("RecordingUrl", ""),
            _integer(parameters, "ErrorCode") or None,
        )
    if "StreamEvent" in parameters:
        stream_sid, error = parameters.get("StreamSid", ""), parameters.get("StreamError")
        return StreamStatus(call_sid, stream_sid, parameters["StreamEvent"], error)
    if "AnsweredBy" in parameters and "MachineDetectionDuration" in parameters:
        answered_by = _member(AnsweredBy, parameters["AnsweredBy"])
        if answered_by is None:
            return None
        duration_ms = _integer(parameters, "MachineDetectionDuration")
        return PhoneCallAnswered(call_sid, answered_by, duration_ms)
    state = _member(PhoneCallState, parameters.get("CallStatus", ""))
    if state is None:
        return None
    return PhoneCallStatus(
        call_sid,
        state,
        _integer(parameters, "SequenceNumber"),
        _integer(parameters, "CallDuration"),
        _integer(parameters, "SipResponseCode"),
    )


def _member(kind: type[E], value: str) -> E | None:
    try:
        return kind(value)
    except ValueError:
        return None


def _integer(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "")
    is_number = text.isascii() and text.isdecimal() and len(text) < 10  # noqa: PLR2004 - of digits
    return int(text) if is_number else None

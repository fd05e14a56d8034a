"""Twilio's callbacks: what it reports of calls, answering machines, recordings and streams.

    POST /status           the state of a phone call
    POST /amd              who has answered it
    POST /recording        the state of a recording
    POST /stream-status    the start, the end and errors of a stream

Each is answered with 204 whatever it says, since Twilio asks again for any other answer, and
nothing that a call does hangs on it. Late, repeated and unknown reports are counted in the log.
"""

from collections.abc import Mapping
from logging import DEBUG, INFO, WARNING
from typing import Final

from attrs import frozen

from twilio_realtime_core.errors import redact
from twilio_realtime_core.transport.http import HttpResponse

from ..agents.call_control import RECORDING_PATH
from ..agents.phone_events import (
    PhoneCallAnswered,
    PhoneCallState,
    PhoneCallStatus,
    PhoneEvent,
    StreamStatus,
    TwilioRecordingStatus,
    parse_phone_event,
)
from .event_log import EventLog, LogFieldValue
from .phone_calls import PhoneCalls

__all__ = ["AMD_PATH", "CALLBACK_PATHS", "STATUS_PATH", "STREAM_STATUS_PATH", "Callbacks"]

STATUS_PATH: Final = "/status"
"""The path to which Twilio reports the states of calls that were placed."""
AMD_PATH: Final = "/amd"
"""The path to which Twilio reports who has answered (answering machine detection)."""
STREAM_STATUS_PATH: Final = "/stream-status"
"""The path to which Twilio reports the start, the end and errors of streams, if it is asked to."""

CALLBACK_PATHS: Final = (STATUS_PATH, AMD_PATH, RECORDING_PATH, STREAM_STATUS_PATH)
"""The paths of all callbacks."""

_PROBLEMS: Final = (PhoneCallState.BUSY, PhoneCallState.NO_ANSWER, PhoneCallState.FAILED)

_NO_CONTENT: Final = HttpResponse(204)


@frozen(eq=False)
class Callbacks:
    """Logs reports, and passes them to those who follow their calls."""

    phone_calls: PhoneCalls
    event_log: EventLog

    def receive(self, parameters: Mapping[str, str]) -> HttpResponse:
        """Answer a callback with these parameters, whose signature was checked."""
        event = parse_phone_event(parameters)
        if event is None:
            self.event_log.write(WARNING, "callback.unreadable", {}, like="")
            return _NO_CONTENT
        is_news = self.phone_calls.receive(event)
        level, name, fields = _describe(event)
        fields["call_sid"] = redact(event.call_sid)
        if not is_news:
            level, name = DEBUG, "callback.ignored"
        like = None if level < WARNING else (name, *fields.values())
        self.event_log.write(level, name, fields, like=like)
        return _NO_CONTENT


def _describe(event: PhoneEvent) -> tuple[int, str, dict[str, LogFieldValue]]:
    """Return level, name and fields of the line about a report."""
    match event:
        case PhoneCallStatus():
            level = WARNING if event.state in _PROBLEMS else INFO
            return (
                level,
                "phone_call.reported",
                {"status": event.state.value, "sip_response_code": event.sip_response_code},
            )
        case PhoneCallAnswered():
            fields: dict[str, LogFieldValue] = {"answered_by": event.answered_by.value}
            return INFO, "phone_call.answered", fields | {"detection_ms": event.detection_ms}
        case TwilioRecordingStatus():
            level = INFO if event.error_code is None else WARNING
            fields = {"status": redact(event.status), "recording_sid": redact(event.recording_sid)}
            return level, "twilio_recording.reported", fields | {"code": event.error_code}
        case StreamStatus():
            is_error = event.error is not None or event.event == "stream-error"
            fields = {"status": redact(event.event), "stream_sid": redact(event.stream_sid)}
            reason = None if event.error is None else redact(event.error)
            return (WARNING if is_error else INFO), "stream.reported", fields | {"reason": reason}

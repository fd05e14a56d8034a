"""The log of a connection: which events are logged, and with what."""

import logging
from typing import Any

import pytest

from twilio_realtime.server.call_log import CallLog, SignatureRefusal
from twilio_realtime.server.event_log import EventLog
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime_core import Fault, FaultKind, Peer
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioDropped,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallStarted,
    EndReason,
    Interrupted,
    InterruptedItem,
    InterruptionCause,
    KeyPressed,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionReady,
)
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse, RequestRefused
from twilio_realtime_core.values.usage import Tokens, Usage

STARTED = CallStarted("MZ1", "CA1", "AC1", {"from": "+15005550006"})
SECRETS = ("+15005550006", "sk-1234", "the caller's words", "5550006", "AC1")


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "twilio_realtime")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    """Level, name and fields of each line."""
    blank = vars(logging.makeLogRecord({}))
    return [
        (
            record.levelname,
            vars(record)["event"],
            {
                name: value
                for name, value in vars(record).items()
                if name not in (*blank, "event", "message")
            },
        )
        for record in caplog.records
    ]


def log_of_call(*events: object) -> CallLog:
    log = CallLog(EventLog())
    log.begin(7, 0)
    for event in events:
        log.on_notification(event, 0)
    return log


@pytest.mark.parametrize(
    ("event", "level", "name", "leg"),
    [
        (SessionReady({}), "INFO", "session.ready", "realtime"),
        (CallerSpeechStarted("i", 1), "INFO", "caller_speech.started", "twilio"),
        (CallerSpeechStopped("i", 1), "INFO", "caller_speech.stopped", "twilio"),
        (ResponseStarted("r"), "INFO", "response.started", "realtime"),
        (ResponseFinished("r", "completed", None, None), "INFO", "response.finished", "realtime"),
        (PlaybackStarted("r", "i", 0), "INFO", "playback.started", "twilio"),
        (PlaybackFinished("r", "i", 0), "INFO", "playback.finished", "twilio"),
        (KeyPressed("5"), "INFO", "key.pressed", "twilio"),
        (CallerAudioDropped(8000), "WARNING", "caller_audio.dropped", "twilio"),
        (ResponseRefused("e", "busy", "no"), "WARNING", "response.refused", "realtime"),
        (Fault(Peer.TWILIO, FaultKind.NOT_JSON, "no JSON"), "WARNING", "fault", "twilio"),
        (Fault(None, FaultKind.APPLICATION, "raised"), "ERROR", "fault", None),
    ],
)
def test_each_event_has_a_level_a_name_and_a_leg(
    event: object, level: str, name: str, leg: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    log_of_call(event)
    ((logged_level, logged_name, fields),) = lines(caplog)
    assert (logged_level, logged_name) == (level, name)
    assert fields.get("leg") == leg
    assert fields["call"] == 7


def test_transcripts_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    log_of_call(CallerTranscript("i", "the caller's words", final=True))
    assert lines(caplog) == []


def test_no_line_has_words_numbers_keys_or_parameters(caplog: pytest.LogCaptureFixture) -> None:
    log_of_call(
        STARTED,
        KeyPressed("5"),
        SessionReady({"instructions": "the caller's words"}),
        Interrupted(
            InterruptionCause.CALLER,
            (InterruptedItem("r", "i", 0, 100, 200, "the caller's words", None),),
        ),
        ResponseFinished(
            "r", "failed", {"error": {"message": "no sk-1234 for +15005550006"}}, None
        ),
        Fault(Peer.REALTIME, FaultKind.REFUSED, "no"),
    )
    assert len(caplog.records) == 6
    shown = str(lines(caplog))
    for secret in SECRETS:
        assert secret not in shown


def test_a_failed_response_has_code_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    error = {"type": "server_error", "code": "rate_limit_exceeded", "message": "Too many\ntokens"}
    log_of_call(ResponseFinished("r1", "failed", {"type": "failed", "error": error}, None))
    ((level, _, fields),) = lines(caplog)
    assert level == "WARNING"
    assert fields["status"] == "failed"
    assert fields["code"] == "rate_limit_exceeded"
    assert fields["reason"] == "server_error: Too many tokens"


def test_an_incomplete_response_has_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    log_of_call(ResponseFinished("r1", "incomplete", {"reason": "content_filter"}, None))
    assert lines(caplog)[0][2]["reason"] == "content_filter"


def test_the_end_of_a_call_sums_it_up(caplog: pytest.LogCaptureFixture) -> None:
    log = CallLog(EventLog())
    log.begin(7, SECOND)
    events: list[tuple[int, object]] = [
        (1000, STARTED),
        (2000, CallerSpeechStarted("i", 1)),
        (3000, CallerSpeechStopped("i", 1)),
        (3400, PlaybackStarted("r1", "a", 0)),
        (3500, PlaybackStarted("r1", "b", 0)),
        (4000, CallerSpeechStopped("j", 1)),
        (5000, PlaybackStarted("r2", "c", 0)),
        (6000, CallerSpeechStopped("k", 1)),
        (6100, CallerSpeechStarted("l", 1)),
        (6200, PlaybackStarted("r3", "d", 0)),
        (6300, Interrupted(InterruptionCause.CALLER, ())),
        (6400, Fault(Peer.TWILIO, FaultKind.NOT_JSON, "no JSON")),
    ]
    for at_ms, event in events:
        log.on_notification(event, at_ms * MS)
    usage = Usage(input=Tokens(total=100), output=Tokens(total=50))
    log.on_notification(CallEnded(EndReason.CALLER_HUNG_UP, "stop", usage), 11 * SECOND)
    level, name, fields = lines(caplog)[-1]
    assert (level, name) == ("INFO", "call.ended")
    assert fields == {
        "call": 7,
        "call_sid": "CA1",
        "reason": "caller hung up",
        "detail": "stop",
        "duration_ms": 10_000,
        "turns": 3,
        "interruptions": 1,
        "response_latency_ms": 700,
        "input_tokens": 100,
        "output_tokens": 50,
        "faults": 1,
    }


def test_a_call_that_breaks_off_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    log_of_call(CallEnded(EndReason.REALTIME_LOST))
    assert lines(caplog)[0][0] == "WARNING"


def test_like_faults_of_a_call_are_counted_before_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fault = Fault(Peer.TWILIO, FaultKind.NOT_JSON, "no JSON")
    log_of_call(*[fault] * 1000, CallEnded(EndReason.CALLER_HUNG_UP))
    names = [name for _, name, _ in lines(caplog)]
    assert names == ["fault"] * 6 + ["call.ended"]
    assert lines(caplog)[-2][2]["repeated"] == 995


def test_a_refusal_has_status_path_reason_and_the_url_that_was_checked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = HttpRequest("POST", "/incoming-call?key=secret")
    response = SignatureRefusal(
        403, b"it does not match\n", checked_url="https://a.example/incoming-call"
    )
    log = CallLog(EventLog())
    log.on_notification(RequestRefused(Peer.TWILIO, request, response), 0)
    log.on_notification(Fault(Peer.TWILIO, FaultKind.BROKEN_PROTOCOL, "the same"), 0)
    assert lines(caplog) == [
        (
            "WARNING",
            "request.refused",
            {
                "status": 403,
                "method": "POST",
                "path": "/incoming-call?…",
                "reason": "it does not match",
                "url": "https://a.example/incoming-call",
            },
        )
    ]


@pytest.mark.parametrize(
    ("data", "status", "path"),
    [
        (b"GET /incoming-call?key=secret HTTP/1.1\r\n\r\n", 400, "/incoming-call?…"),
        (b"GET //incoming-call HTTP/1.1\r\nHost: h\r\n\r\n", 404, "//incoming-call"),
    ],
)
def test_a_refusal_has_the_path_of_what_was_received(
    caplog: pytest.LogCaptureFixture, data: bytes, status: int, path: str
) -> None:
    connection = Service(ServiceConfig()).open_connection()
    connection.start(0)
    connection.connected(Peer.TWILIO, 0)
    connection.receive_bytes(Peer.TWILIO, data, 0)
    ((_, name, fields),) = lines(caplog)
    assert (name, fields["status"], fields["path"]) == ("request.refused", status, path)
    assert fields["reason"]


def test_a_refusal_without_a_request_has_only_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    refused = RequestRefused(Peer.TWILIO, None, HttpResponse(400, b"no HTTP\n"))
    CallLog(EventLog()).on_notification(refused, 0)
    assert lines(caplog)[0][2] == {"status": 400, "reason": "no HTTP"}

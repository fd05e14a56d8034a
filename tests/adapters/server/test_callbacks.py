"""Callbacks of Twilio: signed, logged, and harmless whatever they say."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from twilio_realtime.agents.call_control import AFTER_DIAL_PATH
from twilio_realtime.server.callbacks import CALLBACK_PATHS
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse
from twilio_realtime_core.webhook import compute_signature

TOKEN, PUBLIC = 32 * "a", "https://calls.example"
SID = "CA" + 32 * "1"
NUMBER = "+15005550006"
REPORTS: dict[str, dict[str, str]] = {
    "/status": {"CallStatus": "ringing", "SequenceNumber": "1"},
    "/amd": {"AnsweredBy": "human", "MachineDetectionDuration": "900"},
    "/recording": {"RecordingSid": "RE1", "RecordingStatus": "completed"},
    "/stream-status": {"StreamSid": "MZ1", "StreamEvent": "stream-error", "StreamError": "no"},
}

each_callback = pytest.mark.parametrize("path", REPORTS)


def make_service() -> Service:
    return Service(ServiceConfig(auth_token=TOKEN, public_url=PUBLIC))


def post(
    service: Service, path: str, fields: Mapping[str, str], token: str | None = TOKEN
) -> HttpResponse:
    given = {"CallSid": SID, "From": NUMBER, "To": NUMBER} | dict(fields)
    headers = [("host", "calls.example"), ("content-type", "application/x-www-form-urlencoded")]
    if token is not None:
        signature = compute_signature(token, PUBLIC + path, given.items())
        headers.append(("x-twilio-signature", signature))
    body = urlencode(given).encode()
    response = service.respond(HttpRequest("POST", path, tuple(headers), body))
    assert isinstance(response, HttpResponse)
    return response


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(vars(each)["event"], each.levelname) for each in caplog.records]


def test_every_callback_is_tested() -> None:
    assert set(REPORTS) == set(CALLBACK_PATHS)


@each_callback
@pytest.mark.parametrize("token", [None, 32 * "b"])
def test_a_forged_callback_is_refused(path: str, token: str | None) -> None:
    assert post(make_service(), path, REPORTS[path], token).status == 403


@each_callback
def test_a_callback_of_an_unknown_call_is_logged(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "twilio_realtime")
    service = make_service()
    assert post(service, path, REPORTS[path]) == HttpResponse(204)
    assert post(service, path, REPORTS[path]) == HttpResponse(204)
    (first, _), again = events(caplog)
    assert first.endswith((".reported", ".answered"))
    assert again == ("callback.ignored", "DEBUG")
    assert NUMBER not in caplog.text


@pytest.mark.parametrize("fields", [{}, {"CallStatus": "dreaming"}, {"AnsweredBy": "cat"}])
def test_a_callback_that_says_nothing_does_no_harm(
    fields: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert post(make_service(), "/status", fields).status == 204
    assert events(caplog) == [("callback.unreadable", "WARNING")]


def test_a_failed_call_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    fields = {"CallStatus": "failed", "SipResponseCode": "404"}
    post(make_service(), "/status", fields)
    record: Any = caplog.records[0]
    assert (record.levelname, record.sip_response_code) == ("WARNING", 404)


@pytest.mark.parametrize("state", ["completed", "busy", ""])
def test_a_transfer_that_nobody_knows_ends_the_call(state: str) -> None:
    answer = post(make_service(), AFTER_DIAL_PATH, {"DialCallStatus": state})
    assert b"<Hangup/>" in answer.body


@pytest.mark.parametrize("path", [*REPORTS, "/outgoing-call/x"])
def test_callbacks_are_posted(path: str) -> None:
    response = make_service().respond(HttpRequest("GET", path, (("host", "calls.example"),)))
    assert isinstance(response, HttpResponse)
    assert response.status == 405

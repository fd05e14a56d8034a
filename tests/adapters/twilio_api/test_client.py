"""The client of Twilio's REST API, over sockets, on both runtimes."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio import to_thread

from driving import run_in_real_time
from twilio_api_server import (
    ACCOUNT,
    CALL,
    PASSWORD,
    RECORDING,
    ApiAnswer,
    ApiRequest,
    TwilioApiServer,
    error,
)
from twilio_realtime.errors import UsageError
from twilio_realtime.twilio_api import client as client_module
from twilio_realtime.twilio_api.client import TwilioClient
from twilio_realtime.twilio_api.errors import TwilioApiError
from twilio_realtime_core import LocalProtocolError

TO, FROM = "+15005550006", "+15005550001"
TWIML = '<Response><Say>"Grüße" &amp; more</Say></Response>'

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which take no time."""
    taken: list[float] = []
    checkpoint = anyio.lowlevel.checkpoint

    class Clock:
        @staticmethod
        async def sleep(seconds: float) -> None:
            taken.append(seconds)
            await checkpoint()

    monkeypatch.setattr(client_module, "anyio", Clock)
    return taken


def run(
    runtime: str,
    use: Callable[[TwilioClient], Awaitable[Any]],
    *answers: ApiAnswer,
    **options: Any,
) -> tuple[Any, list[ApiRequest]]:
    """Return what `use` returns or raises, and the requests."""

    async def main() -> tuple[Any, list[ApiRequest]]:
        async with TwilioApiServer().serving() as server:
            server.answers.extend(answers)
            try:
                result = await use(server.client(**options))
            except TwilioApiError as caught:
                result = caught
            return result, server.requests

    return run_in_real_time(runtime, main)  # type: ignore[no-any-return]


def place(twilio: TwilioClient) -> Awaitable[Any]:
    return twilio.create_call(to=TO, from_=FROM, url="https://calls.example/outgoing-call/x")


# The same requests as those of Twilio's own library

Pair = tuple[Callable[[TwilioClient], Awaitable[Any]], Callable[[Any], Any]]

PAIRS: dict[str, Pair] = {
    "create": (
        lambda twilio: twilio.create_call(
            to=TO,
            from_=FROM,
            url="https://calls.example/outgoing-call/x",
            ring_timeout_ms=25_000,
            status_callback="https://calls.example/status",
            machine_detection=True,
            amd_status_callback="https://calls.example/amd",
        ),
        lambda api: api.calls.create(
            to=TO,
            from_=FROM,
            url="https://calls.example/outgoing-call/x",
            timeout=25,
            status_callback="https://calls.example/status",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
            machine_detection="DetectMessageEnd",
            async_amd="true",
            async_amd_status_callback="https://calls.example/amd",
        ),
    ),
    "create with twiml": (
        lambda twilio: twilio.create_call(to=TO, from_="client:desk", twiml=TWIML),
        lambda api: api.calls.create(to=TO, from_="client:desk", twiml=TWIML),
    ),
    "redirect": (
        lambda twilio: twilio.update_call(CALL, twiml=TWIML),
        lambda api: api.calls(CALL).update(twiml=TWIML),
    ),
    "redirect to a url": (
        lambda twilio: twilio.update_call(CALL, url="https://calls.example/next?x=1&y=%20"),
        lambda api: api.calls(CALL).update(url="https://calls.example/next?x=1&y=%20"),
    ),
    "end": (
        lambda twilio: twilio.end_call(CALL),
        lambda api: api.calls(CALL).update(status="completed"),
    ),
    "fetch": (lambda twilio: twilio.fetch_call(CALL), lambda api: api.calls(CALL).fetch()),
    "record": (
        lambda twilio: twilio.start_recording(
            CALL, status_callback="https://calls.example/recording"
        ),
        lambda api: api.calls(CALL).recordings.create(
            recording_channels="dual",
            recording_status_callback="https://calls.example/recording",
            recording_status_callback_event=["in-progress", "completed", "absent"],
        ),
    ),
    "pause a recording": (
        lambda twilio: twilio.update_recording(CALL, RECORDING, "paused"),
        lambda api: api.calls(CALL).recordings(RECORDING).update(status="paused"),
    ),
    "text": (
        lambda twilio: twilio.send_sms(to=TO, from_=FROM, body="Grüße & more"),
        lambda api: api.messages.create(to=TO, from_=FROM, body="Grüße & more"),
    ),
}


@each_runtime
@pytest.mark.parametrize("name", PAIRS)
def test_requests_equal_those_of_the_twilio_package(name: str, runtime: str) -> None:
    ours, theirs = PAIRS[name]
    rest = importlib.import_module("twilio.rest")

    async def main() -> list[ApiRequest]:
        async with TwilioApiServer().serving() as server:
            await ours(server.client())
            package = rest.Client(ACCOUNT, PASSWORD)
            package.api.base_url = server.url
            package.http_client.session.close()
            package.http_client.session = None  # each request closes its connection
            await to_thread.run_sync(theirs, package)
            return server.requests

    one, other = run_in_real_time(runtime, main)
    assert one == other
    assert one.credentials == f"{ACCOUNT}:{PASSWORD}"


@each_runtime
def test_the_answer_is_returned_as_twilio_describes_it(runtime: str) -> None:
    call, requests = run(runtime, place)
    assert (call["sid"], call["status"]) == (CALL, "queued")
    assert requests[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"


# Errors

ERRORS = {
    "a value": (error(400, 21211, f"The 'To' number {TO} is not valid"), 21211, "no number that"),
    "the key": (error(401, 20003), 20003, "check TWILIO_ACCOUNT_SID"),
    "a call": (error(404, 20404), 20404, "unknown"),
    "a status alone": (ApiAnswer(404, {"message": "none"}), None, "unknown"),
    "an unknown number": (error(400, 99_999), 99_999, "answered 400"),
}


@each_runtime
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_the_number_of_twilio(name: str, runtime: str) -> None:
    answer, code, advice = ERRORS[name]
    failure, requests = run(runtime, place, answer)
    assert (failure.code, failure.status) == (code, answer.status)
    assert advice in str(failure)
    assert not failure.is_uncertain
    assert len(requests) == 1
    for secret in (TO, FROM, ACCOUNT, PASSWORD):
        assert secret not in str(failure)


@each_runtime
@pytest.mark.parametrize(
    "answer",
    [
        ApiAnswer(201, b"<html>It is late</html>"),
        ApiAnswer(502, b"<html>Bad gateway</html>"),
        ApiAnswer(201, b""),
        ApiAnswer(201, [1]),
        ApiAnswer(201, b'{"a":' * 10_000),
        ApiAnswer(201, {"sid": CALL}, cut=120),
        ApiAnswer(201, {"sid": CALL}, cut=0),
        error(500, 20500),
    ],
)
def test_a_call_that_may_ring_is_not_placed_again(answer: ApiAnswer, runtime: str) -> None:
    failure, requests = run(runtime, place, answer)
    assert isinstance(failure, TwilioApiError)
    assert failure.is_uncertain
    assert len(requests) == 1


@each_runtime
def test_a_silent_server_is_given_up(runtime: str) -> None:
    failure, _ = run(runtime, place, ApiAnswer(201, is_silent=True), timeout_ms=50)
    assert "no answer within 50 ms" in str(failure)
    assert failure.is_uncertain
    assert "look at the call before asking again" in str(failure)


# Attempts


@each_runtime
def test_what_was_refused_for_haste_is_asked_again(runtime: str, pauses: list[float]) -> None:
    call, requests = run(runtime, place, error(429, 20429), error(429, 20429))
    assert call["sid"] == CALL
    assert len(requests) == 3
    assert pauses == [0.5, 1.0]


@each_runtime
@pytest.mark.parametrize("name", ["end", "fetch", "pause a recording"])
def test_what_changes_nothing_twice_is_asked_again(name: str, runtime: str) -> None:
    use, _ = PAIRS[name]
    _, requests = run(runtime, use, error(500, 20500), ApiAnswer(200, {}, cut=9))
    assert len(requests) == 3


@each_runtime
def test_attempts_end(runtime: str) -> None:
    failure, requests = run(runtime, place, *3 * [error(429, 20429)])
    assert failure.code == 20429
    assert len(requests) == 3


@each_runtime
def test_a_server_that_is_not_there_is_tried_again(runtime: str, pauses: list[float]) -> None:
    failure, _ = run(runtime, place, api_url="http://127.0.0.1:1")
    assert "cannot be reached" in str(failure)
    assert not failure.is_uncertain
    assert len(pauses) == 2


# Bad input


def make_client(**options: Any) -> TwilioClient:
    given = dict[str, Any](account_sid=ACCOUNT, username=ACCOUNT, password="x")
    return TwilioClient(**(given | options))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"to": "15005550006"}, "the number to call is not in E.164"),
        ({"to": "+1 500 555 0006"}, "the number to call is not in E.164"),
        ({"to": "+01500555000"}, "the number to call is not in E.164"),
        ({"to": 'sip:anna@host" x="'}, "the number to call is not in E.164"),
        ({"from_": ""}, "the number to call from is not in E.164"),
        ({"url": None}, "either url or twiml"),
        ({"twiml": "<Response/>"}, "either url or twiml"),
        ({"url": None, "twiml": 4001 * "x"}, "4001 characters"),
        ({"ring_timeout_ms": 0}, "ring_timeout_ms is 1 to 600000"),
    ],
)
def test_a_call_that_cannot_be_placed_is_refused(arguments: dict[str, Any], reason: str) -> None:
    call: dict[str, Any] = {"to": TO, "from_": FROM, "url": "https://calls.example"}

    async def main() -> None:
        await make_client().create_call(**(call | arguments))

    with pytest.raises(LocalProtocolError, match=reason):
        anyio.run(main)


def test_a_call_is_named_by_its_sid() -> None:
    with pytest.raises(LocalProtocolError, match="no SID of Twilio"):
        anyio.run(make_client().end_call, f"{CALL}/../x")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"account_sid": "AC1"}, "TWILIO_ACCOUNT_SID is no SID"),
        ({"api_url": "http://api.twilio.com"}, "https://HOST"),
    ],
)
def test_a_client_that_cannot_work_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make_client(**options)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "httpx2", None)
    with pytest.raises(UsageError, match="twilio-api"):
        make_client()


def test_a_client_shows_no_secret() -> None:
    shown = repr(make_client(password="hush"))
    assert ACCOUNT not in shown
    assert "hush" not in shown

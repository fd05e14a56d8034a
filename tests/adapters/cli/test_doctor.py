"""`doctor`, with servers on this machine."""

import http.server
import json
import threading
from base64 import b64encode
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from command_line import RunningCommand
from twilio_realtime.cli import doctor as module
from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.http_client import HttpAnswer

TOKEN = 32 * "a"
SID = "AC" + 32 * "1"
NOBODY = "ws://127.0.0.1:9/v1/realtime"
VARIABLES = (
    "TWILIO_ACCOUNT_SID",
    "OPENAI_API_KEY",
    "TWILIO_AUTH_TOKEN",
    "OPENAI_REALTIME_URL",
    "PORT",
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def examine(
    capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit status, and verdict and text of each subject."""
    status = run_command(["doctor", "--json", *options])
    out, errors = capsys.readouterr()
    assert errors == ""
    events = [json.loads(line) for line in out.splitlines()]
    return status, {each["subject"]: (each["verdict"], each["message"]) for each in events}


def test_a_service_that_works_passes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "agent.py").write_text("from twilio_realtime import Agent\nagent = Agent()\n")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    run = ("--json", "--port", "0")
    with RunningCommand("model", *run) as model:
        url = model.wait_for_event("listening")["url"]
        environment = {"TWILIO_AUTH_TOKEN": TOKEN}
        serving = ("serve", *run, "--realtime-url", url)
        with RunningCommand(*serving, environment=environment, folder=tmp_path) as serve:
            public = f"http://127.0.0.1:{serve.wait_for_event('listening')['port']}"
            status, found = examine(capsys, "--realtime-url", url, "--public-url", public)
            assert status == 0, found
            monkeypatch.setenv("TWILIO_AUTH_TOKEN", 32 * "b")
            status, refused = examine(capsys, "--realtime-url", url, "--public-url", public)
    assert {subject: verdict for subject, (verdict, _) in found.items()} == {
        "agent": "ok",
        "runtime": "ok",
        "api-key": "skipped",
        "auth-token": "ok",
        "model": "skipped",
        "realtime": "ok",
        "webhook": "ok",
        "stream": "ok",
    }
    assert status == 1
    verdict, text = refused["webhook"]
    assert verdict == "failure"
    assert "the auth token, or the URL, differs from that of `serve`" in text
    assert "stream" not in refused


@pytest.mark.parametrize(("runtime", "text"), [("trio", "trio"), ("asyncio", "asyncio, on uvloop")])
def test_the_event_loop_is_named(
    capsys: pytest.CaptureFixture[str], runtime: str, text: str
) -> None:
    _, found = examine(capsys, "--runtime", runtime, "--realtime-url", NOBODY)
    assert found["runtime"] == ("ok", text)


@pytest.mark.parametrize(
    ("key", "verdict", "words"),
    [
        ("'sk-proj-1'", "failure", "quotes"),
        ('sk-proj-1"', "failure", "quotes"),
        ("sk-proj\n-1", "failure", "line break"),
        ("sk-proj-1\n", "warning", "space around it"),
        ("sk-proj-1", "ok", "9 characters"),
    ],
)
def test_a_key_is_checked_for_how_it_was_copied(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    verdict: str,
    words: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    _, found = examine(capsys, "--realtime-url", NOBODY)
    assert found["api-key"][0] == verdict
    assert words in found["api-key"][1]
    assert "sk-proj" not in str(found)


@pytest.mark.parametrize(
    ("token", "verdict"), [(TOKEN, "ok"), (f"{TOKEN}, {32 * '0'}", "ok"), ("short", "warning")]
)
def test_an_auth_token_is_checked_for_its_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, token: str, verdict: str
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", token)
    assert examine(capsys, "--realtime-url", NOBODY)[1]["auth-token"][0] == verdict


class Account(http.server.BaseHTTPRequestHandler):
    """Twilio's REST API, which knows one auth token."""

    def do_GET(self) -> None:
        known = b64encode(f"{SID}:{TOKEN}".encode()).decode()
        is_known = self.headers["Authorization"] == f"Basic {known}"
        self.send_response(200 if is_known and self.path.endswith(f"{SID}.json") else 401)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


@pytest.mark.parametrize(
    ("sid", "token", "verdict", "words"),
    [
        (SID, TOKEN, "ok", "accepts"),
        (SID, 32 * "b", "failure", "401: check TWILIO_ACCOUNT_SID"),
        (SID, None, "warning", "no auth token"),
        ("AC1", TOKEN, "failure", "no SID"),
    ],
)
def test_a_twilio_account_is_checked(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    sid: str,
    token: str | None,
    verdict: str,
    words: str,
) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", sid)
    if token is not None:
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", token)
    with http.server.HTTPServer(("127.0.0.1", 0), Account) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        _, found = examine(capsys, "--realtime-url", NOBODY, "--twilio-api-url", url)
        server.shutdown()
    assert found["twilio-account"][0] == verdict
    assert words in found["twilio-account"][1]
    assert SID not in str(found)


def test_servers_that_do_not_answer_fail(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--realtime-url", NOBODY, "--public-url", "http://127.0.0.1:9")
    status, found = examine(capsys, *options)
    assert status == 1
    assert found["auth-token"][0] == "warning"
    assert "127.0.0.1:9 cannot be reached: the connection was refused" in found["realtime"][1]
    assert "Twilio would log 11200" in found["webhook"][1]


def test_a_setting_that_is_not_valid_fails(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = examine(
        capsys, "--public-url", "https://calls.example", "--realtime-url", NOBODY
    )
    assert status == 1
    assert "without TWILIO_AUTH_TOKEN" in found["settings"][1]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0\n", "it raised ZeroDivisionError: run `serve`"),
        ("agent = 7\n", "agent:agent is a int"),
    ],
)
def test_an_agent_that_cannot_be_loaded_fails(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    words: str,
) -> None:
    import sys  # noqa: PLC0415

    monkeypatch.delitem(sys.modules, "agent", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "agent.py").write_text(code)
    status, found = examine(capsys, "--realtime-url", NOBODY)
    monkeypatch.delitem(sys.modules, "agent", raising=False)
    assert status == 1
    assert words in found["agent"][1]


@contextmanager
def answering(status: int, body: bytes) -> Generator[str]:
    """A server that answers every request alike; the URL of its WebSocket."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.server_port}/v1/realtime"
        server.shutdown()
        thread.join()


def test_the_code_of_a_refusal_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    body = json.dumps({"error": {"code": "invalid_api_key", "message": "sk-secret"}}).encode()
    with answering(401, body) as url:
        _, found = examine(capsys, "--realtime-url", url)
    assert found["realtime"][1].endswith("answered 401 (invalid_api_key)")


def test_the_shutdown_of_a_model_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = examine(capsys, "--realtime-url", NOBODY, "--model", "gpt-realtime")
    assert "shut down on 2027-01-20" in found["model"][1]


SOON = datetime.now(UTC).date() + timedelta(days=3)
GONE = date(2020, 1, 1)
NESTED = b'{"error":' * 10_000


@pytest.mark.parametrize(
    ("status", "body", "verdict", "words"),
    [
        (200, {}, "ok", "my-model"),
        (200, {"shutdown_date": None}, "ok", "my-model"),
        (200, {"shutdown_date": str(SOON)}, "warning", "in 3 days"),
        (200, {"shutdown_date": 1577836800}, "failure", f"was shut down on {GONE}"),
        (200, {"shutdown_date": "soon"}, "ok", "my-model"),
        (200, [], "ok", "my-model"),
        (401, {}, "failure", "the key is not valid"),
        (404, {}, "failure", "there is no model my-model"),
        (429, {"error": {"type": "insufficient_quota"}}, "failure", "429 (insufficient_quota)"),
        (500, {"error": {"code": "<b>"}}, "failure", "answered 500"),
        (200, NESTED, "ok", "my-model"),
        (500, NESTED, "failure", "answered 500"),
    ],
)
def test_what_openai_says_about_a_model_is_judged(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    status: int,
    body: object,
    verdict: str,
    words: str,
) -> None:
    asked: list[str] = []

    def exchange(method: str, url: str, headers: dict[str, str]) -> HttpAnswer:
        asked.append(url)
        now = "Wed, 01 Jan 2020 00:00:00 GMT"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return HttpAnswer(status, {"date": now}, content)

    monkeypatch.setattr(module, "exchange", exchange)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-1")
    _, found = examine(capsys, "--model", "my-model")
    assert asked[0] == "https://api.openai.com/v1/models/my-model"
    assert found["model"][0] == verdict
    assert words in found["model"][1]
    assert found["clock"][0] == "failure"
    assert "set it by NTP" in found["clock"][1]


def test_lines_for_people_say_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--realtime-url", NOBODY]) == 1
    out = capsys.readouterr().out
    assert "failure   realtime" in out
    assert "skipped   public-url       say --public-url" in out

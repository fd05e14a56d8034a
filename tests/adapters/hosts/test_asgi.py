"""The service as an ASGI application, request by request."""

import importlib
import json
import re
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
from attrs import define, evolve, field

from twilio_realtime import Agent, Reject, UsageError
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.incoming_call import IncomingCall
from twilio_realtime.hosts import AsgiApp, asgi_app
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime_core.webhook import HANG_UP_TWIML

TOKEN = 32 * "a"
VALIDATOR: Any = importlib.import_module("twilio.request_validator").RequestValidator(TOKEN)
CONFIG = ServiceConfig(api_key="sk-proj-secret")
SIGNED = evolve(CONFIG, auth_token=TOKEN)
FORM = {"CallSid": "CA" + 32 * "1", "From": "+15005550006"}


async def agent(call: Call) -> None:
    async for _ in call:
        pass


@define
class Exchange:
    """What an application has sent."""

    sent: list[dict[str, Any]] = field(factory=list[dict[str, Any]])

    @property
    def status(self) -> int:
        return self.sent[0]["status"]  # type: ignore[no-any-return]

    @property
    def body(self) -> str:
        return b"".join(each.get("body", b"") for each in self.sent).decode()

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def stream_url(self) -> str:
        match = re.search(r'<Stream url="([^"]*)">', self.body)
        assert match, self.body
        return match[1].rpartition("/")[0]


def exchange(app: AsgiApp, scope: dict[str, Any], *messages: dict[str, Any]) -> Exchange:
    """Run one request, whose client is gone after `messages`."""
    result, received = Exchange(), list(messages)

    async def receive() -> dict[str, Any]:
        return received.pop(0) if received else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        result.sent.append(message)

    async def main() -> None:
        await app(scope, receive, send)

    anyio.run(main)
    return result


def http(
    path: str = "/incoming-call",
    method: str = "POST",
    host: str = "localhost:5050",
    server: tuple[str, int | None] | None = ("127.0.0.1", 5050),
    **extra: Any,
) -> dict[str, Any]:
    headers = [(b"host", host.encode()), *extra.pop("headers", [])]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "server": server}
    return {**scope, **extra}


def websocket(path: str = "/media-stream", **extra: Any) -> dict[str, Any]:
    return {**http(path, "GET", **extra), "type": "websocket"}


def posted(body: bytes = b"") -> dict[str, Any]:
    return {"type": "http.request", "body": body}


def form(url: str, fields: dict[str, str] = FORM) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of a form, signed for `url`."""
    signature = VALIDATOR.compute_signature(url, fields).encode()
    kind = b"application/x-www-form-urlencoded"
    headers = [(b"content-type", kind), (b"x-twilio-signature", signature)]
    return headers, urlencode(fields).encode()


def test_the_webhook_names_the_stream_on_this_machine() -> None:
    answer = exchange(asgi_app(agent, CONFIG), http(), posted())
    assert answer.stream_url == "ws://localhost:5050/media-stream"
    assert answer.headers["content-type"] == "text/xml"


# Frameworks put a path into both places, only into `root_path`, or only into `path`.
@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/voice/incoming-call", "/voice"),
        ("/incoming-call", "/voice"),
        ("/voice/incoming-call", ""),
        ("/voice/incoming-call", "/voice/"),
    ],
)
def test_the_stream_is_below_the_mount(path: str, root_path: str) -> None:
    answer = exchange(asgi_app(agent, CONFIG), http(path, root_path=root_path), posted())
    assert answer.stream_url == "ws://localhost:5050/voice/media-stream"


@pytest.mark.parametrize(
    ("public_url", "signed_url"),
    [
        (None, "https://calls.example/voice/incoming-call"),
        (None, "https://calls.example/incoming-call"),
        ("https://calls.example", "https://calls.example/voice/incoming-call"),
        ("https://calls.example/voice", "https://calls.example/voice/incoming-call"),
        ("https://other.example/x", "https://other.example/x/incoming-call"),
    ],
)
def test_signatures_of_a_mounted_service_are_checked(
    public_url: str | None, signed_url: str
) -> None:
    app = asgi_app(agent, evolve(SIGNED, public_url=public_url))
    headers, body = form(signed_url)
    scope = http("/voice/incoming-call", root_path="/voice", host="calls.example", headers=headers)
    answer = exchange(app, scope, posted(body))
    expected = signed_url.replace("https", "wss").replace("incoming-call", "media-stream")
    assert answer.stream_url == expected


def test_callbacks_of_a_mounted_service_are_checked() -> None:
    fields = {**FORM, "CallStatus": "completed"}
    headers, body = form("https://calls.example/voice/status", fields)
    scope = http("/voice/status", root_path="/voice", host="calls.example", headers=headers)
    app = asgi_app(agent, SIGNED)
    assert exchange(app, scope, posted(body)).status == 204
    assert exchange(app, scope, posted(body + b"&x=y")).status == 403


def test_a_signature_behind_two_proxies_is_checked() -> None:
    headers, body = form("https://calls.example/outer/voice/incoming-call")
    headers += [(b"x-forwarded-host", b"calls.example"), (b"x-forwarded-prefix", b"/outer")]
    scope = http("/voice/incoming-call", root_path="/voice", host="inner:80", headers=headers)
    answer = exchange(asgi_app(agent, SIGNED), scope, posted(body))
    assert answer.stream_url == "wss://calls.example/outer/voice/media-stream"


def test_a_wrong_signature_is_refused() -> None:
    headers, body = form("https://elsewhere.example/incoming-call")
    scope = http(host="calls.example", headers=headers)
    assert exchange(asgi_app(agent, SIGNED), scope, posted(body)).status == 403


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (("127.0.0.1", 80), 200),
        (("/run/calls.sock", None), 200),
        (("10.0.0.7", 80), 403),
        (None, 403),
    ],
)
def test_unsigned_requests_need_a_local_address(server: Any, status: int) -> None:
    answer = exchange(asgi_app(agent, CONFIG), http(server=server), posted())
    assert answer.status == status


def test_the_body_may_come_in_pieces() -> None:
    headers, body = form("https://calls.example/incoming-call")
    scope = http(host="calls.example", headers=headers)
    first = {**posted(body[:9]), "more_body": True}
    assert exchange(asgi_app(agent, SIGNED), scope, first, posted(body[9:])).status == 200


def test_a_body_that_is_too_long_is_refused() -> None:
    pieces = [{**posted(bytes(50_000)), "more_body": True}] * 3
    assert exchange(asgi_app(agent, CONFIG), http(), *pieces).status == 413


def test_a_client_that_is_gone_gets_no_answer() -> None:
    assert exchange(asgi_app(agent, CONFIG), http()).sent == []


@pytest.mark.parametrize(
    ("path", "method", "status", "body"),
    [
        ("/healthz", "GET", 200, "ok\n"),
        ("/readyz", "HEAD", 200, ""),
        ("/media-stream", "GET", 426, "this is a WebSocket\n"),
        ("/incoming-call", "PUT", 405, "/incoming-call takes GET, POST\n"),
        ("/voice/status", "POST", 204, ""),
        ("/voice/after-dial", "GET", 200, HANG_UP_TWIML),
        (
            f"/voice/outgoing-call/{32 * 'x'}",
            "POST",
            403,
            "the call is refused: its token is unknown here\n",
        ),
    ],
)
def test_other_requests_are_answered(path: str, method: str, status: int, body: str) -> None:
    answer = exchange(asgi_app(agent, CONFIG), http(path, method), posted())
    assert (answer.status, answer.body) == (status, body)


def test_an_unknown_path_is_not_found() -> None:
    assert exchange(asgi_app(agent, CONFIG), http("/other"), posted()).status == 404


def test_the_agent_decides_about_a_call() -> None:
    busy = Agent("You are busy.")

    @busy.incoming
    async def refuse(incoming: IncomingCall) -> Reject:
        assert incoming.parameters["From"] == "+15005550006"
        return Reject("busy")

    scope = http(headers=[(b"content-type", b"application/x-www-form-urlencoded")])
    answer = exchange(asgi_app(busy, CONFIG), scope, posted(urlencode(FORM).encode()))
    assert '<Reject reason="busy"/>' in answer.body


def test_a_decision_that_fails_refuses_the_call(caplog: pytest.LogCaptureFixture) -> None:
    broken = Agent("You are broken.")

    @broken.incoming
    def fail(incoming: IncomingCall) -> None:
        raise ValueError("what people said")

    assert exchange(asgi_app(broken, CONFIG), http(), posted()).status == 500
    assert "the decision about a call failed: ValueError" in caplog.text
    assert "people" not in caplog.text


CONNECT = {"type": "websocket.connect"}


def test_a_refused_stream_is_closed_before_it_is_accepted() -> None:
    scope = websocket("/media-stream/never-issued")
    assert exchange(asgi_app(agent, CONFIG), scope, CONNECT).sent == [{"type": "websocket.close"}]


def test_a_refused_stream_gets_a_response_where_servers_can() -> None:
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    scope = websocket("/media-stream/never-issued", extensions=extensions)
    answer = exchange(asgi_app(agent, CONFIG), scope, CONNECT)
    assert answer.sent[0]["type"] == "websocket.http.response.start"
    assert (answer.status, answer.body) == (
        403,
        "the stream is refused: its token is unknown here\n",
    )


def test_a_stream_that_never_connects_is_dropped() -> None:
    assert exchange(asgi_app(agent, CONFIG), websocket()).sent == []


def test_a_call_of_a_stream_is_accepted_and_ends() -> None:
    app = asgi_app(agent, CONFIG)
    start = {"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1", "callSid": "CA1"}}
    text = {"type": "websocket.receive", "text": json.dumps(start)}
    odd = {"type": "websocket.receive", "text": None, "bytes": b"x"}
    end = {"type": "websocket.disconnect", "code": 1006}
    answer = exchange(app, websocket(root_path="/voice"), CONNECT, text, odd, end)
    assert answer.sent[0] == {"type": "websocket.accept"}
    assert app.host.calls == 0


def run_lifespan(app: AsgiApp) -> list[str]:
    scope = {"type": "lifespan"}
    messages = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    return [each["type"] for each in exchange(app, scope, *messages).sent]


def test_the_lifespan_is_acknowledged() -> None:
    app = asgi_app(agent, CONFIG)
    assert run_lifespan(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_drained_application_takes_no_calls() -> None:
    app = asgi_app(agent, CONFIG)
    anyio.run(app.host.drain)
    assert '<Reject reason="busy"/>' in exchange(app, http(), posted()).body
    assert exchange(app, http("/readyz", "GET"), posted()).status == 503
    assert exchange(app, websocket(), CONNECT).sent == [{"type": "websocket.close"}]


def test_settings_that_cannot_be_used_are_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        asgi_app(agent)
    with pytest.raises(UsageError, match="there is no setting publicurl"):
        asgi_app(agent, CONFIG, publicurl="https://calls.example")


def test_a_slow_decision_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.hosts.requests.ANSWER_TIMEOUT_NS", 1_000_000)
    slow = Agent("You are slow.")
    slow.incoming(_sleep)
    assert exchange(asgi_app(slow, CONFIG), http(), posted()).status == 504


async def _sleep(incoming: IncomingCall) -> None:
    await anyio.sleep_forever()

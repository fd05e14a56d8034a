"""The requests of the page, and the calls that it makes, as the service answers them."""

import json
import re
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from anyio import to_thread
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from calling import start
from twilio_realtime import Agent, IncomingCall, Reject, ServiceConfig, serve
from twilio_realtime.agents.decisions import PendingAnswer
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.folder import RecordingFolder
from twilio_realtime.server.browser_phone.browser_phone import BrowserPhone
from twilio_realtime.server.browser_phone.live_feed import LiveFeed
from twilio_realtime.server.browser_phone.stoppable_model import StoppableModel
from twilio_realtime.server.service import Service
from twilio_realtime.server.streams import CallUpgrade
from twilio_realtime_core import Peer
from twilio_realtime_core.transport.http import (
    HttpConnection,
    HttpRequest,
    HttpResponse,
    Upgrade,
)

HOST = "127.0.0.1:5050"
ORIGIN = f"http://{HOST}"
TOKEN = 32 * "a"
UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(
    method: str, path: str, body: Any = None, *, origin: str | None = ORIGIN, **headers: str
) -> HttpRequest:
    named = {"host": HOST} | headers
    if origin is not None:
        named["origin"] = origin
    content = b"" if body is None else json.dumps(body).encode()
    return HttpRequest(method, path, tuple(named.items()), content)


class Page:
    """The page of a service, with its session."""

    def __init__(
        self,
        agent: Agent | None = None,
        *,
        open_recordings: Callable[[], RecordingFolder] | None = None,
        **config: Any,
    ) -> None:
        def refuse() -> RecordingFolder:
            raise PermissionError(13, "Permission denied")

        self.agent = agent or Agent()
        self.phone = BrowserPhone(Random(1).randbytes, open_recordings or refuse)
        self.service = Service(ServiceConfig(**config), browser_phone=self.phone)
        self.session: str = self.ask("session", {"token": self.phone.access.token})["session"]

    def respond(self, incoming: HttpRequest, *, is_exposed: bool = False) -> Any:
        answer = self.service.respond(incoming, self.agent, is_exposed=is_exposed)
        return anyio.run(answer.decide) if isinstance(answer, PendingAnswer) else answer

    def ask(self, path: str, body: Any) -> Any:
        response = self.respond(request("POST", f"/browser-phone/{path}", body))
        assert response.status == 200, response.body
        return json.loads(response.body)

    def call(self, **fields: Any) -> Any:
        return self.ask("call", {"session": self.session, **fields})

    def open_stream(self, call: Any, **options: Any) -> Any:
        path = stream_path(call)
        return self.respond(request("GET", path, **UPGRADE, **options))


def stream_path(call: Any) -> str:
    match = re.search(
        r'<Stream url="ws://127\.0\.0\.1:5050(/media-stream/[\w-]{32})"', call["twiml"]
    )
    assert match, call["twiml"]
    return match[1]


def status(answer: Any) -> int:
    assert isinstance(answer, HttpResponse)
    return answer.status


def test_the_page_and_its_files_are_served_with_a_policy() -> None:
    page = Page()
    for path in ("", "phone.js", "worklet.js", "style.css", "icon.svg"):
        response = page.respond(request("GET", f"/browser-phone/{path}", origin=None))
        assert status(response) == 200
        assert "Content-Security-Policy" in dict(response.headers)
    assert status(page.respond(request("GET", "/browser-phone/../secrets"))) == 404
    assert status(page.respond(request("GET", "/browser-phone/missing.js"))) == 404
    assert status(page.respond(request("PUT", "/browser-phone/session"))) == 405


def test_without_the_option_there_is_no_page() -> None:
    service = Service(ServiceConfig())
    assert status(service.respond(request("GET", "/browser-phone/"))) == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [({"token": "wrong"}, 403), ({"session": "wrong"}, 403), ({}, 403), ([], 400), ("x", 400)],
)
def test_a_session_needs_the_token(body: Any, code: int) -> None:
    assert status(Page().respond(request("POST", "/browser-phone/session", body))) == code


def test_a_used_token_says_so_and_the_session_stays_valid() -> None:
    page = Page()
    body = {"token": page.phone.access.token}
    response = page.respond(request("POST", "/browser-phone/session", body))
    assert status(response) == 403
    assert b"used before" in response.body
    assert page.ask("session", {"session": page.session}) == {"session": page.session}


def test_a_call_opens_its_stream_as_twiml_says() -> None:
    page = Page()
    call = page.call(**{"from": "+15005550006", "to": "+15005550001"})
    assert re.fullmatch("CA[0-9a-f]{32}", call["call_sid"])
    assert re.fullmatch("MZ[0-9a-f]{32}", call["stream_sid"])
    answer = page.open_stream(call)
    assert isinstance(answer, CallUpgrade)
    assert isinstance(answer.machine, StoppableModel)
    assert answer.setup.incoming is not None
    assert answer.setup.incoming.from_ == "+15005550006"
    assert answer.setup.incoming.call_sid == call["call_sid"]


def test_the_stream_of_a_call_opens_once() -> None:
    page = Page()
    call = page.call()
    page.open_stream(call)
    assert status(page.open_stream(call)) == 403


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:1"])
def test_the_stream_of_a_call_is_for_the_page_alone(origin: str | None) -> None:
    page = Page()
    call = page.call()
    assert status(page.open_stream(call, origin=origin)) == 403
    assert isinstance(page.open_stream(call), CallUpgrade)  # the token was not used up


def test_with_an_auth_token_the_page_calls_and_others_still_sign() -> None:
    page = Page(auth_token=TOKEN, public_url="https://calls.example")
    assert isinstance(page.open_stream(page.call()), CallUpgrade)
    unsigned = request("POST", "/incoming-call", origin=None)
    assert status(page.respond(unsigned)) == 403


def test_streams_of_others_are_not_opened_by_the_page() -> None:
    page = Page(auth_token=TOKEN, public_url="https://calls.example", static_twiml=True)
    assert status(page.respond(request("GET", "/media-stream", **UPGRADE))) == 403


def test_the_agent_decides_about_calls_of_the_page() -> None:
    agent = Agent()

    @agent.incoming
    async def refuse(incoming: IncomingCall) -> Reject | None:
        return Reject("busy") if incoming.from_ == "+15005550009" else None

    page = Page(agent)
    assert '<Reject reason="busy"' in page.call(**{"from": "+15005550009"})["twiml"]
    assert "<Stream" in page.call(**{"from": "+15005550006"})["twiml"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 400),
        ({"session": "wrong"}, 403),
        ({"session": None}, 400),
        ({"session": True, "from": 7}, 400),
    ],
)
def test_a_call_needs_the_session(body: Any, code: int) -> None:
    assert status(Page().respond(request("POST", "/browser-phone/call", body))) == code


@pytest.mark.parametrize("path", ["/browser-phone/session", "/browser-phone/call"])
def test_a_body_that_is_nested_too_deeply_is_refused(path: str) -> None:
    nested = evolve(request("POST", path), body=b'{"a":' * 10_000)
    assert status(Page().respond(nested)) == 400


@pytest.mark.parametrize("number", ["x" * 65, "\n", "\x00"])
def test_numbers_that_cannot_be_are_refused(number: str) -> None:
    page = Page()
    body = {"session": page.session, "from": number}
    assert status(page.respond(request("POST", "/browser-phone/call", body))) == 400


def test_a_call_is_recorded_where_the_page_says(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    page = Page(open_recordings=partial(RecordingFolder, folder, print, keep_audio=True))
    page.call()
    assert not folder.exists()
    call = page.call(record=True)
    answer = page.open_stream(call)
    answer.machine.start(0)
    page.phone.close()
    header = json.loads(Path(call["recording"]).read_text("utf-8").splitlines()[0])
    assert header["has_audio"]
    assert [str(each) for each in folder.iterdir()] == [call["recording"]]
    assert page.call()["recording"] is None


def test_a_folder_that_cannot_be_opened_is_said() -> None:
    page = Page()
    body = {"session": page.session, "record": True}
    response = page.respond(request("POST", "/browser-phone/call", body))
    assert (status(response), response.body) == (
        500,
        b"The call cannot be recorded: Permission denied.\n",
    )


def test_calls_in_progress_come_over_a_websocket_of_the_page() -> None:
    page = Page()
    path = "/browser-phone/live"
    assert status(page.respond(request("GET", path))) == 426
    assert status(page.respond(request("GET", path, origin=None, **UPGRADE))) == 403
    answer = page.respond(request("GET", path, **UPGRADE))
    assert isinstance(answer, Upgrade)
    assert isinstance(answer.machine, LiveFeed)


def test_pages_that_show_calls_are_limited() -> None:
    page = Page()
    for _ in range(16):
        answer = page.respond(request("GET", "/browser-phone/live", **UPGRADE))
        answer.machine.start(0)
        answer.machine.opened(answer.peer, 0)
        answer.machine.receive_text(answer.peer, json.dumps({"session": page.session}), 0)
    assert status(page.respond(request("GET", "/browser-phone/live", **UPGRADE))) == 503


def test_the_model_of_a_call_is_stopped_and_other_calls_are_left_alone() -> None:
    page = Page()
    first, second = page.call(), page.call()
    machines = [page.open_stream(each).machine for each in (first, second)]
    feed = page.respond(request("GET", "/browser-phone/live", **UPGRADE)).machine
    feed.opened("page", 0)
    feed.receive_text("page", json.dumps({"session": page.session}), 0)
    for machine in machines:
        machine.start(0)
        machine.opened(Peer.TWILIO, 0)
        machine.receive_text(Peer.TWILIO, json.dumps(start()), 0)
        machine.opened(Peer.REALTIME, 0)
    for call_sid in ("CA unknown", first["call_sid"]):
        feed.receive_text("page", json.dumps({"stop_model": call_sid}), 0)
    received = [machine.receive_text(Peer.REALTIME, "no JSON", 1) for machine in machines]
    assert [bool(actions) for actions in received] == [False, True]


def test_other_machines_get_nothing() -> None:
    page = Page()
    for incoming in (
        request("GET", "/browser-phone/", origin=None),
        request("POST", "/browser-phone/session", {"session": page.session}),
        request("GET", "/browser-phone/live", **UPGRADE),
    ):
        assert status(page.respond(incoming, is_exposed=True)) == 403
        answer = page.respond(incoming)
        assert isinstance(answer, Upgrade) or status(answer) == 200


@pytest.mark.parametrize("host", ["", "192.168.1.5", "calls.example"])
def test_a_service_that_others_reach_has_no_browser_phone(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    options: dict[str, Any] = {"realtime_url": "ws://127.0.0.1:9/", "browser_phone": True}
    with pytest.raises(UsageError, match="--browser-phone is for this machine, and --host is"):
        anyio.run(partial(serve, Agent(), host=host, **options), backend="asyncio")


def test_words_need_the_page() -> None:
    options: dict[str, Any] = {"realtime_url": "ws://127.0.0.1:9/", "live_words": True}
    with pytest.raises(UsageError, match="--live-words needs --browser-phone"):
        anyio.run(partial(serve, Agent(), **options), backend="asyncio")


def exchange(port: int, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    """Send a request as the page does; return status and body of the response."""
    named = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}", **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall((head + body).encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
            if headers and b"\r\n\r\n" in received:
                break  # a WebSocket stays open
    first, _, content = received.decode(errors="replace").partition("\r\n")
    return int(first.split()[1]), content.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_a_link_leads_to_a_call_on_both_runtimes(
    runtime: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    seen: list[tuple[int, str]] = []

    def use(port: int) -> None:
        link = re.search(r"browser phone: (http://\S+)#(\S+)", capsys.readouterr().err)
        assert link
        assert link[1] == f"http://127.0.0.1:{port}/browser-phone/"
        seen.append(exchange(port, "GET", "/browser-phone/"))
        body = json.dumps({"token": link[2]})
        answer = exchange(port, "POST", "/browser-phone/session", body)
        seen.append(answer)
        session = json.loads(answer[1])["session"]
        body = json.dumps({"session": session})
        answer = exchange(port, "POST", "/browser-phone/call", body)
        seen.append(answer)
        url = re.search(r'url="ws://[^/]+(/[^"]+)"', json.loads(answer[1])["twiml"])
        assert url
        seen.append(exchange(port, "GET", url[1], **UPGRADE))
        seen.append(exchange(port, "GET", "/browser-phone/live", **UPGRADE))

    async def main() -> None:
        listening, ports = anyio.Event(), list[int]()

        def on_listening(addresses: list[tuple[str, int]]) -> None:
            ports.append(addresses[0][1])
            listening.set()

        options: dict[str, Any] = {"port": 0, "realtime_url": "ws://127.0.0.1:9/v1/realtime"}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                partial(serve, Agent(), on_listening=on_listening, browser_phone=True, **options)
            )
            await listening.wait()
            await to_thread.run_sync(use, ports[0])
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=runtime)
    assert [code for code, _ in seen] == [200, 200, 200, 101, 101]


@given(
    st.sampled_from(["GET", "POST", "HEAD", "DELETE"]),
    st.sampled_from(["", "session", "call", "live", "phone.js", "../x", "%00"]),
    st.binary(max_size=80) | st.sampled_from([b"{}", b"[]", b"null", b'{"session": "\\ud800"}']),
    st.sampled_from(["", "127.0.0.1:", "localhost:", "[::1]:"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=6),
)
def test_no_request_raises(method: str, name: str, body: bytes, host: str, rest: str) -> None:
    headers = (("host", host + rest), ("origin", f"http://{host}{rest}"))
    incoming = HttpRequest(method, f"/browser-phone/{name}", headers, body)
    answers: list[Any] = []

    def respond(received: HttpRequest) -> Any:
        del received
        answers.append(SHARED_PAGE.respond(incoming))
        return answers[0]

    connection = HttpConnection(Peer.TWILIO, respond, Random(1).randbytes)
    connection.start(0)
    connection.connected(Peer.TWILIO, 0)
    connection.receive_bytes(Peer.TWILIO, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0)
    assert answers[0].status in (200, 400, 403, 404, 405, 426)


SHARED_PAGE = Page()

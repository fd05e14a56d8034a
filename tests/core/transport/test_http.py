from collections.abc import Callable, Hashable, Mapping

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import (
    Action,
    ByteAction,
    Connect,
    Notify,
    Open,
    Refusal,
    Send,
    SendBytes,
    Shutdown,
)
from twilio_realtime_core.machine.contract import ByteMachine
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.transport.frames import CLOSE, TEXT, encode_close, encode_frame
from twilio_realtime_core.transport.http import (
    ANSWER_TIMEOUT_NS,
    MAX_BODY_BYTES,
    MAX_ENCODED_BODY_BYTES,
    MAX_HEAD_BYTES,
    REQUEST_TIMEOUT_NS,
    HttpConnection,
    HttpRequest,
    HttpResponse,
    RequestHandler,
    RequestRefused,
    Upgrade,
)
from twilio_realtime_core.transport.websocket import LinkConfig

LINKS: Mapping[Hashable, LinkConfig] = {
    "caller": LinkConfig(max_message_bytes=1000),
    "model": LinkConfig(max_message_bytes=1000),
}
UPGRADE = (
    b"GET /media HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"User-Agent: Twilio.TmeWs/1.0\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"X-Twilio-Signature: secret\r\n\r\n"
)
GET = b"GET /healthz?x HTTP/1.1\r\nHost: h\r\n\r\n"


def ones(size: int) -> bytes:
    return b"\x01" * size


class Echo:
    """A machine that echoes each message, and opens a second link when a message says so."""

    deadline: int | None = None

    def start(self, now: int) -> list[Action]:
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return [Notify(("opened", peer))]

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        if text == "open":
            return [Open("model", "ws://model/")]
        return [Send(peer, Words(text))]

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return []

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return [Notify(("closed", peer, code))]

    def handle_timeout(self, now: int) -> list[Action]:
        return []


@define
class Words:
    text: str

    def encode(self) -> str:
        return self.text


@define
class Application:
    """An application that answers each request alike, and records it."""

    answer: HttpResponse | Upgrade = field(factory=lambda: Upgrade(Echo(), "caller", LINKS))
    requests: list[HttpRequest] = field(factory=list[HttpRequest])

    def __call__(self, request: HttpRequest) -> HttpResponse | Upgrade:
        self.requests.append(request)
        return self.answer


OK = HttpResponse(200, b"fine")


def opening(application: RequestHandler) -> HttpConnection:
    machine = HttpConnection("caller", application, ones)
    assert machine.start(0) == []
    assert machine.connected("caller", 0) == []
    return machine


def answer(data: bytes, response: HttpResponse = OK) -> list[ByteAction]:
    """The actions that a whole request leads to."""
    return opening(Application(response)).receive_bytes("caller", data, 1)


def sent(actions: list[ByteAction]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, SendBytes))


def faults(actions: list[ByteAction]) -> list[Fault]:
    events = [action.event for action in actions if isinstance(action, Notify)]
    return [event for event in events if isinstance(event, Fault)]


def refusals(actions: list[ByteAction]) -> list[RequestRefused]:
    events = [action.event for action in actions if isinstance(action, Notify)]
    return [event for event in events if isinstance(event, RequestRefused)]


def test_a_plain_request_is_answered_and_the_stream_shut_down() -> None:
    application = Application(OK)
    machine: ByteMachine = opening(application)
    [reply, shutdown] = machine.receive_bytes("caller", GET, 1)
    assert sent([reply]) == (
        b"HTTP/1.1 200 OK\r\n"
        b"Connection: close\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 4\r\n\r\nfine"
    )
    assert shutdown == Shutdown("caller")
    [request] = application.requests
    assert (request.method, request.target, request.path) == ("GET", "/healthz?x", "/healthz")
    assert request.header("Host") == "h"
    assert machine.deadline is None


def test_the_body_of_a_post_is_given_whole() -> None:
    application = Application(OK)
    machine = opening(application)
    head = b"POST /call HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n"
    assert machine.receive_bytes("caller", head + b"CallSid", 1) == []
    assert machine.receive_bytes("caller", b"=CA1", 1)
    assert application.requests[0].body == b"CallSid=CA1"
    assert not application.requests[0].is_upgrade


def test_a_body_in_chunks_is_put_together() -> None:
    application = Application(OK)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    opening(application).receive_bytes("caller", head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 1)
    assert application.requests[0].body == b"abcde"


def test_a_client_that_expects_100_continue_gets_it() -> None:
    application = Application(OK)
    machine = opening(application)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert sent(machine.receive_bytes("caller", head, 1)).startswith(b"HTTP/1.1 100 ")
    assert sent(machine.receive_bytes("caller", b"ab", 1)).startswith(b"HTTP/1.1 200 ")


def test_a_response_to_head_has_no_body() -> None:
    reply = sent(answer(GET.replace(b"GET", b"HEAD")))
    assert b"Content-Length: 4\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")


def test_an_answer_of_no_content_has_no_length() -> None:
    reply = sent(answer(GET, HttpResponse(204)))
    assert reply == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def test_a_response_may_have_headers_and_no_reason_phrase() -> None:
    reply = sent(answer(GET, HttpResponse(599, headers=(("X-Extra", "1"),))))
    assert reply.startswith(b"HTTP/1.1 599 \r\n")
    assert b"X-Extra: 1\r\n" in reply


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(101),
        HttpResponse(200, headers=(("X", "a\r\nb"),)),
        HttpResponse(200, headers=(("X", "é"),)),
        HttpResponse(304, b"body"),
    ],
)
def test_an_answer_that_http_does_not_allow_is_misuse(response: HttpResponse) -> None:
    with pytest.raises(LocalProtocolError):
        answer(GET, response)


def test_bytes_after_the_request_are_ignored() -> None:
    application = Application(OK)
    machine = opening(application)
    machine.receive_bytes("caller", GET + GET, 1)
    assert machine.receive_bytes("caller", GET, 2) == []
    assert machine.receive_eof("caller", 2) == []
    assert machine.handle_timeout(REQUEST_TIMEOUT_NS) == []
    assert len(application.requests) == 1


def test_an_upgrade_becomes_a_link() -> None:
    application = Application()
    machine = opening(application)
    accepted, opened = machine.receive_bytes("caller", UPGRADE, 1)
    assert sent([accepted]).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in sent([accepted])
    assert opened == Notify(("opened", "caller"))
    assert application.requests[0].is_upgrade
    assert machine.deadline == 1 + 20 * SECOND
    assert machine.receive_bytes("caller", encode_frame(TEXT, b"hi", b"mask"), 2) == [
        SendBytes("caller", encode_frame(TEXT, b"hi", None))
    ]


def test_frames_sent_before_the_upgrade_answer_are_read() -> None:
    early = UPGRADE + encode_frame(TEXT, b"early", b"mask")
    actions = opening(Application()).receive_bytes("caller", early, 1)
    assert actions[-1] == SendBytes("caller", encode_frame(TEXT, b"early", None))


def test_all_bytes_after_the_upgrade_belong_to_the_stack() -> None:
    machine = opening(Application())
    machine.receive_bytes("caller", UPGRADE, 1)
    dialled = machine.receive_bytes("caller", encode_frame(TEXT, b"open", b"mask"), 1)
    assert dialled == [Connect("model", "model", 80, tls=False)]
    assert machine.deadline == 1 + 10 * SECOND
    assert sent(machine.connected("model", 2)).startswith(b"GET / HTTP/1.1\r\n")
    assert machine.handle_timeout(3) == []
    assert machine.perform([Notify("asked")], 3) == [Notify("asked")]
    assert machine.receive_eof("model", 4)[-1] == Notify(("closed", "model", 1006))
    assert machine.connect_failed("model", "late", 5) == []
    close = encode_frame(CLOSE, encode_close(1000, ""), b"mask")
    assert machine.receive_bytes("caller", close, 6)[-1] == Notify(("closed", "caller", 1000))
    assert machine.deadline is None


def test_headers_of_a_function_reach_the_link_that_the_machine_opens() -> None:
    links = {**LINKS, "model": LinkConfig(max_message_bytes=1, headers=dict)}
    machine = opening(Application(Upgrade(Echo(), "caller", links)))
    machine.receive_bytes("caller", UPGRADE + encode_frame(TEXT, b"open", b"mask"), 1)
    assert machine.headers_resolved("model", {"A": "b"}, 2) == []
    assert b"\r\nA: b\r\n" in sent(machine.connected("model", 3))


def test_an_upgrade_may_be_refused_by_the_application() -> None:
    refused, reply, shutdown = answer(UPGRADE, HttpResponse(403, b"no"))
    assert isinstance(refused, Notify)
    assert isinstance(refused.event, RequestRefused)
    assert refused.event.response == HttpResponse(403, b"no")
    assert refused.event.request is not None
    assert refused.event.request.path == "/media"
    assert sent([reply]).startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert shutdown == Shutdown("caller")


@pytest.mark.parametrize("data", [GET, UPGRADE.replace(b"GET", b"POST")])
def test_an_unrequested_upgrade_is_misuse(data: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        opening(Application()).receive_bytes("caller", data, 1)


def test_an_upgrade_under_another_name_is_misuse() -> None:
    with pytest.raises(LocalProtocolError):
        opening(Application(Upgrade(Echo(), "model", LINKS))).receive_bytes("caller", UPGRADE, 1)


def test_a_failed_application_is_not_called_again() -> None:
    def fail(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    machine = opening(fail)
    with pytest.raises(ZeroDivisionError):
        machine.receive_bytes("caller", GET, 1)
    assert machine.receive_bytes("caller", GET, 1) == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (UPGRADE.replace(b"Sec-WebSocket-Key", b"X"), 400),
        (UPGRADE.replace(b"dGhl", b"dG"), 400),
        (UPGRADE.replace(b"Sec-WebSocket-Version", b"X"), 400),
        (UPGRADE.replace(b"Version: 13", b"Version: 12"), 426),
        (UPGRADE.replace(b"Connection: Upgrade", b"Connection: close"), 400),
    ],
)
def test_half_an_upgrade_is_refused_without_asking(data: bytes, status: int) -> None:
    application = Application()
    actions = opening(application).receive_bytes("caller", data, 1)
    assert application.requests == []
    assert sent(actions).startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"Sec-WebSocket-Version: 13" in sent(actions)) == (status == 426)
    assert [fault.kind for fault in faults(actions)] == [FaultKind.BROKEN_PROTOCOL]
    assert actions[-1] == Shutdown("caller")


LONG = b"POST / HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (b"hello\r\n\r\n", 400, FaultKind.BROKEN_PROTOCOL),
        (b"\r\n\r\n", 400, FaultKind.BROKEN_PROTOCOL),
        (b"\x00", 400, FaultKind.BROKEN_PROTOCOL),
        (b"GET / HTTP/1.1\r\n\r\n", 400, FaultKind.BROKEN_PROTOCOL),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, FaultKind.BROKEN_PROTOCOL),
        (GET.replace(b": h", b": h\r\nX\xe9: x"), 400, FaultKind.BROKEN_PROTOCOL),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 501, FaultKind.BROKEN_PROTOCOL),
        (UPGRADE.replace(b"13", b"\xe9"), 426, FaultKind.BROKEN_PROTOCOL),
        (b"GET /" + b"x" * MAX_HEAD_BYTES, 431, FaultKind.TOO_LARGE),
        (GET[:-2] + b"X: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431, FaultKind.TOO_LARGE),
        (LONG + b"Content-Length: 65537\r\n\r\n", 413, FaultKind.TOO_LARGE),
        (LONG + b"Content-Length: 9" + b"9" * 18 + b"\r\n\r\n", 413, FaultKind.TOO_LARGE),
        (LONG + b"Content-Length: x\r\n\r\n", 400, FaultKind.BROKEN_PROTOCOL),
        (
            LONG + b"Transfer-Encoding: chunked\r\n\r\n10001\r\n" + b"x" * 65537,
            413,
            FaultKind.TOO_LARGE,
        ),
        (LONG + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400, FaultKind.BROKEN_PROTOCOL),
        (LONG + b"Transfer-Encoding: gzip\r\n\r\n", 501, FaultKind.BROKEN_PROTOCOL),
    ],
)
def test_an_unreadable_request_is_refused_wherever_cut(
    data: bytes, status: int, kind: FaultKind
) -> None:
    for size in (len(data), MAX_HEAD_BYTES, 1000 if len(data) > 1000 else 1):
        application = Application(OK)
        machine = opening(application)
        actions: list[ByteAction] = []
        for start in range(0, len(data), size):
            actions += machine.receive_bytes("caller", data[start : start + size], 1)
        assert sent(actions).startswith(f"HTTP/1.1 {status} ".encode())
        assert [fault.kind for fault in faults(actions)] == [kind]
        assert [each.response.status for each in refusals(actions)] == [status]
        assert actions[-1] == Shutdown("caller")
        assert application.requests == []


LONG_HEADER = b"X: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /call?x HTTP/1.1\r\n\r\n", 400),
        (b"POST /call?x HTTP/1.1\nHost: h\nContent-Length: +5\n\nhello", 400),
        (b"POST http://h/call?x HTTP/1.1\r\nHost: h\r\n" + LONG_HEADER, 431),
        (b"POST /call?x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /call?x HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    ],
)
def test_a_refusal_has_the_first_line_of_the_request(data: bytes, status: int) -> None:
    for size in (len(data), 10, 1):
        machine = opening(Application(OK))
        actions: list[ByteAction] = []
        for start in range(0, len(data), size):
            actions += machine.receive_bytes("caller", data[start : start + size], 1)
        (refusal,) = refusals(actions)
        assert refusal.response.status == status
        assert refusal.request is not None
        assert (refusal.request.method, refusal.request.target) == ("POST", "/call?x")


def test_a_request_that_takes_too_long_has_its_first_line() -> None:
    machine = opening(Application(OK))
    machine.receive_bytes("caller", b"GET /call HTTP/1.1\r\nHost: h", 1)
    (refusal,) = refusals(machine.handle_timeout(REQUEST_TIMEOUT_NS))
    assert (refusal.response.status, refusal.request) == (408, HttpRequest("GET", "/call"))


@pytest.mark.parametrize("data", [b"hello\r\n\r\n", b"GET /" + b"x" * MAX_HEAD_BYTES])
def test_a_refusal_without_a_first_line_has_no_request(data: bytes) -> None:
    (refusal,) = refusals(opening(Application(OK)).receive_bytes("caller", data, 1))
    assert refusal.request is None


def test_head_and_body_may_have_their_whole_limits() -> None:
    application = Application(OK)
    head = LONG + f"Content-Length: {MAX_BODY_BYTES}\r\nX: ".encode()
    padding = b"x" * (MAX_HEAD_BYTES - len(head) - 4)
    data = head + padding + b"\r\n\r\n" + b"y" * MAX_BODY_BYTES
    assert sent(opening(application).receive_bytes("caller", data, 1)).startswith(b"HTTP/1.1 200")
    assert len(application.requests[0].body) == MAX_BODY_BYTES


def test_a_header_value_may_have_bytes_outside_ascii() -> None:
    application = Application(OK)
    opening(application).receive_bytes("caller", GET.replace(b": h", b": h\r\nX: caf\xe9"), 1)
    assert application.requests[0].header("x") == "caf\u00e9"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://call.example/call?a=1", "/call?a=1"),
        (b"HTTPS://call.example:443", "/"),
        (b"http://call.example?a=1", "/?a=1"),
    ],
)
def test_a_target_in_absolute_form_is_reduced_to_its_path(target: bytes, expected: str) -> None:
    application = Application(OK)
    opening(application).receive_bytes("caller", GET.replace(b"/healthz?x", target), 1)
    assert application.requests[0].target == expected
    assert (application.requests[0].header("host") or "").startswith("call.example")


@pytest.mark.parametrize("target", [b"ftp://h/", b"http://user@h/", b"http:///x", b"*"])
def test_other_targets_stay_as_they_are(target: bytes) -> None:
    application = Application(OK)
    opening(application).receive_bytes("caller", GET.replace(b"/healthz?x", target), 1)
    assert application.requests[0].target == target.decode()
    assert application.requests[0].header("host") == "h"


CHUNKED = LONG + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"1;" + b"x" * 16_400 + b"\r\na\r\n0\r\n\r\n", 200),
        (b"1\r\na\r\n0\r\nX: " + b"x" * 16_400 + b"\r\n\r\n", 200),
        (b"1;" + b"x" * (MAX_ENCODED_BODY_BYTES - 12) + b"\r\na\r\n0\r\n\r\n", 200),
        (b"1;" + b"x" * (MAX_ENCODED_BODY_BYTES - 11) + b"\r\na\r\n0\r\n\r\n", 413),
        (b"1;" + b"x" * (MAX_ENCODED_BODY_BYTES + 1), 413),
    ],
)
def test_chunks_have_one_answer_wherever_cut(body: bytes, status: int) -> None:
    data = CHUNKED + body
    for size in (len(data), len(CHUNKED), MAX_HEAD_BYTES, 999):
        machine = opening(Application(OK))
        actions: list[ByteAction] = []
        for start in range(0, len(data), size):
            actions += machine.receive_bytes("caller", data[start : start + size], 1)
        assert sent(actions).startswith(f"HTTP/1.1 {status} ".encode()), size


def test_tls_on_a_plain_port_is_named_and_not_answered() -> None:
    actions = answer(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert sent(actions) == b""
    assert "TLS" in faults(actions)[0].message
    assert actions[-1] == Shutdown("caller")


def test_a_request_that_is_not_whole_in_time_is_refused() -> None:
    machine = opening(Application(OK))
    machine.receive_bytes("caller", GET[:-1], 1)
    assert machine.deadline == REQUEST_TIMEOUT_NS
    assert machine.handle_timeout(REQUEST_TIMEOUT_NS - 1) == []
    actions = machine.handle_timeout(REQUEST_TIMEOUT_NS)
    assert sent(actions).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert [fault.kind for fault in faults(actions)] == [FaultKind.TIMED_OUT]
    assert machine.deadline is None


def test_a_stream_that_ends_without_a_byte_is_no_fault() -> None:
    machine = opening(Application(OK))
    assert machine.receive_bytes("caller", b"", 1) == []
    assert machine.receive_eof("caller", 1) == [Shutdown("caller")]
    assert machine.receive_eof("caller", 1) == []


def later(request: HttpRequest) -> None:
    """An application that answers later."""


def test_a_request_can_be_answered_later() -> None:
    machine = opening(later)
    assert machine.receive_bytes("caller", GET, 1) == []
    assert machine.deadline == 1 + ANSWER_TIMEOUT_NS
    assert machine.receive_bytes("caller", b"more", 2) == []
    assert machine.receive_eof("caller", 3) == []
    assert machine.handle_timeout(4) == []
    actions = machine.answer(OK, 5)
    assert sent(actions).startswith(b"HTTP/1.1 200 OK\r\n")
    assert actions[-1] == Shutdown("caller")
    assert machine.deadline is None


def test_a_request_that_is_not_answered_in_time_is_503() -> None:
    machine = opening(later)
    machine.receive_bytes("caller", GET, 0)
    actions = machine.handle_timeout(ANSWER_TIMEOUT_NS)
    assert sent(actions).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert [fault.kind for fault in faults(actions)] == [FaultKind.TIMED_OUT]
    assert machine.deadline is None
    assert machine.answer(OK, ANSWER_TIMEOUT_NS) == []


MISUSES: list[Callable[[HttpConnection], object]] = [
    lambda machine: machine.start(10),
    lambda machine: machine.connected("caller", 10),
    lambda machine: machine.connected("model", 10),
    lambda machine: machine.connect_failed("caller", "", 10),
    lambda machine: machine.headers_resolved("caller", {}, 10),
    lambda machine: machine.receive_bytes("model", b"", 10),
    lambda machine: machine.receive_bytes("caller", b"", 4),
    lambda machine: machine.receive_eof("model", 10),
    lambda machine: machine.handle_timeout(4),
    lambda machine: machine.perform([], 10),
    lambda machine: machine.answer(OK, 10),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_raises_and_changes_nothing(misuse: Callable[[HttpConnection], object]) -> None:
    machine = opening(Application(OK))
    machine.handle_timeout(5)
    with pytest.raises(LocalProtocolError):
        misuse(machine)
    assert sent(machine.receive_bytes("caller", GET, 5)).startswith(b"HTTP/1.1 200")


def test_nothing_can_be_said_to_an_opening_before_start() -> None:
    machine = HttpConnection("caller", Application(OK), ones)
    with pytest.raises(LocalProtocolError, match="started"):
        machine.connected("caller", 0)
    machine.start(0)
    with pytest.raises(LocalProtocolError, match="byte stream"):
        machine.receive_bytes("caller", GET, 0)


WHOLE = UPGRADE + encode_frame(TEXT, b"a", b"mask") + encode_frame(TEXT, b"b" * 200, b"mask")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(WHOLE)), st.lists(st.integers(0, len(WHOLE)), max_size=5))
def test_a_request_cut_at_any_byte_has_one_outcome(end: int, places: list[int]) -> None:
    def run(marks: list[int]) -> list[ByteAction]:
        machine = opening(Application())
        actions: list[ByteAction] = []
        for start, stop in zip([0, *marks], [*marks, end], strict=True):
            actions += machine.receive_bytes("caller", WHOLE[start:stop], 1)
        return actions + machine.receive_eof("caller", 1)

    actions = run(sorted(min(place, end) for place in places))
    assert actions == run([])
    assert actions.count(Shutdown("caller")) == 1

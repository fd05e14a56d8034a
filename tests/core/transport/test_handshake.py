import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.errors import FaultKind, LocalProtocolError
from twilio_realtime_core.machine.actions import Refusal
from twilio_realtime_core.transport.handshake import (
    MAX_HEAD_BYTES,
    ClientHandshake,
    HandshakeComplete,
    HttpRequest,
    HttpResponse,
    LinkFault,
    ServerAddress,
    check_request_headers,
    encode_upgrade_response,
    find_upgrade_refusal,
    parse_url,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of the example in RFC 6455, section 1.3, as is its answer
ANSWER = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
NONCE = b"the sample nonce"
UPGRADE = {
    "host": "example.com",
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-key": KEY,
    "sec-websocket-version": "13",
}
GOOD = {"Upgrade": "WebSocket", "Connection": "upgrade", "Sec-WebSocket-Accept": ANSWER}


def request(method: str = "GET", **changes: str | None) -> HttpRequest:
    headers = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
    pairs = ((name, value) for name, value in headers.items() if value is not None)
    return HttpRequest(method, "/media?x=1", tuple(pairs))


def handshake(headers: tuple[tuple[str, str], ...] = ()) -> ClientHandshake:
    address = parse_url("wss://api.example.com/v1/realtime?model=m")
    return ClientHandshake(address, headers, lambda size: NONCE[:size])


def response(status: str = "101 Switching Protocols", **changes: str | None) -> bytes:
    headers = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def test_headers_are_found_in_any_case_and_joined() -> None:
    upgrade = HttpRequest("GET", "/a/b?c=/d", (("x", "1"), ("y", "2"), ("x", "3")))
    assert upgrade.header("X") == "1, 3"
    assert upgrade.header("z") is None
    assert upgrade.path == "/a/b"


def test_a_request_shows_neither_its_headers_nor_its_body() -> None:
    shown = repr(HttpRequest("POST", "/", (("authorization", "Bearer secret"),), b"secret"))
    assert "secret" not in shown
    assert "<6 bytes>" in shown


def test_a_valid_request_is_accepted_as_in_the_rfc() -> None:
    assert find_upgrade_refusal(request()) is None
    assert f"Sec-WebSocket-Accept: {ANSWER}\r\n".encode() in encode_upgrade_response(request())


def test_neither_extension_nor_subprotocol_is_accepted() -> None:
    offer = request(sec_websocket_extensions="permessage-deflate", sec_websocket_protocol="x")
    assert encode_upgrade_response(offer) == encode_upgrade_response(request())


@pytest.mark.parametrize(
    ("upgrade", "status"),
    [
        (request(method="POST"), 400),
        (request(upgrade=None), 400),
        (request(upgrade="h2c"), 400),
        (request(connection="close"), 400),
        (request(sec_websocket_version=None), 400),
        (request(sec_websocket_version="8"), 426),
        (request(sec_websocket_key=None), 400),
        (request(sec_websocket_key="c2hvcnQ="), 400),
        (request(sec_websocket_key="!" * 24), 400),
        (request(sec_websocket_key="A" * 24), 400),
        (request(sec_websocket_key="é" * 24), 400),
    ],
)
def test_a_bad_request_for_a_websocket_is_refused(upgrade: HttpRequest, status: int) -> None:
    refused = find_upgrade_refusal(upgrade)
    assert refused is not None
    assert refused.status == status
    with pytest.raises(LocalProtocolError):
        encode_upgrade_response(upgrade)


def test_a_client_of_another_version_is_answered_with_ours() -> None:
    refused = find_upgrade_refusal(request(sec_websocket_version="8"))
    assert isinstance(refused, HttpResponse)
    assert ("Sec-WebSocket-Version", "13") in refused.headers


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://h", ServerAddress("h", 80, tls=False, authority="h", target="/")),
        ("wss://h?", ServerAddress("h", 443, tls=True, authority="h", target="/")),
        ("wss://H/a?b=c", ServerAddress("h", 443, tls=True, authority="h", target="/a?b=c")),
        ("WSS://h:443/", ServerAddress("h", 443, tls=True, authority="h", target="/")),
        ("ws://h:443/", ServerAddress("h", 443, tls=False, authority="h:443", target="/")),
        (
            "ws://[::1]:8080?q",
            ServerAddress("::1", 8080, tls=False, authority="[::1]:8080", target="/?q"),
        ),
    ],
)
def test_a_websocket_url_is_taken_apart(url: str, address: ServerAddress) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "https://h/",
        "h",
        "",
        "ws://",
        "ws:///path",
        "ws://h:99999/",
        "ws://h:0/",
        "ws://h:x/",
        "ws://[::1/",
        "ws://user:word@h/",
        "ws://h/#part",
        "ws://h/#",
        "ws://h/a b",
        "ws://h/a\r\nb",
        "ws://bücher.example/",
    ],
)
def test_a_wrong_url_is_misuse_and_not_shown(url: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        parse_url(url)
    assert "word" not in str(raised.value)


@pytest.mark.parametrize(
    "header",
    [
        ("Host", "x"),
        ("sec-websocket-protocol", "x"),
        ("Authorization", "Bearer secret\r\nX: y"),
        ("Authorization", "Bearer secret "),
        ("Authorization", "Bearer sécret"),
        ("a header", "secret"),
    ],
)
def test_a_wrong_header_is_misuse_without_its_value(
    header: tuple[str, str],
) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        check_request_headers([header])
    assert "cret" not in str(raised.value)


def test_headers_of_the_application_are_sent() -> None:
    headers = (("Authorization", "Bearer k"),)
    check_request_headers(headers)
    lines = handshake(headers).request.decode().split("\r\n")
    assert lines[0] == "GET /v1/realtime?model=m HTTP/1.1"
    assert {"Host: api.example.com", "Authorization: Bearer k"} <= set(lines)
    assert {f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"} <= set(lines)
    assert not any(line.startswith("Sec-WebSocket-Extensions") for line in lines)


def test_the_expected_answer_is_that_of_the_key() -> None:
    sent = handshake().request.decode().split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = hashlib.sha1(sent.encode() + guid, usedforsecurity=False)
    answer = base64.b64encode(digest.digest()).decode()
    assert isinstance(handshake().receive(response(Sec_WebSocket_Accept=answer)), HandshakeComplete)


@given(st.integers(0, 400), st.integers(0, 400))
def test_bytes_behind_an_accepting_response_are_kept(a: int, b: int) -> None:
    data = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + response() + b"\x81\x00frames"
    first, second = sorted((min(a, len(data)), min(b, len(data))))
    client = handshake()
    rest = b""
    accepted = None
    for piece in (data[:first], data[first:second], data[second:]):
        if accepted is None:
            accepted = client.receive(piece)
        else:
            rest += piece
    assert isinstance(accepted, HandshakeComplete)
    assert accepted.trailing_data + rest == b"\x81\x00frames"


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (response("403 Forbidden"), FaultKind.REFUSED, "403"),
        (b"HTTP/1.1 302 \r\nLocation: /\r\n\r\n", FaultKind.REFUSED, "302"),
        (response(Upgrade=None), FaultKind.BROKEN_PROTOCOL, None),
        (response(Upgrade="h2c"), FaultKind.BROKEN_PROTOCOL, None),
        (response(Connection="close"), FaultKind.BROKEN_PROTOCOL, None),
        (response(Sec_WebSocket_Accept=None), FaultKind.BROKEN_PROTOCOL, None),
        (response(Sec_WebSocket_Accept=KEY), FaultKind.BROKEN_PROTOCOL, None),
        (response(Sec_WebSocket_Accept="\xff\xfe"), FaultKind.BROKEN_PROTOCOL, None),
        (response(Connection="\xff\xfe"), FaultKind.BROKEN_PROTOCOL, None),
        (response(Sec_WebSocket_Protocol="\xff"), FaultKind.BROKEN_PROTOCOL, None),
        (response(Sec_WebSocket_Extensions="permessage-deflate"), FaultKind.BROKEN_PROTOCOL, None),
        (b"SSH-2.0-OpenSSH\r\n\r\n", FaultKind.BROKEN_PROTOCOL, None),
        (b"\x15\x03\x01\x00\x02\x02\x46", FaultKind.BROKEN_PROTOCOL, None),
    ],
)
def test_every_other_response_is_a_fault(data: bytes, kind: FaultKind, code: str | None) -> None:
    result = handshake().receive(data)
    if kind is FaultKind.REFUSED:
        assert isinstance(result, Refusal)
        assert str(result.status) == code
    else:
        assert isinstance(result, LinkFault)
        assert (result.kind, result.code) == (kind, code)


def test_headers_in_a_non_ascii_encoding_do_no_harm() -> None:
    assert handshake().receive(response(Server="caf\xe9")) == HandshakeComplete(b"")


def test_repeated_headers_count_together() -> None:
    twice = response().replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    assert handshake().receive(twice) == HandshakeComplete(b"")


@pytest.mark.parametrize("piece", [1000, MAX_HEAD_BYTES, 10 * MAX_HEAD_BYTES])
@pytest.mark.parametrize("excess", [0, 1])
def test_the_limit_of_a_response_is_exact(piece: int, excess: int) -> None:
    padding = MAX_HEAD_BYTES + excess - len(response(Server=""))
    data = response(Server="x" * padding) + b"frames"
    client = handshake()
    answer = None
    for start in range(0, len(data), piece):
        answer = answer or client.receive(data[start : start + piece])
    if excess:
        assert isinstance(answer, LinkFault)
        assert answer.kind is FaultKind.TOO_LARGE
    else:
        assert isinstance(answer, HandshakeComplete)


@pytest.mark.parametrize(
    ("header", "wait_ms"),
    [
        (b"Retry-After: 2", 2000),
        (b"Retry-After-Ms: 150", 150),
        (b"Retry-After: 0.5", 500),
        (b"Retry-After: 999999999", 86_400_000),
        (b"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", None),
        (b"Other: 1", None),
    ],
)
def test_a_refusal_says_how_long_to_wait(header: bytes, wait_ms: int | None) -> None:
    refusal = handshake().receive(b"HTTP/1.1 503 \r\n" + header + b"\r\n\r\n")
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_ms == wait_ms

"""The opening handshake of a WebSocket over HTTP, for clients and servers (RFC 6455, section 4).

`ClientHandshake` is the client's end. `HttpRequest` and `HttpResponse` are the server's end, as an
application sees it.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from hashlib import sha1
from typing import Any, Final, cast

import h11
from attrs import field, frozen

from ..errors import FaultKind, LocalProtocolError, redact
from ..machine.actions import Refusal
from ..machine.arguments import BYTES, TEXT, FieldRule, integer
from ..machine.peer_json import decode_json
from ..machine.websocket_url import DEFAULT_PORTS, split_url

__all__ = [
    "HEADERS",
    "MAX_HEAD_BYTES",
    "MAX_REFUSAL_BYTES",
    "MAX_RETRY_AFTER_MS",
    "ClientHandshake",
    "HandshakeComplete",
    "HttpRequest",
    "HttpResponse",
    "LinkFault",
    "ServerAddress",
    "check_request_headers",
    "encode_upgrade_response",
    "find_upgrade_refusal",
    "parse_url",
]

MAX_HEAD_BYTES: Final = 16 * 1024
"""The longest head of a request or response, which is all before its body. Twilio's request and the
Realtime server's response have less than 2 KiB; proxies commonly allow 8 to 16 KiB."""

MAX_REFUSAL_BYTES: Final = 16 * 1024
"""The most that is read of the body of a response that refuses the handshake, for the code of the
error in it. That of the Realtime server has less than 1 KiB."""

MAX_RETRY_AFTER_MS: Final = 24 * 60 * 60 * 1000
"""The longest wait that is understood: a day. No call waits as long."""

_NUMBER: Final = re.compile(rb"\d{1,12}(\.\d{1,6})?")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_KEY_BYTES = 16  # RFC 6455, section 4.1, item 7
_KEY_CHARACTERS = 24  # the same in base64
_SWITCHING_PROTOCOLS: Final = 101
_WEBSOCKET_VERSION = "13"  # RFC 6455, section 4.1, item 9
_HANDSHAKE_HEADERS = {"host", "connection", "upgrade", "content-length", "transfer-encoding"}


def _are_pairs(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_pair, cast("tuple[object, ...]", value)))


def _is_pair(value: object) -> bool:
    is_tuple = isinstance(value, tuple)
    return is_tuple and [*map(type, cast("tuple[object, ...]", value))] == [str, str]


HEADERS: Final = FieldRule("a tuple of pairs of text, name and value", _are_pairs)
"""Headers of a request or a response."""


def _count_bytes(data: bytes) -> str:
    return f"<{len(data)} bytes>"


@frozen
class HttpRequest:
    """A whole HTTP request. Headers and body may contain secrets, so they are not in the `repr`."""

    method: str
    target: str
    """The path and the query, as they were received."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Names, in lower case, and values."""
    body: bytes = field(default=b"", repr=_count_bytes)

    def header(self, name: str) -> str | None:
        """Return the value of a header, or `None`; the values of several headers with that name are
        joined by commas (RFC 9110, section 5.3)."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.target.partition("?")[0]

    @property
    def is_upgrade(self) -> bool:
        """Whether it requests a WebSocket, validly or not (see `find_upgrade_refusal`)."""
        return self.method == "GET" and "websocket" in _parse_tokens(self.header("upgrade"))


@frozen
class HttpResponse:
    """The response to a request. `headers` are added to those of length, type and connection.

    Raises `LocalProtocolError` for a field of the wrong type.
    """

    status: int = field(validator=integer(100, 999))
    body: bytes = field(default=b"", repr=_count_bytes, validator=BYTES)
    content_type: str = field(default="text/plain; charset=utf-8", validator=TEXT)
    headers: tuple[tuple[str, str], ...] = field(default=(), validator=HEADERS)


@frozen
class LinkFault:
    """A fault of the peer of a link: a `Fault` without its peer, which a link does not know."""

    kind: FaultKind
    message: str
    code: str | None = None


def find_upgrade_refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the response that refuses a request which does not validly request a WebSocket.

    `None`: the request can be accepted (RFC 6455, section 4.2.1).
    """
    version = request.header("sec-websocket-version")
    if not request.is_upgrade:
        return HttpResponse(400, b"not a request for a WebSocket\n")
    if "upgrade" not in _parse_tokens(request.header("connection")):
        return HttpResponse(400, b"no Connection: Upgrade\n")
    if version is not None and version != _WEBSOCKET_VERSION:  # RFC 6455, section 4.4
        supported = (("Sec-WebSocket-Version", _WEBSOCKET_VERSION),)
        return HttpResponse(426, b"unsupported WebSocket version\n", headers=supported)
    if version is None:
        return HttpResponse(400, b"no Sec-WebSocket-Version\n")
    if not _is_valid_key(request.header("sec-websocket-key") or ""):
        return HttpResponse(400, b"invalid Sec-WebSocket-Key\n")
    return None


def encode_upgrade_response(request: HttpRequest) -> bytes:
    """Return the `101 Switching Protocols` response that accepts a request for a WebSocket.

    It has no subprotocol and no extension: compressing base64 of G.711 gains nothing, and adds
    latency.

    Raises `LocalProtocolError` if the request cannot be accepted.
    """
    if find_upgrade_refusal(request) is not None:
        msg = "the request cannot be accepted as a WebSocket"
        raise LocalProtocolError(msg)
    key = (request.header("sec-websocket-key") or "").encode("ascii")
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + _compute_accept(key) + b"\r\n\r\n"
    )


def check_request_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Check headers that are to be added to a client's request.

    Raises `LocalProtocolError` for a header that HTTP does not allow, and for one that the
    handshake sets. The message does not contain the value.
    """
    for name, value in headers:
        if name.lower() in _HANDSHAKE_HEADERS or name.lower().startswith("sec-websocket-"):
            msg = f"the header {name!r} is set by the handshake: leave it out"
            raise LocalProtocolError(msg)
        try:
            h11.Request(method="GET", target="/", headers=[("Host", "check"), (name, value)])
        except (h11.LocalProtocolError, UnicodeEncodeError):
            msg = f"the header {name!r} has a name or a value that HTTP does not allow"
            raise LocalProtocolError(msg) from None


@frozen
class ServerAddress:
    """The server and the resource that a WebSocket URL names."""

    host: str
    """The host name or IP address, without brackets."""
    port: int
    tls: bool
    authority: str
    """The value of the Host header."""
    target: str = field(repr=False)
    """The path and the query, which may contain a token."""


def parse_url(url: str) -> ServerAddress:
    """Parse a ws:// or wss:// URL (RFC 6455, section 3).

    Raises `LocalProtocolError` if it is not one: it must be ASCII, have a host, and have neither
    user information nor a fragment. The message does not contain the URL, which may contain a
    token.
    """
    parts = split_url(url)
    host, port, default = parts.hostname or "", parts.port, DEFAULT_PORTS[parts.scheme]
    name = f"[{host}]" if ":" in host else host
    return ServerAddress(
        host=host,
        port=port or default,
        tls=parts.scheme == "wss",
        authority=name if port in (None, default) else f"{name}:{port}",
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


@frozen
class HandshakeComplete:
    """The server has accepted the request for a WebSocket."""

    trailing_data: bytes
    """The bytes received after the response: the first frames."""


class ClientHandshake:
    """A client's request for a WebSocket, and the parser of the server's response.

    `request` is the bytes to send. `random_bytes` makes the nonce, which need not be secret (RFC
    6455, section 10.3). `headers` are added; `check_request_headers` must have accepted them.
    """

    def __init__(
        self,
        address: ServerAddress,
        headers: Iterable[tuple[str, str]],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        # The limits are counted here, since h11's own depends on how the bytes are split.
        limit = MAX_HEAD_BYTES + MAX_REFUSAL_BYTES + 1
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=limit)
        self._head_bytes_left = MAX_HEAD_BYTES
        self._body_bytes_left = MAX_REFUSAL_BYTES
        self._refusal_status: int | None = None
        self._retry_after_ms: int | None = None
        self._body = bytearray()
        key = b2a_base64(random_bytes(_KEY_BYTES), newline=False)
        self._expected_accept = _compute_accept(key)
        handshake_headers = [
            ("Host", address.authority),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key.decode("ascii")),
            ("Sec-WebSocket-Version", _WEBSOCKET_VERSION),
        ]
        target = address.target
        self.request = self._http.send(
            h11.Request(method="GET", target=target, headers=[*handshake_headers, *headers])
        )

    def receive(self, data: bytes) -> HandshakeComplete | Refusal | LinkFault | None:
        """Parse bytes of the response; `None`: more are needed.

        It must not be called again after it has returned a result.
        """
        if self._refusal_status is not None:
            return self._receive_body(data)
        head, excess = data[: self._head_bytes_left], data[self._head_bytes_left :]
        self._head_bytes_left -= len(head)
        if head:
            self._http.receive_data(head)
        try:
            event = self._http.next_event()
            # Other interim responses may precede the final one (RFC 9110, section 15.2).
            while (
                isinstance(event, h11.InformationalResponse)
                and event.status_code != _SWITCHING_PROTOCOLS
            ):
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            return LinkFault(FaultKind.BROKEN_PROTOCOL, "the response to the handshake is not HTTP")
        match event:
            case h11.InformationalResponse():
                fault = self._find_fault(event)
                return fault or HandshakeComplete(self._http.trailing_data[0] + excess)
            case h11.Response(status_code=status, headers=headers):
                self._refusal_status = status
                self._retry_after_ms = _read_retry_after(headers)
                if not _is_json(headers):
                    return self.end()
                self._body_bytes_left -= len(self._http.trailing_data[0])
                return self._receive_body(excess)
            case _ if excess:
                message = f"the response to the handshake is longer than {MAX_HEAD_BYTES} bytes"
                return LinkFault(FaultKind.TOO_LARGE, message)
            case _:
                return None

    def end(self) -> Refusal | None:
        """Return the response that refuses the handshake, of which nothing more is received or
        awaited; `None` if there is no such response yet."""
        if self._refusal_status is None:
            return None
        message = f"the handshake was answered with HTTP status {self._refusal_status}"
        code = _read_error_code(bytes(self._body))
        if code is not None:
            message = f"{message}: {code}"
        return Refusal(self._refusal_status, self._retry_after_ms, code, message)

    def _receive_body(self, data: bytes) -> Refusal | None:
        """Read the body of a refusal, up to its end or the limit."""
        part, excess = data[: self._body_bytes_left], data[self._body_bytes_left :]
        self._body_bytes_left -= len(part)
        if part:
            self._http.receive_data(part)
        try:
            while isinstance(event := self._http.next_event(), h11.Data):
                self._body += event.data
        except h11.RemoteProtocolError:
            return self.end()
        return None if event is h11.NEED_DATA and not excess else self.end()

    def _find_fault(self, response: h11.InformationalResponse) -> LinkFault | None:
        """Return what is wrong with a 101 response (RFC 6455, section 4.1, last list)."""
        values: dict[bytes, bytes] = {}
        for name, value in response.headers:
            values[name] = values[name] + b"," + value if name in values else value
        tokens = [token.strip() for token in values.get(b"connection", b"").lower().split(b",")]
        if values.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in tokens:
            reason = "it does not switch to WebSocket"
        elif values.get(b"sec-websocket-accept") != self._expected_accept:
            reason = "its Sec-WebSocket-Accept does not match our key"
        elif b"sec-websocket-extensions" in values or b"sec-websocket-protocol" in values:
            reason = "it has an extension or a subprotocol that was not requested"
        else:
            return None
        return LinkFault(
            FaultKind.BROKEN_PROTOCOL, f"the response to the handshake is invalid: {reason}"
        )


def _is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"content-type" and value.lower().startswith(b"application/json")
        for name, value in headers
    )


def _read_retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return how long the server says to wait (ms), of `retry-after-ms` or `Retry-After`; `None` if
    it does not say so in a number: a date would need a clock (RFC 9110, section 10.2.3)."""
    values = dict(headers)
    for name, unit_ms in ((b"retry-after-ms", 1), (b"retry-after", 1000)):
        text = values.get(name, b"")
        if _NUMBER.fullmatch(text):
            return min(int(float(text) * unit_ms), MAX_RETRY_AFTER_MS)
    return None


def _read_error_code(body: bytes) -> str | None:
    """Return the code, or else the type, of the error in a body of JSON as the Realtime server
    sends it, `{"error": {"code": ...}}` (OpenAI API reference, "Error codes",
    https://platform.openai.com/docs/guides/error-codes)."""
    match decode_json(body, dict[str, Any]):
        case {"error": {"code": str(code)}} | {"error": {"type": str(code)}} if code:
            return redact(code)
        case _:
            return None


def _parse_tokens(value: str | None) -> list[str]:
    return [token.strip().lower() for token in (value or "").split(",")]


def _is_valid_key(key: str) -> bool:
    try:
        return len(key) == _KEY_CHARACTERS and len(a2b_base64(key, strict_mode=True)) == _KEY_BYTES
    except (Base64Error, ValueError):
        return False


def _compute_accept(key: bytes) -> bytes:
    digest = sha1(key + _GUID, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False)

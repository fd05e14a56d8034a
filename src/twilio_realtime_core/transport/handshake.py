"""The HTTP half of a WebSocket: how a link is asked for, granted and refused (RFC 6455, section 4).

Both ends, over h11, in bytes: header values are peers' own and need not be text. `Request` and
`Response` are what an application sees of the server's end.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from hashlib import sha1
from typing import Final
from urllib.parse import urlsplit

import h11
from attrs import field, frozen

from ..errors import FaultKind, LocalProtocolError

__all__ = [
    "MAX_HEAD_BYTES",
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
"""The most bytes of one request or response before its body, in either direction. Twilio's request
and the Realtime server's response take below 2 KiB; proxies commonly allow 8 to 16 KiB."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_KEY_BYTES = 16  # RFC 6455, section 4.1, item 7
_KEY_CHARACTERS = 24  # the same in base64
_SWITCHING_PROTOCOLS: Final = 101
_WEBSOCKET_VERSION = "13"  # RFC 6455, section 4.1, item 9
_HANDSHAKE_HEADERS = {"host", "connection", "upgrade", "content-length", "transfer-encoding"}
_DEFAULT_PORTS = {"ws": 80, "wss": 443}  # RFC 6455, section 3


def _count_bytes(data: bytes) -> str:
    return f"<{len(data)} bytes>"


@frozen
class HttpRequest:
    """A whole HTTP request. `target` is the path and the query as they came; names in `headers`
    are lower case. Headers and body may hold secrets, so neither is shown by `repr`."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=_count_bytes)

    def header(self, name: str) -> str | None:
        """The value of a header; of several of that name, their values joined by commas
        (RFC 9110, section 5.3); `None` if there is none."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a WebSocket, well or badly (`refusal` tells)."""
        return self.method == "GET" and "websocket" in _parse_tokens(self.header("upgrade"))


@frozen
class HttpResponse:
    """What to answer to a request. `headers` are additional to those of length, type and
    connection."""

    status: int
    body: bytes = field(default=b"", repr=_count_bytes)
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@frozen
class LinkFault:
    """What the peer of a link did wrong; a `Fault` that does not know the peer's name yet."""

    kind: FaultKind
    message: str
    code: str | None = None


def find_upgrade_refusal(request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that asks for a WebSocket badly, or not at all; `None`: it can be
    accepted (RFC 6455, section 4.2.1)."""
    version = request.header("sec-websocket-version")
    if not request.is_upgrade:
        return HttpResponse(400, b"no request for a WebSocket\n")
    if "upgrade" not in _parse_tokens(request.header("connection")):
        return HttpResponse(400, b"no Connection: Upgrade\n")
    if version is not None and version != _WEBSOCKET_VERSION:  # RFC 6455, section 4.4
        wanted = (("Sec-WebSocket-Version", _WEBSOCKET_VERSION),)
        return HttpResponse(426, b"another version of WebSocket is needed\n", headers=wanted)
    if version is None:
        return HttpResponse(400, b"no Sec-WebSocket-Version\n")
    if not _is_valid_key(request.header("sec-websocket-key") or ""):
        return HttpResponse(400, b"no good Sec-WebSocket-Key\n")
    return None


def encode_upgrade_response(request: HttpRequest) -> bytes:
    """The bytes of the `101 Switching Protocols` that grants a WebSocket: no extension (there is
    nothing to gain by compressing base64 of G.711, and it adds latency) and no subprotocol.

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
    """See that headers may go into a client's request; values are never shown.

    Raises `LocalProtocolError` for one that HTTP does not allow, and for one that the handshake
    writes itself.
    """
    for name, value in headers:
        if name.lower() in _HANDSHAKE_HEADERS or name.lower().startswith("sec-websocket-"):
            msg = f"the header {name!r} is the handshake's own"
            raise LocalProtocolError(msg)
        try:
            h11.Request(method="GET", target="/", headers=[("Host", "check"), (name, value)])
        except (h11.LocalProtocolError, UnicodeEncodeError):
            msg = f"the header {name!r} has a value, or a name, that HTTP does not allow"
            raise LocalProtocolError(msg) from None


@frozen
class ServerAddress:
    """Where a WebSocket URL points. `host` is without brackets; `authority` is as the Host header
    has it; `target` is the path and the query."""

    host: str
    port: int
    tls: bool
    authority: str
    target: str = field(repr=False)


def parse_url(url: str) -> ServerAddress:
    """Take a ws:// or wss:// URL apart (RFC 6455, section 3).

    Raises `LocalProtocolError` if it is none: it needs a host, in ASCII, and may have neither
    user information nor a fragment. The URL is not shown, since it may hold a token.
    """
    # urlsplit drops some control characters instead of refusing them.
    if not url.isascii() or not url.isprintable() or " " in url:
        msg = "the URL holds a character that a URL cannot"
        raise LocalProtocolError(msg)
    try:
        parts = urlsplit(url)
        host, port, default = parts.hostname, parts.port, _DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        msg = "the URL is no ws:// or wss:// URL"
        raise LocalProtocolError(msg) from None
    if not host or port == 0 or "@" in parts.netloc or "#" in url:
        msg = "the URL needs a host, and may have no user information and no fragment"
        raise LocalProtocolError(msg)
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
    """The server agreed; `rest` is what came behind its response: the first frames."""

    trailing_data: bytes


class ClientHandshake:
    """A client's request for a WebSocket, and the server's response to it.

    `random_bytes` gives the nonce, which need not be secret (RFC 6455, section 10.3).
    Extra headers must have passed `check_headers`.
    """

    def __init__(
        self,
        address: ServerAddress,
        headers: Iterable[tuple[str, str]],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._head_bytes_left = MAX_HEAD_BYTES
        key = b2a_base64(random_bytes(_KEY_BYTES), newline=False)
        self._expected_accept = _compute_accept(key)
        own = [
            ("Host", address.authority),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key.decode("ascii")),
            ("Sec-WebSocket-Version", _WEBSOCKET_VERSION),
        ]
        target = address.target
        self.request = self._http.send(
            h11.Request(method="GET", target=target, headers=[*own, *headers])
        )

    def receive(self, data: bytes) -> HandshakeComplete | LinkFault | None:
        """Take bytes of the response; `None`: more are needed. Not to be called again once it has
        given an answer."""
        # h11 measures what is incomplete only, and at its own time. Handing it no more than there
        # is room for makes the limit the same however the bytes are cut.
        taken, late = data[: self._head_bytes_left], data[self._head_bytes_left :]
        self._head_bytes_left -= len(taken)
        if taken:
            self._http.receive_data(taken)
        try:
            event = self._http.next_event()
            # Other interim responses come before the one that counts (RFC 9110, section 15.2).
            while (
                isinstance(event, h11.InformationalResponse)
                and event.status_code != _SWITCHING_PROTOCOLS
            ):
                event = self._http.next_event()
        except h11.RemoteProtocolError:
            return LinkFault(FaultKind.BROKEN_PROTOCOL, "the response to the handshake is no HTTP")
        match event:
            case h11.InformationalResponse():
                fault = self._find_fault(event)
                return fault or HandshakeComplete(self._http.trailing_data[0] + late)
            case h11.Response(status_code=status):
                message = f"the handshake was answered with HTTP status {status}"
                return LinkFault(FaultKind.REFUSED, message, code=str(status))
            case _ if late:
                message = f"the response to the handshake is longer than {MAX_HEAD_BYTES} bytes"
                return LinkFault(FaultKind.TOO_LARGE, message)
            case _:
                return None

    def _find_fault(self, response: h11.InformationalResponse) -> LinkFault | None:
        """What is wrong with a 101 (RFC 6455, section 4.1, last list)."""
        values: dict[bytes, bytes] = {}
        for name, value in response.headers:
            values[name] = values[name] + b"," + value if name in values else value
        tokens = [token.strip() for token in values.get(b"connection", b"").lower().split(b",")]
        if values.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in tokens:
            wrong = "it switches to no WebSocket"
        elif values.get(b"sec-websocket-accept") != self._expected_accept:
            wrong = "its Sec-WebSocket-Accept does not answer our key"
        elif b"sec-websocket-extensions" in values or b"sec-websocket-protocol" in values:
            wrong = "it has an extension or a subprotocol that was not asked for"
        else:
            return None
        return LinkFault(FaultKind.BROKEN_PROTOCOL, f"the handshake went wrong: {wrong}")


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

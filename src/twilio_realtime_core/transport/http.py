"""The HTTP side of an accepted byte stream: one request, answered, refused, or upgraded.

    bytes -> HttpConnection -> HttpRequest -> RequestHandler -> HttpResponse, or Upgrade to a Stack

A byte stream carries one request, so a webhook and a media stream can share a port.
"""

from collections.abc import Callable, Hashable, Mapping
from enum import Enum, unique
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import h11
from attrs import define, evolve, field, frozen

from ..errors import Fault, FaultKind, LocalProtocolError
from ..machine.actions import Action, ByteAction, Notify, SendBytes, Shutdown
from ..machine.arguments import BYTES, CALLABLE, NULL, check_instant, check_time, instance_of
from ..machine.contract import MessageMachine
from ..machine.timers import Timers, TransportTimer
from ..machine.units import SECOND
from .handshake import MAX_HEAD_BYTES, HttpRequest, HttpResponse, find_upgrade_refusal
from .request_head import read_first_line, read_head
from .stack import Stack
from .websocket import LinkConfig

__all__ = [
    "ANSWER_TIMEOUT_NS",
    "MAX_BODY_BYTES",
    "MAX_ENCODED_BODY_BYTES",
    "MAX_HEAD_BYTES",
    "REQUEST_TIMEOUT_NS",
    "HttpConnection",
    "HttpRequest",
    "HttpResponse",
    "RequestHandler",
    "RequestRefused",
    "Upgrade",
]

MAX_BODY_BYTES: Final = 64 * 1024
"""The longest body of a request. The form of a webhook has less than 4 KiB."""

MAX_ENCODED_BODY_BYTES: Final = 2 * MAX_BODY_BYTES
"""The longest body as it is transferred, with the sizes and extensions of its chunks and with its
trailers (RFC 9112, section 7.1): as much again as the body itself."""

REQUEST_TIMEOUT_NS: Final = 10 * SECOND
"""How long a whole request may take after its byte stream is open. Twilio sends it at once; a peer
that takes longer occupies a connection for nothing."""

ANSWER_TIMEOUT_NS: Final = 15 * SECOND
"""How long an application may take to answer a request later. Twilio gives a webhook up after 15 s
(Twilio, "Webhooks", connection overrides, read timeout)."""

_BODY_TOO_LARGE: Final = (
    413,
    FaultKind.TOO_LARGE,
    f"the body of the request is longer than {MAX_BODY_BYTES} bytes",
)
_ENCODED_BODY_TOO_LARGE: Final = (
    413,
    FaultKind.TOO_LARGE,
    f"the body of the request takes more than {MAX_ENCODED_BODY_BYTES} bytes to transfer",
)
_MAX_UNREAD_BYTES: Final = MAX_HEAD_BYTES + MAX_ENCODED_BODY_BYTES + 1
"""More than h11 ever holds: its own limit depends on how the bytes are split, so the connection
counts them itself."""

_TLS_HANDSHAKE: Final = b"\x16"  # the first byte of a ClientHello (RFC 8446, section 5.1)


@frozen
class Upgrade:
    """The answer to a request that makes its byte stream a WebSocket of a machine."""

    machine: MessageMachine
    """The machine, which the connection runs from now on."""
    peer: Hashable
    """The machine's key for the peer that sent the request."""
    link_configs: Mapping[Any, LinkConfig]
    """The configurations of this link, and of those that the machine will open, by peer."""


@frozen
class RequestRefused:
    """The notification that a request was answered with a status of 300 or more.

    `request` has no headers if its head was not complete or not valid, and is `None` if its first
    line was not. The first line of the body of `response` says why.
    """

    peer: Hashable
    request: HttpRequest | None
    response: HttpResponse


_ANSWER: Final = instance_of(HttpResponse, Upgrade) | NULL


RequestHandler: TypeAlias = Callable[[HttpRequest], HttpResponse | Upgrade | None]
"""A function of the application that answers a request; `None`: by `HttpConnection.answer`,
later."""


@unique
class _State(Enum):
    NEW = "new"  # the byte stream is not connected yet
    READING = "reading"  # the request is incomplete
    PENDING = "pending"  # the application answers the request later
    ANSWERED = "answered"  # by a response, or by an upgrade to a stack


@define(eq=False, repr=False)
class HttpConnection:
    """A `ByteMachine` that serves one HTTP request on an accepted byte stream, `peer`.

    `respond` is called once, with the whole request. It may return an `Upgrade` only if
    `HttpRequest.is_upgrade`, and only for the same peer; otherwise `LocalProtocolError` is raised.
    If it returns `None`, the application calls `answer` within `ANSWER_TIMEOUT_NS`.
    An invalid request, such as an incomplete upgrade, is refused without calling it. Every refusal
    is notified as `RequestRefused`; if the peer is at fault, a `Fault` follows. A target in
    absolute form is reduced to its path and query, and its authority replaces the Host header.
    Bytes of headers outside ASCII are decoded as ISO 8859-1 (RFC 9110, section 5.5).
    `random_bytes(n)` returns n unpredictable bytes, for the links that the machine opens.
    """

    _peer: Hashable = field(alias="peer")
    _respond: RequestHandler = field(alias="respond")
    _random_bytes: Callable[[int], bytes] = field(alias="random_bytes")
    _http: h11.Connection = field(init=False)
    _head_bytes_left: int = field(default=MAX_HEAD_BYTES, init=False)
    _encoded_body_bytes_left: int = field(default=MAX_ENCODED_BODY_BYTES, init=False)
    _first_bytes: bytearray = field(factory=bytearray, init=False)
    """What was received up to the end of the first line, and what came with that."""
    _request: HttpRequest | None = field(default=None, init=False)
    """The request so far, once its head is complete."""
    _body: bytearray = field(factory=bytearray, init=False)
    _timers: Timers[TransportTimer] = field(factory=lambda: Timers(TransportTimer), init=False)
    _now: int | None = field(default=None, init=False)
    _state: _State = field(default=_State.NEW, init=False)
    _stack: Stack | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        CALLABLE.check("respond", self._respond)
        CALLABLE.check("random_bytes", self._random_bytes)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_UNREAD_BYTES)

    @property
    def deadline(self) -> int | None:
        """The instant by which to call `handle_timeout` (ns); `None`: it need not be called."""
        return self._stack.deadline if self._stack else self._timers.deadline

    def start(self, now: int) -> list[ByteAction]:
        """Start the machine. Called once, before anything else."""
        if self._now is not None:
            msg = "the connection has been started already"
            raise LocalProtocolError(msg)
        check_instant(now)
        self._now = now
        return []

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The accepted byte stream is open, so its time-out starts; or, after an upgrade, a byte
        stream that the machine requested is open."""
        if self._stack:
            return self._stack.connected(peer, now)
        self._begin_input(peer, now, _State.NEW)
        self._state = _State.READING
        self._timers.set(TransportTimer.HTTP_REQUEST, now + REQUEST_TIMEOUT_NS)
        return []

    def headers_resolved(self, peer: Hashable, headers: object, now: int) -> list[ByteAction]:
        """The headers of a link that the machine opens were returned (`HeaderResolver`)."""
        return self._require_stack().headers_resolved(peer, headers, now)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """A byte stream that the machine requested could not be opened."""
        return self._require_stack().connect_failed(peer, reason, now)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes were received, split anywhere."""
        if self._stack:
            return self._stack.receive_bytes(peer, data, now)
        BYTES.check("data", data)
        self._begin_input(peer, now, _State.READING, _State.PENDING, _State.ANSWERED)
        if self._state is not _State.READING or not data:
            return []
        if self._head_bytes_left == MAX_HEAD_BYTES and data.startswith(_TLS_HANDSHAKE):
            message = "a TLS handshake was received on a port without TLS"
            return self._abort(FaultKind.BROKEN_PROTOCOL, message)
        try:
            return self._parse(data, now)
        except h11.RemoteProtocolError as error:
            message = "the request is not valid HTTP/1.1"
            return self._refuse(error.error_status_hint, FaultKind.BROKEN_PROTOCOL, message)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer will send no more bytes."""
        if self._stack:
            return self._stack.receive_eof(peer, now)
        self._begin_input(peer, now, _State.READING, _State.PENDING, _State.ANSWERED)
        if self._state is not _State.READING:  # the peer may read an answer all the same
            return []
        if self._head_bytes_left == MAX_HEAD_BYTES:  # no byte was received: it was a port check
            self._mark_answered()
            return [Shutdown(self._peer)]
        message = "the peer closed the connection in the middle of the request"
        return self._abort(FaultKind.BROKEN_PROTOCOL, message)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have been reached."""
        if self._stack:
            return self._stack.handle_timeout(now)
        self._begin_input(self._peer, now, *_State)
        if not self._timers.expire(now):
            return []
        if self._state is _State.PENDING:
            message = "the application did not answer the request in time"
            return self._refuse(503, FaultKind.TIMED_OUT, message)
        return self._refuse(408, FaultKind.TIMED_OUT, "the request was not complete in time")

    def answer(self, response: HttpResponse, now: int) -> list[ByteAction]:
        """Answer the request for which `respond` has returned `None`. It does nothing if the
        request was answered before, since the answer may have come too late.

        Raises `LocalProtocolError` if there is no such request.
        """
        self._begin_input(self._peer, now, _State.PENDING, _State.ANSWERED)
        return self._send_response(response) if self._state is _State.PENDING else []

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """Carry out actions that the machine has returned to another caller (see `Stack.perform`).

        Raises `LocalProtocolError` before an upgrade.
        """
        if self._stack:
            return self._stack.perform(actions, now)
        msg = "the request was not upgraded, so there is no machine that could return actions"
        raise LocalProtocolError(msg)

    def _begin_input(self, peer: Hashable, now: int, *states: _State) -> None:
        """Check an input from the driver, which is possible in `states`, and note its time.

        Raises `LocalProtocolError`, before anything has changed, if it is not possible now.
        """
        check_time(now, self._now)
        if peer != self._peer or self._state not in states:
            msg = f"{peer} has no byte stream for which this is possible now"
            raise LocalProtocolError(msg)
        self._now = now

    def _parse(self, data: bytes, now: int) -> list[ByteAction]:
        """Parse as many bytes as the limits of head and body allow, however the bytes are split."""
        if self._request is not None:
            return self._parse_body(data, now)
        part, excess = data[: self._head_bytes_left], data[self._head_bytes_left :]
        self._head_bytes_left -= len(part)
        if b"\n" not in self._first_bytes:
            self._first_bytes += part
        if part:  # h11 takes no bytes for the end of the stream
            self._http.receive_data(part)
        head = self._http.next_event()
        if not isinstance(head, h11.Request):
            if not excess:
                return []
            message = f"the head of the request is longer than {MAX_HEAD_BYTES} bytes"
            return self._refuse(431, FaultKind.TOO_LARGE, message)
        self._request = read_head(head)
        self._first_bytes.clear()
        fault = _find_fault(head)
        if fault:
            return self._refuse(*fault)
        # What h11 holds behind the head belongs to the body, or to frames after an upgrade.
        self._encoded_body_bytes_left -= len(self._http.trailing_data[0])
        return self._parse_body(excess, now)

    def _parse_body(self, data: bytes, now: int) -> list[ByteAction]:
        limit = self._encoded_body_bytes_left
        part, excess = data[:limit], data[limit:]
        self._encoded_body_bytes_left -= len(part)
        if part:
            self._http.receive_data(part)
        while True:
            match self._http.next_event():
                case h11.Data(data=piece):
                    self._body += piece
                    if len(self._body) > MAX_BODY_BYTES:
                        return self._refuse(*_BODY_TOO_LARGE)
                case h11.EndOfMessage() if self._request is not None:
                    return self._handle_request(self._request, excess, now)
                case _:
                    if excess:
                        return self._refuse(*_ENCODED_BODY_TOO_LARGE)
                    return self._allow_body()

    def _allow_body(self) -> list[ByteAction]:
        """Send `100 Continue` if the peer waits for it before it sends the body."""
        if self._http.they_are_waiting_for_100_continue:
            data = self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
            return [SendBytes(self._peer, data)]
        return []

    def _handle_request(self, head: HttpRequest, excess: bytes, now: int) -> list[ByteAction]:
        """Answer the whole request; `excess` follows what h11 holds."""
        request = self._request = evolve(head, body=bytes(self._body))
        if request.is_upgrade and (refusal := find_upgrade_refusal(request)):
            reason = refusal.body.decode().strip()
            message = f"an invalid request for a WebSocket was refused: {reason}"
            return self._send_response(refusal, FaultKind.BROKEN_PROTOCOL, message)
        frames = self._http.trailing_data[0] + excess
        self._mark_answered()  # before `respond`, so that it is not called twice, even if it raises
        answer = self._respond(request)
        _ANSWER.check("the answer of respond()", answer)
        if answer is None:
            self._state = _State.PENDING
            self._timers.set(TransportTimer.HTTP_REQUEST, now + ANSWER_TIMEOUT_NS)
            return []
        if isinstance(answer, HttpResponse):
            return self._send_response(answer)
        if not request.is_upgrade or answer.peer != self._peer:
            msg = "an Upgrade must answer a request for a WebSocket, and must be for the same peer"
            raise LocalProtocolError(msg)
        self._stack = Stack(
            answer.machine, answer.link_configs, self._random_bytes, {self._peer: request}
        )
        actions = self._stack.start(now)
        # A client must not send frames before it has the response; those of one that does are used.
        return actions + self._stack.receive_bytes(self._peer, frames, now)

    def _refuse(self, status: int, kind: FaultKind, message: str) -> list[ByteAction]:
        return self._send_response(HttpResponse(status, f"{message}\n".encode()), kind, message)

    def _require_stack(self) -> Stack:
        if self._stack is None:
            msg = "no byte stream was requested"
            raise LocalProtocolError(msg)
        return self._stack

    def _abort(self, kind: FaultKind, message: str) -> list[ByteAction]:
        self._mark_answered()
        return [Notify(Fault(self._peer, kind, message)), Shutdown(self._peer)]

    def _mark_answered(self) -> None:
        self._state = _State.ANSWERED
        self._timers.stop_all()

    def _send_response(
        self, response: HttpResponse, fault_kind: FaultKind | None = None, message: str = ""
    ) -> list[ByteAction]:
        """Send the response, then close: there is no second request on this byte stream. With a
        `fault_kind`, the peer is at fault."""
        self._mark_answered()
        notified: list[ByteAction] = []
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            request = self._request or read_first_line(self._first_bytes)
            notified.append(Notify(RequestRefused(self._peer, request, response)))
        if fault_kind is not None:
            notified.append(Notify(Fault(self._peer, fault_kind, message)))
        headers = [("Connection", "close"), *response.headers]
        if response.status != HTTPStatus.NO_CONTENT:  # RFC 9110, section 8.6
            headers += [
                ("Content-Type", response.content_type),
                ("Content-Length", str(len(response.body))),
            ]
        head_only = self._request is not None and self._request.method == "HEAD"
        try:
            data = self._http.send(
                h11.Response(
                    status_code=response.status,
                    headers=headers,
                    reason=_reason_phrase(response.status),
                )
            )
            if response.body and not head_only:
                data += self._http.send(h11.Data(data=response.body))
            data += self._http.send(h11.EndOfMessage())
        except (h11.LocalProtocolError, UnicodeEncodeError):
            msg = "the response has a status, a header or a body that HTTP does not allow"
            raise LocalProtocolError(msg) from None
        return [*notified, SendBytes(self._peer, data), Shutdown(self._peer)]


def _find_fault(head: h11.Request) -> tuple[int, FaultKind, str] | None:
    """Return why a request is refused whatever its target: status, kind and message."""
    if head.http_version not in (b"1.0", b"1.1"):  # as HTTP/2 starts (RFC 9113, 3.4)
        return 505, FaultKind.BROKEN_PROTOCOL, "only HTTP/1.1 is supported"
    if head.method == b"CONNECT":  # its response cannot have a body (RFC 9110, section 9.3.6)
        return 501, FaultKind.BROKEN_PROTOCOL, "this server is not a proxy"
    for name, value in head.headers:
        if name == b"content-length" and int(value) > MAX_BODY_BYTES:
            return _BODY_TOO_LARGE
    return None


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

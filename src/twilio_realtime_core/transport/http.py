"""The first HTTP request of an accepted byte stream: answered, refused, or made a WebSocket.

    bytes -> Opening -> Request -> respond -> Response, or Upgrade: from then on, a Stack

One request for each byte stream; a webhook and a media stream can share a port.
"""

from collections.abc import Callable, Hashable, Mapping
from enum import Enum, unique
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import h11
from attrs import define, field, frozen

from ..errors import Fault, FaultKind, LocalProtocolError
from ..machine.actions import Action, ByteAction, Notify, SendBytes, Shutdown
from ..machine.contract import MessageMachine
from ..machine.timers import Timer, Timers
from ..machine.units import SECOND
from .handshake import MAX_HEAD_BYTES, HttpRequest, HttpResponse, find_upgrade_refusal
from .stack import Stack
from .websocket import LinkConfig

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_HEAD_BYTES",
    "REQUEST_TIMEOUT_NS",
    "HttpConnection",
    "HttpRequest",
    "HttpResponse",
    "RequestHandler",
    "Upgrade",
]

MAX_BODY_BYTES: Final = 64 * 1024
"""The most bytes of a request's body. A webhook's form takes below 4 KiB."""

REQUEST_TIMEOUT_NS: Final = 10 * SECOND
"""How long a whole request may take from when its byte stream is open. Twilio sends it at once;
whoever takes longer holds on to a connection for nothing."""

_BODY_TOO_LARGE: Final = (
    413,
    FaultKind.TOO_LARGE,
    f"the body of the request is longer than {MAX_BODY_BYTES} bytes",
)
_TLS_HANDSHAKE: Final = b"\x16"  # the first byte of a ClientHello (RFC 8446, section 5.1)


@frozen
class Upgrade:
    """The answer that makes the byte stream a WebSocket: `machine` takes over, and `peer` is its
    name for this link. `links` holds the limits and times of that one and of those that the
    machine will open."""

    machine: MessageMachine
    peer: Hashable
    link_configs: Mapping[Any, LinkConfig]


RequestHandler: TypeAlias = Callable[[HttpRequest], HttpResponse | Upgrade]
"""What the application answers to a request."""


@unique
class _State(Enum):
    NEW = "new"  # the byte stream is not reported yet
    READING = "reading"  # the request is not whole yet
    ANSWERED = "answered"  # or handed on: then there is a stack


@define(eq=False, repr=False)
class HttpConnection:
    """A `ByteMachine` for one accepted byte stream, `peer`.

    `respond` is asked once, with the whole request; it may answer with an `Upgrade` only if
    `Request.is_upgrade`, and for the same peer (`LocalProtocolError`). Requests that cannot be
    served whatever it would say, such as half an upgrade, are refused without it. `random_bytes(n)`
    gives n unpredictable bytes, for the links that the machine opens.
    """

    _peer: Hashable = field(alias="peer")
    _respond: RequestHandler = field(alias="respond")
    _random_bytes: Callable[[int], bytes] = field(alias="random_bytes")
    _http: h11.Connection = field(init=False)
    _head_bytes_left: int = field(
        default=MAX_HEAD_BYTES, init=False
    )  # for what is left of the head
    _head: h11.Request | None = field(default=None, init=False)
    _body: bytearray = field(factory=bytearray, init=False)
    _timers: Timers = field(factory=Timers, init=False)
    _now: int | None = field(default=None, init=False)
    _state: _State = field(default=_State.NEW, init=False)
    _stack: Stack | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        return self._stack.deadline if self._stack else self._timers.deadline

    def start(self, now: int) -> list[ByteAction]:
        """Begin. Called once, before anything else."""
        if self._now is not None:
            msg = "started already"
            raise LocalProtocolError(msg)
        self._now = now
        return []

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The accepted byte stream is there; the time for its request begins. Later: a byte
        stream asked for by the machine is open."""
        if self._stack:
            return self._stack.connected(peer, now)
        self._begin_input(peer, now, _State.NEW)
        self._state = _State.READING
        self._timers.set(Timer.HTTP_REQUEST, now + REQUEST_TIMEOUT_NS)
        return []

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """A byte stream asked for by the machine could not be opened."""
        if self._stack:
            return self._stack.connect_failed(peer, reason, now)
        msg = "no byte stream has been asked for"
        raise LocalProtocolError(msg)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes have arrived, cut anywhere."""
        if self._stack:
            return self._stack.receive_bytes(peer, data, now)
        self._begin_input(peer, now, _State.READING, _State.ANSWERED)
        if self._state is _State.ANSWERED or not data:
            return []
        if self._head_bytes_left == MAX_HEAD_BYTES and data.startswith(_TLS_HANDSHAKE):
            message = "a TLS handshake has come where no TLS is expected"
            return self._abort(FaultKind.BROKEN_PROTOCOL, message)
        try:
            return self._parse(data, now)
        except h11.RemoteProtocolError as error:
            message = "the request is no HTTP/1.1 as it is spoken here"
            return self._refuse(error.error_status_hint, FaultKind.BROKEN_PROTOCOL, message)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer will send no more bytes."""
        if self._stack:
            return self._stack.receive_eof(peer, now)
        self._begin_input(peer, now, _State.READING, _State.ANSWERED)
        if self._state is _State.ANSWERED:
            return []
        if (
            self._head_bytes_left == MAX_HEAD_BYTES
        ):  # not a byte: somebody looked whether the port is open
            self._mark_answered()
            return [Shutdown(self._peer)]
        return self._abort(FaultKind.BROKEN_PROTOCOL, "hung up in the middle of the request")

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have come."""
        if self._stack:
            return self._stack.handle_timeout(now)
        self._begin_input(self._peer, now, *_State)
        if not self._timers.expire(now):
            return []
        return self._refuse(408, FaultKind.TIMED_OUT, "the request was not whole in time")

    def perform(self, actions: list[Action], now: int) -> list[ByteAction]:
        """See `Stack.perform`. Raises `LocalProtocolError` before there is a stack."""
        if self._stack:
            return self._stack.perform(actions, now)
        msg = "no machine has taken over yet, so none can have asked for anything"
        raise LocalProtocolError(msg)

    def _begin_input(self, peer: Hashable, now: int, *states: _State) -> None:
        if self._now is None or now < self._now:
            msg = "not started yet" if self._now is None else "time runs backwards"
            raise LocalProtocolError(msg)
        if peer != self._peer or self._state not in states:
            msg = f"{peer} has no byte stream of which that could be said"
            raise LocalProtocolError(msg)
        self._now = now

    def _parse(self, data: bytes, now: int) -> list[ByteAction]:
        # Until the head is whole, h11 gets no more than there is room for: its own limit depends
        # on how the bytes are cut.
        taken, late = (
            (data, b"")
            if self._head
            else (data[: self._head_bytes_left], data[self._head_bytes_left :])
        )
        self._head_bytes_left -= len(taken)
        if taken:  # to h11, nothing means the end
            self._http.receive_data(taken)
        while True:
            match self._http.next_event():
                case h11.Request() as head:
                    self._head = head
                    if late:
                        self._http.receive_data(late)
                    objection = _find_fault(head)
                    if objection:
                        return self._refuse(*objection)
                case h11.Data(data=piece):
                    self._body += piece
                    if len(self._body) > MAX_BODY_BYTES:
                        return self._refuse(*_BODY_TOO_LARGE)
                case h11.EndOfMessage() if self._head:
                    return self._handle_request(self._head, now)
                case _:
                    return self._request_more(late)

    def _request_more(self, excess: bytes) -> list[ByteAction]:
        if excess and self._head is None:
            message = f"the head of the request is longer than {MAX_HEAD_BYTES} bytes"
            return self._refuse(431, FaultKind.TOO_LARGE, message)
        if self._http.they_are_waiting_for_100_continue:
            go_on = self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
            return [SendBytes(self._peer, go_on)]
        return []

    def _handle_request(self, head: h11.Request, now: int) -> list[ByteAction]:
        request = HttpRequest(
            method=head.method.decode(),
            target=head.target.decode(),
            headers=tuple((name.decode(), value.decode()) for name, value in head.headers),
            body=bytes(self._body),
        )
        if request.is_upgrade and (bad := find_upgrade_refusal(request)):
            message = f"a request for a WebSocket had to be refused: {bad.body.decode().strip()}"
            return [
                Notify(Fault(self._peer, FaultKind.BROKEN_PROTOCOL, message)),
                *self._send_response(bad),
            ]
        early = self._http.trailing_data[0]
        self._mark_answered()  # before the application is asked: never twice, even if it fails
        answer = self._respond(request)
        if isinstance(answer, HttpResponse):
            return self._send_response(answer)
        if not request.is_upgrade or answer.peer != self._peer:
            msg = "an Upgrade answers a request for a WebSocket, and for the same peer"
            raise LocalProtocolError(msg)
        self._stack = Stack(
            answer.machine, answer.link_configs, self._random_bytes, {self._peer: request}
        )
        actions = self._stack.start(now)
        # A client may not send frames before it has the answer; one that does is heard anyway.
        return actions + self._stack.receive_bytes(self._peer, early, now)

    def _refuse(self, status: int, kind: FaultKind, message: str) -> list[ByteAction]:
        response = HttpResponse(status, f"{message}\n".encode())
        return [Notify(Fault(self._peer, kind, message)), *self._send_response(response)]

    def _abort(self, kind: FaultKind, message: str) -> list[ByteAction]:
        self._mark_answered()
        return [Notify(Fault(self._peer, kind, message)), Shutdown(self._peer)]

    def _mark_answered(self) -> None:
        self._state = _State.ANSWERED
        self._timers.stop_all()

    def _send_response(self, response: HttpResponse) -> list[ByteAction]:
        """Answer for good: there is no second request on this byte stream."""
        self._mark_answered()
        headers = [("Connection", "close"), *response.headers]
        if response.status != HTTPStatus.NO_CONTENT:  # RFC 9110, section 8.6
            headers += [
                ("Content-Type", response.content_type),
                ("Content-Length", str(len(response.body))),
            ]
        head_only = self._head is not None and self._head.method == b"HEAD"
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
            msg = "the response has a status, a header or a body that HTTP does not allow there"
            raise LocalProtocolError(msg) from None
        return [SendBytes(self._peer, data), Shutdown(self._peer)]


def _find_fault(head: h11.Request) -> tuple[int, FaultKind, str] | None:
    """What is wrong with a request whatever is done about it: status, kind and words."""
    if head.http_version not in (b"1.0", b"1.1"):  # HTTP/2 begins like this (RFC 9113, 3.4)
        return 505, FaultKind.BROKEN_PROTOCOL, "only HTTP/1.1 is spoken here"
    if head.method == b"CONNECT":  # whose answer cannot have a body (RFC 9110, section 9.3.6)
        return 501, FaultKind.BROKEN_PROTOCOL, "this is no proxy"
    if not all(value.isascii() for _, value in head.headers):
        return 400, FaultKind.BROKEN_PROTOCOL, "a header of the request is not ASCII"
    for name, value in head.headers:
        if name == b"content-length" and int(value) > MAX_BODY_BYTES:
            return _BODY_TOO_LARGE
    return None


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

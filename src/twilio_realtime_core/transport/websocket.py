"""One WebSocket link: bytes of a stream <-> whole text messages (RFC 6455).

A `Link` goes through the life of a WebSocket: handshake, messages, keepalive, close. It knows its
own role, limits and times, and neither its peer nor what the messages say.
"""

from collections.abc import Callable, Generator, Iterator
from enum import Enum, unique
from typing import Any, Final, TypeAlias

from attrs import Attribute, define, field, frozen
from wsproto.frame_protocol import Frame, Opcode

from ..errors import FaultKind, LocalProtocolError
from ..machine.timers import Timer, Timers
from ..machine.units import MS
from .frames import (
    BAD_TEXT,
    CLOSE,
    MAX_CONTROL_BYTES,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_LARGE,
    FrameDecoder,
    FrameError,
    encode_close,
    encode_frame,
)
from .handshake import (
    ClientHandshake,
    HandshakeComplete,
    HttpRequest,
    LinkFault,
    check_request_headers,
    encode_upgrade_response,
    parse_url,
)

__all__ = ["Link", "LinkClosed", "LinkConfig", "LinkEvent", "LinkFault", "LinkOpened", "LinkPong"]


def _check_positive(_: object, attribute: "Attribute[Any]", value: int | None) -> None:
    if value is not None and value <= 0:
        msg = f"{attribute.name} must be more than 0, not {value}"
        raise LocalProtocolError(msg)


def _check_headers(_: object, __: object, headers: tuple[tuple[str, str], ...]) -> None:
    check_request_headers(headers)


@frozen(kw_only=True)
class LinkConfig:
    """Limits and times of one link. Raises `LocalProtocolError` for what makes no sense."""

    max_message_bytes: int = field(validator=_check_positive)
    """The most bytes of a message from the peer, over all of its fragments."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False, validator=_check_headers)
    """Additional headers of a client's request; they may hold a key."""
    handshake_timeout_ms: int = field(default=10_000, validator=_check_positive)
    """From the wish to open until the link is open: name look-up, TCP, TLS and HTTP take a few
    round trips, and no caller waits longer in silence."""
    ping_interval_ms: int | None = field(default=20_000, validator=_check_positive)
    """From a pong to the next ping that keeps the link alive: well below the 60 s after which
    common proxies drop a silent connection. `None`: no such pings."""
    pong_timeout_ms: int = field(default=20_000, validator=_check_positive)
    """How long a pong may take: longer than any stall that a call survives."""
    close_timeout_ms: int = field(default=2_000, validator=_check_positive)
    """How long the answer to a close frame may take: a round trip, and one segment lost on the
    way (RFC 6298, section 2: sent again after 1 s). Nothing useful comes any more."""


@frozen
class LinkOpened:
    """The handshake is complete."""


@frozen
class LinkPong:
    """A pong, other than that of a ping of the link's own."""

    payload: bytes


@frozen
class LinkClosed:
    """The link is over and its byte stream is to be shut down; the last event, and only once.

    `code` and `reason` are the peer's (RFC 6455, section 7.1.5): 1005 if it closed without a
    code, 1006 if the link ended without a close frame from it.
    """

    code: int
    reason: str


LinkEvent: TypeAlias = str | bytes | LinkOpened | LinkPong | LinkFault | LinkClosed
"""What comes out of a link: a `str` is a whole text message, `bytes` are to be written."""


@unique
class _State(Enum):
    CONNECTING = "connecting"  # the byte stream is not open yet
    HANDSHAKE = "handshake"  # a client waits for the response to its request
    OPEN = "open"
    CLOSING = "closing"  # our close frame is sent, the peer's has not come
    CLOSED = "closed"


# Asked for with every message; looking them up in the enum would take 0.1 µs a time.
_CONNECTING: Final = _State.CONNECTING
_OPEN: Final = _State.OPEN

_LOST: Final = 1006
_SENDABLE_CODES: Final = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))
"""Codes that an endpoint may send (RFC 6455, section 7.4, and its registry at IANA)."""
_KEEPALIVE_PAYLOAD: Final = b"keepalive"
"""The payload of the link's own pings, by which their pongs are known."""
_FRAME_FAULTS: Final = {
    PROTOCOL_ERROR: (FaultKind.BROKEN_PROTOCOL, "a frame that breaks the WebSocket protocol"),
    BAD_TEXT: (FaultKind.BROKEN_PROTOCOL, "a text that is not UTF-8"),
    TOO_LARGE: (FaultKind.TOO_LARGE, "a message longer than the limit"),
}
_TIMEOUT_MESSAGES: Final = {
    Timer.HANDSHAKE: "the link was not open in time",
    Timer.PONG: "a ping was not answered in time",
    Timer.CLOSE: "the close frame was not answered in time",
}


@define(eq=False, repr=False)
class Link:
    """One end of a WebSocket; made by `Link.client` or `Link.server`.

    What its methods return is to be carried out in order: nothing, or bytes, or events. Times
    (ns) are of one monotonic clock, which whoever uses the link keeps from running backwards.
    """

    _config: LinkConfig
    _handshake_bytes: bytes  # what the link sends first
    _handshake: ClientHandshake | None
    # Clients mask what they send, servers do not (RFC 6455, section 5.1).
    _random_bytes: Callable[[int], bytes] | None
    _decoder: FrameDecoder
    _timers: Timers = field(factory=Timers, init=False)
    _state: _State = field(default=_State.CONNECTING, init=False)

    @classmethod
    def client(
        cls, url: str, config: LinkConfig, now: int, random_bytes: Callable[[int], bytes]
    ) -> "Link":
        """A link to the server at `url` (ws:// or wss://). The time for connecting a byte stream
        to it, and for the handshake, begins `now`.

        `random_bytes` gives the nonce and the masks, which must be unpredictable (RFC 6455,
        section 5.3). Raises `LocalProtocolError` for a bad URL.
        """
        handshake = ClientHandshake(parse_url(url), config.headers, random_bytes)
        decoder = FrameDecoder(masked=False, max_message_bytes=config.max_message_bytes)
        link = cls(config, handshake.request, handshake, random_bytes, decoder)
        link._timers.set(Timer.HANDSHAKE, now + config.handshake_timeout_ms * MS)
        return link

    @classmethod
    def server(cls, request: HttpRequest, config: LinkConfig) -> "Link":
        """The accepting end of a byte stream on which `request` has come.

        Raises `LocalProtocolError` for a request that is to be refused.
        """
        decoder = FrameDecoder(masked=True, max_message_bytes=config.max_message_bytes)
        return cls(config, encode_upgrade_response(request), None, None, decoder)

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        return self._timers.deadline

    @property
    def is_connecting(self) -> bool:
        """Whether `connected` has yet to be called."""
        return self._state is _CONNECTING

    @property
    def is_closed(self) -> bool:
        """Whether `Closed` has been given."""
        return self._state is _State.CLOSED

    def connected(self, now: int) -> list[LinkEvent]:
        """The byte stream is open: a client sends its request, a server accepts the one it has.
        Nothing happens if the link has been closed meanwhile."""
        match self._state:
            case _State.CONNECTING if self._handshake is None:
                return [self._handshake_bytes, self._enter_open(now)]
            case _State.CONNECTING:
                self._state = _State.HANDSHAKE
                return [self._handshake_bytes]
            case _State.CLOSED:
                return []
            case _:
                msg = "the link is connected already"
                raise LocalProtocolError(msg)

    def connect_failed(self, reason: str) -> list[LinkEvent]:
        """The byte stream could not be opened; `reason` is for people."""
        if self._state is _State.CLOSED:
            return []
        fault = LinkFault(FaultKind.REFUSED, f"could not be reached: {reason}")
        return self._enter_closed(fault, reason=reason)

    def receive_bytes(self, data: bytes, now: int) -> Iterator[LinkEvent]:
        """Take bytes from the peer, cut anywhere. To be iterated to the end.

        What is done about one event (a close, say) is true before the next event is made, so that
        it makes no difference how the bytes are cut. Bytes after `Closed` are ignored.
        """
        if self._state is not _OPEN:
            data = yield from self._receive_while_not_open(data, now)
        for received in self._decoder.receive(data):
            if not isinstance(received, str):
                yield from self._on_frame(received, now)
            elif self._state is _OPEN:
                yield received

    def receive_eof(self) -> list[LinkEvent]:
        """The peer will send nothing more."""
        match self._state:
            case _State.OPEN | _State.CLOSING:
                return self._enter_closed()
            case _State.CLOSED:
                return []
            case _:
                return self._enter_closed(
                    LinkFault(FaultKind.REFUSED, "hung up during the handshake")
                )

    def send_text(self, text: str) -> bytes:
        """The bytes that send a message; none if the link is closing or closed, which the peer
        may do at any time.

        Raises `LocalProtocolError` before the link is open, and for text that UTF-8 cannot hold.
        """
        if self._state is not _OPEN:
            return self._send_nothing()
        try:
            return self._encode_frame(TEXT, text.encode())
        except UnicodeEncodeError:
            msg = "the text holds half a surrogate pair"
            raise LocalProtocolError(msg) from None

    def send_ping(self, payload: bytes) -> bytes:
        """The bytes that send a ping; otherwise as `send_text`.

        Raises `LocalProtocolError` also for a payload of more than 125 bytes, and for that of the
        link's own pings.
        """
        if len(payload) > MAX_CONTROL_BYTES or payload == _KEEPALIVE_PAYLOAD:
            msg = (
                f"a ping may hold {MAX_CONTROL_BYTES} bytes at most, and not {_KEEPALIVE_PAYLOAD!r}"
            )
            raise LocalProtocolError(msg)
        if self._state is not _OPEN:
            return self._send_nothing()
        return self._encode_frame(PING, payload)

    def close(self, code: int, reason: str, now: int) -> list[LinkEvent]:
        """Begin to close: no message is given from now on. A link that is not open yet is over at
        once. Of a reason longer than 123 bytes of UTF-8, the first whole characters are sent.

        Raises `LocalProtocolError` for a code that may not be sent (RFC 6455, section 7.4).
        """
        if code not in _SENDABLE_CODES:
            msg = f"{code} is no code to close with"
            raise LocalProtocolError(msg)
        match self._state:
            case _State.OPEN:
                self._state = _State.CLOSING
                self._timers.stop_all()
                self._timers.set(Timer.CLOSE, now + self._config.close_timeout_ms * MS)
                return [self._encode_frame(CLOSE, encode_close(code, reason))]
            case _State.CLOSING | _State.CLOSED:
                return []
            case _:
                return self._enter_closed()

    def handle_timeout(self, now: int) -> list[LinkEvent]:
        """The deadline may have come."""
        events: list[LinkEvent] = []
        for timer in self._timers.expire(now):
            if timer is Timer.KEEPALIVE:
                self._timers.set(Timer.PONG, now + self._config.pong_timeout_ms * MS)
                events.append(self._encode_frame(PING, _KEEPALIVE_PAYLOAD))
            else:
                events += self._enter_closed(
                    LinkFault(FaultKind.TIMED_OUT, _TIMEOUT_MESSAGES[timer])
                )
        return events

    def _receive_while_not_open(self, data: bytes, now: int) -> Generator[LinkEvent, None, bytes]:
        """Use `data` for the handshake; returns what is left of it for the frames."""
        if self._handshake is not None and self._state is _State.HANDSHAKE:
            answer = self._handshake.receive(data)
            if isinstance(answer, HandshakeComplete):
                yield self._enter_open(now)
                return answer.trailing_data
            if answer is not None:
                yield from self._enter_closed(answer)
            return b""
        if self._state is _CONNECTING:
            msg = "bytes have come before the byte stream was connected"
            raise LocalProtocolError(msg)
        return data if self._state is _State.CLOSING else b""

    def _enter_open(self, now: int) -> LinkOpened:
        self._state = _State.OPEN
        self._timers.stop_all()
        self._schedule_keepalive(now)
        return LinkOpened()

    def _schedule_keepalive(self, now: int) -> None:
        if self._config.ping_interval_ms is not None:
            self._timers.set(Timer.KEEPALIVE, now + self._config.ping_interval_ms * MS)

    def _on_frame(self, received: Frame | FrameError, now: int) -> list[LinkEvent]:
        is_open = self._state is _OPEN
        match received:
            case (Opcode.CLOSE, (int(code), str(reason)), _, _):
                # The answer repeats the code (RFC 6455, section 5.5.1).
                answer = self._encode_frame(CLOSE, encode_close(code, ""))
                return [
                    *([answer] if is_open else []),
                    *self._enter_closed(code=int(code), reason=reason),
                ]
            case FrameError(code):
                # Say why, and wait for nothing (RFC 6455, section 7.1.7).
                kind, message = _FRAME_FAULTS[code]
                parting = self._encode_frame(CLOSE, encode_close(code, message))
                fault = LinkFault(kind, message)
                return [*([parting] if is_open else []), *self._enter_closed(fault)]
            case _ if not is_open:
                return []
            case (Opcode.PING, bytes(payload), _, _):
                return [self._encode_frame(PONG, payload)]
            case (Opcode.PONG, bytes(payload), _, _) if payload != _KEEPALIVE_PAYLOAD:
                return [LinkPong(payload)]
            case (Opcode.PONG, _, _, _):
                self._timers.stop_all()
                self._schedule_keepalive(now)
                return []
            case _:
                return [LinkFault(FaultKind.BINARY_MESSAGE, "a binary message was left out")]

    def _enter_closed(
        self, fault: LinkFault | None = None, *, code: int = _LOST, reason: str = ""
    ) -> list[LinkEvent]:
        self._state = _State.CLOSED
        self._timers.stop_all()
        return [*([fault] if fault else []), LinkClosed(code, reason)]

    def _send_nothing(self) -> bytes:
        if self._state in (_State.CONNECTING, _State.HANDSHAKE):
            msg = "the link is not open yet"
            raise LocalProtocolError(msg)
        return b""

    def _encode_frame(self, first_byte: int, payload: bytes) -> bytes:
        mask = None if self._random_bytes is None else self._random_bytes(4)
        return encode_frame(first_byte, payload, mask)

"""A WebSocket link: a state machine between a stream of bytes and whole text messages (RFC 6455).

A `Link` implements handshake, messages, keepalive and close. It has a role, limits and time-outs;
it does not know which peer it belongs to, nor what the messages mean.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, unique
from typing import Final, TypeAlias

from attrs import define, field, frozen
from wsproto.frame_protocol import Frame, Opcode

from ..errors import FaultKind, LocalProtocolError
from ..machine.actions import ABNORMAL_CLOSURE, Refusal
from ..machine.arguments import MIN_TIMEOUT_MS, NULL, integer, milliseconds
from ..machine.timers import Timers, TransportTimer
from ..machine.units import MS
from .frames import (
    BAD_TEXT,
    CLOSE,
    MASK_BYTES,
    MAX_CONTROL_BYTES,
    MAX_OTHER_FRAMES,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_LARGE,
    TOO_MANY,
    FrameDecoder,
    FrameError,
    ReceivedFrame,
    encode_close,
    encode_frame,
)
from .handshake import (
    ClientHandshake,
    HandshakeComplete,
    HttpRequest,
    LinkFault,
    ServerAddress,
    encode_upgrade_response,
    parse_url,
)
from .headers import HeaderSource, check_headers, read_headers

__all__ = [
    "Link",
    "LinkClosed",
    "LinkConfig",
    "LinkEvent",
    "LinkFault",
    "LinkOpened",
    "LinkPong",
    "LinkRefused",
    "NonTextEvent",
]


_TIMEOUT: Final = milliseconds(MIN_TIMEOUT_MS)


@frozen(kw_only=True)
class LinkConfig:
    """Limits and time-outs of a link.

    Raises `LocalProtocolError` for a field of the wrong type, for a limit below 1, for a time-out
    below 100 ms, and for a header that HTTP does not allow or that the handshake sets.
    """

    max_message_bytes: int = field(validator=integer(1, 2**31 - 1))
    """The longest message that is accepted from the peer, over all of its fragments."""
    headers: tuple[tuple[str, str], ...] | HeaderSource = field(
        default=(), repr=False, validator=check_headers
    )
    """Headers that are added to a client's request, or a function that returns them: the driver
    calls it for each connection, since a token expires. They may contain a key, so they are not in
    the `repr`."""
    handshake_timeout_ms: int = field(default=10_000, validator=_TIMEOUT)
    """How long a link may take to be open: name look-up, TCP, TLS and HTTP take a few round trips,
    and no caller waits longer in silence. The function that returns the headers has this time
    too."""
    ping_interval_ms: int | None = field(default=20_000, validator=_TIMEOUT | NULL)
    """The time from a pong to the next ping that keeps the link alive: well below the 60 s after
    which common proxies drop a silent connection. `None`: no such pings are sent."""
    pong_timeout_ms: int = field(default=20_000, validator=_TIMEOUT)
    """How long a pong may take, while no message is received either: longer than any stall that a
    call survives. A peer that sends messages lives, whether it answers pings or not."""
    close_timeout_ms: int = field(default=2_000, validator=_TIMEOUT)
    """How long the answer to a close frame may take: a round trip, and one lost segment, which is
    retransmitted after 1 s (RFC 6298, section 2). Nothing useful is received in this time."""


@frozen
class LinkOpened:
    """The handshake is complete."""


@frozen
class LinkPong:
    """A pong was received, for a ping that the link did not send by itself."""

    payload: bytes


@frozen
class LinkRefused:
    """The server has refused the handshake, and the byte stream must be shut down. It is the last
    event of a link."""

    refusal: Refusal


@frozen
class LinkClosed:
    """The link is closed, and its byte stream must be shut down. It is the last event of a link.

    `code` and `reason` are the peer's (RFC 6455, section 7.1.5): 1005 if its close frame had no
    code, 1006 if it sent no close frame.
    """

    code: int
    reason: str


NonTextEvent: TypeAlias = bytes | LinkOpened | LinkPong | LinkFault | LinkRefused | LinkClosed
"""The outputs of a link besides received messages: `bytes` must be written to the byte stream."""

LinkEvent: TypeAlias = str | NonTextEvent
"""The outputs of a link: a `str` is a received text message."""


@unique
class _State(Enum):
    CONNECTING = "connecting"  # the byte stream is not open yet
    HANDSHAKE = "handshake"  # a client has sent its request
    OPEN = "open"
    CLOSING = "closing"  # our close frame is sent, the peer's is not received yet
    CLOSED = "closed"


# Used for every message; a look-up in the enum takes 0.1 µs.
_CONNECTING: Final = _State.CONNECTING
_OPEN: Final = _State.OPEN

_SENDABLE_CODES: Final = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))
"""The close codes that an endpoint may send (RFC 6455, section 7.4, and the registry at
https://www.iana.org/assignments/websocket)."""
_KEEPALIVE_PAYLOAD: Final = b"keepalive"
"""The payload of pings that the link sends by itself, by which their pongs are recognised."""
_OTHER_FRAME_NS: Final = 10 * MS
"""The time in which a peer may send one more of the frames that `MAX_OTHER_FRAMES` limits: a
hundred a second."""
_FRAME_FAULTS: Final = {
    PROTOCOL_ERROR: (FaultKind.BROKEN_PROTOCOL, "a frame that violates the WebSocket protocol"),
    BAD_TEXT: (FaultKind.BROKEN_PROTOCOL, "a text message that is not UTF-8"),
    TOO_LARGE: (FaultKind.TOO_LARGE, "a message that is longer than the limit"),
    TOO_MANY: (FaultKind.TOO_MANY, "too many fragments, small messages, pings or pongs"),
}
_HEADERS_ARE_LATE: Final = "the function of the headers has not returned in time"
_TIMEOUT_MESSAGES: Final = {
    TransportTimer.HANDSHAKE: "the link was not open in time",
    TransportTimer.PONG: "a ping was not answered in time",
    TransportTimer.CLOSE: "the close frame was not answered in time",
}


@define(eq=False, repr=False)
class Link:
    """One end of a WebSocket, made by `Link.client` or `Link.server`.

    Its methods return events, or bytes to write, which must be handled in order. `now` is in ns of
    a monotonic clock, and must not run backwards.
    """

    _config: LinkConfig
    _handshake_bytes: bytes  # the request of a client, or the response of a server
    _handshake: ClientHandshake | None
    _address: ServerAddress | None  # what a client dials, as long as its headers are missing
    # Clients mask what they send, servers do not (RFC 6455, section 5.1).
    _random_bytes: Callable[[int], bytes] | None
    _decoder: FrameDecoder
    timers: Timers[TransportTimer] = field(factory=lambda: Timers(TransportTimer), init=False)
    """The timers of the link, whose `deadline` is read after each step."""
    _state: _State = field(default=_State.CONNECTING, init=False)
    is_connecting: bool = field(default=True, init=False)
    """Whether the byte stream is not connected yet. It is looked at for each message."""
    _received_at_ns: int = field(default=0, init=False)
    """When the last text message was received; 0: none was."""
    _frames_allowed_ns: int = field(default=0, init=False)
    """The time up to which small frames were allowed."""

    @classmethod
    def client(
        cls, url: str, config: LinkConfig, now: int, random_bytes: Callable[[int], bytes]
    ) -> "Link":
        """Return a link to the server at `url` (ws:// or wss://). Its handshake time-out starts at
        `now`.

        `random_bytes` makes the nonce and the masks, which must be unpredictable (RFC 6455, section
        5.3).

        Raises `LocalProtocolError` for an invalid URL.
        """
        address, source = parse_url(url), config.headers
        headers = () if callable(source) else source
        handshake = ClientHandshake(address, headers, random_bytes)
        decoder = FrameDecoder(is_masked=False, max_message_bytes=config.max_message_bytes)
        awaiting = address if callable(source) else None
        link = cls(config, handshake.request, handshake, awaiting, random_bytes, decoder)
        link.timers.set(TransportTimer.HANDSHAKE, now + config.handshake_timeout_ms * MS)
        return link

    @classmethod
    def server(cls, request: HttpRequest, config: LinkConfig) -> "Link":
        """Return the link of a server that accepts `request`.

        Raises `LocalProtocolError` if the request cannot be accepted.
        """
        decoder = FrameDecoder(is_masked=True, max_message_bytes=config.max_message_bytes)
        return cls(config, encode_upgrade_response(request), None, None, None, decoder)

    @property
    def deadline(self) -> int | None:
        """The instant by which to call `handle_timeout` (ns); `None`: it need not be called."""
        return self.timers.deadline

    @property
    def is_closed(self) -> bool:
        """Whether `LinkRefused` or `LinkClosed` was returned."""
        return self._state is _State.CLOSED

    def connected(self, now: int) -> list[NonTextEvent]:
        """The byte stream is open: a client sends its request, a server its response. Nothing
        happens if the link was closed before.

        Raises `LocalProtocolError` if it is connected already, and if its headers are missing.
        """
        match self._state:
            case _State.CONNECTING if self._address is not None:
                msg = "the headers are missing: call headers_resolved before"
                raise LocalProtocolError(msg)
            case _State.CONNECTING if self._handshake is None:
                return [self._handshake_bytes, self._enter_open(now)]
            case _State.CONNECTING:
                self._state, self.is_connecting = _State.HANDSHAKE, False
                return [self._handshake_bytes]
            case _State.CLOSED:
                return []
            case _:
                msg = "the link is connected already"
                raise LocalProtocolError(msg)

    def headers_resolved(self, headers: object) -> list[NonTextEvent]:
        """The function in `LinkConfig.headers` has returned `headers`. The link is closed if they
        cannot be sent.

        Raises `LocalProtocolError` if no headers are missing.
        """
        if self._state is _State.CLOSED:
            return []
        if self._address is None or self._random_bytes is None:
            msg = "no headers are missing"
            raise LocalProtocolError(msg)
        try:
            self._handshake = ClientHandshake(
                self._address, read_headers(headers), self._random_bytes
            )
        except LocalProtocolError as error:
            return self.connect_failed(str(error))
        self._handshake_bytes, self._address = self._handshake.request, None
        return []

    def connect_failed(self, reason: str) -> list[NonTextEvent]:
        """The byte stream could not be opened; `reason` is for people."""
        if self._state is _State.CLOSED:
            return []
        fault = LinkFault(FaultKind.REFUSED, f"could not be reached: {reason}")
        return self._enter_closed(fault, reason=reason)

    def receive_bytes(self, data: bytes, now: int) -> Iterable[LinkEvent]:
        """Return the events of bytes from the peer, which are split anywhere. They must be iterated
        over to the end, and at once.

        Calls that an event causes, such as `close`, take effect before the next event is produced,
        so it makes no difference how the bytes are split. Bytes after `LinkClosed` are ignored.

        Raises `LocalProtocolError` before the byte stream is connected.
        """
        if self._decoder.other_frames_left == MAX_OTHER_FRAMES:
            self._frames_allowed_ns = now
        else:
            self._allow_other_frames(now)
        if self._state is not _OPEN:
            return self._receive_while_not_open(data, now)
        received = self._decoder.receive(data)
        if len(received) == 1 and isinstance(received[0], str):
            # As nearly always, there is one message, and nothing that it could have an effect on.
            self._received_at_ns = now
            return [received[0]]
        return self._handle_received(received, now)

    def _handle_received(self, received: Iterable[ReceivedFrame], now: int) -> Iterator[LinkEvent]:
        for each in received:
            if not isinstance(each, str):
                yield from self._on_frame(each, now)
            elif self._state is _OPEN:
                self._received_at_ns = now
                yield each

    def receive_eof(self) -> list[NonTextEvent]:
        """The peer will send no more bytes."""
        match self._state:
            case _State.OPEN | _State.CLOSING:
                return self._enter_closed()
            case _State.CLOSED:
                return []
            case _:
                message = "the peer closed the connection during the handshake"
                refusal = self._handshake.end() if self._handshake is not None else None
                return self._end_handshake(refusal or LinkFault(FaultKind.REFUSED, message))

    def send_text(self, text: str) -> bytes:
        """Return the bytes that send a text message; none if the link is closing or closed, which
        the peer may cause at any time.

        Raises `LocalProtocolError` before the link is open, and for text that UTF-8 cannot encode.
        """
        if self._state is not _OPEN:
            self._check_was_open()
            return b""
        try:
            payload = text.encode()
        except UnicodeEncodeError:
            msg = "the text has a lone surrogate, which UTF-8 cannot encode"
            raise LocalProtocolError(msg) from None
        return encode_frame(TEXT, payload, self._random_bytes and self._random_bytes(MASK_BYTES))

    def send_ping(self, payload: bytes) -> bytes:
        """Return the bytes that send a ping; none if the link is closing or closed.

        Raises `LocalProtocolError` before the link is open, for a payload of more than 125 bytes,
        and for the payload of the pings that the link sends by itself.
        """
        if len(payload) > MAX_CONTROL_BYTES or payload == _KEEPALIVE_PAYLOAD:
            limit = f"at most {MAX_CONTROL_BYTES} bytes, and not {_KEEPALIVE_PAYLOAD!r}"
            msg = f"the payload of a ping must be {limit}"
            raise LocalProtocolError(msg)
        if self._state is not _OPEN:
            self._check_was_open()
            return b""
        return self._encode_frame(PING, payload)

    def close(self, code: int, reason: str, now: int) -> list[NonTextEvent]:
        """Start to close the link, which returns no more messages. A link that is not open yet is
        closed at once. A reason longer than 123 bytes of UTF-8 is cut after a whole character.

        Raises `LocalProtocolError` for a code that must not be sent (RFC 6455, section 7.4).
        """
        if code not in _SENDABLE_CODES:
            msg = f"{code} is not a close code that may be sent"
            raise LocalProtocolError(msg)
        match self._state:
            case _State.OPEN:
                self._state = _State.CLOSING
                self.timers.stop_all()
                self.timers.set(TransportTimer.CLOSE, now + self._config.close_timeout_ms * MS)
                return [self._encode_frame(CLOSE, encode_close(code, reason))]
            case _State.CLOSING | _State.CLOSED:
                return []
            case _:
                return self._enter_closed()

    def handle_timeout(self, now: int) -> list[NonTextEvent]:
        """The deadline may have been reached."""
        events: list[NonTextEvent] = []
        for timer in self.timers.expire(now):
            timeout_ns = self._config.pong_timeout_ms * MS
            is_alive = bool(self._received_at_ns) and now < self._received_at_ns + timeout_ns
            if timer is TransportTimer.KEEPALIVE or (timer is TransportTimer.PONG and is_alive):
                self.timers.set(TransportTimer.PONG, now + timeout_ns)
                events.append(self._encode_frame(PING, _KEEPALIVE_PAYLOAD))
            else:
                refusal = self._handshake.end() if self._handshake is not None else None
                message = _HEADERS_ARE_LATE if self._address else _TIMEOUT_MESSAGES[timer]
                fault = LinkFault(FaultKind.TIMED_OUT, message)
                events += self._end_handshake(refusal or fault)
        return events

    def _allow_other_frames(self, now: int) -> None:
        """Allow as many small frames as time has passed since the last were received."""
        decoder = self._decoder
        earned = (now - self._frames_allowed_ns) // _OTHER_FRAME_NS
        decoder.other_frames_left = min(MAX_OTHER_FRAMES, decoder.other_frames_left + earned)
        self._frames_allowed_ns += earned * _OTHER_FRAME_NS

    def _receive_while_not_open(self, data: bytes, now: int) -> Iterator[LinkEvent]:
        """Use `data` for the handshake, and the part of it behind that for frames."""
        if self._state is _CONNECTING:
            msg = "bytes were received before the byte stream was connected"
            raise LocalProtocolError(msg)
        if self._handshake is not None and self._state is _State.HANDSHAKE:
            result = self._handshake.receive(data)
            data = b""
            if isinstance(result, HandshakeComplete):
                yield self._enter_open(now)
                data = result.trailing_data
            elif result is not None:
                yield from self._end_handshake(result)
        if self._state is not _State.CLOSED:
            yield from self._handle_received(self._decoder.receive(data), now)

    def _enter_open(self, now: int) -> LinkOpened:
        self._state, self.is_connecting = _State.OPEN, False
        self.timers.stop_all()
        self._schedule_keepalive(now)
        return LinkOpened()

    def _schedule_keepalive(self, now: int) -> None:
        if self._config.ping_interval_ms is not None:
            self.timers.set(TransportTimer.KEEPALIVE, now + self._config.ping_interval_ms * MS)

    def _on_frame(self, received: Frame | FrameError, now: int) -> list[NonTextEvent]:
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
                # Send the reason, and do not wait for an answer (RFC 6455, section 7.1.7).
                kind, message = _FRAME_FAULTS[code]
                close = self._encode_frame(CLOSE, encode_close(code, message))
                fault = LinkFault(kind, message)
                return [*([close] if is_open else []), *self._enter_closed(fault)]
            case _ if not is_open:
                return []
            case (Opcode.PING, bytes(payload), _, _):
                return [self._encode_frame(PONG, payload)]
            case (Opcode.PONG, bytes(payload), _, _) if payload != _KEEPALIVE_PAYLOAD:
                return [LinkPong(payload)]
            case (Opcode.PONG, _, _, _):
                self.timers.stop_all()
                self._schedule_keepalive(now)
                return []
            case _:
                return [LinkFault(FaultKind.BINARY_MESSAGE, "a binary message was ignored")]

    def _end_handshake(self, result: Refusal | LinkFault) -> list[NonTextEvent]:
        """Close a link that was not opened, or is broken."""
        if isinstance(result, LinkFault):
            return self._enter_closed(result)
        self._enter_closed()
        code = result.error_code or str(result.status)
        return [LinkFault(FaultKind.REFUSED, result.message, code), LinkRefused(result)]

    def _enter_closed(
        self, fault: LinkFault | None = None, *, code: int = ABNORMAL_CLOSURE, reason: str = ""
    ) -> list[NonTextEvent]:
        self._state, self.is_connecting = _State.CLOSED, False
        self.timers.stop_all()
        return [*([fault] if fault else []), LinkClosed(code, reason)]

    def _check_was_open(self) -> None:
        if self._state in (_State.CONNECTING, _State.HANDSHAKE):
            msg = "the link is not open yet"
            raise LocalProtocolError(msg)

    def _encode_frame(self, first_byte: int, payload: bytes) -> bytes:
        mask = None if self._random_bytes is None else self._random_bytes(MASK_BYTES)
        return encode_frame(first_byte, payload, mask)

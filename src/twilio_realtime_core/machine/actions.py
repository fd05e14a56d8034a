"""Actions: values by which a machine instructs its driver, to be carried out in order.

A `MessageMachine` returns `Open`, `Send`, `SendPing` and `Close`; a `ByteMachine` returns
`Connect`, `SendBytes` and `Shutdown`; both return `Notify`.
"""

from collections.abc import Callable, Hashable
from enum import unique
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from attrs import field, frozen

from .arguments import NULL, TEXT, integer, milliseconds
from .symbol import Symbol

__all__ = [
    "ABNORMAL_CLOSURE",
    "GOING_AWAY",
    "LINK_PREFIX",
    "NORMAL_CLOSURE",
    "NO_STATUS",
    "POLICY_VIOLATION",
    "REALTIME",
    "TWILIO",
    "Action",
    "ByteAction",
    "Close",
    "Connect",
    "Encodable",
    "Notify",
    "Open",
    "Peer",
    "RealtimeLink",
    "Refusal",
    "Send",
    "SendBytes",
    "SendPing",
    "Shutdown",
    "kind_of",
]

# Close codes (RFC 6455, section 7.4.1). `NO_STATUS` and `ABNORMAL_CLOSURE` are never sent; they say
# how a link ended.
NORMAL_CLOSURE: Final = 1000
"""The purpose of the connection is fulfilled."""
GOING_AWAY: Final = 1001
"""The endpoint goes away, as a server does whose process ends."""
POLICY_VIOLATION: Final = 1008
"""The peer has sent what is not allowed, such as too much."""
NO_STATUS: Final = 1005
"""The close frame had no code."""
ABNORMAL_CLOSURE: Final = 1006
"""The connection was lost without a close frame, or never opened."""


@unique
class Peer(Symbol):
    """The two peers of a `Bridge`. For a driver a peer is an opaque key."""

    TWILIO = "twilio"
    REALTIME = "realtime"


LINK_PREFIX: Final = "realtime-"
"""Starts the names of later connections to the Realtime server; their numbers follow."""


@frozen(cache_hash=True)
class RealtimeLink:
    """A later connection to the Realtime server: `Peer.REALTIME` is the first of a call. Each has a
    key of its own, by which what is still received on a closed one is told apart."""

    number: int
    """2 for the second connection of the call, and so on."""

    def __str__(self) -> str:
        return f"{LINK_PREFIX}{self.number}"


def kind_of(peer: Hashable) -> Hashable:
    """Return what a peer is: `Peer.REALTIME` for each connection to the Realtime server."""
    return Peer.REALTIME if isinstance(peer, RealtimeLink) else peer


@frozen
class Refusal:
    """The answer of a server that refuses a handshake.

    `retry_after_ms` is how long it says to wait; `error_code` is the code, or else the type, of the
    error in its body; `message` is for people. Raises `LocalProtocolError` for a field of the wrong
    type or out of range.
    """

    status: int = field(validator=integer(100, 999))
    retry_after_ms: int | None = field(validator=milliseconds(0) | NULL)
    error_code: str | None = field(validator=TEXT | NULL)
    message: str = field(validator=TEXT)


TWILIO: Final = Peer.TWILIO
REALTIME: Final = Peer.REALTIME
# The hot path uses these constants: a look-up in the enum takes 0.1 µs.


class Encodable(Protocol):
    """An outbound message of one of the codecs."""

    def encode(self) -> str:
        """Return the text to send as one WebSocket text message."""
        ...


# Actions. Those that are made for every frame are structs, which are created in a fraction of the
# time.


@frozen
class Open:
    """Open a WebSocket to `url`; then call `opened`, or `closed` if it cannot be opened.

    The URL may contain a token, so it is not in the `repr`.
    """

    peer: Hashable
    url: str = field(repr=False)


class Send(msgspec.Struct, gc=False):
    """Send `message.encode()` as one text message. Treat the action as immutable."""

    peer: Hashable
    message: Encodable


@frozen
class SendPing:
    """Send a WebSocket ping; call `pong` with the same payload when its pong arrives.

    `payload` is at most 125 bytes (RFC 6455, section 5.5).
    """

    peer: Hashable
    payload: bytes


@frozen
class Close:
    """Close the WebSocket; then call `closed`.

    A WebSocket that is still being opened is abandoned, or closed as soon as it is open. `code` is
    one of RFC 6455, section 7.4; `reason` has at most 123 bytes of UTF-8.
    """

    peer: Hashable
    code: int
    reason: str


@frozen
class Notify:
    """Notify the application of `event`, one of the machine's notifications."""

    event: object


@frozen
class Connect:
    """Open a byte stream; then call `connected`, or `connect_failed`.

    `tls`: use TLS, and check the certificate against `host`. `headers`, if it is there, is a
    function, sync or async, of the application: call it first, and pass what it returns to
    `headers_resolved` (`HeaderResolver`); if it raises, call `connect_failed`.
    """

    peer: Hashable
    host: str
    port: int
    tls: bool
    headers: Callable[[], Any] | None = field(default=None, repr=False)


class SendBytes(msgspec.Struct, gc=False):
    """Write `data` to the peer's byte stream. Treat the action as immutable."""

    peer: Hashable
    data: bytes

    def __repr__(self) -> str:
        return f"SendBytes(peer={self.peer!r}, data=<{len(self.data)} bytes>)"


@frozen
class Shutdown:
    """Close the peer's byte stream once all written bytes are sent.

    Nothing more of the stream may be reported to the machine; it ignores a report that was already
    on its way.
    """

    peer: Hashable


Action: TypeAlias = Open | Send | SendPing | Close | Notify
ByteAction: TypeAlias = Connect | SendBytes | Shutdown | Notify

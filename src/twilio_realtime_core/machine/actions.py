"""Actions: values by which a machine instructs its driver, to be carried out in order.

A `MessageMachine` returns `Open`, `Send`, `SendPing` and `Close`; a `ByteMachine` returns
`Connect`, `SendBytes` and `Shutdown`; both return `Notify`.
"""

from collections.abc import Hashable
from enum import Enum, unique
from typing import Final, Protocol, TypeAlias

from attrs import define, field, frozen

__all__ = [
    "ABNORMAL_CLOSURE",
    "NORMAL_CLOSURE",
    "NO_STATUS",
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
    "Send",
    "SendBytes",
    "SendPing",
    "Shutdown",
]

# Close codes (RFC 6455, section 7.4.1). The last two are never sent; they say how a link ended.
NORMAL_CLOSURE: Final = 1000
"""The purpose of the connection is fulfilled."""
NO_STATUS: Final = 1005
"""The close frame had no code."""
ABNORMAL_CLOSURE: Final = 1006
"""The connection was lost without a close frame, or never opened."""


@unique
class Peer(Enum):
    """The two peers of a `Bridge`. For a driver a peer is an opaque key."""

    TWILIO = "twilio"
    REALTIME = "realtime"

    # Links are looked up by it for each message; to hash by name takes 0.2 µs.
    __hash__ = object.__hash__


TWILIO: Final = Peer.TWILIO
REALTIME: Final = Peer.REALTIME
# The hot path uses these constants: a look-up in the enum takes 0.1 µs.


class Encodable(Protocol):
    """An outbound message of one of the codecs."""

    def encode(self) -> str:
        """Return the text to send as one WebSocket text message."""
        ...


# Actions. Those that are made for every frame are not frozen, which would double their cost.


@frozen
class Open:
    """Open a WebSocket to `url`; then call `opened`, or `closed` if it cannot be opened.

    The URL may contain a token, so it is not in the `repr`.
    """

    peer: Hashable
    url: str = field(repr=False)


@define
class Send:
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

    `tls`: use TLS, and check the certificate against `host`.
    """

    peer: Hashable
    host: str
    port: int
    tls: bool


def _count_bytes(data: bytes) -> str:
    return f"<{len(data)} bytes>"


@define
class SendBytes:
    """Write `data` to the peer's byte stream. Treat the action as immutable."""

    peer: Hashable
    data: bytes = field(repr=_count_bytes)


@frozen
class Shutdown:
    """Close the peer's byte stream once all written bytes are sent.

    Nothing more of the stream may be reported to the machine; it ignores a report that was already
    on its way.
    """

    peer: Hashable


Action: TypeAlias = Open | Send | SendPing | Close | Notify
ByteAction: TypeAlias = Connect | SendBytes | Shutdown | Notify

"""What a machine asks of whoever drives it: values, to be carried out in the order given.

`Open`, `Send`, `SendPing`, `Close` are the language of a machine that speaks in messages;
`Connect`, `SendBytes`, `Shutdown` of one that speaks in bytes; `Notify` belongs to both.
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

# Close codes (RFC 6455, section 7.4.1). The last two are never sent: they tell what happened.
NORMAL_CLOSURE: Final = 1000
"""The socket has done its work."""
NO_STATUS: Final = 1005
"""The close frame held no code."""
ABNORMAL_CLOSURE: Final = 1006
"""The socket was lost without a close frame, or was never open."""


@unique
class Peer(Enum):
    """The two ends of a call, as `Bridge` names them. To a driver a peer is an opaque key."""

    TWILIO = "twilio"
    REALTIME = "realtime"

    # Links are looked up by it with each message; to hash a name takes 0.2 µs.
    __hash__ = object.__hash__


TWILIO: Final = Peer.TWILIO
REALTIME: Final = Peer.REALTIME
# The hot path uses these constants: a look-up in the enum takes 0.1 µs.


class Encodable(Protocol):
    """An outbound message of one of the codecs."""

    def encode(self) -> str:
        """The text to send as one WebSocket text message."""
        ...


# Actions. The ones built for every frame are not frozen: that would double their cost.


@frozen
class Open:
    """Open a WebSocket to `url`, which may hold a token; then call `opened`, or `closed` if it
    cannot be opened."""

    peer: Hashable
    url: str = field(repr=False)


@define
class Send:
    """Send `message.encode()` as one text message. (A value: do not change it.)"""

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
    """Close the WebSocket, then call `closed`; one that is still being dialled is given up, or
    closed as soon as it is open. `code` is one of RFC 6455, section 7.4; `reason` at most 123 bytes
    of UTF-8."""

    peer: Hashable
    code: int
    reason: str


@frozen
class Notify:
    """Tell the application. `event` is one of the machine's notifications."""

    event: object


@frozen
class Connect:
    """Open a byte stream; then call `connected`, or `connect_failed`.

    With `tls` the stream is TLS, its certificate checked against `host`.
    """

    peer: Hashable
    host: str
    port: int
    tls: bool


def _count_bytes(data: bytes) -> str:
    return f"<{len(data)} bytes>"


@define
class SendBytes:
    """Write `data` to the peer's byte stream. (A value: do not change it.)"""

    peer: Hashable
    data: bytes = field(repr=_count_bytes)


@frozen
class Shutdown:
    """Close the peer's byte stream once all that was written has gone. Nothing of it may be
    reported afterwards (and what is, because it was under way, is ignored)."""

    peer: Hashable


Action: TypeAlias = Open | Send | SendPing | Close | Notify
ByteAction: TypeAlias = Connect | SendBytes | Shutdown | Notify

"""The contract between a machine and whoever drives it.

Every method takes `now` and returns what to do. Do it in order. Call `handle_timeout(now)` at or
after `deadline`. Calling it early changes nothing.

`now` is in integer nanoseconds of any monotonic clock, the same one for all calls; it must not run
backwards (`LocalProtocolError`). After `handle_timeout(now)`, `deadline is None or deadline > now`.
What a peer sends never raises; breaking the contract raises `LocalProtocolError` before anything
has changed. Peers are opaque keys that the machine itself chose.
"""

from collections.abc import Hashable
from typing import Protocol

from .actions import Action, ByteAction

__all__ = ["ByteMachine", "MessageMachine"]


class MessageMachine(Protocol):
    """A machine that speaks in whole messages: one WebSocket for each of its peers."""

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        ...

    def start(self, now: int) -> list[Action]:
        """Begin. Called once, before anything else."""
        ...

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """The WebSocket to `peer` is open: dialled after `Open`, or accepted."""
        ...

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A whole text message has arrived."""
        ...

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has arrived."""
        ...

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """The WebSocket is gone, or could not be opened; once for each link.

        `code` is the peer's close code; 1005 if it gave none, 1006 if the link was lost without a
        close handshake or never opened (RFC 6455, section 7.4.1).
        """
        ...

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come."""
        ...


class ByteMachine(Protocol):
    """The same one level down: a byte stream for each peer."""

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        ...

    def start(self, now: int) -> list[ByteAction]:
        """Begin. Called once, before anything else."""
        ...

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The byte stream to `peer` is open: dialled after `Connect`, or accepted."""
        ...

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """The stream asked for by `Connect` could not be opened; `reason` is for people."""
        ...

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes have arrived, cut anywhere."""
        ...

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer will send no more bytes: it closed its side, or the stream was lost."""
        ...

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have come."""
        ...

"""The contract between a state machine and the driver that runs it.

    Every method takes `now` and returns what to do. Do it in order. Call `handle_timeout(now)` at
    or after `deadline`. Calling it early changes nothing.

`now` is in integer nanoseconds of any monotonic clock, the same one for all calls; it must not run
backwards (`LocalProtocolError`). After `handle_timeout(now)`, `deadline is None or deadline > now`.
What a peer sends never raises; breaking the contract raises `LocalProtocolError` before anything
has changed. Peers are opaque keys, which the machine has chosen.
"""

from collections.abc import Hashable
from typing import Protocol, runtime_checkable

from .actions import Action, ByteAction, Refusal

__all__ = ["ByteMachine", "HeaderResolver", "MessageMachine"]


@runtime_checkable
class MessageMachine(Protocol):
    """A state machine that sends and receives whole messages, over a WebSocket to each peer."""

    @property
    def deadline(self) -> int | None:
        """The instant by which to call `handle_timeout` (ns); `None`: it need not be called."""
        ...

    def start(self, now: int) -> list[Action]:
        """Start the machine. Called once, before anything else."""
        ...

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """The WebSocket to `peer` is open: it was dialled after `Open`, or accepted."""
        ...

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A whole text message was received."""
        ...

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong was received."""
        ...

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """The server has answered the request for a WebSocket, and refuses it. It is the end of the
        link: `closed` is not called for it."""
        ...

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """The WebSocket is closed, or could not be opened; called once for each link.

        `code` is the peer's close code: 1005 if it sent none, 1006 if the link was lost without a
        close handshake or never opened (RFC 6455, section 7.4.1).
        """
        ...

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have been reached."""
        ...


class ByteMachine(Protocol):
    """A state machine that sends and receives bytes, over a byte stream to each peer."""

    @property
    def deadline(self) -> int | None:
        """The instant by which to call `handle_timeout` (ns); `None`: it need not be called."""
        ...

    def start(self, now: int) -> list[ByteAction]:
        """Start the machine. Called once, before anything else."""
        ...

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The byte stream to `peer` is open: it was dialled after `Connect`, or accepted."""
        ...

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """The byte stream that `Connect` requested could not be opened; `reason` is for people."""
        ...

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """Bytes were received, split anywhere."""
        ...

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """The peer will send no more bytes: it closed its side, or the stream was lost."""
        ...

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """The deadline may have been reached."""
        ...


@runtime_checkable
class HeaderResolver(Protocol):
    """What a `ByteMachine` has besides whose `Connect` names a function that returns headers."""

    def headers_resolved(self, peer: Hashable, headers: object, now: int) -> list[ByteAction]:
        """The function `Connect.headers` has returned `headers`; called before the byte stream is
        opened. What it returns comes from outside, so bad headers do not raise: they end the
        link."""
        ...

"""The WebSocket of a host: what every framework's has in common."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from attrs import define, field, frozen

from twilio_realtime_core.machine.actions import ABNORMAL_CLOSURE, NO_STATUS

__all__ = [
    "CallbackSocket",
    "HostSocket",
    "HostSocketClosed",
    "ReceivedMessage",
    "describe_closure",
    "ignore_pong",
]


@frozen
class HostSocketClosed:
    """The socket is closed, by either side. Codes are those of `MessageMachine.closed`."""

    code: int = NO_STATUS
    reason: str = field(default="", repr=False)


ReceivedMessage: TypeAlias = str | bytes | HostSocketClosed
"""A text message, a binary one, or the end."""


class HostSocket(Protocol):
    """An accepted WebSocket of a host. One task receives, and another one sends and closes.

    An exception of a method means that the socket is closed, or lost.
    """

    on_pong: Callable[[bytes], None]
    """To be called with the payload of each pong."""

    async def receive(self) -> ReceivedMessage:
        """Wait for the next message, or the end."""
        ...

    async def send(self, text: str) -> None:
        """Send a text message, and wait until there is room for another one."""
        ...

    async def ping(self, payload: bytes) -> None:
        """Send a ping, if the host can."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the socket. It may wait for the peer's close frame."""
        ...


def ignore_pong(payload: bytes) -> None:
    """Ignore a pong."""


@define(eq=False, repr=False)
class CallbackSocket:
    """A `HostSocket` made of functions, for a host that cannot ping."""

    _receive: Callable[[], Awaitable[str | bytes | HostSocketClosed | None]] = field(
        alias="receive"
    )
    _send: Callable[[str], Awaitable[object]] = field(alias="send")
    _close: Callable[[int, str], Awaitable[object]] | None = field(default=None, alias="close")
    on_pong: Callable[[bytes], None] = ignore_pong

    async def receive(self) -> ReceivedMessage:
        """See `HostSocket.receive`."""
        message = await self._receive()
        return HostSocketClosed() if message is None else message

    async def send(self, text: str) -> None:
        """See `HostSocket.send`."""
        await self._send(text)

    async def ping(self, payload: bytes) -> None:
        """See `HostSocket.ping`."""

    async def close(self, code: int, reason: str) -> None:
        """See `HostSocket.close`."""
        if self._close is not None:
            await self._close(code, reason)


def describe_closure(error: Exception) -> HostSocketClosed:
    """Return what an exception of a socket says: the code and reason that it has, as those of most
    frameworks do; else the socket is lost, and the reason is the type of the exception."""
    code, reason = getattr(error, "code", None), getattr(error, "reason", None)
    if isinstance(code, int) and 1000 <= code < 5000:  # noqa: PLR2004 - RFC 6455, section 7.4.2
        return HostSocketClosed(code, reason if isinstance(reason, str) else "")
    return HostSocketClosed(ABNORMAL_CLOSURE, type(error).__name__)

"""Every timer of the core, and the table of their deadlines.

A machine with timers has one `Timers`, sets and stops them by name, and handles in `handle_timeout`
those that `expire` returns. Setting a timer again moves it. An early call finds no expired timer,
so spurious wake-ups change nothing.
"""

from enum import Enum, unique
from typing import Generic, TypeVar

__all__ = ["Timer", "Timers", "TransportTimer"]

T = TypeVar("T", bound=Enum)


@unique
class TransportTimer(Enum):
    """The name of a timer of a link: what it is that expires, or is due."""

    HTTP_REQUEST = "HTTP request"
    """An accepted connection must have sent its whole HTTP request."""
    HANDSHAKE = "handshake"
    """A WebSocket handshake must be complete."""
    KEEPALIVE = "keepalive"
    """The next ping that keeps a link alive is due."""
    PONG = "pong"
    """The pong for such a ping must have been received."""
    CLOSE = "close"
    """The answer to our close frame must have been received."""


@unique
class Timer(Enum):
    """The name of a timer of a call: what it is that expires, or is due."""

    START = "start"
    """Twilio's `start` message must have been received."""
    CONFIGURATION = "configuration"
    """The application must have answered `CallStarted`; without an answer the defaults are used."""
    SESSION = "session"
    """The Realtime session must be open and configured."""
    ROUND_TRIP = "round trip"
    """The next measurement of the round trip to Twilio is due."""
    INACTIVITY = "inactivity"
    """While the caller speaks, the next frame must have been received."""
    PLAYBACK_END = "playback end"
    """All audio that was sent must have been heard, whether or not marks confirm it."""
    HANGUP_WATCHDOG = "hang-up watchdog"
    """While a hang-up is deferred, something must have shown that audio is generated or played."""
    SPEECH_CONFIRMATION = "speech confirmation"
    """The caller has spoken for long enough to interrupt."""
    CLOSING = "closing"
    """Both links must be closed; otherwise the call ends without waiting for them."""


class Timers(Generic[T]):
    """The deadlines of a machine's timers, which are members of the enum `timers`. `deadline` is
    the earliest (ns), or `None`."""

    __slots__ = ("_deadlines_ns", "_timers", "deadline")

    def __init__(self, timers: type[T]) -> None:
        self._timers = timers
        self._deadlines_ns: dict[T, int] = {}
        self.deadline: int | None = None

    def set(self, timer: T, deadline_ns: int) -> None:
        """Let `timer` expire at `deadline_ns`, whether or not it was set before."""
        self._deadlines_ns[timer] = deadline_ns
        self.deadline = min(self._deadlines_ns.values())

    def is_set(self, timer: T) -> bool:
        """Whether `timer` is set."""
        return timer in self._deadlines_ns

    def stop(self, timer: T) -> None:
        """Stop `timer`, if it is set."""
        if self._deadlines_ns.pop(timer, None) is not None:
            self.deadline = min(self._deadlines_ns.values(), default=None)

    def stop_all(self) -> None:
        """Stop every timer."""
        self._deadlines_ns.clear()
        self.deadline = None

    def expire(self, now: int) -> list[T]:
        """Stop and return the timers that have expired at `now`, earliest first.

        Those with the same deadline are in the order of the enum.
        """
        if self.deadline is None or now < self.deadline:
            return []
        expired = [timer for timer in self._timers if self._deadlines_ns.get(timer, now + 1) <= now]
        expired.sort(key=self._deadlines_ns.__getitem__)
        for timer in expired:
            self.stop(timer)
        return expired

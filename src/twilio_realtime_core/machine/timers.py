"""Every timer of the core, and the table that holds deadlines.

A machine that has timers keeps one `Timers`, sets and stops them by name, and answers
`handle_timeout` with whatever `expire` says is due. Setting a timer again moves it; an early call
finds nothing due, so spurious wake-ups change nothing.
"""

from enum import Enum, unique
from typing import Generic, TypeVar

__all__ = ["Timer", "Timers", "TransportTimer"]

T = TypeVar("T", bound=Enum)


@unique
class TransportTimer(Enum):
    """What is being waited for on a link."""

    HTTP_REQUEST = "opening"
    """An accepted connection must have sent its whole opening request."""
    HANDSHAKE = "handshake"
    """A WebSocket handshake must be complete."""
    KEEPALIVE = "keepalive"
    """The next ping that keeps a link alive is due."""
    PONG = "pong"
    """The pong of such a ping must have come."""
    CLOSE = "close"
    """The answer to our close frame must have come."""


@unique
class Timer(Enum):
    """What is being waited for in a call."""

    START = "start"
    """Twilio's `start` message must have come."""
    CONFIGURATION = "configuration"
    """The application's answer to `CallStarted` must have come; after it the default is used."""
    SESSION = "session"
    """The Realtime session must be open and configured."""
    ROUND_TRIP = "round trip"
    """The next measurement of the round trip to Twilio is due."""
    INACTIVITY = "inactivity"
    """The caller speaks: the next frame of it must have come."""
    PLAYBACK_END = "silence"
    """All that was sent to be played must have been heard by now, whatever marks say."""
    HANGUP_WATCHDOG = "goodbye"
    """A sign that the goodbye is played must have come."""
    SPEECH_CONFIRMATION = "barge-in"
    """The caller has spoken for long enough to interrupt."""
    CLOSING = "ending"
    """Both links must be closed; after it the call counts as ended without them."""


class Timers(Generic[T]):
    """Deadlines in ns, by timer of the enum `timers`. `deadline` is the earliest, or `None`."""

    __slots__ = ("_deadlines", "_timers", "deadline")

    def __init__(self, timers: type[T]) -> None:
        self._timers = timers
        self._deadlines: dict[T, int] = {}
        self.deadline: int | None = None

    def set(self, timer: T, deadline: int) -> None:
        """Let `timer` come due at `deadline` (ns), whether or not it was set before."""
        self._deadlines[timer] = deadline
        self.deadline = min(self._deadlines.values())

    def is_set(self, timer: T) -> bool:
        """Whether `timer` is set."""
        return timer in self._deadlines

    def stop(self, timer: T) -> None:
        """Forget `timer`, if it is set."""
        if self._deadlines.pop(timer, None) is not None:
            self.deadline = min(self._deadlines.values(), default=None)

    def stop_all(self) -> None:
        """Forget every timer."""
        self._deadlines.clear()
        self.deadline = None

    def expire(self, now: int) -> list[T]:
        """The timers due at `now`, earliest first (those of one instant in the order of the
        enum), each of them stopped."""
        if self.deadline is None or now < self.deadline:
            return []
        due = [timer for timer in self._timers if self._deadlines.get(timer, now + 1) <= now]
        due.sort(key=self._deadlines.__getitem__)
        for timer in due:
            self.stop(timer)
        return due

"""Every timer of the core, and the table of their deadlines.

A machine with timers has one `Timers`, sets and stops them by name, and handles in `handle_timeout`
those that `expire` returns. Setting a timer again moves it. An early call finds no expired timer,
so spurious wake-ups change nothing.
"""

from enum import Enum, unique
from typing import Generic, TypeVar

from .symbol import Symbol

__all__ = ["Timer", "Timers", "TransportTimer"]

T = TypeVar("T", bound=Enum)


@unique
class TransportTimer(Symbol):
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
class Timer(Symbol):
    """The name of a timer of a call: what it is that expires, or is due."""

    START = "start"
    """Twilio's `start` message must have been received."""
    CONFIGURATION = "configuration"
    """The application must have answered `CallStarted`; without an answer the defaults are used."""
    SESSION = "session"
    """The Realtime session must be open and configured, after however many attempts."""
    SESSION_ATTEMPT = "session attempt"
    """This attempt to open and configure a session must have succeeded."""
    RECONNECT = "reconnect"
    """The next attempt to open a session is due."""
    WAITING_CLIP = "waiting clip"
    """The caller has waited for the first session for so long that a clip is played."""
    ROTATION = "rotation"
    """The session that is to replace this one before it expires is to be opened, or to take over
    though somebody speaks."""
    SESSION_LOSS_ANSWER = "session loss answer"
    """The application must have said what becomes of a call without a model."""
    CALL_LENGTH_WARNING = "call length warning"
    """The call reaches its longest duration in a minute."""
    STREAM_IDLE = "stream idle"
    """Audio of the caller must have been received."""
    CALL_LENGTH = "call length"
    """The call has reached its longest duration."""
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
    TURN_END = "turn end"
    """The turn of a caller who has stopped must have been committed and, where the server responds
    to turns, a response to it created."""
    REQUEST = "request"
    """A request for a response must have been answered, and something received of a response that
    is being generated."""
    MODEL_SILENCE = "model silence"
    """While a response is generated or requested, some event of the model must have been
    received."""
    SPEECH_STALL = "speech stall"
    """More of the response that is being spoken must have been received, while others are held
    behind it."""
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
        expired: list[T] = []
        while (timer := self.expire_next(now)) is not None:
            expired.append(timer)
        return expired

    def expire_next(self, now: int) -> T | None:
        """Stop and return the first of the timers that have expired at `now`, which may stop the
        others; `None`: there is none."""
        if self.deadline is None or now < self.deadline:
            return None
        due = (each for each in self._timers if self._deadlines_ns.get(each, now + 1) <= now)
        timer = min(due, key=self._deadlines_ns.__getitem__)
        self.stop(timer)
        return timer

"""Observers of calls: each gets the notifications of one call, and can do it no harm."""

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from attrs import define, field

__all__ = ["CallObserver", "ObserverFactory", "Observers", "ResponseClock"]

_LOGGER: Final = logging.getLogger("twilio_realtime.telemetry")


class CallObserver(Protocol):
    """Gets the notifications of one call, at the times of a monotonic clock (ns)."""

    def on_notification(self, event: object, now: int) -> None:
        """Take a notification. It must not block."""


ObserverFactory: TypeAlias = Callable[[], CallObserver]
"""Makes the observer of a new call."""


@define(eq=False)
class Observers:
    """The observers of one connection. One that raises is left out from then on, which is logged;
    the call does not notice."""

    _observers: Sequence[CallObserver]
    _has_failed: bool = field(init=False, default=False)

    def on_notification(self, event: object, now: int) -> None:
        """Pass a notification to all observers."""
        for observer in self._observers:
            try:
                observer.on_notification(event, now)
            except Exception as error:  # of an exporter, which is somebody else's code
                self._leave_out(observer, error)

    def _leave_out(self, observer: CallObserver, error: Exception) -> None:
        self._observers = [each for each in self._observers if each is not observer]
        kind = type(observer).__name__
        _LOGGER.error("%s is left out of the call: %s", kind, type(error).__name__)


@define(eq=False)
class ResponseClock:
    """Measures the latency of responses: from the end of the caller's speech, as turn detection
    notifies it, to the first audio of the agent that was heard."""

    _stopped_ns: int | None = field(init=False, default=None)

    def speech_started(self) -> None:
        """The caller speaks again."""
        self._stopped_ns = None

    def speech_stopped(self, now: int) -> None:
        """The caller has stopped."""
        self._stopped_ns = now

    def playback_started(self, now: int) -> int | None:
        """Return the latency (ns) if this is the first audio since the caller stopped."""
        stopped_ns, self._stopped_ns = self._stopped_ns, None
        return None if stopped_ns is None else now - stopped_ns

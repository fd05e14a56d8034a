"""Ctrl-C and SIGTERM for a run that stops at its next safe point."""

import signal
import threading
from types import FrameType
from typing import Any, Final, Self

from ..stop_requests import StopRequest, StopRequests

__all__ = ["StopSignals"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STATUS_BASE: Final = 128
"""Added to the number of a signal: the exit status of a program that it has ended."""


class StopSignals:
    """A context in which the first Ctrl-C or SIGTERM asks the run to stop, and a second one ends
    it at once."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._requests = StopRequests()
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others cannot have handlers
            self._earlier = {each: signal.signal(each, self._receive) for each in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def is_stopping(self) -> bool:
        """Whether a signal was received."""
        return self._received is not None

    @property
    def status(self) -> int:
        """The exit status of a run that the signal has stopped; 0 without one."""
        return 0 if self._received is None else _STATUS_BASE + self._received

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        match self._requests.receive():
            case StopRequest.FIRST:
                self._received = number
            case StopRequest.SECOND:
                self._restore()
                signal.raise_signal(number)
            case None:
                pass

    def _restore(self) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}

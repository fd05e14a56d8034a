"""Requests to stop, by signals: one that arrives twice is one request."""

import time
from enum import Enum, auto
from typing import Final

__all__ = ["StopRequest", "StopRequests"]

_SAME_REQUEST_S: Final = 0.5
"""`timeout` sends a signal to its command and then to the group of it, and some supervisors pass on
what a terminal has sent to all. Nobody asks again as soon as that."""


class StopRequest(Enum):
    """What a signal asks for."""

    FIRST = auto()
    """Stop in good order."""
    SECOND = auto()
    """Stop at once."""


class StopRequests:
    """The requests to stop that a program receives."""

    def __init__(self) -> None:
        self._first_at_s: float | None = None

    def receive(self) -> StopRequest | None:
        """Take a signal. `None`: it is the first one again."""
        now_s = time.monotonic()
        if self._first_at_s is None:
            self._first_at_s = now_s
            return StopRequest.FIRST
        return StopRequest.SECOND if now_s >= self._first_at_s + _SAME_REQUEST_S else None

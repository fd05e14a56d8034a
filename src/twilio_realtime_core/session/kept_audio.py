"""The audio of the caller that a session may not have answered yet: the next session gets it again.

A session that is lost takes with it what it has heard of the caller's turn. The audio of the turn
is kept until the turn is answered; between turns the last second is, since the server notices the
start of speech only after a while, and includes what came before (`prefix_padding_ms`).
"""

from collections import deque
from typing import Final

from ..protocols.realtime import ClientEvent

__all__ = ["MAX_KEPT_SAMPLES", "QUIET_SAMPLES", "KeptAudio"]

MAX_KEPT_SAMPLES: Final = 10 * 8000
"""The most audio that is kept of a turn: ten seconds, as much as is queued for a session that is
not ready."""

QUIET_SAMPLES: Final = 8000
"""The audio that is kept between turns: a second."""


class KeptAudio:
    """The events that hold the audio, oldest first, each with its samples."""

    def __init__(self) -> None:
        self._events: deque[tuple[ClientEvent, int]] = deque()
        self._samples = 0
        self._limit = QUIET_SAMPLES
        self._committed = 0
        """How many of the oldest events belong to a turn that is committed."""

    def add(self, event: ClientEvent, samples: int) -> None:
        """Keep audio that is sent."""
        self._events.append((event, samples))
        self._samples += samples
        while self._samples > self._limit:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, samples = self._events.popleft()
        self._samples -= samples
        if self._committed:
            self._committed -= 1

    def turn_started(self) -> None:
        """Keep all from now on, up to the limit: the caller speaks."""
        self._limit = MAX_KEPT_SAMPLES

    def turn_committed(self) -> None:
        """Note that all audio so far belongs to a turn that is an item of the conversation."""
        self._committed = len(self._events)

    def turn_answered(self, *, is_speaking: bool) -> None:
        """Forget the audio of the turns that are committed: a response to them was created.
        `is_speaking`: the next turn goes on."""
        self.forget_committed()
        if not is_speaking:
            self._limit = QUIET_SAMPLES
            while self._samples > self._limit:
                self._drop_oldest()

    def forget_committed(self) -> None:
        """Forget the audio of the turns that are committed, since the next session is told their
        words."""
        while self._committed:
            self._drop_oldest()

    def clear(self) -> None:
        """Forget all: the audio that is not committed was discarded."""
        self._events.clear()
        self._samples = self._committed = 0

    def take_all(self) -> list[tuple[ClientEvent, int]]:
        """Remove and return all that is kept, for the next session."""
        events = list(self._events)
        self.clear()
        return events

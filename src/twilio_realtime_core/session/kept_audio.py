"""The audio of the caller that a session may not have answered yet: the next session gets it again.

A session that is lost takes with it what it has heard of the caller's turn. The audio of the turn
is kept until the answer to it has begun, which the server creates or the application requests;
between turns the last second is, since the server notices the start of speech only after a while,
and includes what came before (`prefix_padding_ms`). Without turn detection, all audio is of a turn.
Our commits are kept in their places.
"""

from collections import deque
from collections.abc import Callable
from itertools import dropwhile, islice
from typing import Final

from ..protocols.realtime import ClientEvent, CommitAudio

__all__ = ["MAX_KEPT_SAMPLES", "QUIET_SAMPLES", "KeptAudio"]

MAX_KEPT_SAMPLES: Final = 10 * 8000
"""The most audio that is kept of a turn: ten seconds, as much as is queued for a session that is
not ready."""

QUIET_SAMPLES: Final = 8000
"""The audio that is kept between turns: a second."""


class KeptAudio:
    """The events that hold the audio, oldest first, each with its samples; commits have none."""

    def __init__(self) -> None:
        self._events: deque[tuple[ClientEvent, int]] = deque()
        self._samples = 0
        self._limit = QUIET_SAMPLES
        self._committed = 0
        """How many of the oldest events belong to a turn that is committed."""
        self._answered = 0
        """How many of these belong to a turn whose answer was created, and has not begun."""
        self._is_cut = False
        """Whether audio of a turn was dropped that is not committed, since there is too much."""

    def add(self, event: ClientEvent, samples: int) -> None:
        """Keep audio that is sent, or a commit of it."""
        self._events.append((event, samples))
        self._samples += samples
        while self._samples > self._limit:
            self._is_cut |= self._is_of_turn and not self._committed
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, samples = self._events.popleft()
        self._samples -= samples
        if self._committed:
            self._committed -= 1
            self._answered = max(0, self._answered - 1)

    @property
    def _is_of_turn(self) -> bool:
        """Whether all is to be kept, since the caller speaks, or may."""
        return self._limit == MAX_KEPT_SAMPLES

    @property
    def is_complete(self) -> bool:
        """Whether nothing was dropped of what is not committed, and the limit is far."""
        uncommitted = islice(self._events, self._committed, None)
        samples = sum(samples for _, samples in uncommitted)
        return not self._is_cut and samples <= MAX_KEPT_SAMPLES // 2

    def turn_started(self) -> None:
        """Keep all from now on, up to the limit: the caller speaks, or may."""
        self._limit = MAX_KEPT_SAMPLES

    def turn_over(self) -> None:
        """Keep only the last second from now on: the caller does not speak."""
        self._limit, self._is_cut = QUIET_SAMPLES, False
        while self._samples > self._limit:
            self._drop_oldest()

    def turn_committed(self) -> None:
        """Note that audio belongs to a turn that is an item of the conversation: that before our
        oldest commit without an answer, or else all so far."""
        commit = self._find_commit(lambda _: True)
        self._committed = len(self._events) if commit is None else commit + 1
        self._is_cut = False  # what was dropped is older

    def commit_refused(self, event_id: str | None) -> None:
        """Forget our oldest commit of this event id: the server has refused it."""
        commit = self._find_commit(lambda event: event.event_id == event_id)
        if commit is not None:
            del self._events[commit]

    def _find_commit(self, is_meant: Callable[[CommitAudio], bool]) -> int | None:
        """The place of our oldest commit without an answer that is meant."""
        for index, (event, _) in enumerate(self._events):
            if isinstance(event, CommitAudio) and index >= self._committed and is_meant(event):
                return index
        return None

    def turn_answered(self) -> None:
        """Note that a response was created to the turns that are committed. Their audio is kept
        until it begins: no other session knows what it was to answer."""
        self._answered = self._committed

    def answer_began(self, *, is_turn_kept: bool) -> None:
        """Forget the audio of the turns whose answer was created: it has begun, or will not.
        `is_turn_kept`: the next turn goes on, or has no answer yet."""
        while self._answered:
            self._drop_oldest()
        if not is_turn_kept:
            self.turn_over()

    def answer_lost(self) -> None:
        """Note that the answer that was created has not begun, and will not."""
        self._answered = 0

    def forget_committed(self) -> None:
        """Forget the audio of the turns that are committed, since the next session is told their
        words."""
        while self._committed:
            self._drop_oldest()

    def clear(self) -> None:
        """Forget the audio that is not committed: it was discarded."""
        while len(self._events) > self._committed:
            _, samples = self._events.pop()
            self._samples -= samples
        self._is_cut = False

    def take_all(self) -> list[tuple[ClientEvent, int]]:
        """Remove and return all that is kept, for the next session, from the first audio on: the
        server refuses to commit nothing."""
        events = list(dropwhile(lambda each: not each[1], self._events))
        self._events.clear()
        self._samples = self._committed = self._answered = 0
        self._is_cut = False
        return events

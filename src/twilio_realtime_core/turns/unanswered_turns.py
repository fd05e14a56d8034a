"""The turns of the caller that are committed, until the answer to them has begun.

A session that is lost takes its answers with it: the next one gets the words of these turns, or
their audio again (`KeptAudio`).
"""

from typing import Final

from attrs import define, field

from ..responses.responses import ResponseRecord
from ..session.kept_audio import KeptAudio

__all__ = ["MAX_UNANSWERED_ITEMS", "UnansweredTurns"]

MAX_UNANSWERED_ITEMS: Final = 16
"""Items of turns without a response that are remembered: a server answers each within a second."""


@define(eq=False)
class UnansweredTurns:
    """The items of these turns, oldest first, and the response that is to answer some of them."""

    _kept_audio: KeptAudio
    _items: list[str] = field(init=False, factory=list[str])
    """The items of the turns that no response was created to."""
    _answer: ResponseRecord | None = field(init=False, default=None)
    """The response that was created last, if the answer has not begun."""
    _answered_items: list[str] = field(init=False, factory=list[str])
    """The items of the turns that it is to answer."""
    is_request_needed: bool = field(init=False, default=False)
    """Whether the server will not answer the last of them by itself, since another response is
    active."""

    @property
    def is_any(self) -> bool:
        """Whether there is a turn that no response was created to."""
        return bool(self._items)

    def is_answer(self, record: ResponseRecord | None) -> bool:
        """Whether a response is to answer turns, and has not begun."""
        return record is not None and record is self._answer

    @property
    def is_answer_stopped(self) -> bool:
        """Whether the answer that has not begun was stopped: nobody waits for it, unless the caller
        goes on."""
        answer = self._answer
        return answer is not None and (answer.is_cancelled or not answer.is_audible)

    def committed(self, item_id: str) -> None:
        """Add a turn."""
        self._items = [*self._items, item_id][-MAX_UNANSWERED_ITEMS:]

    def answered(self, record: ResponseRecord) -> None:
        """Note that a response was created, which answers all these turns."""
        if self._answer is None or not record.has_begun:  # else its start comes late
            self._answer = record
        self._answered_items = [*self._answered_items, *self._items][-MAX_UNANSWERED_ITEMS:]
        self.forget_items()
        self._kept_audio.turn_answered()

    def answer_over(self, *, is_speaking: bool) -> None:
        """Forget the turns whose answer was created: it has begun, or nobody waits for it.
        `is_speaking`: the next turn goes on."""
        self._forget_answer()
        self._kept_audio.answer_began(is_turn_kept=is_speaking or self.is_any)

    def forget_items(self) -> None:
        """Forget the turns that no response was created to: one was, or none is to be expected."""
        self._items.clear()
        self.is_request_needed = False

    def forget_audio(self) -> None:
        """Forget the audio of all these turns: nobody will answer it."""
        self._forget_answer()
        self._kept_audio.forget_committed()

    def take_items(self) -> tuple[str, ...]:
        """Remove and return the items of all these turns, since the session is lost."""
        if self._answer is not None:
            self._kept_audio.answer_lost()
        items = (*self._answered_items, *self._items)[-MAX_UNANSWERED_ITEMS:]
        self._forget_answer()
        self.forget_items()
        return items

    def _forget_answer(self) -> None:
        self._answer = None
        self._answered_items = []

"""The requests for responses out of band that were sent, and which response answers which.

Source: OpenAI API reference, "Realtime", `response.create`, `conversation: "none"`,
https://platform.openai.com/docs/api-reference/realtime-client-events/response/create.
"""

from collections import deque
from collections.abc import Collection, Iterator

from attrs import define, field

from .request import PlaybackDecision, Request
from .request_queue import MAX_REQUESTS
from .responses import ResponseRecord

__all__ = ["OutOfBandRequests"]


@define(eq=False)
class OutOfBandRequests:
    """Those without an answer, oldest first, and how many others may still be answered."""

    _unanswered: deque[Request] = field(
        init=False, factory=lambda: deque[Request](maxlen=MAX_REQUESTS)
    )
    _unwanted_count: int = field(init=False, default=0)
    """Those whose late answer nobody is to hear: they were sent again, or interrupted."""
    _given_up_count: int = field(init=False, default=0)
    """Those whose late answer is heard."""

    def __iter__(self) -> Iterator[Request]:
        return iter(self._unanswered)

    def __len__(self) -> int:
        return len(self._unanswered)

    @property
    def is_answer_expected(self) -> bool:
        """Whether a response out of band may be the answer to one, perhaps a late one."""
        return bool(self._unanswered or self._unwanted_count or self._given_up_count)

    def add(self, request: Request) -> None:
        """Add a request that is sent."""
        self._unanswered.append(request)

    def remove(self, request: Request) -> None:
        """Remove one that the server refuses."""
        self._unanswered.remove(request)

    def clear(self) -> None:
        """Forget all, and expect no late answer: the session is lost."""
        self._unanswered.clear()
        self._unwanted_count = self._given_up_count = 0

    # Answers.

    def take_answered(self, record: ResponseRecord) -> Request | None:
        """Remove and return the request that a response answers: the oldest with its metadata and
        kind, or else the oldest; `None`: all were answered."""
        alike = (
            each
            for each in self._unanswered
            if each.metadata == record.metadata and each.is_silent is bool(record.is_text)
        )
        answered = next(alike, next(iter(self._unanswered), None))
        if answered is not None:
            self._unanswered.remove(answered)
        return answered

    def take_late_answer(self) -> bool:
        """Note an answer that comes late. Returns whether it is played."""
        is_wanted = not self._unwanted_count
        self._given_up_count -= is_wanted
        self._unwanted_count -= not is_wanted
        return is_wanted

    # Requests without an answer.

    def expire(self, sent_before_ns: int) -> list[Request]:
        """Give up and return those that were sent by then."""
        expired = [each for each in self._unanswered if each.sent_at_ns <= sent_before_ns]
        for _ in expired:
            self._unanswered.popleft()
        self._expect_late(expired)
        return expired

    def give_up(self, *, asks_again: bool) -> None:
        """Give up all. `asks_again`: those that the caller would hear are sent again."""
        if asks_again:
            self._unwanted_count += len(self._unanswered)
        else:
            self._expect_late(self._unanswered)
        self._unanswered.clear()

    def _expect_late(self, requests: Collection[Request]) -> None:
        wanted_count = sum(each.decision is PlaybackDecision.PLAY for each in requests)
        self._given_up_count += wanted_count
        self._unwanted_count += len(requests) - wanted_count

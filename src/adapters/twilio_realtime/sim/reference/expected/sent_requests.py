"""The expected requests that were sent: those without an answer, and those that an error may still
refuse."""

from collections import deque
from functools import partial

from attrs import define, evolve, field

from ..limits import (
    ACTIVE_RESPONSE_CODE,
    ANSWER_NS,
    MAX_QUEUED_REQUESTS,
    OTHER_ERROR_CODES,
    OTHER_ERROR_FIELDS,
    OTHER_ERROR_WORDS,
)
from ..received import ReceivedError, ReceivedResponseStart
from .request_queue import ExpectedQueue, ExpectedRequest

__all__ = ["ExpectedSentRequests"]


@define(eq=False)
class ExpectedSentRequests:
    """The requests that were sent. `_queue` takes those back that are to be sent again."""

    _queue: ExpectedQueue
    unanswered: ExpectedRequest | None = field(init=False, default=None)
    """The request in the conversation that has no answer; its event id is that with which it was
    sent."""
    unanswered_out_of_band: list[ExpectedRequest] = field(init=False, factory=list[ExpectedRequest])
    refused: ExpectedRequest | None = field(init=False, default=None)
    """The request that an error of this step refuses."""
    has_interrupted: bool = field(init=False, default=False)
    """A request was interrupted."""
    _answered: deque[ExpectedRequest] = field(
        init=False, factory=partial(deque[ExpectedRequest], maxlen=MAX_QUEUED_REQUESTS)
    )
    """Requests that a response has followed; it may have answered another request."""
    _request_of: dict[str, ExpectedRequest] = field(init=False, factory=dict[str, ExpectedRequest])
    """The requests that responses seem to answer."""
    _late_in_conversation: int = field(init=False, default=0)
    """Requests in the conversation that were given up, and may be answered late."""
    _late_answers: int = field(init=False, default=0)
    """Requests out of band that were given up, and whose answers nobody is to hear any more."""
    _updates: list[str] = field(init=False, factory=list[str])
    """Updates of the session without an answer, which an error may refuse in place of a request."""

    @property
    def all_unanswered(self) -> list[ExpectedRequest]:
        """The requests that have no answer."""
        unanswered = [] if self.unanswered is None else [self.unanswered]
        return [*self.unanswered_out_of_band, *unanswered]

    @property
    def is_answer_owed(self) -> bool:
        """Whether a request has no answer yet whose response the caller will hear."""
        return any(each.is_wanted for each in self.all_unanswered)

    @property
    def is_speech_requested(self) -> bool:
        """Whether speech out of band is requested that has not begun."""
        return any(not each.is_silent for each in self.unanswered_out_of_band)

    def due_at_ns(self) -> int | None:
        """Return when the next request is to be given up (ns)."""
        return min((each.sent_at_ns + ANSWER_NS for each in self.all_unanswered), default=None)

    # What the bridge and the application do.

    def add(self, request: ExpectedRequest) -> None:
        """Add a request that is sent."""
        if request.is_out_of_band:
            self.unanswered_out_of_band.append(request)
            del self.unanswered_out_of_band[:-MAX_QUEUED_REQUESTS]
        else:
            if self.unanswered is not None:  # the ambiguous event must have been its answer
                self._answered.append(self.unanswered)
            self.unanswered = request

    def add_update(self, event_id: str) -> None:
        """Add an update of the session that is sent."""
        self._updates.append(event_id)

    def cancel(self) -> bool:
        """Cancel the response that is requested in the conversation; return whether that was not
        cancelled before."""
        if self.unanswered is None:
            return False
        is_first = not self.unanswered.is_cancelled
        self.unanswered = evolve(self.unanswered, is_cancelled=True)
        return is_first

    def interrupt(self, *, cancel: bool) -> None:
        """Interrupt the responses that are requested and would be heard or read."""

        def interrupt(request: ExpectedRequest) -> ExpectedRequest:
            cancels = cancel or (request.is_interrupted and request.is_cancel_requested)
            if request.is_silent:
                return request
            self.has_interrupted = True
            return evolve(request, is_interrupted=True, is_cancel_requested=cancels)

        self.unanswered = None if self.unanswered is None else interrupt(self.unanswered)
        self.unanswered_out_of_band = list(map(interrupt, self.unanswered_out_of_band))

    def revoke_interruption(self) -> None:
        """Let the next response of the conversation be heard, and count as cancelled by nobody."""
        if self.unanswered is not None:
            self.unanswered = evolve(self.unanswered, is_interrupted=False, is_cancelled=False)

    # Answers.

    def answer(self, response_id: str, *, is_repeated: bool) -> ExpectedRequest | None:
        """Apply the start of a response of the conversation; return the request that it answers."""
        request, self.unanswered = self.unanswered, None
        if request is None:
            if self._late_in_conversation and not is_repeated:
                self._late_in_conversation -= 1
        else:
            is_covered = bool(request.keys) and self._queue.is_echoed(request)
            self._answered.append(evolve(request, is_covered=is_covered))
            if not request.is_automatic:
                self._request_of[response_id] = request
        return request

    @property
    def may_be_answered(self) -> bool:
        """Whether a response that starts in the conversation may be an answer, perhaps a late
        one."""
        return self.unanswered is not None or self._late_in_conversation > 0

    @property
    def is_out_of_band_expected(self) -> bool:
        """Whether a response that starts out of band may be an answer."""
        return bool(self.unanswered_out_of_band) or self._late_answers > 0

    def answer_out_of_band(self, event: ReceivedResponseStart) -> ExpectedRequest | None:
        """Apply the start of a response out of band; return the request that it answers: the first
        that is like it. `None`: it may answer one that was sent again."""
        unanswered = self.unanswered_out_of_band
        if not unanswered:
            self._late_answers = max(0, self._late_answers - 1)
            return None
        alike = (
            each
            for each in unanswered
            if each.metadata == (event.metadata or {}) and each.is_silent is bool(event.is_text)
        )
        request = next(alike, unanswered[0])
        unanswered.remove(request)
        self._request_of[event.response_id] = request
        return request

    def answer_update(self) -> None:
        """Apply the answer to the first update of the session."""
        del self._updates[:1]

    # Requests without an answer.

    def expire(self, now: int) -> int:
        """Give up what the server has not answered in time; return how many requests these are."""
        count = len(self.all_unanswered)
        sent = self.unanswered_out_of_band
        self.unanswered_out_of_band = [each for each in sent if now < each.sent_at_ns + ANSWER_NS]
        expired = sent[: len(sent) - len(self.unanswered_out_of_band)]
        self._late_answers += sum(not each.is_wanted for each in expired)
        if self.unanswered is not None and now >= self.unanswered.sent_at_ns + ANSWER_NS:
            self.unanswered = None
            self._late_in_conversation += 1
        return count - len(self.all_unanswered)

    def give_up(self, *, is_asked_again: bool) -> None:
        """Give up all requests without an answer, since the model is silent. Queue those again
        whose responses the caller will hear, if the model `is_asked_again`."""
        self._late_in_conversation += self.unanswered is not None
        given_up, self.unanswered, self.unanswered_out_of_band = self.all_unanswered, None, []
        for each in given_up:
            is_late = is_asked_again or not each.is_wanted
            self._late_answers += each.is_out_of_band and is_late
            if is_asked_again and each.is_wanted:
                self._queue.put_back(evolve(each, is_repeated=True))

    def repeat(self, response_id: str) -> bool:
        """Queue the request once more that a response seems to answer; return `False` if none is
        known that is not automatic."""
        request = self._request_of.get(response_id)
        if request is not None:
            self._queue.add_copy(request)
        return request is not None

    # Errors.

    def apply_error(self, error: ReceivedError, *, has_active: bool) -> bool:
        """Apply an error, while a response of the conversation is active (`has_active`) or not.
        Return whether the server leaves open what it means."""
        if error.event_id is None:
            return self._apply_unnamed_error(error)
        if error.event_id in self._updates:
            self._updates.remove(error.event_id)
            return False
        for each in list(self.unanswered_out_of_band):
            if each.event.get("event_id") == error.event_id:
                self.unanswered_out_of_band.remove(each)
                self.refused = each
        unanswered = [] if self.unanswered is None else [self.unanswered]
        sent = [*unanswered, *reversed(self._answered)]
        named = (each for each in sent if each.event.get("event_id") == error.event_id)
        if (refused := next(named, None)) is None:
            return False
        is_active = error.code == ACTIVE_RESPONSE_CODE
        self._refuse(refused, is_active=is_active)
        return is_active and not has_active

    def _apply_unnamed_error(self, error: ReceivedError) -> bool:
        """Apply an error that names no event: it may refuse an update, or a request."""
        is_active = error.code == ACTIVE_RESPONSE_CODE
        is_of_request = error.names("response.create", "response_create", "response")
        is_of_another = _is_of_another_event(error)
        if self._updates and not is_active:
            is_of_update = error.names("session.update", "cannot_update_", "session")
            is_of_any = error.type == "invalid_request_error"
            if is_of_update or (is_of_any and not is_of_request and not is_of_another):
                del self._updates[0]
                return False
        sent = self.all_unanswered
        if is_active or (is_of_request and len(sent) != 1):
            return is_active or bool(sent or self._queue)
        if len(sent) == 1 and (is_of_request or not is_of_another):
            if sent[0].is_out_of_band:
                self.unanswered_out_of_band.clear()
                self.refused = sent[0]
            else:
                self._refuse(sent[0], is_active=False)
        return False

    def _refuse(self, request: ExpectedRequest, *, is_active: bool) -> None:
        """Refuse a request in the conversation, perhaps since a response is active."""
        self.refused = request
        is_answered = request.is_repeated and request is not self.unanswered
        if is_active and not (request.is_covered or is_answered):
            self._queue.put_back(request)
        elif not is_active and request.count > 1:  # the later ones are still to be answered
            self._queue.put_back(evolve(request, count=request.count - 1))
        if request is self.unanswered:
            self.unanswered = None
        else:
            self._answered.remove(request)
            answers = self._request_of.items()
            self._request_of = {id_: each for id_, each in answers if each.place != request.place}


def _is_of_another_event(error: ReceivedError) -> bool:
    """Whether an error names another event than `response.create`."""
    return (
        (error.code or "").startswith(OTHER_ERROR_CODES)
        or (error.param or "").startswith(OTHER_ERROR_FIELDS)
        or any(each in error.message for each in OTHER_ERROR_WORDS)
    )

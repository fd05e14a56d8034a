"""Requests for responses, `response.create`: one at a time in the conversation, and each ends.

The server has one active response in the conversation and refuses a second (OpenAI API reference,
"Realtime", `response.create`,
https://platform.openai.com/docs/api-reference/realtime-client-events/response/create). So a request
is queued here until the one before it is answered and its response is done, and while the caller
has the turn. Turn detection creates responses too: one that crosses a request of ours looks like
the answer to it, until the server's refusal shows that it was not. Then the request is queued
again. Out-of-band responses (`conversation: "none"`) do not wait for those of the conversation.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from attrs import define, field, frozen

from ..machine.lifecycles import (
    ACTIVE_RESPONSE,
    ActiveResponseInput,
    ActiveResponseState,
    Lifecycle,
    LifecycleFactory,
)
from ..machine.outbox import Outbox
from ..machine.reasons import Reason
from ..machine.units import SECOND
from ..protocols.realtime import CreateResponse, ServerError
from .out_of_band import OutOfBandRequests
from .refusals import BUSY, is_of_another_event, is_of_request
from .request import PlaybackDecision, Request
from .request_queue import KNOWN, MAX_REQUESTS, RequestQueue
from .responses import ResponseRecord

__all__ = ["ANSWER_NS", "RefusedRequest", "Requests"]

ANSWER_NS: Final = 10 * SECOND
"""How long a request may go without an answer, and an active response without an event: the server
answers a request within a second."""

_SENT_AFTER: Final = {
    None: Reason.SENT_AT_ONCE,
    Reason.HELD_BY_CALLER: Reason.SENT_AFTER_TURN,
    Reason.HELD_BY_RESPONSE: Reason.SENT_AFTER_RESPONSE,
    Reason.HELD_BY_SESSION: Reason.SENT_AFTER_SESSION,
}
"""The reason to send a request, by what has held it."""


@frozen
class RefusedRequest:
    """A request that the server has refused, by its event id. `is_final`: it was dropped, with all
    that it covered; otherwise it is queued again, or a response covers it."""

    event_id: str | None
    is_final: bool


@define(eq=False)
class Requests:
    """The requests of one Realtime session; none is sent before `open`. `take_due` returns those
    that may be sent now."""

    _make_lifecycle: LifecycleFactory = Lifecycle
    _outbox: Outbox = field(factory=Outbox)
    _is_open: bool = field(init=False, default=False)
    queue: RequestQueue = field(init=False)
    """Those that are not sent yet."""
    _active: Lifecycle[ActiveResponseState, ActiveResponseInput] = field(init=False)
    _active_response: ResponseRecord | None = field(init=False, default=None)
    _answer: ResponseRecord | None = field(init=False, default=None)
    """The response that seems to answer the latest request."""
    _progress_at_ns: int = field(init=False, default=0)
    _sent: Request | None = field(init=False, default=None)
    _late_count: int = field(init=False, default=0)
    """How many requests in the conversation were given up whose answers may come late."""
    _answered: deque[Request] = field(init=False)
    _out_of_band: OutOfBandRequests = field(init=False, factory=OutOfBandRequests)

    def __attrs_post_init__(self) -> None:
        self.queue = RequestQueue(self._outbox)
        self._active = self._make_lifecycle(ACTIVE_RESPONSE, ActiveResponseState.FREE)
        self._answered = deque(maxlen=MAX_REQUESTS)

    # From one session to the next.

    def open(self) -> None:
        """Start to send requests, since the session is ready."""
        self._is_open = True

    def session_lost(self, unspoken: Iterable[ResponseRecord]) -> None:
        """Queue again for the next session the requests without an answer, and requests for the
        responses that had not begun to be spoken. None is sent before `open`."""
        self._is_open = False
        sent = self._unanswered
        self._sent = None
        self._active.step(ActiveResponseInput.EXPIRED)
        self._active_response = self._answer = None
        self._late_count = 0
        self.queue.session_lost()
        self._out_of_band.clear()
        self._answered.clear()
        for request in self._take_wanted(sent):
            self.queue.put_back(request, Reason.AGAIN_AFTER_LOSS)
        for record in unspoken:
            self._enqueue_for(record, Reason.REQUESTED_FOR_LOST_SPEECH)

    def _take_wanted(self, unanswered: Iterable[Request]) -> list[Request]:
        """Return the requests that are to be made again, and drop the others."""
        wanted: list[Request] = []
        for request in unanswered:
            if request.is_wanted:
                wanted.append(request)
            else:
                self._outbox.explain(Reason.DROPPED_AS_INTERRUPTED)
        return wanted

    # Questions.

    @property
    def _unanswered(self) -> list[Request]:
        """The requests that were sent and have no answer."""
        return [*self._out_of_band, *([] if self._sent is None else [self._sent])]

    @property
    def is_active(self) -> bool:
        """Whether a response in the conversation is active, or requested."""
        return self._active.state is not ActiveResponseState.FREE

    @property
    def is_requested(self) -> bool:
        """Whether a response in the conversation is requested, and not created."""
        return self._sent is not None

    @property
    def may_be_answered(self) -> bool:
        """Whether a response that is created in the conversation may answer a request of ours,
        perhaps one that was given up."""
        return self._sent is not None or self._late_count > 0

    @property
    def is_pending(self) -> bool:
        """Whether an answer is awaited: a request was sent that has none, in the conversation or
        out of band."""
        return self._sent is not None or bool(self._out_of_band)

    @property
    def is_answer_owed(self) -> bool:
        """Whether the server owes an answer that the caller will hear, or that another request
        waits for, or the end of a response whose id is not known."""
        is_unknown = self._active.state is ActiveResponseState.ACTIVE_UNKNOWN_ID
        is_any_behind = self._sent is not None and self.queue.is_any_held
        return is_unknown or is_any_behind or any(each.is_wanted for each in self._unanswered)

    @property
    def is_any_unfinished(self) -> bool:
        """Whether a request was sent that has no answer, or a response in the conversation is
        active: whether there is a `due_at_ns`."""
        return self.is_active or self.is_pending

    @property
    def has_queued(self) -> bool:
        """Whether a request is queued."""
        return bool(self.queue)

    @property
    def is_busy(self) -> bool:
        """Whether a response in the conversation is active, requested, or queued to be."""
        return self.is_active or bool(self.queue)

    @property
    def is_speech_pending(self) -> bool:
        """Whether a response is active or requested that the caller is to hear, in the conversation
        or out of band."""
        return self.is_active or any(not each.is_silent for each in self._out_of_band)

    @property
    def unanswered_count(self) -> int:
        """How many requests the server has not answered, or were not sent yet. Automatic ones that
        one request covers count once."""
        return len(self.queue) + (self._sent is not None) + len(self._out_of_band)

    @property
    def active_response(self) -> ResponseRecord | None:
        """The active response of the conversation, where it is known which it is."""
        is_known = self._active.state is ActiveResponseState.ACTIVE
        return self._active_response if is_known else None

    @property
    def due_at_ns(self) -> int | None:
        """When the next request counts as unanswered, or the active response as lost (ns)."""
        instants = [each.sent_at_ns for each in self._out_of_band]
        if self._sent is not None:
            instants.append(self._sent.sent_at_ns)
        elif self.is_active:
            instants.append(self._progress_at_ns)
        return min(instants) + ANSWER_NS if instants else None

    # From the application.

    def take_due(self, now: int, *, is_caller_turn: bool) -> list[CreateResponse]:
        """Return the requests that may be sent now, in order; they count as sent. Of the
        conversation that is one, if no response is active. `is_caller_turn`: those that wait for
        the caller stay queued."""
        events: list[CreateResponse] = []
        for each in self.queue.take_all():
            waits = is_caller_turn and each.event.waits_for_caller and not each.is_silent
            if not self._is_open:
                self.queue.hold(each, Reason.HELD_BY_SESSION)
            elif waits:
                self.queue.hold(each, Reason.HELD_BY_CALLER)
            elif not self._start(each, now):
                self.queue.hold(each, Reason.HELD_BY_RESPONSE)
            else:
                each.sent_at_ns = now
                events.append(each.event)
                self._outbox.explain(_SENT_AFTER[each.held_by])
        return events

    def _start(self, request: Request, now: int) -> bool:
        if request.is_out_of_band:
            self._out_of_band.add(request)
        elif self._active.step(ActiveResponseInput.REQUEST):
            self._sent = request
            self._progress_at_ns = now
            self.queue.request_sent(request)
        else:
            return False
        request.decision = PlaybackDecision.PLAY
        request.is_cancelled = request.is_covered = False
        return True

    def interrupted(self, *, cancel: bool) -> None:
        """Suppress what is requested and not created, since the agent was interrupted; `created`
        returns the decision. `cancel`: it is cancelled. Requests that were not sent stay.

        Should the server refuse the request because of another response, no response to it was
        interrupted, and it is queued again like one that was not sent.
        """
        sent = () if self._sent is None else (self._sent,)
        for each in (*sent, *self._out_of_band):
            if each.is_silent:
                continue
            self._outbox.explain(
                Reason.CANCELLED_WHEN_CREATED if cancel else Reason.SILENCED_WHEN_CREATED
            )
            if cancel:
                each.decision = PlaybackDecision.CANCEL
            elif each.decision is PlaybackDecision.PLAY:
                each.decision = PlaybackDecision.SUPPRESS

    def mark_cancelled(self) -> bool:
        """Note that the application cancels the response that is requested. `False`: none is, or it
        was cancelled before."""
        if self._sent is None or self._sent.is_cancelled:
            return False
        self._sent.is_cancelled = True
        return True

    # From the model.

    def turn_committed(self) -> None:
        """Note that the server will respond to a turn of the caller. The next response may be the
        one to the turn, which nothing has interrupted or cancelled, even if a request has no answer
        yet."""
        if self._sent is not None:
            self._sent.decision = PlaybackDecision.PLAY
            self._sent.is_cancelled = False

    def created(
        self, record: ResponseRecord, *, is_repeated: bool, now: int, is_dated: bool = True
    ) -> PlaybackDecision:
        """Take a response that was created: the answer to our request, or one of turn detection. An
        out-of-band one answers the oldest such request with its metadata and kind, or else the
        oldest. `is_repeated`: its id was announced before.
        `is_dated`: it was created just now.
        """
        if not record.is_in_conversation and (is_repeated or self._out_of_band.is_answer_expected):
            return self._created_out_of_band(record, is_repeated=is_repeated)
        created = ActiveResponseInput.CREATED_AGAIN if is_repeated else ActiveResponseInput.CREATED
        if self._active.step(created):
            self._active_response = record
            self._progress_at_ns = now
        request, self._sent = self._sent, None
        if not is_repeated and is_dated:
            self.queue.response_created(request)
        if request is None:
            if self._late_count and not is_repeated:
                self._late_count -= 1
            return self._play_unrequested(is_repeated=is_repeated)
        request.is_covered = bool(request.item_keys) and self.queue.is_echoed(request)
        self._answered.appendleft(request)
        self._answer = record
        if request.is_cancelled:
            record.mark_cancelled()
        if not request.is_automatic:
            record.request = request.event
        return self._decide_on(request)

    def _created_out_of_band(
        self, record: ResponseRecord, *, is_repeated: bool
    ) -> PlaybackDecision:
        """Take a response that answers a request out of band, perhaps one that was given up."""
        if is_repeated:
            return PlaybackDecision.PLAY
        answered = self._out_of_band.take_answered(record)
        if answered is not None:
            record.request = answered.event
            if record.is_text is None:
                record.is_text = answered.is_silent
            return self._decide_on(answered)
        if self._out_of_band.take_late_answer():
            return self._play_unrequested(is_repeated=False)
        return PlaybackDecision.CANCEL

    def _play_unrequested(self, *, is_repeated: bool) -> PlaybackDecision:
        if not is_repeated:
            self._outbox.explain(Reason.PLAYED_UNREQUESTED)
        return PlaybackDecision.PLAY

    def _decide_on(self, answered: Request) -> PlaybackDecision:
        if answered.decision is PlaybackDecision.PLAY:
            self._outbox.explain(Reason.PLAYED_AS_REQUESTED)
        return answered.decision

    def progressed(self, response_id: str, now: int) -> None:
        """Note that an event of a response was received; of which is not always known."""
        active = self.active_response
        if active is None or not active.id or response_id in ("", active.id):
            self._progress_at_ns = now

    def done(self, record: ResponseRecord, *, was_announced: bool, now: int) -> None:
        """Take a response that is done. If it was not announced before, its `response.created` was
        lost, and this counts as both."""
        if not was_announced:
            self.created(record, is_repeated=False, now=now, is_dated=False)
        if record.is_in_conversation or record is self._active_response:
            is_active = record is self._active_response
            done = ActiveResponseInput.DONE if is_active else ActiveResponseInput.OTHER_DONE
            self._active.step(done)

    # What the server refuses, or does not answer.

    def refused(self, error: ServerError) -> RefusedRequest | None:
        """Take an error; `None` if it refuses no request that is known here.

        A request in the conversation that met an active response is queued again, in its old place,
        until that response is done. An out-of-band one is not: nothing shows what it would have to
        wait for. An automatic request that stands for several is queued again for the later ones.
        """
        request = self._find_refused(error)
        if request is None:
            return None
        is_busy = error.code == BUSY and not request.is_out_of_band
        # One that was sent twice is answered once, by the response that the second has met.
        is_answered = request.is_repeated and request in self._answered
        is_covered = is_busy and (request.is_covered or is_answered)
        if request is self._sent:
            self._sent = None
            self._active.step(ActiveResponseInput.BUSY if is_busy else ActiveResponseInput.REFUSED)
        elif request in self._out_of_band:
            self._out_of_band.remove(request)
        else:
            if self._answer is not None and request is self._answered[0]:
                self._answer.request = None
            self._answered.remove(request)
            self._active.step(ActiveResponseInput.EARLIER_REFUSED)
        is_queued_again = is_busy or request.count > 1
        if is_queued_again and not is_covered:
            request.count -= not is_busy
            why = Reason.AGAIN_AFTER_RESPONSE if is_busy else Reason.AGAIN_FOR_OTHERS
            self.queue.put_back(request, why)
        else:
            why = Reason.DROPPED_AS_COVERED if is_covered else Reason.DROPPED_AS_REFUSED
            self._outbox.explain(why)
        return RefusedRequest(request.event.event_id, is_final=not is_queued_again)

    def _find_refused(self, error: ServerError) -> Request | None:
        """The request that an error refuses. One without an event id refuses the request in the
        conversation, if there is one: attributed to another, it would block all later requests,
        while a response that comes unexpectedly does no harm. One that names nothing refuses what
        is the only request without an answer."""
        sent = [] if self._sent is None else [self._sent]
        unanswered = (*sent, *self._out_of_band)
        if error.event_id:
            named = (*unanswered, *self._answered)
            return next((one for one in named if one.event.event_id == error.event_id), None)
        if error.code == BUSY:
            # Of those answered, only one whose seeming answer is still active can have met it.
            seems_answered = (
                self._active.state is ActiveResponseState.ACTIVE
                and self._active_response is self._answer
            )
            answered = list(self._answered)[:1] if seems_answered else []
            return next(iter((*sent, *answered)), None)
        if is_of_request(error) or (len(unanswered) == 1 and not is_of_another_event(error)):
            return next(iter(unanswered), None)
        return None

    def expire(self, now: int) -> list[str]:
        """Drop the requests that have no answer in time, and count an active response without an
        event as over. Returns what was missing."""
        missing = [
            f"response.create: no answer to {each.event.event_id}"
            for each in self._out_of_band.expire(now - ANSWER_NS)
        ]
        for _ in missing:
            self._outbox.explain(Reason.DROPPED_AS_UNANSWERED)
        sent = self._sent
        if sent is not None and now >= sent.sent_at_ns + ANSWER_NS:
            missing.append(f"response.create: no answer to {sent.event.event_id}")
            self._outbox.explain(Reason.DROPPED_AS_UNANSWERED)
            self._late_count += 1
            self.release_slot()
        elif sent is None and self.is_active and now >= self._progress_at_ns + ANSWER_NS:
            missing.append("response.done: no event of the active response")
            self._outbox.explain(Reason.GIVEN_UP_WITHOUT_EVENT)
            self.release_slot()
        return missing

    def release_slot(self) -> None:
        """Count the active response as over, and drop the request that was sent."""
        self._sent = None
        self._active.step(ActiveResponseInput.EXPIRED)

    def give_up(self, responses: Iterable[ResponseRecord], *, asks_again: bool) -> None:
        """Drop the requests that have no answer, and count these responses as over. `asks_again`:
        all of them are requested again."""
        given_up = list(responses)
        unanswered = self._unanswered
        self._late_count += self._sent is not None
        self._out_of_band.give_up(asks_again=asks_again)
        is_unknown = self._active.state is ActiveResponseState.ACTIVE_UNKNOWN_ID
        is_given_up = any(each is self._active_response for each in given_up)
        if self._sent or is_unknown or is_given_up:
            self.release_slot()
        if not asks_again:
            for _ in unanswered:
                self._outbox.explain(Reason.DROPPED_IN_SILENCE)
            return
        for request in self._take_wanted(unanswered):
            request.is_repeated = True
            self.queue.put_back(request, Reason.AGAIN_AFTER_SILENCE)
        for record in given_up:
            self._enqueue_for(record, Reason.REQUESTED_FOR_SILENCE)

    def _enqueue_for(self, record: ResponseRecord, reason: Reason) -> None:
        """Request a response again, as it was requested; one of turn detection by the bridge."""
        if record.request is not None:
            self.queue.add_copy(record.request, reason)
        elif record.is_in_conversation:
            self.queue.add_automatic(reason, KNOWN)

"""The expected requests for responses: which are due, and what their responses change."""

from attrs import define, evolve, field

from twilio_realtime_core.commands import (
    AnswerApproval,
    Interrupt,
    SendFunctionOutput,
    SendMessage,
)
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.notifications import (
    FunctionCallRequested,
    Interrupted,
    InterruptionBlocked,
    McpApprovalRequested,
    McpCallFinished,
    ModelSilent,
)
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    ClearInputAudio,
    CreateItem,
    CreateResponse,
)

from ..limits import ANSWER_NS
from ..received import (
    RESPONSE_EVENTS,
    ReceivedAudio,
    ReceivedCommit,
    ReceivedError,
    ReceivedItemAdded,
    ReceivedResponseEnd,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
)
from ..sent import SentCancel, SentItem, SentRequest, SentUpdate
from ..step_record import ExpectedState, StepRecord, TimeoutHandled
from ..units import MS
from .automatic_requests import ExpectedAutomaticRequests
from .events import event_of, is_out_of_band, matches
from .followups import ExpectedFollowups
from .links import ExpectedLinks
from .request_queue import BY_SERVER, ExpectedQueue, ExpectedRequest
from .responses import ExpectedResponses
from .sent_requests import ExpectedSentRequests
from .turn import ExpectedTurn
from .uplink import ExpectedUplink

__all__ = ["ExpectedRequests"]


@define(eq=False)
class ExpectedRequests(ExpectedState):
    """The requests of the application, the automatic one, and the responses that answer them."""

    inputs = (
        CreateResponse,
        CancelResponse,
        ClearInputAudio,
        CreateItem,
        AnswerApproval,
        SendMessage,
        SendFunctionOutput,
        Interrupt,
        TimeoutHandled,
        ReceivedStart,
        ReceivedSession,
        ReceivedCommit,
        ReceivedSpeechStart,
        ReceivedSpeechStop,
        ReceivedItemAdded,
        *RESPONSE_EVENTS,
        ReceivedError,
    )
    outputs = (
        SentRequest,
        SentItem,
        FunctionCallRequested,
        Interrupted,
        McpApprovalRequested,
        McpCallFinished,
        ModelSilent,
        SentCancel,
        SentUpdate,
    )

    _links: ExpectedLinks
    _uplink: ExpectedUplink
    _responses: ExpectedResponses
    """Of which only the tools at work are read: all else is that of the next step."""
    _config: CallConfig
    queue: ExpectedQueue = field(init=False, factory=ExpectedQueue)
    """Requests to be sent."""
    sent: ExpectedSentRequests = field(init=False)
    active_id: str | None = field(init=False, default=None)
    """The response of the conversation that is not known to be done. (The server has one at a time,
    so a new one ends the one before, even if `response.done` of that comes later.)"""
    suppressed: dict[str, bool] = field(init=False, factory=dict[str, bool])
    """The response that starts in this step and was interrupted before, and whether that
    interruption requested a cancel."""
    cancels_request: bool = field(init=False, default=False)
    """The command of this step cancels a response that is requested, for the first time."""
    is_start_cancelled: bool = field(init=False, default=False)
    """The response that starts in this step was cancelled by a command before."""
    is_ambiguous: bool = field(init=False, default=False)
    """The server has left open which request it meant."""
    expired_count: int = field(init=False, default=0)
    """Requests that were given up in this step, or in the one that has ended the call: either may
    come first."""
    late_count: int = field(init=False, default=0)
    """Requests that were made for what was given up then."""
    is_over: bool = field(init=False, default=False)
    """The call is about to end, since the model was silent: nothing that it owes is waited for."""
    turn: ExpectedTurn = field(init=False, factory=ExpectedTurn)
    answers_turn: set[str] = field(init=False, factory=set[str])
    """Responses that the server has created by itself, to turns of the caller."""
    _evaluated_ns: int | None = field(init=False, default=None)
    """When speech of the caller is to be evaluated, if it has not been."""
    _is_active_interrupted: bool = field(init=False, default=False)
    _interrupted_ids: set[str] = field(init=False, factory=set[str])
    """Responses that were interrupted, perhaps before their start was received."""
    _cancelled_ids: set[str | None] = field(init=False, factory=set[str | None])
    """Responses for which a cancel was sent."""
    _committed_item: str | None = field(init=False, default=None)
    """The item of the turn that was committed last."""
    _progress_ns: int = field(init=False, default=0)
    """When an event of the active response was received, or a request sent."""
    _followups: ExpectedFollowups = field(init=False, factory=ExpectedFollowups)
    _automatic: ExpectedAutomaticRequests = field(init=False)
    _out_of_band_ids: set[str] = field(init=False, factory=set[str])
    _has_given_up: bool = field(init=False, default=False)
    """Responses were given up, since the model was silent."""
    _seen: set[str] = field(init=False, factory=set[str])
    """Responses of which the start or the end was received."""
    silent_ids: set[str] = field(init=False, factory=set[str])
    """Responses that answer requests for text out of band."""
    known_ids: set[str] = field(init=False, factory=set[str])
    """Responses of which anything was received."""

    def __attrs_post_init__(self) -> None:
        self.sent = ExpectedSentRequests(self.queue)
        self._automatic = ExpectedAutomaticRequests(
            self.queue, self._followups, self._uplink, self._config
        )

    @property
    def queued_count(self) -> int:
        """How many requests wait to be sent."""
        return len(self.queue)

    @property
    def open_count(self) -> int:
        """How many requests wait to be sent or answered."""
        return self.queued_count + len(self.sent.all_unanswered)

    @property
    def is_free(self) -> bool:
        """Whether a request may be sent: no other and no response is under way."""
        return self.sent.unanswered is None and self.active_id is None

    def due(self) -> list[ExpectedRequest]:
        """Return the requests that may be sent now, in their order."""
        return [each for each in self.queue.requests if self.may_send(each)]

    def may_send(self, request: ExpectedRequest) -> bool:
        """Whether nothing is in the way of a request."""
        waits = self.turn.is_callers and request.waits_for_caller and not request.is_silent
        return not waits and (request.is_out_of_band or self.is_free)

    @property
    def _is_any_held(self) -> bool:
        """Whether a request waits for the active response, or for the answer to another."""
        held = [each for each in self.queue.requests if not each.is_out_of_band]
        is_callers = self.turn.is_callers
        return not self.is_free and any(not (is_callers and each.waits_for_caller) for each in held)

    @property
    def is_answer_owed(self) -> bool:
        """Whether the server owes an answer that the caller will hear, or that a request waits for,
        or the response to a turn."""
        is_any_behind = self.sent.unanswered is not None and self._is_any_held
        return is_any_behind or self.sent.is_answer_owed or self.turn.is_answer_owed

    def awaited(self) -> list[str]:
        """Return the responses whose end is all that a request waits for."""
        is_any_behind = self._is_any_held or self.turn.is_unanswered
        active = [self.active_id] if is_any_behind and self.active_id is not None else []
        ids = dict.fromkeys([*active, *self._followups.awaiting_end()])
        return [each for each in ids if not self._responses.is_tool_at_work(each)]

    # What is to be requested.

    def apply_input(self, step: StepRecord) -> None:
        """Apply a command that requests a response, or what the server says of one."""
        if isinstance(step.event, RESPONSE_EVENTS):
            if step.event.response_id in ("", self.active_id):
                self._progress_ns = step.now
            if not isinstance(step.event, ReceivedResponseStart) and step.event.response_id:
                self.known_ids.add(step.event.response_id)
            if not isinstance(step.event, ReceivedResponseStart | ReceivedResponseEnd):
                self._followups.progress(step.event.response_id, step.now)
        match step.event:
            case CreateResponse() as command:
                after, waits = self._uplink.next_number, command.waits_for_caller
                self.queue.add(event_of(command), after, waits_for_caller=waits)
            case CancelResponse(None):
                self.cancels_request = self.sent.cancel()
            case Interrupt(cancel=cancel, response_id=None):
                self.sent.interrupt(cancel=cancel)
            case TimeoutHandled():
                self._evaluate_speech(step)
                self._expire(step.now)
            case ReceivedAudio(response_id=id_) if id_ in self._followups.lost:
                # If it goes on after all, what follows its outcomes waits again.
                self.is_ambiguous |= id_ not in self._interrupted_ids
            case ReceivedResponseStart() as event:
                self._start_response(event, step.now)
            case ReceivedResponseEnd(id_, out_of_band):
                for each in step.values:  # the calls whose own end is lost, which wait for outputs
                    if isinstance(each, FunctionCallRequested):
                        self._followups.add_call(each.call_id, each.response_id)
                self._end_response(id_, is_out_of_band=out_of_band)
            case ReceivedError() as error:
                has_active = self.active_id is not None
                self.is_ambiguous |= self.sent.apply_error(error, has_active=has_active)
            case _:
                self._automatic.apply_input(step.event)
                self._apply_turn(step)
        if not self.turn.is_speaking:
            self._evaluated_ns = None

    def _apply_turn(self, step: StepRecord) -> None:
        """Apply what turn detection says of the caller."""
        match step.event:
            case ReceivedSpeechStart():
                self.turn.start_speech()
                self._evaluated_ns = step.now + self._config.interruption.after_speech_ms * MS
                self._evaluate_speech(step)
            case ReceivedSpeechStop():
                self.turn.stop_speech(step.now)
            case ReceivedCommit(item_id):
                if not (self.turn.is_over and item_id == self._committed_item):
                    self._commit(step.now)
                self._committed_item = item_id
            case ReceivedSession():
                self.sent.answer_update()
                self.turn.configure(self._links.turn_detection)
            case ClearInputAudio():
                self.turn.discard()
            case ReceivedStart() if self._links.is_stream_starting:
                self.turn.reset()
            case _:
                pass

    def _evaluate_speech(self, step: StepRecord) -> None:
        """Interrupt what is requested, if the caller has spoken for long enough and may."""
        if self._evaluated_ns is not None and step.now >= self._evaluated_ns:
            self._evaluated_ns = None
            if not step.has_output(InterruptionBlocked):
                self.sent.interrupt(cancel=True)

    def _commit(self, now: int) -> None:
        # A response that was interrupted and cancelled does not keep the server from answering.
        is_cancelled = (
            self.active_id in self._cancelled_ids or self._links.turn_detection.interrupts
        )
        is_answering = self.active_id is not None and not (
            self._is_active_interrupted and is_cancelled
        )
        may_answer = self.turn.commit(now, is_free=self.is_free, is_answering=is_answering)
        if may_answer:  # what is created next may be the answer
            self.sent.revoke_interruption()

    # What is sent.

    def find(self, sent: SentRequest) -> ExpectedRequest | None:
        """Return the expected request that an event makes; `None` if none is expected now."""
        if is_out_of_band(sent.body):
            candidates = [each for each in self.queue.requests if each.is_out_of_band]
        else:
            candidates = [each for each in self.queue.requests if not each.is_out_of_band]
        candidates = [each for each in candidates if self.is_ambiguous or self.may_send(each)]
        candidates.sort(key=lambda each: (not self.may_send(each), each.place))
        if not self.is_ambiguous:  # else the bridge may rightly not know of the oldest
            del candidates[1:]
        return next((each for each in candidates if matches(sent.body, each.event)), None)

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Apply a request or an output that is sent, or a call that is notified."""
        match value:
            case SentRequest():
                self._send(value, step.now)
            case Interrupted(items=items):
                self._is_active_interrupted = self.active_id is not None
                self._interrupted_ids |= {each.response_id for each in items}
            case SentCancel(response_id=response_id):
                self._cancelled_ids.add(response_id or self.active_id)
            case ModelSilent():
                if not self._config.on_model_silent.only_notifies:
                    self._give_up(value)
                self.turn.is_answer_missing = False
            case SentUpdate(event_id=str(event_id)):
                self.sent.add_update(event_id)
            case _:
                self._automatic.apply_output(value)

    def _send(self, sent: SentRequest, now: int) -> None:
        request = self.find(sent)
        if request is None:
            return
        self.queue.take(request)
        made = evolve(
            request,
            event=sent.body,
            sent_at_ns=now,
            is_interrupted=False,
            is_cancelled=False,
            is_covered=False,
        )
        self.sent.add(made)
        if not made.is_out_of_band:
            self._progress_ns = now

    # What is answered.

    def _start_response(self, event: ReceivedResponseStart, now: int) -> None:
        response_id, is_out_of_band = event.response_id, event.is_out_of_band
        # No server starts a response twice, or an out-of-band one by itself.
        is_repeated = bool(response_id) and response_id in self._seen
        self.is_ambiguous |= is_repeated or not response_id
        self.is_ambiguous |= is_out_of_band and not self.sent.is_out_of_band_expected
        self._seen.add(response_id)
        self._followups.start(response_id, now)
        if is_out_of_band:
            self._out_of_band_ids.add(response_id)
            if not is_repeated:
                self._start_out_of_band(event)
            return
        if not is_repeated:
            self.turn.answer(is_requested=self.sent.may_be_answered)
        self._lose(*self._others_in_conversation(response_id))
        self.active_id, self._progress_ns = response_id, now
        self._is_active_interrupted = response_id in self._interrupted_ids
        request = self.sent.answer(response_id, is_repeated=is_repeated)
        if not is_repeated:
            self.queue.cover(request)
        if request is None:
            self.answers_turn.add(response_id)
        else:
            self.is_start_cancelled = request.is_cancelled
            if request.is_cancelled:
                self._cancelled_ids.add(response_id)
            self._suppress(request, response_id)

    def _start_out_of_band(self, event: ReceivedResponseStart) -> None:
        request, response_id = self.sent.answer_out_of_band(event), event.response_id
        if request is not None:
            if request.is_silent:
                self.silent_ids.add(response_id)
            self._suppress(request, response_id)
        elif not self.is_ambiguous:  # the answer was given up, and requested again
            self.suppressed[response_id] = response_id not in self.known_ids

    def _others_in_conversation(self, response_id: str) -> list[str]:
        others = {response_id, *self._out_of_band_ids}
        return [each for each in self._followups.generating() if each not in others]

    def _lose(self, *response_ids: str) -> None:
        """Expect nothing more of responses: what waits for their end is requested."""
        self._followups.lose(*response_ids)
        for each in response_ids:
            self._automatic.request_followup(each)

    def _request_for_turn(self) -> None:
        """Request the answer to a turn that the server does not answer."""
        if self.turn.is_unanswered:
            self.turn.is_unanswered = False
            self._automatic.request(BY_SERVER)

    @property
    def may_suppress(self) -> bool:
        """Whether it is open which response answers a request that was interrupted, or which one
        was given up since the model was silent."""
        return self.is_ambiguous and (self.sent.has_interrupted or self._has_given_up)

    def _suppress(self, request: ExpectedRequest, response_id: str) -> None:
        if request.is_interrupted and not self.is_ambiguous:
            # One that was known before its start was interrupted, and perhaps cancelled, itself.
            is_new = response_id not in self.known_ids
            self.suppressed[response_id] = request.is_cancel_requested and is_new
            self._is_active_interrupted |= self.active_id == response_id

    def _end_response(self, response_id: str, *, is_out_of_band: bool) -> None:
        if not response_id:
            open_ids = (self._seen | self.known_ids) - self._followups.done
            self.is_ambiguous |= is_out_of_band or open_ids != {self.active_id}
            if self.is_ambiguous:
                return
            response_id = self.active_id or ""
        if response_id not in self._seen:  # no server ends what has not started
            self.is_ambiguous = True
            if not is_out_of_band:  # its start, which was lost, was the answer
                self.turn.answer_without_start()
                self.sent.unanswered = None
        is_repeated = response_id in self._followups.done
        self._seen.add(response_id)
        self._followups.end(response_id)
        if self.active_id == response_id:
            self.active_id = None
        if is_repeated:  # it says nothing of what has happened since
            return
        self._request_for_turn()
        self._automatic.request_followup(response_id)

    # What is not answered.

    def _expire(self, now: int) -> None:
        """Give up what the server has not answered in time."""
        queued_count = self.queued_count
        if self.turn.expire(now):
            self._automatic.request(BY_SERVER)
        active_id = self.active_id
        if self.sent.unanswered is None and now >= self._progress_ns + ANSWER_NS:
            self.active_id = None
        self.expired_count = self.sent.expire(now)
        lost = self._followups.take_expired(now)
        if self.is_free and (lost or self.expired_count or self.active_id != active_id):
            self._request_for_turn()
        self._lose(*lost)
        self.late_count = self.queued_count - queued_count

    def _give_up(self, silence: ModelSilent) -> None:
        """Give up what the model owes, since it is silent; request it again if the bridge does."""
        self._has_given_up = True
        is_asked_again = silence.is_asked_again
        ended = [*silence.response_ids, *self.awaited()]
        if self.sent.unanswered is not None or self.active_id in ended:
            self.active_id = None
        self.sent.give_up(is_asked_again=is_asked_again)
        for each in silence.response_ids if is_asked_again else ():
            if not self.sent.repeat(each) and each not in self._out_of_band_ids:
                self._automatic.request(BY_SERVER)
        if is_asked_again and self.turn.is_answer_missing:
            self._automatic.request(BY_SERVER)
        if not is_asked_again:
            self.is_over = self._config.on_model_silent.hang_up
        if self.is_free:
            self._request_for_turn()
        self._lose(*ended)
        self._interrupted_ids.update(silence.response_ids)

    def finish_step(self, step: StepRecord) -> None:
        """Reset what holds for one step only."""
        self.suppressed.clear()
        self._automatic.finish_step()
        self.cancels_request = self.is_start_cancelled = False
        self.sent.refused = None
        if self._links.is_live:
            self.expired_count = self.late_count = 0

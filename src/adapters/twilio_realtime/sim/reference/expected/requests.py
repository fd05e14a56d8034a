"""The expected requests for responses: which are to be sent, and which of them are answered."""

from collections import deque
from functools import partial
from typing import Final

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

from ..limits import (
    ACTIVE_RESPONSE_CODE,
    ANSWER_NS,
    MAX_QUEUED_REQUESTS,
    OTHER_ERROR_CODES,
    OTHER_ERROR_FIELDS,
    OTHER_ERROR_WORDS,
)
from ..received import (
    RESPONSE_EVENTS,
    ReceivedAudio,
    ReceivedAudioEnd,
    ReceivedCommit,
    ReceivedError,
    ReceivedItemAdded,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
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
from .events import event_of, is_out_of_band, matches
from .followups import ExpectedFollowups
from .links import ExpectedLinks
from .request_queue import BY_SERVER, ExpectedQueue, ExpectedRequest
from .turn import ExpectedTurn
from .uplink import ExpectedUplink

__all__ = ["ExpectedRequests"]

_PROGRESS: Final = (
    ReceivedResponseStart,
    ReceivedAudio,
    ReceivedAudioEnd,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
)
"""What shows that a response goes on."""


@define(eq=False)
class ExpectedRequests(ExpectedState):
    """Explicit requests of the application, and the one automatic request that messages, outputs of
    functions, answers of MCP servers and turns without a response cause."""

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
    _config: CallConfig
    queue: ExpectedQueue = field(init=False, factory=ExpectedQueue)
    """Requests to be sent."""
    unanswered: ExpectedRequest | None = field(init=False, default=None)
    """The request that was sent and has no answer; its event id is that with which it was sent."""
    unanswered_out_of_band: list[ExpectedRequest] = field(init=False, factory=list[ExpectedRequest])
    active_id: str | None = field(init=False, default=None)
    """The response of the conversation that is not known to be done. (The server has one at a time,
    so a new one ends the one before, even if `response.done` of that comes later.)"""
    suppressed: dict[str, bool] = field(init=False, factory=dict[str, bool])
    """The response that starts in this step and was interrupted before, and whether that
    interruption requested a cancel."""
    cancels_request: bool = field(init=False, default=False)
    """The command of this step cancels a response that is requested, for the first time."""
    refused: ExpectedRequest | None = field(init=False, default=None)
    """The request that an error of this step refuses."""
    is_ambiguous: bool = field(init=False, default=False)
    """The server has left open which request it meant."""
    _has_interrupted: bool = field(init=False, default=False)
    """A request was interrupted."""
    expired_count: int = field(init=False, default=0)
    """Requests that were given up in this step, or in the one that has ended the call: either may
    come first."""
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
    """When an event of a response was received, or a request sent."""
    _answered: deque[ExpectedRequest] = field(
        init=False, factory=partial(deque[ExpectedRequest], maxlen=MAX_QUEUED_REQUESTS)
    )
    """Requests that a response has followed; it may have answered another request."""
    _request_of: dict[str, ExpectedRequest] = field(init=False, factory=dict[str, ExpectedRequest])
    """The requests that responses seem to answer."""
    _has_output_followup: bool = field(init=False, default=False)
    """A response was requested to outputs that are sent in this step."""
    _followups: ExpectedFollowups = field(init=False, factory=ExpectedFollowups)
    _approval_count: int = field(init=False, default=0)
    _late_answers: int = field(init=False, default=0)
    """Requests out of band that were sent again, and may be answered once more."""
    _updates: list[str] = field(init=False, factory=list[str])
    """Updates of the session without an answer."""
    _out_of_band_ids: set[str] = field(init=False, factory=set[str])
    _seen: set[str] = field(init=False, factory=set[str])
    """Responses of which the start or the end was received."""
    known_ids: set[str] = field(init=False, factory=set[str])
    """Responses of which anything was received."""

    @property
    def queued_count(self) -> int:
        """How many requests wait to be sent."""
        return len(self.queue)

    @property
    def open_count(self) -> int:
        """How many requests wait to be sent or answered."""
        return self.queued_count + len(self._sent)

    @property
    def is_free(self) -> bool:
        """Whether a request may be sent: no other and no response is under way."""
        return self.unanswered is None and self.active_id is None

    @property
    def is_answer_owed(self) -> bool:
        """Whether a request has no answer yet whose response the caller will hear."""
        return any(each.is_wanted for each in self._sent)

    @property
    def _sent(self) -> list[ExpectedRequest]:
        """The requests that were sent and have no answer."""
        unanswered = [] if self.unanswered is None else [self.unanswered]
        return [*self.unanswered_out_of_band, *unanswered]

    @property
    def is_speech_requested(self) -> bool:
        """Whether speech out of band is requested that has not begun."""
        return any(not each.is_silent for each in self.unanswered_out_of_band)

    def due(self) -> list[ExpectedRequest]:
        """Return the requests that may be sent now, in their order."""
        return [each for each in self.queue.requests if self.may_send(each)]

    def may_send(self, request: ExpectedRequest) -> bool:
        """Whether nothing is in the way of a request."""
        waits = self.turn.is_callers and request.waits_for_caller and not request.is_silent
        return not waits and (request.is_out_of_band or self.is_free)

    # What is to be requested.

    def apply_input(self, step: StepRecord) -> None:
        """Apply a command that requests a response, or what the server says of one."""
        if isinstance(step.event, RESPONSE_EVENTS):
            self._progress_ns = step.now
            if not isinstance(step.event, ReceivedResponseStart) and step.event.response_id:
                self.known_ids.add(step.event.response_id)
        if isinstance(step.event, _PROGRESS):
            self._followups.progress(step.event.response_id, step.now)
        match step.event:
            case CreateResponse() as command:
                after, waits = self._uplink.next_number, command.waits_for_caller
                self.queue.add(event_of(command), after, waits_for_caller=waits)
            case CancelResponse(None) if self.unanswered is not None:
                self.cancels_request = not self.unanswered.is_cancelled
                self.unanswered = evolve(self.unanswered, is_cancelled=True)
            case Interrupt(cancel=cancel, response_id=None):
                self._interrupt_requests(cancel=cancel)
            case TimeoutHandled():
                self._evaluate_speech(step)
                self._expire(step.now)
            case ReceivedItemAdded(item):
                if (key := self.queue.take_echo(item)) is not None:
                    self._request_automatic(key)
            case ReceivedOutputItemAdded(id_, item) | ReceivedOutputItemDone(id_, item):
                self._followups.add_item(item.id, id_)
            case ReceivedAudio(response_id=id_) if id_ in self._followups.lost:
                # If it goes on after all, what follows its outcomes waits again.
                self.is_ambiguous |= id_ not in self._interrupted_ids
            case ReceivedResponseStart() as event:
                self._start_response(event)
            case ReceivedResponseEnd(id_, out_of_band):
                self._end_response(id_, is_out_of_band=out_of_band)
            case ReceivedError() as error:
                self._apply_error(error)
            case _:
                self._apply_item(step.event)
                self._apply_turn(step)
        if not self.turn.is_speaking:
            self._evaluated_ns = None

    def _apply_item(self, command: object) -> None:
        """Apply a command that adds an item, to which the model may have to respond."""
        match command:
            case SendMessage(respond=respond):
                key = self.queue.add_message()
                if respond:
                    self._request_automatic(key)
            case CreateItem(item={"role": "user"} as item):
                self.queue.add_message(item.get("id"))
            case AnswerApproval(id_, approve):
                self._followups.answer_approval(id_)
                self._approval_count += 1
                key = f"mcp-answer-{self._approval_count}"
                self.queue.add_item(key)
                if approve:  # the tool is called first
                    self._request_followup(self._followups.response_of(id_))
                else:
                    self._request_mcp_followup(id_, key)
            case SendFunctionOutput(call_id, respond=True, wait_for_others=waits):
                self._followups.request(call_id, waits_for_others=waits)
            case _:
                pass

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
            case ReceivedSession(session):
                del self._updates[:1]
                self.turn.configure(session)
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
                self._interrupt_requests(cancel=True)

    def _commit(self, now: int) -> None:
        # A response that was interrupted and cancelled does not keep the server from answering.
        is_cancelled = self.active_id in self._cancelled_ids or self._links.server_interrupts
        is_answering = self.active_id is not None and not (
            self._is_active_interrupted and is_cancelled
        )
        may_answer = self.turn.commit(now, is_free=self.is_free, is_answering=is_answering)
        if may_answer and self.unanswered is not None:  # what is created next may be the answer
            self.unanswered = evolve(self.unanswered, is_interrupted=False)

    def _interrupt_requests(self, *, cancel: bool) -> None:
        def interrupt(request: ExpectedRequest) -> ExpectedRequest:
            cancels = cancel or (request.is_interrupted and request.is_cancel_requested)
            if request.is_silent:
                return request
            self._has_interrupted = True
            return evolve(request, is_interrupted=True, is_cancel_requested=cancels)

        self.unanswered = None if self.unanswered is None else interrupt(self.unanswered)
        self.unanswered_out_of_band = list(map(interrupt, self.unanswered_out_of_band))

    def _request_automatic(self, *keys: str, count: int = 1) -> None:
        self.queue.add_automatic(self._uplink.next_number, *keys, count=count)

    def _request_followup(self, response_id: str, count: int = 1) -> bool:
        """Request a response to the outputs of a response, once that is done and all its calls
        have outputs; return whether it was requested. `count` is 0 if it is to the same outputs as
        the request before."""
        keys = self._followups.take_due(response_id)
        if keys is not None:
            self._request_automatic(*(keys or (BY_SERVER,)), count=count)
        return keys is not None

    def _request_mcp_followup(self, item_id: str, *keys: str) -> None:
        """Request a response to what an MCP server has done, or was not allowed to do."""
        if self._config.respond_to_mcp:
            self._followups.request_for_mcp(item_id, keys)
        self._request_followup(self._followups.response_of(item_id))

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
            case SentItem(item={"type": "function_call_output", "call_id": str(call_id)}):
                response_id = self._followups.send_output(call_id)
                self.queue.add_item(call_id)
                is_first = not self._has_output_followup
                self._has_output_followup |= self._request_followup(
                    response_id, count=int(is_first)
                )
            case FunctionCallRequested(call_id=call_id, response_id=response_id):
                self._followups.add_call(call_id, response_id)
            case McpApprovalRequested(approval_request_id=id_):
                self._followups.add_approval(id_)
            case McpCallFinished(item_id=id_):  # the model does not continue by itself
                self._request_mcp_followup(id_)
            case Interrupted(items=items):
                self._is_active_interrupted = self.active_id is not None
                self._interrupted_ids |= {each.response_id for each in items}
            case SentCancel(response_id=response_id):
                self._cancelled_ids.add(response_id or self.active_id)
            case ModelSilent() if not self._config.on_model_silent.only_notifies:
                self._give_up(value)
            case SentUpdate(event_id=str(event_id)):
                self._updates.append(event_id)
            case _:
                pass

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
        if made.is_out_of_band:
            self.unanswered_out_of_band.append(made)
            del self.unanswered_out_of_band[:-MAX_QUEUED_REQUESTS]
        else:
            if self.unanswered is not None:  # the ambiguous event must have been its answer
                self._answered.append(self.unanswered)
            self.unanswered, self._progress_ns = made, now

    # What is answered.

    def _start_response(self, event: ReceivedResponseStart) -> None:
        response_id, is_out_of_band = event.response_id, event.is_out_of_band
        # No server starts a response twice, or an out-of-band one by itself.
        is_repeated = bool(response_id) and response_id in self._seen
        self.is_ambiguous |= is_repeated or not response_id
        is_late = self._late_answers > 0
        self.is_ambiguous |= is_out_of_band and not (self.unanswered_out_of_band or is_late)
        self._seen.add(response_id)
        if is_out_of_band:
            self._out_of_band_ids.add(response_id)
            if self._late_answers and not self.unanswered_out_of_band and not is_repeated:
                self._late_answers -= 1
                if not self.is_ambiguous:
                    self.suppressed[response_id] = response_id not in self.known_ids
            elif self.unanswered_out_of_band and not is_repeated:
                asked = self._find_asked(event)
                self.unanswered_out_of_band.remove(asked)
                self._request_of[response_id] = asked
                self._suppress(asked, response_id)
            return
        if not is_repeated:
            self.turn.answer(is_requested=self.unanswered is not None)
        self._lose(*self._others_in_conversation(response_id))
        self.active_id = response_id
        self._is_active_interrupted = response_id in self._interrupted_ids
        request, self.unanswered = self.unanswered, None
        if not is_repeated:
            self.queue.cover(request)
        if request is None:
            self.answers_turn.add(response_id)
            return
        is_covered = bool(request.keys) and self.queue.is_echoed(request)
        self._answered.append(evolve(request, is_covered=is_covered))
        if not request.is_automatic:
            self._request_of[response_id] = request
        self._suppress(request, response_id)

    def _find_asked(self, event: ReceivedResponseStart) -> ExpectedRequest:
        """Return the request that an out-of-band response answers: the first that is like it."""
        asked = self.unanswered_out_of_band
        for each in asked:
            if each.metadata == (event.metadata or {}) and each.is_silent is event.is_text:
                return each
        return asked[0]

    def _others_in_conversation(self, response_id: str) -> list[str]:
        others = {response_id, *self._out_of_band_ids}
        return [each for each in self._followups.generating() if each not in others]

    def _lose(self, *response_ids: str) -> None:
        """Expect nothing more of responses: what waits for their end is requested."""
        self._followups.lose(*response_ids)
        for each in response_ids:
            self._request_followup(each)

    def _request_for_turn(self) -> None:
        """Request the answer to a turn that the server does not answer."""
        if self.turn.is_unanswered:
            self.turn.is_unanswered = False
            self._request_automatic(BY_SERVER)

    @property
    def may_suppress(self) -> bool:
        """Whether it is open which response answers a request that was interrupted."""
        return self.is_ambiguous and self._has_interrupted

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
                self.unanswered = None
        is_repeated = response_id in self._followups.done
        self._seen.add(response_id)
        self._followups.end(response_id)
        if self.active_id == response_id:
            self.active_id = None
        if is_repeated:  # it says nothing of what has happened since
            return
        self._request_for_turn()
        self._request_followup(response_id)

    # What is not answered.

    def _expire(self, now: int) -> None:
        """Give up what the server has not answered in time."""
        if self.turn.expire(now):
            self._request_automatic(BY_SERVER)
        open_count, active_id = self.open_count, self.active_id
        self.unanswered_out_of_band = [
            each for each in self.unanswered_out_of_band if now < each.sent_at_ns + ANSWER_NS
        ]
        if self.unanswered is not None:
            if now >= self.unanswered.sent_at_ns + ANSWER_NS:
                self.unanswered = None
        elif now >= self._progress_ns + ANSWER_NS:
            self.active_id = None
        self.expired_count = open_count - self.open_count
        lost = self._followups.take_expired(now)
        if self.is_free and (lost or self.expired_count or self.active_id != active_id):
            self._request_for_turn()
        self._lose(*lost)

    def due_at_ns(self) -> int | None:
        """Return when the next request is to be given up (ns)."""
        return min((each.sent_at_ns + ANSWER_NS for each in self._sent), default=None)

    def _give_up(self, silence: ModelSilent) -> None:
        """Give up what the model owes, since it is silent; request it again if the bridge does."""
        owed = self._sent
        is_active_given_up = self.unanswered is not None or self.active_id in silence.response_ids
        self.unanswered, self.unanswered_out_of_band = None, []
        if is_active_given_up:
            self.active_id = None
        if silence.is_asked_again:
            self._ask_again(owed, silence)
        else:
            self.is_over = self._config.on_model_silent.hang_up
        if self.is_free:
            self._request_for_turn()
        self._lose(*silence.response_ids)
        self._interrupted_ids.update(silence.response_ids)

    def _ask_again(self, owed: list[ExpectedRequest], silence: ModelSilent) -> None:
        for each in owed:
            if each.is_wanted:
                self._late_answers += each.is_out_of_band
                self.queue.put_back(evolve(each, is_repeated=True))
        for response_id in silence.response_ids:
            made = self._request_of.get(response_id)
            if made is not None:
                self.queue.add_copy(made)
            elif response_id not in self._out_of_band_ids:
                self._request_automatic(BY_SERVER)

    def _apply_error(self, error: ReceivedError) -> None:
        is_active = error.code == ACTIVE_RESPONSE_CODE
        unanswered = [] if self.unanswered is None else [self.unanswered]
        if error.event_id is None:
            self._apply_unnamed_error(error, [*unanswered, *self.unanswered_out_of_band])
            return
        if error.event_id in self._updates:
            self._updates.remove(error.event_id)
            return
        for each in list(self.unanswered_out_of_band):
            if each.event.get("event_id") == error.event_id:
                self.unanswered_out_of_band.remove(each)
                self.refused = each
        sent = [*unanswered, *reversed(self._answered)]
        named = (each for each in sent if each.event.get("event_id") == error.event_id)
        if (refused := next(named, None)) is not None:
            self._refuse(refused, is_active=is_active)

    def _apply_unnamed_error(self, error: ReceivedError, sent: list[ExpectedRequest]) -> None:
        """Apply an error that names no event: it may refuse an update, or a request."""
        is_active = error.code == ACTIVE_RESPONSE_CODE
        is_of_request = error.names("response.create", "response_create", "response")
        is_of_another = _is_of_another_event(error)
        if self._updates and not is_active:
            is_of_update = error.names("session.update", "cannot_update_", "session")
            is_of_any = error.type == "invalid_request_error"
            if is_of_update or (is_of_any and not is_of_request and not is_of_another):
                del self._updates[0]
                return
        if is_active or (is_of_request and len(sent) != 1):
            self.is_ambiguous |= self.open_count > 0 or is_active
        elif len(sent) == 1 and (is_of_request or not is_of_another):
            if sent[0].is_out_of_band:
                self.unanswered_out_of_band.clear()
                self.refused = sent[0]
            else:
                self._refuse(sent[0], is_active=False)

    def _refuse(self, request: ExpectedRequest, *, is_active: bool) -> None:
        self.refused = request
        is_answered = request.is_repeated and request is not self.unanswered
        if is_active and not (request.is_covered or is_answered):
            self.queue.put_back(request)
        elif not is_active and request.count > 1:  # the later ones are still to be answered
            self.queue.put_back(evolve(request, count=request.count - 1))
        self.is_ambiguous |= is_active and self.active_id is None
        if request is self.unanswered:
            self.unanswered = None
        else:
            self._answered.remove(request)

    def finish_step(self, step: StepRecord) -> None:
        """Reset what holds for one step only."""
        self.suppressed.clear()
        self._has_output_followup = False
        self.cancels_request, self.refused = False, None
        if self._links.is_live:
            self.expired_count = 0


def _is_of_another_event(error: ReceivedError) -> bool:
    """Whether an error names another event than `response.create`."""
    return (
        (error.code or "").startswith(OTHER_ERROR_CODES)
        or (error.param or "").startswith(OTHER_ERROR_FIELDS)
        or any(each in error.message for each in OTHER_ERROR_WORDS)
    )

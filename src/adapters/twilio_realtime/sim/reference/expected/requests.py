"""The expected requests for responses: which are to be sent, and which of them are answered."""

from collections import deque
from functools import partial
from operator import attrgetter
from typing import Any

from attrs import define, evolve, field, frozen

from twilio_realtime_core.commands import AnswerApproval, Interrupt, SendFunctionOutput, SendMessage
from twilio_realtime_core.notifications import (
    FunctionCallRequested,
    Interrupted,
    McpApprovalRequested,
    McpCallFinished,
)
from twilio_realtime_core.protocols.realtime import CreateResponse

from ..limits import ACTIVE_RESPONSE_CODE, MAX_QUEUED_REQUESTS
from ..received import (
    ReceivedCommit,
    ReceivedError,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
    ReceivedResponseEnd,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
)
from ..sent import SentClear, SentItem, SentRequest
from ..step_record import ExpectedState, StepRecord
from .events import event_of, is_out_of_band, matches
from .uplink import ExpectedUplink

__all__ = ["ExpectedRequest", "ExpectedRequests"]


@frozen
class ExpectedRequest:
    """A request. It follows the entries of the uplink with numbers below `after`; `place` is its
    place in the order of requests. An automatic one can stand for any other such one."""

    event: dict[str, Any]
    after: int
    place: int
    is_automatic: bool = False

    @property
    def is_out_of_band(self) -> bool:
        """Whether it is for a response outside the conversation."""
        return is_out_of_band(self.event)


@define(eq=False)
class ExpectedRequests(ExpectedState):
    """Explicit requests of the application, and the one automatic request that messages, outputs of
    functions and answers of MCP servers cause."""

    inputs = (
        CreateResponse,
        AnswerApproval,
        SendMessage,
        SendFunctionOutput,
        Interrupt,
        ReceivedSession,
        ReceivedCommit,
        ReceivedSpeechStart,
        ReceivedResponseStart,
        ReceivedResponseEnd,
        ReceivedOutputItemAdded,
        ReceivedOutputItemDone,
        ReceivedError,
    )
    outputs = (
        SentRequest,
        SentItem,
        FunctionCallRequested,
        McpApprovalRequested,
        McpCallFinished,
    )

    _uplink: ExpectedUplink
    explicit: deque[ExpectedRequest] = field(init=False, factory=deque[ExpectedRequest])
    out_of_band: deque[ExpectedRequest] = field(init=False, factory=deque[ExpectedRequest])
    automatic: ExpectedRequest | None = field(init=False, default=None)
    to_repeat: list[ExpectedRequest] = field(init=False, factory=list[ExpectedRequest])
    """Requests to be sent again, since another response was active."""
    unanswered: ExpectedRequest | None = field(init=False, default=None)
    """The request that was sent and has no answer; its event id is that with which it was sent."""
    unanswered_out_of_band: list[ExpectedRequest] = field(init=False, factory=list[ExpectedRequest])
    active_id: str | None = field(init=False, default=None)
    """The response of the conversation that is not known to be done. (The server has one at a time,
    so a new one ends the one before, even if `response.done` of that comes later.)"""
    suppressed_id: str | None = field(init=False, default=None)
    """The response that starts in this step and was interrupted before."""
    is_cancel_requested: bool = field(init=False, default=False)
    """That interruption requested a cancel."""
    is_ambiguous: bool = field(init=False, default=False)
    """The server has left open which request it meant."""
    _is_interrupted: bool = field(init=False, default=False)
    """The request without an answer was interrupted."""
    _answered: deque[ExpectedRequest] = field(
        init=False, factory=partial(deque[ExpectedRequest], maxlen=MAX_QUEUED_REQUESTS)
    )
    """Requests that a response has followed; it may have answered another request."""
    _response_of_call: dict[str, str] = field(init=False, factory=dict[str, str])
    _answered_calls: set[str] = field(init=False, factory=set[str])
    """Function calls whose output was sent."""
    _calls_with_followup: set[str] = field(init=False, factory=set[str])
    """Function calls after whose output the model is to respond."""
    _done: set[str] = field(init=False, factory=set[str])
    """Responses that are done."""
    _mcp_followups: set[str] = field(init=False, factory=set[str])
    """Responses after which the model is to respond, because of a tool of an MCP server."""
    _response_of_item: dict[str, str] = field(init=False, factory=dict[str, str])
    _open_approvals: set[str] = field(init=False, factory=set[str])
    """Requests for approval without an answer."""
    _server_responds: bool = field(init=False, default=True)
    """Turn detection requests a response to each turn of the caller."""
    _is_turn_unanswered: bool = field(init=False, default=False)
    """The server does not respond to the latest turn, since a response was under way."""
    _places: int = field(init=False, default=0)
    _seen: set[str] = field(init=False, factory=set[str])

    @property
    def queued_count(self) -> int:
        """How many requests wait to be sent."""
        by_application = len(self.explicit) + len(self.out_of_band) + len(self.to_repeat)
        return by_application + (self.automatic is not None)

    @property
    def open_count(self) -> int:
        """How many requests wait to be sent or answered."""
        sent = (self.unanswered is not None) + len(self.unanswered_out_of_band)
        return self.queued_count + sent

    @property
    def is_free(self) -> bool:
        """Whether a request may be sent: no other and no response is under way."""
        return self.unanswered is None and self.active_id is None

    # What is to be requested.

    def apply_input(self, step: StepRecord) -> None:
        """Apply a command that requests a response, or what the server says of one."""
        match step.event:
            case CreateResponse() as command:
                place = self._next_place()
                request = ExpectedRequest(event_of(command), self._uplink.next_number, place)
                (self.out_of_band if request.is_out_of_band else self.explicit).append(request)
            case SendMessage(respond=True):
                self._request_automatic()
            case AnswerApproval(id_, approve):
                self._open_approvals.discard(id_)
                if approve:  # the tool is called first
                    self._request_followup(self._response_of_item.get(id_, ""))
                else:
                    self._request_mcp_followup(id_)
            case SendFunctionOutput(call_id, respond=True):
                self._calls_with_followup.add(call_id)
            case Interrupt() | ReceivedSpeechStart() if self._interrupts_request(step):
                cancels = isinstance(step.event, Interrupt) and step.event.cancel
                self.is_cancel_requested = cancels or (
                    self._is_interrupted and self.is_cancel_requested
                )
                self._is_interrupted = True
            case ReceivedSession(session):
                self._server_responds = _has_server_responses(session)
            case ReceivedCommit() if self._server_responds:
                self._is_turn_unanswered = self.queued_count > 0 or not self.is_free
            case ReceivedOutputItemAdded(id_, item) | ReceivedOutputItemDone(id_, item):
                self._response_of_item.setdefault(item.id, id_)
            case ReceivedResponseStart(id_, out_of_band):
                self._is_turn_unanswered = self._is_turn_unanswered and out_of_band
                self._start_response(id_, is_out_of_band=out_of_band)
            case ReceivedResponseEnd(id_):
                self._end_response(id_)
            case ReceivedError() as error:
                self._apply_error(error)
            case _:
                pass

    def _interrupts_request(self, step: StepRecord) -> bool:
        """Whether the request without an answer is interrupted; speech need not do that."""
        interrupts = isinstance(step.event, Interrupt) or step.has_output(SentClear, Interrupted)
        return self.unanswered is not None and interrupts

    def _request_automatic(self) -> None:
        number = self._uplink.next_number
        for index, each in enumerate(self.to_repeat):
            if each.is_automatic:  # one stands for all
                self.to_repeat[index] = evolve(each, after=number)
                return
        place = self._next_place() if self.automatic is None else self.automatic.place
        self.automatic = ExpectedRequest(
            {"type": "response.create"}, number, place, is_automatic=True
        )

    def _request_followup(self, response_id: str) -> None:
        """Request a response to the outputs of a response, once that is done and all its calls
        have outputs."""
        calls = {call for call, each in self._response_of_call.items() if each == response_id}
        approvals = {
            each for each in self._open_approvals if self._response_of_item.get(each) == response_id
        }
        is_over = not response_id or (response_id in self._done and not approvals)
        is_due = calls & self._calls_with_followup or response_id in self._mcp_followups
        if is_over and is_due and calls <= self._answered_calls:
            self._calls_with_followup -= calls
            self._mcp_followups.discard(response_id)
            self._request_automatic()

    def _request_mcp_followup(self, item_id: str) -> None:
        """Request a response to what an MCP server has done, or was not allowed to do."""
        response_id = self._response_of_item.get(item_id, "")
        self._mcp_followups.add(response_id)
        self._request_followup(response_id)

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    # What is sent.

    def find(self, sent: SentRequest) -> ExpectedRequest | None:
        """Return the expected request that an event makes; `None` if none is expected now."""
        if is_out_of_band(sent.body):
            candidates = list(self.out_of_band)[:1]
        else:
            automatic = [] if self.automatic is None else [self.automatic]
            candidates = [*self.to_repeat, *list(self.explicit)[:1], *automatic]
            candidates.sort(key=attrgetter("place"))
            if not self.is_ambiguous:  # else the bridge may rightly not know of the oldest
                del candidates[1:]
        return next((each for each in candidates if matches(sent.body, each.event)), None)

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Apply a request or an output that is sent, or a call that is notified."""
        match value:
            case SentRequest():
                self._send(value)
            case SentItem(item={"type": "function_call_output", "call_id": str(call_id)}):
                self._answered_calls.add(call_id)
                self._request_followup(self._response_of_call.get(call_id, ""))
            case FunctionCallRequested(call_id=call_id, response_id=response_id):
                self._response_of_call[call_id] = response_id
            case McpApprovalRequested(approval_request_id=id_):
                self._open_approvals.add(id_)
            case McpCallFinished(item_id=id_):  # the model does not continue by itself
                self._request_mcp_followup(id_)
            case _:
                pass

    def _send(self, sent: SentRequest) -> None:
        request = self.find(sent)
        if request is None:
            return
        if request in self.to_repeat:
            self.to_repeat.remove(request)
        elif request is self.automatic:
            self.automatic = None
        else:
            (self.out_of_band if request.is_out_of_band else self.explicit).popleft()
        made = evolve(request, event=sent.body)
        if made.is_out_of_band:
            self.unanswered_out_of_band.append(made)
        else:
            if self.unanswered is not None:  # the ambiguous event must have been its answer
                self._answered.append(self.unanswered)
            self.unanswered = made
            self._is_interrupted = self.is_cancel_requested = False

    # What is answered.

    def _start_response(self, response_id: str, *, is_out_of_band: bool) -> None:
        # No server starts a response twice, or an out-of-band one by itself.
        self.is_ambiguous |= response_id in self._seen
        self.is_ambiguous |= is_out_of_band and not self.unanswered_out_of_band
        self._seen.add(response_id)
        if is_out_of_band:
            del self.unanswered_out_of_band[:1]
            return
        self.active_id = response_id
        if self.unanswered is not None:
            self._answered.append(self.unanswered)
            self.unanswered = None
            is_suppressed = self._is_interrupted and not self.is_ambiguous
            self.suppressed_id = response_id if is_suppressed else None
            self._is_interrupted = False

    def _end_response(self, response_id: str) -> None:
        self.is_ambiguous |= response_id not in self._seen  # no server ends what has not started
        is_repeated = response_id in self._done
        self._seen.add(response_id)
        self._done.add(response_id)
        if self.active_id == response_id:
            self.active_id = None
        if is_repeated:  # it says nothing of what has happened since
            return
        self._request_followup(response_id)
        if self._is_turn_unanswered:
            self._is_turn_unanswered = False
            self._request_automatic()

    def _apply_error(self, error: ReceivedError) -> None:
        is_active = error.code == ACTIVE_RESPONSE_CODE
        if error.event_id is None:
            is_of_request = is_active or "response.create" in error.message
            self.is_ambiguous |= self.open_count > 0 and is_of_request
            return
        for each in list(self.unanswered_out_of_band):
            if each.event.get("event_id") == error.event_id:
                self.unanswered_out_of_band.remove(each)
        unanswered = [] if self.unanswered is None else [self.unanswered]
        sent = [*unanswered, *reversed(self._answered)]
        named = (each for each in sent if each.event.get("event_id") == error.event_id)
        if (request := next(named, None)) is not None:
            self._refuse(request, is_to_repeat=is_active)

    def _refuse(self, request: ExpectedRequest, *, is_to_repeat: bool) -> None:
        if is_to_repeat:
            self._repeat(request)
            self.is_ambiguous |= self.active_id is None
        if request is self.unanswered:
            self.unanswered, self._is_interrupted = None, False
        else:
            self._answered.remove(request)

    def _repeat(self, request: ExpectedRequest) -> None:
        """Queue a request again; an automatic one stands for all that wait."""
        if request.is_automatic:
            waiting = [
                each for each in (*self.to_repeat, self.automatic) if each and each.is_automatic
            ]
            request = evolve(request, after=max(each.after for each in (request, *waiting)))
            self.to_repeat = [each for each in self.to_repeat if not each.is_automatic]
            self.automatic = None
        self.to_repeat.append(request)

    def finish_step(self, step: StepRecord) -> None:
        """Reset what holds for one step only."""
        self.suppressed_id = None


def _has_server_responses(session: dict[str, Any]) -> bool:
    """Whether turn detection requests responses to the caller: by default, unless it is off.
    (OpenAI API reference, "Realtime", `turn_detection.create_response`)"""
    match session:
        case {"audio": {"input": {"turn_detection": {"create_response": False}}}}:
            return False
        case {"audio": {"input": {"turn_detection": {}}}}:
            return True
        case _:
            return False

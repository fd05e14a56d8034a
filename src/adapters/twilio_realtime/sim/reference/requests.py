"""The requests for responses: which were asked for, which were sent, and which were answered."""

from collections import deque
from functools import partial
from operator import attrgetter
from typing import Any

from attrs import define, evolve, field, frozen

from twilio_realtime_core.commands import AnswerApproval, Interrupt, SendFunctionOutput, SendMessage
from twilio_realtime_core.machine.actions import Encodable
from twilio_realtime_core.notifications import (
    FunctionCallRequested,
    Interrupted,
    McpApprovalRequested,
    McpCallFinished,
)
from twilio_realtime_core.protocols.realtime import (
    AudioCommittedEvent,
    CreateItem,
    CreateResponse,
    ErrorEvent,
    OutputItemAddedEvent,
    OutputItemDoneEvent,
    Response,
    ResponseCreatedEvent,
    ResponseDoneEvent,
    ServerError,
    SessionUpdatedEvent,
    SpeechStartedEvent,
)
from twilio_realtime_core.protocols.twilio import Clear
from twilio_realtime_core.responses.requests import MAX_REQUESTS

from .client_events import plain, same
from .step_record import Fact, Told, value_of
from .to_model import ToModel

__all__ = ["Ask", "Asks"]

_ACTIVE = "conversation_already_has_active_response"


@frozen
class Ask:
    """A request. `after` is the number of the first entry for the model that may come after it,
    `place` tells which was asked for first."""

    given: dict[str, Any]
    after: int
    place: int
    automatic: bool = False

    @property
    def aside(self) -> bool:
        """Whether it is for a response outside the conversation."""
        return _is_aside(self.given)


def _is_aside(event: dict[str, Any]) -> bool:
    match event:
        case {"response": {"conversation": "none"}}:
            return True
        case _:
            return False


@define(eq=False)
class Asks(Fact):
    """Requests of the application (`by_hand`), and the one `automatic` one that messages, outputs
    of functions and answers of MCP servers cause."""

    inputs = (
        CreateResponse,
        AnswerApproval,
        SendMessage,
        SendFunctionOutput,
        Interrupt,
        SessionUpdatedEvent,
        AudioCommittedEvent,
        SpeechStartedEvent,
        ResponseCreatedEvent,
        ResponseDoneEvent,
        OutputItemAddedEvent,
        OutputItemDoneEvent,
        ErrorEvent,
    )
    outputs = (
        CreateResponse,
        CreateItem,
        FunctionCallRequested,
        McpApprovalRequested,
        McpCallFinished,
    )

    _to_model: ToModel
    by_hand: deque[Ask] = field(init=False, factory=deque[Ask])
    aside: deque[Ask] = field(init=False, factory=deque[Ask])
    automatic: Ask | None = field(init=False, default=None)
    again: list[Ask] = field(init=False, factory=list[Ask])
    """To be sent again as they were, since another response was active."""
    unanswered: Ask | None = field(init=False, default=None)
    """The one that was sent and has no answer; its event id is the one it was sent with."""
    unanswered_aside: list[Ask] = field(init=False, factory=list[Ask])
    active: str | None = field(init=False, default=None)
    """The response of the conversation that is not known to be done. (The server has one at a time,
    so that a new one ends the one before, even if `response.done` of that comes later.)"""
    stillborn: str | None = field(init=False, default=None)
    """The response, told of in this step, that was interrupted before it began."""
    cancelled: bool = field(init=False, default=False)
    """That interruption asked for a cancel."""
    vague: bool = field(init=False, default=False)
    """The server has left open which request it meant."""
    _bound: bool = field(init=False, default=False)
    _answered: deque[Ask] = field(init=False, factory=partial(deque[Ask], maxlen=MAX_REQUESTS))
    """Those to which a response has come; the answer of each may have been another's."""
    _calls: dict[str, str] = field(init=False, factory=dict[str, str])
    """The responses of function calls."""
    _given: set[str] = field(init=False, factory=set[str])
    """Calls whose output was sent."""
    _wanted: set[str] = field(init=False, factory=set[str])
    """Calls after whose output the model is to go on."""
    _over: set[str] = field(init=False, factory=set[str])
    """Responses that are done."""
    _gone_on: set[str] = field(init=False, factory=set[str])
    """Responses after which the model is to go on, because of a tool of an MCP server."""
    _mcp: dict[str, str] = field(init=False, factory=dict[str, str])
    """The responses of items of MCP servers."""
    _approvals: set[str] = field(init=False, factory=set[str])
    """Requests for approval without an answer."""
    _server_answers: bool = field(init=False, default=True)
    """Turn detection has the caller answered."""
    _owed: bool = field(init=False, default=False)
    """What was said meanwhile gets no answer of the server's, since a response is under way."""
    _places: int = field(init=False, default=0)
    _seen: set[str] = field(init=False, factory=set[str])

    @property
    def waiting(self) -> int:
        """How many wait to be sent."""
        return len(self.by_hand) + len(self.aside) + len(self.again) + (self.automatic is not None)

    @property
    def open(self) -> int:
        """How many wait to be sent or answered."""
        return self.waiting + (self.unanswered is not None) + len(self.unanswered_aside)

    @property
    def free(self) -> bool:
        """Whether a request may be sent: no other is under way, and no response is."""
        return self.unanswered is None and self.active is None

    # What is asked for.

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""
        match told.event:
            case CreateResponse() as event:
                ask = Ask(plain(event), self._to_model.number, self._next_place())
                (self.aside if ask.aside else self.by_hand).append(ask)
            case SendMessage(respond=True):
                self._ask()
            case AnswerApproval(id_, approve):
                self._approvals.discard(id_)
                if approve:  # then the tool is called first
                    self._go_on(self._mcp.get(id_, ""))
                else:
                    self._go_on_after(id_)
            case SendFunctionOutput(call_id, respond=True):
                self._wanted.add(call_id)
            case Interrupt() | SpeechStartedEvent() if self._interrupts(told):
                asks_cancel = isinstance(told.event, Interrupt) and told.event.cancel
                self.cancelled = asks_cancel or (self._bound and self.cancelled)
                self._bound = True
            case SessionUpdatedEvent(session):
                self._server_answers = _answers_by_itself(session)
            case AudioCommittedEvent() if self._server_answers:
                self._owed = self.waiting > 0 or not self.free
            case OutputItemAddedEvent(response_id, item) | OutputItemDoneEvent(response_id, item):
                self._mcp.setdefault(item.id, response_id)
            case ResponseCreatedEvent(response):
                self._owed = self._owed and response.conversation_id is None
                self._created(response)
            case ResponseDoneEvent(response):
                self._is_done(response)
            case ErrorEvent(error):
                self._refused(error)
            case _:
                pass

    def _interrupts(self, told: Told) -> bool:
        """Whether a request is interrupted: the caller's speech need not do that."""
        shown = isinstance(told.event, Interrupt) or any(
            isinstance(value_of(each), Clear | Interrupted) for each in told.outputs
        )
        return self.unanswered is not None and shown

    def _ask(self) -> None:
        number = self._to_model.number
        for place, each in enumerate(self.again):
            if each.automatic:  # it stands for any that waits
                self.again[place] = evolve(each, after=number)
                return
        place = self._next_place() if self.automatic is None else self.automatic.place
        self.automatic = Ask({"type": "response.create"}, number, place, automatic=True)

    def _go_on(self, response_id: str) -> None:
        """The model goes on after a response once that is done and all its calls have outputs."""
        together = {each for each, of in self._calls.items() if of == response_id}
        asked = {each for each in self._approvals if self._mcp.get(each) == response_id}
        over = not response_id or (response_id in self._over and not asked)
        wanted = together & self._wanted or response_id in self._gone_on
        if over and wanted and together <= self._given:
            self._wanted -= together
            self._gone_on.discard(response_id)
            self._ask()

    def _go_on_after(self, item_id: str) -> None:
        """The model goes on because of what an MCP server has done, or was not let do."""
        response_id = self._mcp.get(item_id, "")
        self._gone_on.add(response_id)
        self._go_on(response_id)

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    # What is sent.

    def source(self, sent: Encodable) -> Ask | None:
        """The request that an event makes; `None`: nobody asked for it."""
        told = plain(sent)
        if _is_aside(told):
            first = list(self.aside)[:1]
        else:
            automatic = [] if self.automatic is None else [self.automatic]
            first = [*self.again, *list(self.by_hand)[:1], *automatic]
            first.sort(key=attrgetter("place"))
            if not self.vague:  # else the bridge may rightly not know of the oldest
                del first[1:]
        return next((each for each in first if same(told, each.given)), None)

    def asked(self, value: object, told: Told) -> None:
        """Take in one thing that the bridge asked for."""
        match value:
            case CreateResponse():
                self._sent(value)
            case CreateItem(item={"type": "function_call_output", "call_id": str(call_id)}):
                self._given.add(call_id)
                self._go_on(self._calls.get(call_id, ""))
            case CreateItem():
                pass
            case FunctionCallRequested(call_id=call_id, response_id=response_id):
                self._calls[call_id] = response_id
            case McpApprovalRequested(approval_request_id=id_):
                self._approvals.add(id_)
            case McpCallFinished(item_id=id_):  # the model does not go on by itself
                self._go_on_after(id_)
            case _:
                pass

    def _sent(self, sent: CreateResponse) -> None:
        ask = self.source(sent)
        if ask is None:
            return
        if ask in self.again:
            self.again.remove(ask)
        elif ask is self.automatic:
            self.automatic = None
        else:
            (self.aside if ask.aside else self.by_hand).popleft()
        made = evolve(ask, given=plain(sent))
        if made.aside:
            self.unanswered_aside.append(made)
        else:
            if self.unanswered is not None:  # what was vague must have been its answer
                self._answered.append(self.unanswered)
            self.unanswered, self._bound, self.cancelled = made, False, False

    # What is answered.

    def _created(self, response: Response) -> None:
        aside = response.conversation_id is None
        # No server begins a response twice, or by itself one outside the conversation.
        self.vague |= response.id in self._seen or (aside and not self.unanswered_aside)
        self._seen.add(response.id)
        if aside:
            del self.unanswered_aside[:1]
            return
        self.active = response.id
        if self.unanswered is not None:
            self._answered.append(self.unanswered)
            self.unanswered = None
            self.stillborn = response.id if self._bound and not self.vague else None
            self._bound = False

    def _is_done(self, response: Response) -> None:
        self.vague |= response.id not in self._seen  # no server ends what it has not begun
        again = response.id in self._over
        self._seen.add(response.id)
        self._over.add(response.id)
        if self.active == response.id:
            self.active = None
        if again:  # told twice, it says nothing of what has come since
            return
        self._go_on(response.id)
        if self._owed:
            self._owed = False
            self._ask()

    def _refused(self, error: ServerError) -> None:
        again = error.code == _ACTIVE
        if error.event_id is None:
            self.vague |= self.open > 0 and (again or "response.create" in error.message)
            return
        for each in list(self.unanswered_aside):
            if each.given.get("event_id") == error.event_id:
                self.unanswered_aside.remove(each)
        sent = [*([] if self.unanswered is None else [self.unanswered]), *reversed(self._answered)]
        meant = (ask for ask in sent if ask.given.get("event_id") == error.event_id)
        if (ask := next(meant, None)) is not None:
            self._told_no(ask, again=again)

    def _told_no(self, ask: Ask, *, again: bool) -> None:
        if again:
            self._wait_again(ask)
            self.vague |= self.active is None
        if ask is self.unanswered:
            self.unanswered, self._bound = None, False
        else:
            self._answered.remove(ask)

    def _wait_again(self, ask: Ask) -> None:
        """A request is to be sent again; an automatic one stands for all such that wait."""
        if ask.automatic:
            others = [each for each in (*self.again, self.automatic) if each and each.automatic]
            ask = evolve(ask, after=max(each.after for each in (ask, *others)))
            self.again = [each for each in self.again if not each.automatic]
            self.automatic = None
        self.again.append(ask)

    def finish(self, told: Told) -> None:
        """The step is over."""
        self.stillborn = None


def _answers_by_itself(session: dict[str, Any]) -> bool:
    """Whether turn detection has a session respond to the caller."""
    match session:
        case {"audio": {"input": {"turn_detection": {"create_response": False}}}}:
            return False
        case {"audio": {"input": {"turn_detection": {}}}}:
            return True
        case _:
            return False

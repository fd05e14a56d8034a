"""What is always true of the conversation: requests for responses, and answers to functions."""

from twilio_realtime_core.commands import AnswerApproval, SendFunctionOutput
from twilio_realtime_core.notifications import CallEnded, FunctionCallRequested
from twilio_realtime_core.protocols.realtime import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    Item,
    OutputItemDoneEvent,
    ResponseCreatedEvent,
    TruncateItem,
)
from twilio_realtime_core.protocols.twilio import MarkEvent
from twilio_realtime_core.responses.function_calls import MAX_CALLS

from .facts import Facts
from .links import Line
from .requests import Asks
from .step_record import Invariant, Told, news_of

__all__ = ["Answers", "Requests"]


class Requests(Invariant):
    """At most one request of ours for a response in the conversation is unanswered; it goes out
    when no response is active, and not before what it was asked for after. Each that was asked for
    is sent once, in order, automatic ones together; it is answered, or counted when the call ends.
    A response that was interrupted before it began is cancelled. A cancel goes out only for a
    response not known to be done, and once; a truncate at most once for each item, content part
    and interruption."""

    number = 6
    inputs = (ResponseCreatedEvent,)
    outputs = (CreateResponse, CancelResponse, TruncateItem, CallEnded)
    ends = news_of(Line, Asks)

    def __init__(self, facts: Facts) -> None:
        self._line, self._asks, self._speech = facts.line, facts.asks, facts.speech
        self._to_model = facts.to_model
        self._cancelled: set[str] = set()
        self._truncated: set[tuple[str, int]] = set()

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        if self._asks.stillborn is None or not self._asks.cancelled or not self._line.live:
            return None
        if self._asks.stillborn in self._cancelled:  # it was known, though its begin was not told
            return None
        for each in told.outputs:
            match getattr(each, "message", None):
                case CancelResponse(id_) if id_ == self._asks.stillborn:
                    return None
                case _:
                    pass
        return "a response that was interrupted before it began goes on"

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        match value:
            case CreateResponse():
                return self._judge_request(value)
            case CancelResponse(id_) if self._to_model.is_own(value):
                if id_ is None or not self._speech.is_generating(id_) or id_ in self._cancelled:
                    return "a cancel of no response that is being generated"
                self._cancelled.add(id_)
            case TruncateItem(item_id, index) if self._to_model.is_own(value):
                if (item_id, index) in self._truncated:
                    return "a part was truncated twice in one interruption"
                self._truncated.add((item_id, index))
            case CallEnded(unanswered_requests=told_of):
                if told_of != self._asks.open and not self._asks.vague:
                    return f"{told_of} unanswered requests, where there are {self._asks.open}"
            case _:
                pass
        return None

    def _judge_request(self, sent: CreateResponse) -> str | None:
        ask = self._asks.source(sent)
        if ask is None:
            return "a request for a response that nobody asked for now"
        if self._to_model.waits_before(ask.after):
            return "a request for a response before what it was asked for after"
        if not (ask.aside or self._asks.free or self._asks.vague):
            return "a request for a response while another is under way"
        return None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        self._truncated.clear()
        asks = self._asks
        held_up = not (asks.free or asks.aside) or not self._line.ready
        if not asks.waiting or held_up or asks.vague or not self._line.live:
            return None
        return "a request for a response waits, and nothing is in its way"


class Answers(Invariant):
    """A function call of the conversation is requested when it is complete, once; it gets at most
    one output, and the one that the application gives: if that waits until all was heard, no sooner
    and no later. No other call gets any. An approval is answered at most once."""

    number = 7
    inputs = (OutputItemDoneEvent, SendFunctionOutput, AnswerApproval, MarkEvent)
    outputs = (FunctionCallRequested, CreateItem)

    def __init__(self, facts: Facts) -> None:
        self._line, self._asks, self._speech = facts.line, facts.asks, facts.speech
        self._to_model = facts.to_model
        self._complete: set[str] = set()
        """Calls that are complete."""
        self._requested: set[str] = set()
        """Calls that the application was told of."""
        self._answered: set[str] = set()
        """Calls and requests for approval to which the application has given its answer."""
        self._outputs: set[str] = set()
        """Calls whose output was sent."""

    def on_input(self, told: Told) -> str | None:
        """Judge how an input was taken."""
        match told.event:
            case OutputItemDoneEvent(_, item):
                return self._complete_call(item, told)
            case SendFunctionOutput(call_id) if self._line.live:
                if call_id not in self._requested:
                    return "an output was taken for a call that was not requested"
                return self._answer(call_id)
            case AnswerApproval(id_) if self._line.live:
                return self._answer(id_)
            case _:
                return None

    def _complete_call(self, item: Item, told: Told) -> str | None:
        call_id = item.call_id
        whole = item.type == "function_call" and item.status == "completed"
        if not whole or not call_id or not item.name or self._speech.is_outside(item.id):
            return None
        new = call_id not in self._complete
        self._complete.add(call_id)
        if not new or len(self._complete) > MAX_CALLS or not self._line.live:
            return None
        requested = (getattr(each, "event", None) for each in told.outputs)
        if any(isinstance(each, FunctionCallRequested) for each in requested):
            return None
        return "a function call is complete, and nobody is told"

    def _answer(self, id_: str) -> str | None:
        again = id_ in self._answered
        self._answered.add(id_)
        return "an answer was taken for what has its answer" if again else None

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        match value:
            case FunctionCallRequested(call_id):
                if call_id not in self._complete or call_id in self._requested:
                    return "a function call was requested that is not complete, or was before"
                self._requested.add(call_id)
            case CreateItem(item={"type": "function_call_output", "call_id": str(call_id)}):
                return self._judge_output(value, call_id, told)
            case _:
                pass
        return None

    def _judge_output(self, sent: CreateItem, call_id: str, told: Told) -> str | None:
        if self._to_model.resets(sent):
            return None
        again = call_id in self._outputs
        self._outputs.add(call_id)
        if again:
            return "a second output for a function call"
        says = self._speech.sound.waiting(told.now) and not self._speech.holds
        early = self._to_model.held_as(sent) and says
        return "an output that was to wait until all was heard" if early else None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        if not self._to_model.held or not isinstance(told.event, MarkEvent | SendFunctionOutput):
            return None
        sound, speech, asks = self._speech.sound, self._speech, self._asks
        silent = sound.sent == sound.confirmed and speech.idle and speech.hold is None
        free = asks.free and not asks.waiting and self._line.ready and self._line.live
        return "all was heard, and an output still waits for it" if silent and free else None

"""The invariants of requests for responses, and of the answers to function calls."""

from twilio_realtime_core.commands import AnswerApproval, SendFunctionOutput
from twilio_realtime_core.notifications import CallEnded, FunctionCallRequested, ModelSilent
from twilio_realtime_core.protocols.realtime import CancelResponse

from ..expected.call import ExpectedCall
from ..expected.links import ExpectedLinks
from ..expected.requests import ExpectedRequests
from ..limits import MAX_FUNCTION_CALLS
from ..received import (
    ReceivedItem,
    ReceivedMark,
    ReceivedOutputItemDone,
    ReceivedResponseEnd,
    ReceivedResponseStart,
)
from ..sent import SentCancel, SentItem, SentRequest, SentTruncate
from ..step_record import Invariant, StepRecord, kinds_of

__all__ = ["FunctionAnswers", "ResponseRequests"]


class ResponseRequests(Invariant):
    """Each request for a response is sent once and in order, while no other request or response of
    the conversation is under way and the caller does not have the turn, and not before the events
    that it has to follow.

    Automatic requests are sent as one, and a response that starts when the server has their items
    covers them. Requests without an answer are counted at the end of the
    call. A response that was interrupted before it started is cancelled, and no response that
    nobody has interrupted. A cancel is sent once, for a response that is not known to be done; a
    truncate once for each part and interruption.
    """

    number = 6
    name = "Response requests"
    inputs = (ReceivedResponseStart, CancelResponse)
    outputs = (SentRequest, SentCancel, SentTruncate, CallEnded)
    triggers = kinds_of(ExpectedLinks, ExpectedRequests)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._requests, self._speech = call.links, call.requests, call.speech
        self._responses = call.responses
        self._uplink = call.uplink
        self._cancelled: set[str] = set()
        self._truncated: set[tuple[str, int]] = set()
        """Parts that were truncated in this step."""

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        if isinstance(step.event, CancelResponse):
            return self._check_cancel(step)
        cancelled = {each.response_id for each in step.values if isinstance(each, SentCancel)}
        cancelled |= self._cancelled  # it may be known, though its start was lost
        for id_, is_cancel_requested in self._requests.suppressed.items():
            if is_cancel_requested and self._links.is_live and id_ not in cancelled:
                return "a response that was interrupted before it started is not cancelled"
        return None

    def _check_cancel(self, step: StepRecord) -> str | None:
        """Judge whether a command cancels something, and so is sent."""
        is_due = self._requests.cancels_request or self._speech.cancels_response
        is_certain = not self._requests.is_ambiguous and self._links.is_session_ready
        if is_certain and self._links.is_live and is_due is not step.has_output(SentCancel):
            return "a cancel is sent that cancels nothing, or is not sent"
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case SentRequest():
                return self._check_request(value)
            case SentCancel(response_id=id_) if self._uplink.is_initiated_by_bridge(value):
                return self._check_bridge_cancel(id_, step)
            case SentTruncate() if self._uplink.is_initiated_by_bridge(value):
                part = value.item_id, value.content_index
                if part in self._truncated:
                    return "a part is truncated twice in one interruption"
                self._truncated.add(part)
            case CallEnded(unanswered_requests=count):
                open_count = self._requests.open_count
                least = open_count - self._requests.late_count
                most = open_count + self._requests.expired_count
                if not least <= count <= most and not self._requests.is_ambiguous:
                    return f"{count} requests are reported as unanswered, of {open_count}"
            case _:
                pass
        return None

    def _check_bridge_cancel(self, response_id: str | None, step: StepRecord) -> str | None:
        if self._requests.is_ambiguous:
            return None
        is_generating = response_id is not None and self._responses.is_generating(response_id)
        if response_id is None or not is_generating or response_id in self._cancelled:
            return "a cancel names no response that is being generated"
        self._cancelled.add(response_id)
        is_interrupted = self._speech.is_interrupting or response_id in self._requests.suppressed
        if is_interrupted or step.has_output(ModelSilent):
            return None
        return "a response is cancelled that nobody has interrupted"

    def _check_request(self, sent: SentRequest) -> str | None:
        request = self._requests.find(sent)
        if request is None and self._requests.is_ambiguous:
            return None
        if request is None:
            return "a request for a response is sent that is not due"
        if self._uplink.has_unsent_before(request.after):
            return "a request for a response is sent before the events that it follows"
        return None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        self._truncated.clear()
        links, requests = self._links, self._requests
        if requests.is_ambiguous or requests.is_over:
            return None
        if not links.is_session_ready or not links.is_live or not requests.due():
            return None
        return "a request for a response is not sent although nothing is in its way"


class FunctionAnswers(Invariant):
    """A function call of the conversation is requested once, when it is complete, and gets at most
    one output, that of the application; so does a request for approval.

    A call that is done, by an event of its own or as its response ends, is complete unless its
    status says otherwise. An output that is deferred
    until after playback is sent when all was heard, neither before nor later.
    """

    number = 7
    name = "Answers to function calls"
    inputs = (
        ReceivedOutputItemDone,
        ReceivedResponseEnd,
        SendFunctionOutput,
        AnswerApproval,
        ReceivedMark,
    )
    outputs = (FunctionCallRequested, SentItem)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._requests, self._speech = call.links, call.requests, call.speech
        self._responses = call.responses
        self._uplink = call.uplink
        self._complete: set[str] = set()
        self._requested: set[str] = set()
        """Calls that were notified."""
        self._answered: set[str] = set()
        """Calls and requests for approval that the application has answered."""
        self._output_sent: set[str] = set()

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        match step.event:
            case ReceivedOutputItemDone(_, item):
                return self._check_complete(item, step)
            case ReceivedResponseEnd(is_out_of_band=False, output=output):
                failures = [self._check_complete(each, step) for each in output]
                return next(filter(None, failures), None)
            case SendFunctionOutput(call_id) if self._links.is_live:
                if call_id not in self._requested:
                    return "an output is taken for a function call that was not requested"
                return self._check_answer(call_id)
            case AnswerApproval(id_) if self._links.is_live:
                return self._check_answer(id_)
            case _:
                return None

    def _check_complete(self, item: ReceivedItem, step: StepRecord) -> str | None:
        call_id = item.call_id
        is_complete = item.type == "function_call" and item.status in (None, "completed")
        if (
            not is_complete
            or not call_id
            or not item.name
            or self._responses.is_out_of_band(item.id)
        ):
            return None
        is_new = call_id not in self._complete
        self._complete.add(call_id)
        is_remembered = len(self._complete) <= MAX_FUNCTION_CALLS
        if not is_new or not is_remembered or not self._links.is_live:
            return None
        # Where events do not name their responses, it may count as one out of band.
        if step.has_output(FunctionCallRequested) or self._requests.is_ambiguous:
            return None
        return "a function call is complete, which is not notified"

    def _check_answer(self, id_: str) -> str | None:
        is_repeated = id_ in self._answered
        self._answered.add(id_)
        return "a second answer is taken for the same call" if is_repeated else None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case FunctionCallRequested(call_id):
                if call_id not in self._complete or call_id in self._requested:
                    return "a function call is requested that is not complete, or was before"
                self._requested.add(call_id)
            case SentItem(item={"type": "function_call_output", "call_id": str(call_id)}):
                return self._check_output(value, call_id, step)
            case _:
                pass
        return None

    def _check_output(self, sent: SentItem, call_id: str, step: StepRecord) -> str | None:
        if self._uplink.is_of_reset(sent):
            return None
        is_repeated = call_id in self._output_sent
        self._output_sent.add(call_id)
        if is_repeated:
            return "a second output of a function call is sent"
        speech = self._speech
        is_speaking = bool(speech.playback.unplayed_samples(step.now)) and not (
            speech.queue.is_hold_playing
        )
        is_early = self._uplink.deferred_output(sent) is not None and is_speaking
        return (
            "an output that is deferred until after playback is sent before" if is_early else None
        )

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        uplink, speech, requests = self._uplink, self._speech, self._requests
        may_release = isinstance(step.event, ReceivedMark | SendFunctionOutput)
        if not uplink.deferred_outputs or not may_release:
            return None
        is_silent = speech.is_all_heard and speech.queue.hold is None
        is_free = requests.is_free and not requests.queued_count
        is_free &= not requests.sent.is_speech_requested
        is_ready = self._links.is_session_ready and self._links.is_live
        if is_silent and is_free and is_ready:
            return "all was heard, and a deferred output is not sent"
        return None

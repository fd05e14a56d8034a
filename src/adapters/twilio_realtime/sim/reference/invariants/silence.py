"""The invariants of a model that owes something, and does not send it."""

from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import ModelSilent

from ..expected.call import ExpectedCall
from ..expected.requests import ExpectedRequests
from ..expected.speech import ExpectedSpeech
from ..limits import MODEL_SILENCE_NS
from ..received import ReceivedMessage
from ..step_record import Invariant, StepRecord, is_later, kinds_of
from ..units import MS

__all__ = ["ModelSilence"]


class ModelSilence(Invariant):
    """A model that sends no event for five seconds while a response is requested, or to be created
    to a turn, or generated and not complete, or while a request waits for the end of one, is
    notified as silent, and no other.

    Every request is answered or given up within ten seconds, and what is held behind a response
    that stalls is sent within five, so that no caller waits longer.
    """

    number = 15
    name = "Silence of the model"
    inputs = (ReceivedMessage,)
    outputs = (ModelSilent,)
    triggers = kinds_of(ExpectedRequests, ExpectedSpeech)
    is_frame_judge = True

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._requests, self._speech = call.links, call.requests, call.speech
        self._responses = call.responses
        self._last_event_ns = 0
        self._owed_since_ns: int | None = None
        """Since when the model has owed something without a pause; `None` if it does not."""

    def check_input(self, step: StepRecord) -> str | None:
        """Note an event of the model."""
        if step.arguments[0] is Peer.REALTIME:
            self._last_event_ns = step.now
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge a silence that is notified."""
        silent_ns = step.now - self._last_event_ns
        if not isinstance(value, ModelSilent) or self._requests.is_ambiguous:
            return None
        if silent_ns < MODEL_SILENCE_NS or value.silent_ms != silent_ns // MS:
            return "the model is notified as silent, and was not for so long"
        if self._owed_since_ns is None:
            return "the model is notified as silent, and owes nothing"
        self._owed_since_ns = step.now
        return None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step: the deadline has to end what the model owes."""
        requests, speech = self._requests, self._speech
        if not self._links.is_live or requests.is_ambiguous:
            self._owed_since_ns = None
            return None
        due_ns, stalls_ns = requests.sent.due_at_ns(), speech.queue.stalls_at_ns()
        if due_ns is not None and is_later(step.deadline, due_ns):
            return "a request may go without an answer for longer than stated"
        if stalls_ns is not None and is_later(step.deadline, max(stalls_ns, step.now)):
            return "what is held may wait for longer than stated"
        is_owed = self._responses.is_any_owed(step.now) or requests.is_answer_owed
        if not is_owed and not requests.awaited():
            self._owed_since_ns = None
            return None
        if self._owed_since_ns is None:
            self._owed_since_ns = step.now
        limit_ns = max(self._owed_since_ns, self._last_event_ns) + MODEL_SILENCE_NS
        if is_later(step.deadline, limit_ns):
            return "a model that owes a response may be silent for longer than stated"
        return None

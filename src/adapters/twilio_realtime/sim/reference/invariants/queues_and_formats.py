"""The invariants of audio formats, and of the limits of queues."""

from collections.abc import Mapping
from typing import Any

from twilio_realtime_core.notifications import SessionReady

from ..expected.call import ExpectedCall
from ..expected.links import is_pcmu_session
from ..expected.requests import ExpectedRequests
from ..expected.speech import ExpectedSpeech
from ..expected.uplink import ExpectedUplink
from ..limits import (
    MAX_EARLY_EVENTS,
    MAX_EARLY_SAMPLES,
    MAX_QUEUED_REQUESTS,
    MAX_QUEUED_SAMPLES,
    PCMU,
)
from ..received import ReceivedSession
from ..sent import SentOther, SentRequest, SentUpdate
from ..step_record import Invariant, StepRecord, kinds_of

__all__ = ["PinnedFormats", "QueueLimits"]


class PinnedFormats(Invariant):
    """Each `session.update`, and each `response.create` that names a format, pins G.711 µ-law
    without a rate, and a `session.updated` with another format ends the call."""

    number = 8
    name = "Pinned audio formats"
    inputs = (ReceivedSession,)
    outputs = (SentUpdate, SentRequest, SentOther, SessionReady)

    def __init__(self, call: ExpectedCall) -> None:
        self._links = call.links

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case SessionReady(session):
                is_right = is_pcmu_session(session)
                return None if is_right else "a session of another format counts as ready"
            case SentUpdate() | SentRequest() | SentOther():
                return None if _is_pinned(value.body) else "an event does not pin the audio format"
            case _:
                return None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        match step.event:
            case ReceivedSession(session) if self._links.is_live and not is_pcmu_session(session):
                return "the call continues with another format"
            case _:
                return None


def _is_pinned(event: Mapping[str, Any]) -> bool:
    match event:
        case {
            "type": "session.update",
            "session": {"audio": {"input": {"format": heard}, "output": {"format": spoken}}},
        }:
            return bool(heard == spoken == PCMU)
        case {"type": "session.update"}:
            return False
        case {"type": "response.create", "response": {"audio": {"output": {"format": named}}}}:
            return bool(named == PCMU)
        case _:
            return True


class QueueLimits(Invariant):
    """Every queue has a limit: of events and audio for the session, of requests for responses, and
    of audio at Twilio."""

    number = 9
    name = "Limits of queues"
    triggers = kinds_of(ExpectedUplink, ExpectedRequests, ExpectedSpeech)
    is_frame_judge = True

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._uplink = call.links, call.uplink
        self._requests, self._speech = call.requests, call.speech
        self._sent_samples = 0

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        uplink, playback = self._uplink, self._speech.playback
        if uplink.queued_samples > MAX_EARLY_SAMPLES and self._links.is_live:
            return f"{uplink.queued_samples} samples of caller audio are queued"
        if uplink.queued_events > MAX_EARLY_EVENTS:
            return f"{uplink.queued_events} events are queued"
        # The automatic request needs no place in the queue.
        if (queued := self._requests.queued_count) > MAX_QUEUED_REQUESTS + 1:
            return f"{queued} requests for responses are queued"
        if playback.sent_samples != self._sent_samples:
            self._sent_samples = playback.sent_samples
            if (unplayed := playback.unplayed_samples(step.now)) > MAX_QUEUED_SAMPLES:
                return f"{unplayed} samples are queued at Twilio"
        return None

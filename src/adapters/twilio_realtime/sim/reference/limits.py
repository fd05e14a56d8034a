"""What is always true of formats and of queues."""

from twilio_realtime_core.audio.pcmu import PCMU_FORMAT
from twilio_realtime_core.downlink.playout import MAX_QUEUED_SAMPLES
from twilio_realtime_core.machine.actions import Encodable
from twilio_realtime_core.notifications import SessionReady
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.responses.requests import MAX_REQUESTS
from twilio_realtime_core.session.pending_events import MAX_PENDING_EVENTS

from .client_events import plain
from .facts import Facts
from .links import speaks_pcmu
from .requests import Asks
from .speech import Speech
from .step_record import Invariant, Told, news_of
from .to_model import MOST_EARLY, ToModel

__all__ = ["Formats", "Limits"]


class Formats(Invariant):
    """Every `session.update`, and every `response.create` that names a format, pins G.711 µ-law
    without a rate; a `session.updated` that says otherwise ends the call."""

    number = 8
    inputs = (realtime.SessionUpdatedEvent,)
    outputs = (
        realtime.UpdateSession,
        realtime.CreateResponse,
        realtime.RawClientEvent,
        SessionReady,
    )

    def __init__(self, facts: Facts) -> None:
        self._line = facts.line

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge an output."""
        if isinstance(value, SessionReady):
            right = speaks_pcmu(value.session)
            return None if right else "a session of another format counts as ready"
        return None if _is_pinned(value) else "an event that does not pin the audio format"  # type: ignore[arg-type]

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        event = told.event
        wrong = isinstance(event, realtime.SessionUpdatedEvent) and not speaks_pcmu(event.session)
        return "the call goes on with another format" if wrong and self._line.live else None


def _is_pinned(message: Encodable) -> bool:
    match plain(message):
        case {"type": "session.update", "session": {"audio": {"input": heard, "output": said}}}:
            return bool(heard.get("format") == said.get("format") == PCMU_FORMAT)
        case {"type": "session.update"}:
            return False
        case {"type": "response.create", "response": {"audio": {"output": {"format": named}}}}:
            return bool(named == PCMU_FORMAT)
        case _:
            return True


class Limits(Invariant):
    """Every queue has a limit: what waits for the session, what waits for its turn, and what waits
    at Twilio."""

    number = 9
    ends = news_of(ToModel, Asks, Speech)

    def __init__(self, facts: Facts) -> None:
        self._to_model, self._asks, self._speech = facts.to_model, facts.asks, facts.speech
        self._sent = 0

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        if self._to_model.samples > MOST_EARLY:
            return f"{self._to_model.samples} samples of caller audio wait"
        if self._to_model.events > MAX_PENDING_EVENTS:
            return f"{self._to_model.events} events wait"
        if (waiting := self._asks.waiting) > MAX_REQUESTS + 1:  # the automatic one needs no room
            return f"{waiting} requests for responses wait"
        sound = self._speech.sound
        if sound.sent != self._sent:
            self._sent = sound.sent
            if sound.waiting(told.now) > MAX_QUEUED_SAMPLES:
                return f"{sound.waiting(told.now)} samples wait to be played"
        return None

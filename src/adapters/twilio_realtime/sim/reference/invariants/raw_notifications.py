"""The invariant of the notifications that repeat messages of the peers."""

from typing import Final

from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import (
    AgentAudio,
    RealtimeEvent,
    TwilioMessage,
    TypedRealtimeEvent,
)

from ..expected.call import ExpectedCall
from ..received import ReceivedAudio, ReceivedMessage, ReceivedStop, UnreadableMessage
from ..step_record import Invariant, StepRecord

__all__ = ["RawNotifications"]

_RAW: Final = (TwilioMessage, RealtimeEvent)


class RawNotifications(Invariant):
    """Each message of a peer of `raw_messages` is notified as it was received, once and first; with
    `notify_agent_audio` so is all audio of the agent that may be heard, and no other; and with
    `notify_typed_events` each event of the model's server that can be read, as a value."""

    number = 14
    name = "Notifications of raw messages"
    inputs: tuple[type, ...] = (ReceivedMessage,)
    outputs = (TwilioMessage, RealtimeEvent, TypedRealtimeEvent, AgentAudio)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._speech, self._requests = call.links, call.speech, call.requests
        self._raw_peers = call.config.raw_messages
        self._is_audio_due = call.config.notify_agent_audio
        self._are_typed_events_due = call.config.notify_typed_events
        # Without any of them, most messages concern it not at all.
        if not self._raw_peers and not self._are_typed_events_due:
            self.inputs = (ReceivedAudio,) if self._is_audio_due else ()

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input."""
        if self._raw_peers and (due := self._raw_copy(step)) is not None:
            is_first = list(step.values[:1]) == [due]
            if not is_first or any(isinstance(each, _RAW) for each in step.values[1:]):
                return f"{type(due).__name__} is not notified once and first"
        if self._are_typed_events_due:
            typed = sum(isinstance(each, TypedRealtimeEvent) for each in step.values)
            if typed != self._is_typed_event_due(step):
                return "TypedRealtimeEvent is not notified once for each event of the model"
        if self._is_audio_due and isinstance(step.event, ReceivedAudio):
            return self._check_audio(step.event, step)
        return None

    def _is_typed_event_due(self, step: StepRecord) -> bool:
        is_readable = not isinstance(step.event, UnreadableMessage)
        return is_readable and step.arguments[0] is Peer.REALTIME and self._links.is_live

    def _raw_copy(self, step: StepRecord) -> TwilioMessage | RealtimeEvent | None:
        peer, text = step.arguments
        is_end = isinstance(step.event, ReceivedStop) and bool(step.actions)
        if peer not in self._raw_peers or not (self._links.is_live or is_end):
            return None
        return TwilioMessage(str(text)) if peer is Peer.TWILIO else RealtimeEvent(str(text))

    def _check_audio(self, event: ReceivedAudio, step: StepRecord) -> str | None:
        copies = [each for each in step.values if isinstance(each, AgentAudio)]
        part = event.item_id, event.content_index
        copy = AgentAudio(event.response_id, *part, event.payload)
        if any(each != copy for each in copies) or len(copies) > 1:
            return "audio of the agent is not notified as it was received"
        is_audible = self._speech.accepts_audio
        is_uncertain = self._requests.is_ambiguous or not self._links.is_live
        if is_audible is bool(copies) or is_uncertain:
            return None
        return "audio of the agent is notified that may not be heard, or is not that may be"

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value:
            case TypedRealtimeEvent():
                is_asked_for = self._are_typed_events_due and self._is_typed_event_due(step)
            case AgentAudio():
                is_asked_for = self._is_audio_due and isinstance(step.event, ReceivedAudio)
            case _:
                is_message = isinstance(step.event, ReceivedMessage)
                is_asked_for = is_message and value == self._raw_copy(step)
        return None if is_asked_for else f"{type(value).__name__} is notified without need"

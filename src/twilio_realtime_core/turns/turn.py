"""Whose turn it is: the caller's speech, whether it interrupts the agent, and the interruption.

What a caller says while the agent may not be interrupted is a turn like any other, and needs its
response. The server creates it, unless a response is still being generated: then it creates none,
and the bridge requests one when that is done.
"""

from typing import Final

from attrs import define, field

from ..conversation.conversation import Conversation, ItemNotification
from ..downlink.agent_speech import AgentSpeech
from ..downlink.clips import ClipPlayer
from ..downlink.downlink import Downlink
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import Lifecycle, ResponseInput, TurnInput, TurnState
from ..machine.outbox import Outbox
from ..machine.timers import Timer, Timers
from ..machine.units import MS, samples_to_ms
from ..notifications import (
    CallerSpeechStarted,
    CallerSpeechStopped,
    Interrupted,
    InterruptedItem,
    InterruptionBlocked,
    InterruptionCause,
)
from ..protocols.realtime import CreateItem, SpeechStartedEvent, SpeechStoppedEvent
from ..responses.cancels import cancel_event
from ..responses.requests import Requests
from ..responses.responses import Responses
from ..session.session import Session
from ..values.block_cause import BlockCause
from ..values.playback_position import PartKey, PlaybackPosition
from .interruption import InterruptionPlan, plan_interruption
from .interruption_gate import InterruptionGate

__all__ = ["TurnController"]

_SPEAKING: Final = (TurnState.SPEAKING, TurnState.SPEAKING_COMMITTED)


@define(eq=False)
class TurnController:
    """The turns of one call."""

    gate: InterruptionGate
    _outbox: Outbox
    _timers: Timers[Timer]
    _session: Session
    _responses: Responses
    _requests: Requests
    _conversation: Conversation
    _downlink: Downlink
    _clips: ClipPlayer
    _speech: AgentSpeech
    _lifecycle: Lifecycle[TurnState, TurnInput]
    _speech_started_at_ns: int = field(init=False, default=0)
    _is_turn_unanswered: bool = field(init=False, default=False)

    # Questions.

    @property
    def is_speaking(self) -> bool:
        """Whether the caller speaks, by turn detection."""
        return self._lifecycle.state in _SPEAKING

    def is_agent_active(self, now: int) -> bool:
        """Whether the agent is heard, is being generated, or is requested."""
        return (
            self._downlink.is_playing(now)
            or self._responses.is_any_stoppable
            or self._requests.is_busy
        )

    # The caller's turn.

    def stream_started(self) -> None:
        """Start anew: whether the caller speaks on this stream is not known yet."""
        self._lifecycle.step(TurnInput.STREAM_STARTED)

    def speech_started(self, event: SpeechStartedEvent, now: int) -> bool:
        """Take the start of speech. Returns whether it interrupts the agent now; it may also be
        evaluated later, by `Timer.SPEECH_CONFIRMATION`."""
        self._step(TurnInput.SPEECH_STARTED)
        self._speech_started_at_ns = now
        self._outbox.notify(CallerSpeechStarted(event.item_id, event.audio_start_ms))
        delay_ns = self.gate.policy.after_speech_ms * MS
        if delay_ns:
            self._timers.set(Timer.SPEECH_CONFIRMATION, now + delay_ns)
            return False
        return self.evaluate_speech(now)

    def evaluate_speech(self, now: int) -> bool:
        """Evaluate speech that has lasted for as long as the policy says. Returns whether it
        interrupts the agent; notifies why not."""
        if not self.is_agent_active(now):
            return False
        speech_ms = (now - self._speech_started_at_ns) // MS
        cause = self.gate.evaluate(self._downlink.heard_ms(now), speech_ms, now)
        if cause is not None:
            self._block(cause)
        return cause is None

    def speech_stopped(self, event: SpeechStoppedEvent, now: int) -> None:
        """Take the end of speech."""
        self._step(TurnInput.SPEECH_STOPPED)
        self._outbox.notify(CallerSpeechStopped(event.item_id, event.audio_end_ms))
        if self._timers.is_set(Timer.SPEECH_CONFIRMATION):
            self._timers.stop(Timer.SPEECH_CONFIRMATION)
            if self.is_agent_active(now):
                self._block(BlockCause.SHORT_SPEECH)

    def committed(self) -> None:
        """Take the commit of the caller's audio, which ends their turn."""
        self._step(TurnInput.COMMITTED)
        if self._session.server_responds:
            # The server creates no response while another is active.
            self._is_turn_unanswered = self._requests.is_busy

    def answered(self) -> None:
        """Note that a response was created, which answers all that was said before."""
        self._is_turn_unanswered = False

    def take_unanswered_turn(self) -> bool:
        """Return once whether there is a turn that the server will not answer."""
        is_unanswered, self._is_turn_unanswered = self._is_turn_unanswered, False
        return is_unanswered

    def _step(self, event: TurnInput) -> None:
        if not self._lifecycle.step(event):
            state = self._lifecycle.state.value
            what = f"{event.value} while the caller's turn is {state}"
            self._outbox.notify_fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)

    def _block(self, cause: BlockCause) -> None:
        self._outbox.notify(InterruptionBlocked(cause))
        instruction = self.gate.take_instruction() if cause is BlockCause.LIMIT else None
        if instruction is not None:
            content = [{"type": "input_text", "text": instruction}]
            item = {"type": "message", "role": "system", "content": content}
            self._session.send(CreateItem(item))

    # Interruption.

    def interrupt(
        self, cause: InterruptionCause, now: int, *, cancel: bool, server_interrupts: bool
    ) -> bool:
        """Interrupt all that plays or is being generated, and tell the model what was heard.
        Returns whether there was anything of the kind.

        `cancel`: cancel what is being generated. `server_interrupts`: the server cancels the
        response of the conversation by itself.
        """
        plan = plan_interruption(
            self._downlink.positions(now),
            self._responses,
            is_playing=self._downlink.is_playing(now),
            cancel=cancel,
            server_interrupts=server_interrupts,
        )
        if plan is not None:
            self._apply(plan, cause)
        self._requests.interrupted(cancel=cancel)
        if plan is None:
            return False
        self._clips.drop_queued_hold()
        if cause is InterruptionCause.CALLER:
            self.gate.caller_interrupted(now)
        return True

    def _apply(self, plan: InterruptionPlan, cause: InterruptionCause) -> None:
        stops_generation = plan.stops_generation  # of what is about to be stopped
        self._speech.drop_rest()
        if plan.clears:
            self._downlink.clear()
        else:
            self._downlink.forget()
        for record in plan.cancelled:
            record.is_cancelled = True
            self._outbox.send_to_realtime(cancel_event(record.id))
        for record, item_id in plan.heard_items:
            record.mark_item_heard(item_id)
        for event in plan.corrections:
            self._outbox.send_to_realtime(event)
        for record in plan.stopped:
            record.lifecycle.step(ResponseInput.INTERRUPT)
        self._downlink.finish_playback(plan.completed)
        self._downlink.finish_clips(plan.clips)
        if plan.cut or stops_generation:
            self._notify_interrupted(plan, cause)

    def _notify_interrupted(self, plan: InterruptionPlan, cause: InterruptionCause) -> None:
        updates: list[ItemNotification] = []
        for part, position in plan.cut:
            heard_ms = samples_to_ms(position.estimated_samples)
            sent_ms = samples_to_ms(position.sent_samples)
            updates += self._conversation.cut(part.item_id, part.content_index, heard_ms, sent_ms)
        items = tuple(self._interrupted_item(part, position) for part, position in plan.cut)
        self._outbox.notify(Interrupted(cause, items))
        for update in updates:
            self._outbox.notify(update)

    def _interrupted_item(self, part: PartKey, position: PlaybackPosition) -> InterruptedItem:
        heard, unheard = self._conversation.split_transcript(part.item_id, part.content_index)
        return InterruptedItem(
            part.response_id,
            part.item_id,
            part.content_index,
            heard_ms=samples_to_ms(position.estimated_samples),
            sent_ms=samples_to_ms(position.sent_samples),
            heard=heard,
            unheard=unheard,
        )

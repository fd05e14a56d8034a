"""Whose turn it is: the caller's speech, whether it interrupts the agent, and the interruption.

The caller has the turn from the start of their speech until the response to it is created or, where
the server does not respond to turns, until it is committed. Requests for responses wait for that:
the agent must not start to speak over the caller, and the response to the turn covers them. A turn
of which no end will be reported is over.

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
from ..machine.reasons import Reason
from ..machine.timers import Timer, Timers
from ..machine.units import MS, SECOND, samples_to_ms
from ..notifications import (
    CallerSpeechStarted,
    CallerSpeechStopped,
    Interrupted,
    InterruptedItem,
    InterruptionBlocked,
    InterruptionCause,
)
from ..protocols.realtime import CreateItem, DeleteItem, SpeechStartedEvent, SpeechStoppedEvent
from ..responses.cancels import cancel_event
from ..responses.requests import Requests
from ..responses.responses import ResponseRecord, Responses
from ..session.session import Session
from ..values.block_cause import BlockCause
from ..values.playback_position import Clip, PartKey, PlaybackPosition
from .interruption import InterruptionPlan, plan_interruption
from .interruption_gate import InterruptionGate

__all__ = ["MAX_UNANSWERED_ITEMS", "TURN_END_NS", "TurnController"]

TURN_END_NS: Final = 3 * SECOND
"""How long after a caller has stopped the turn may take to be committed, and after that to be
answered: the server does both within 30 ms."""

MAX_UNANSWERED_ITEMS: Final = 16
"""Items of turns without a response that are remembered: a server answers each within a second."""

_SPEAKING: Final = (TurnState.SPEAKING, TurnState.SPEAKING_COMMITTED)

_SETTLED: Final = (TurnState.QUIET, TurnState.COMMITTED)
"""When nothing is said that is not committed."""

_EXPIRED: Final = {
    TurnState.SPEAKING_COMMITTED: Reason.TURN_NOT_ANSWERED,
    TurnState.PAUSED: Reason.TURN_NOT_COMMITTED,
    TurnState.COMMITTED: Reason.TURN_NOT_ANSWERED,
    TurnState.REPLAYED: Reason.TURN_NOT_REPORTED,
}

_MISSING: Final = {
    TurnState.PAUSED: "the turn is not committed",
    TurnState.COMMITTED: "no response to the caller's turn",
}
"""What the server owes when a turn expires. Where a client has committed the audio, or audio is
replayed, it owes nothing."""

_REFUSED: Final = {
    BlockCause.NEVER: Reason.REFUSED_BY_POLICY,
    BlockCause.SHORT_SPEECH: Reason.REFUSED_SHORT_SPEECH,
    BlockCause.LITTLE_HEARD: Reason.REFUSED_LITTLE_HEARD,
    BlockCause.FIRST_WORDS: Reason.REFUSED_FIRST_WORDS,
    BlockCause.LIMIT: Reason.REFUSED_BY_LIMIT,
    BlockCause.APPLICATION: Reason.REFUSED_BY_APPLICATION,
}

_MADE: Final = {
    InterruptionCause.CALLER: Reason.INTERRUPTED_BY_CALLER,
    InterruptionCause.APPLICATION: Reason.INTERRUPTED_BY_APPLICATION,
}


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
    _is_detecting: bool = field(init=False, default=True)
    _is_turn_unanswered: bool = field(init=False, default=False)
    _committed_item: str | None = field(init=False, default=None)
    """The item of the turn that was committed last."""
    _unanswered_items: list[str] = field(init=False, factory=list[str])
    """The items of the turns that are committed and not answered."""
    _answer: ResponseRecord | None = field(init=False, default=None)
    """The response that was created last, if the answer has not begun."""
    _answered_items: list[str] = field(init=False, factory=list[str])
    """The items of the turns that it is to answer."""

    # Questions.

    @property
    def is_speaking(self) -> bool:
        """Whether the caller speaks, by turn detection."""
        return self._lifecycle.state in _SPEAKING

    @property
    def is_caller_turn(self) -> bool:
        """Whether the caller has the turn, so that requests for responses wait. A turn that was
        committed while the caller still speaks, by us, is theirs only where the server responds."""
        state = self._lifecycle.state
        if state is TurnState.QUIET or not self._session.detects_turns:
            return False
        return state is not TurnState.SPEAKING_COMMITTED or self._session.server_responds

    @property
    def is_answer_owed(self) -> bool:
        """Whether the server is to create the response to a turn that is committed."""
        return self._lifecycle.state is TurnState.COMMITTED

    def is_agent_active(self, now: int) -> bool:
        """Whether the agent is heard, is being generated, or is requested. A request that waits for
        the caller is not."""
        return (
            self._downlink.is_playing(now)
            or self._responses.is_any_stoppable
            or self._requests.is_speech_pending
            or (self._requests.has_queued and not self.is_caller_turn)
        )

    # The caller's turn.

    def stream_started(self) -> None:
        """Start anew: whether the caller speaks on this stream is not known yet."""
        self._end(TurnInput.STREAM_STARTED)

    def speech_started(self, event: SpeechStartedEvent, now: int) -> bool:
        """Take the start of speech. Returns whether it interrupts the agent now; it may also be
        evaluated later, by `Timer.SPEECH_CONFIRMATION`."""
        is_agent_active = self.is_agent_active(now)  # the turn that starts holds what is queued
        self._step(TurnInput.SPEECH_STARTED)
        self._session.kept_audio.turn_started()
        self._timers.stop(Timer.TURN_END)
        self._speech_started_at_ns = now
        self._outbox.notify(CallerSpeechStarted(event.item_id, event.audio_start_ms))
        delay_ns = self.gate.policy.after_speech_ms * MS
        if delay_ns:
            self._timers.set(Timer.SPEECH_CONFIRMATION, now + delay_ns)
            self._outbox.explain(Reason.POSTPONED_UNTIL_CONFIRMED)
            return False
        return self._evaluate(now, is_agent_active=is_agent_active)

    def evaluate_speech(self, now: int) -> bool:
        """Evaluate speech that has lasted for as long as the policy says. Returns whether it
        interrupts the agent; notifies why not."""
        return self._evaluate(now, is_agent_active=self.is_agent_active(now))

    def _evaluate(self, now: int, *, is_agent_active: bool) -> bool:
        if not is_agent_active:
            self._outbox.explain(Reason.AGENT_SILENT)
            return False
        if self.gate.is_first_speech_protected and self._is_first_speech_over(now):
            self.gate.first_speech_ended()
        speech_ms = (now - self._speech_started_at_ns) // MS
        cause = self.gate.evaluate(self._downlink.heard_ms(now), speech_ms, now)
        if cause is not None:
            self._block(cause)
        return cause is None

    def _is_first_speech_over(self, now: int) -> bool:
        """Whether what the agent said first was heard to its end, or cut."""
        match self.gate.first_speech:
            case None:
                return False
            case _ if self._is_first_speech_to_come:
                return False
            case Clip() as clip:
                return not self._downlink.is_clip_unfinished(clip) or self._downlink.is_heard(
                    clip, now
                )
            case response_id:
                record = self._responses.get(response_id)
                if record is None or not record.is_audible:
                    return True
                return not record.is_generating and self._downlink.is_heard(response_id, now)

    @property
    def _is_first_speech_to_come(self) -> bool:
        """Whether the agent's first speech is still to come, since the response that was to be it
        has made no sound: it was a function call or text, or it is asked for again."""
        first = self.gate.first_speech
        record = self._responses.get(first) if isinstance(first, str) else None
        if record is None or record.last_part is not None:
            return False
        is_asked_again = record.is_given_up or record.is_of_old_session
        return is_asked_again or (record.has_done_item and not record.is_generating)

    def agent_spoke(self, speech: str | Clip, now: int) -> None:
        """Note that a response was created, or a clip is played."""
        if self._is_first_speech_to_come:
            self.gate.forget_first_speech()
        self.gate.agent_spoke(speech, now)

    def speech_stopped(self, event: SpeechStoppedEvent, now: int) -> None:
        """Take the end of speech."""
        was_paused = self._lifecycle.state is TurnState.PAUSED
        self._step(TurnInput.SPEECH_STOPPED)
        if self._lifecycle.state is TurnState.PAUSED and not was_paused:
            self._timers.set(Timer.TURN_END, now + TURN_END_NS)
        self._outbox.notify(CallerSpeechStopped(event.item_id, event.audio_end_ms))
        if self._timers.is_set(Timer.SPEECH_CONFIRMATION):
            self._timers.stop(Timer.SPEECH_CONFIRMATION)
            if self.is_agent_active(now):
                self._block(BlockCause.SHORT_SPEECH)

    def committed(self, item_id: str, now: int) -> None:
        """Take the commit of the caller's audio, as an item, which ends their turn. A second one of
        an item that is answered already is a fault."""
        if self._lifecycle.state is TurnState.QUIET and item_id == self._committed_item:
            self._notify_unexpected(TurnInput.COMMITTED)
            return
        self._committed_item = item_id
        self._step(TurnInput.COMMITTED)
        self._session.kept_audio.turn_committed()
        if not self._session.server_responds:
            self._outbox.explain(Reason.TURN_WITHOUT_RESPONSE)
            self._end(TurnInput.OVER)
            if self._requests.is_requested:
                self._add_unanswered(item_id)
            else:
                self._forget_kept_audio()
            return
        self._add_unanswered(item_id)
        is_free = (
            self._is_active_cancelled or self._requests.is_requested or not self._requests.is_active
        )
        self._is_turn_unanswered = self._requests.is_active
        if not is_free:
            self._outbox.explain(Reason.TURN_DURING_RESPONSE)
            self._end(TurnInput.OVER)
        elif self._lifecycle.state is TurnState.COMMITTED:
            self._outbox.explain(Reason.TURN_AWAITS_RESPONSE)
        if self._lifecycle.state is not TurnState.QUIET:
            self._timers.set(Timer.TURN_END, now + TURN_END_NS)
        self._requests.turn_committed()

    def _add_unanswered(self, item_id: str) -> None:
        self._unanswered_items = [*self._unanswered_items, item_id][-MAX_UNANSWERED_ITEMS:]

    @property
    def _is_active_cancelled(self) -> bool:
        """Whether the active response was interrupted, and cancelled: the server creates none to a
        turn while another is active."""
        active = self._requests.active_response
        if active is None or active.is_audible:
            return False
        return active.is_cancelled or self._session.server_interrupts

    def answered(self, record: ResponseRecord) -> None:
        """Note that a response was created, which answers all that was committed before."""
        if self._lifecycle.state is TurnState.COMMITTED or self._is_answer_to_uncommitted:
            self._end(TurnInput.ANSWERED)
        if self._answer is None or not record.has_begun:  # else its start comes late
            self._answer = record
        answered_items = [*self._answered_items, *self._unanswered_items]
        self._answered_items = answered_items[-MAX_UNANSWERED_ITEMS:]
        self._forget_unanswered()
        self._session.kept_audio.turn_answered()
        if record.has_begun:
            self.answer_began(record)

    def answer_began(self, record: ResponseRecord | None) -> None:
        """Note that a response has begun: what it answers need not be said again."""
        if record is not None and record is self._answer:
            self._forget_answered()

    def answer_ended(self, record: ResponseRecord) -> None:
        """Note that a response has ended. If it has not begun, and the caller goes on, the next one
        answers all that was said."""
        if record is self._answer and self._lifecycle.state is TurnState.QUIET:
            self._forget_answered()

    def _forget_answered(self) -> None:
        self._answer = None
        self._answered_items = []
        self._session.kept_audio.answer_began(is_speaking=not self._is_over)

    def _reopen_answered(self) -> None:
        """Count what a response was to answer as unanswered: it has not begun, and its session is
        lost. Nobody waits for one that was stopped while the caller was silent."""
        if self._answer is None:
            return
        is_stopped = self._answer.is_cancelled or not self._answer.is_audible
        if self._lifecycle.state is TurnState.QUIET and is_stopped:
            self._forget_answered()
            return
        unanswered_items = [*self._answered_items, *self._unanswered_items]
        self._unanswered_items = unanswered_items[-MAX_UNANSWERED_ITEMS:]
        self._answer = None
        self._answered_items = []
        self._session.kept_audio.answer_lost()

    @property
    def _is_answer_to_uncommitted(self) -> bool:
        """Whether a response that is created now shows that the server has ended a turn of which
        some event was not received. It does not if it can be the answer to a request of ours, or to
        an earlier turn."""
        is_of_earlier = bool(self._unanswered_items) and (
            self._lifecycle.state is not TurnState.SPEAKING_COMMITTED
        )
        return not self._requests.is_requested and not is_of_earlier

    def expire(self) -> bool:
        """End a turn that the server does not commit, or does not answer, in time. Returns whether
        the server had to answer it."""
        state = self._lifecycle.state
        if state in _MISSING:
            self._outbox.notify_fault(Peer.REALTIME, FaultKind.TIMED_OUT, _MISSING[state])
        self._outbox.explain(_EXPIRED[state])
        self._end(TurnInput.EXPIRED)
        self._forget_unanswered()
        if state is not TurnState.PAUSED:  # else the server holds its audio, as the next one must
            self._forget_kept_audio()
        return state is TurnState.COMMITTED

    def session_configured(self) -> None:
        """Note how a session is configured: switching turn detection ends what it has detected."""
        if self._is_detecting is not self._session.detects_turns:
            self._is_detecting = self._session.detects_turns
            self.discarded()

    def discarded(self) -> None:
        """End a turn of which the server reports nothing more. One that is committed is still
        answered."""
        self._end(TurnInput.DISCARDED)
        if not self._is_detecting:
            self._session.kept_audio.turn_started()
        elif self._lifecycle.state is TurnState.QUIET and not self._unanswered_items:
            self._session.kept_audio.turn_over()

    def _end(self, event: TurnInput) -> None:
        if self._lifecycle.step(event):
            self._timers.stop(Timer.TURN_END)
            self._timers.stop(Timer.SPEECH_CONFIRMATION)

    def _forget_kept_audio(self) -> None:
        """Keep for the next session only what is said of a turn that goes on, or may."""
        self._answer = None
        self._answered_items = []
        self._session.kept_audio.forget_committed()
        if self._is_over:
            self._session.kept_audio.turn_over()

    @property
    def _is_over(self) -> bool:
        """Whether nothing is said of a turn, by turn detection."""
        return self._lifecycle.state is TurnState.QUIET and self._is_detecting

    def _forget_unanswered(self) -> None:
        """Note that what was said so far needs no response any more."""
        self._is_turn_unanswered = False
        self._unanswered_items.clear()

    def take_unanswered_items(self) -> tuple[str, ...]:
        """Remove the items of the turns that are committed, and whose answers have not begun: the
        session is lost. Returns them."""
        self._reopen_answered()
        items = tuple(self._unanswered_items)
        self._forget_unanswered()
        return items

    def session_lost(self, *, is_replayed: bool) -> None:
        """Start anew with the next session, which gets the audio of a turn that goes on.
        `is_replayed`: it gets that of the committed turns as well."""
        is_replayed = is_replayed and self._is_detecting
        is_replayed |= self._lifecycle.state not in _SETTLED
        self._end(TurnInput.REPLAY if is_replayed else TurnInput.SESSION_LOST)

    def session_began(self, now: int) -> None:
        """Note that the next session got the audio of a turn, which it is to report now."""
        if self._lifecycle.state is TurnState.REPLAYED:
            self._timers.set(Timer.TURN_END, now + TURN_END_NS)

    def take_unanswered_turn(self) -> bool:
        """Return once whether there is a turn that the server will not answer."""
        is_unanswered, self._is_turn_unanswered = self._is_turn_unanswered, False
        return is_unanswered

    def _step(self, event: TurnInput) -> None:
        if not self._lifecycle.step(event):
            self._notify_unexpected(event)

    def _notify_unexpected(self, event: TurnInput) -> None:
        what = f"{event.value} while the caller's turn is {self._lifecycle.state.value}"
        self._outbox.notify_fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)

    def _block(self, cause: BlockCause) -> None:
        self._outbox.notify(InterruptionBlocked(cause))
        self._outbox.explain(_REFUSED[cause])
        instruction = self.gate.take_instruction() if cause is BlockCause.LIMIT else None
        if instruction is not None:
            content = [{"type": "input_text", "text": instruction}]
            item = {"type": "message", "role": "system", "content": content}
            self._session.send(CreateItem(item))

    # Interruption.

    def is_response_current(self, response_id: str, now: int) -> bool:
        """Whether a response is being generated to be heard, or some of it is still to be heard."""
        record = self._responses.get(response_id)
        if record is None or not record.is_audible:
            return False
        return (
            record.is_stoppable
            or self._downlink.order.is_held(record)
            or any(
                isinstance(each.source, PartKey)
                and each.source.response_id == response_id
                and each.estimated_samples < each.sent_samples
                for each in self._downlink.positions(now)
            )
        )

    def interrupt(
        self,
        cause: InterruptionCause,
        now: int,
        *,
        cancel: bool,
        server_interrupts: bool,
        includes_requests: bool = True,
    ) -> bool:
        """Interrupt all that plays or is being generated, and tell the model what was heard.
        Returns whether there was anything of the kind.

        `cancel`: cancel what is being generated. `server_interrupts`: the server cancels the
        response of the conversation by itself. `includes_requests`: a response that is requested
        and was not created is interrupted as well.
        """
        plan = plan_interruption(
            self._downlink.positions(now),
            self._responses,
            is_playing=self._downlink.is_playing(now),
            cancel=cancel,
            server_interrupts=server_interrupts,
        )
        self._outbox.explain(Reason.NOTHING_TO_STOP if plan is None else _MADE[cause])
        if plan is not None:
            self._apply(plan, cause, now)
        if includes_requests:
            self._requests.interrupted(cancel=cancel)
        if plan is None:
            return False
        self._clips.drop_queued_hold()
        if cause is InterruptionCause.CALLER:
            self.gate.caller_interrupted(now)
        return True

    def _apply(self, plan: InterruptionPlan, cause: InterruptionCause, now: int) -> None:
        stops_generation = plan.stops_generation  # of what is about to be stopped
        for reason in plan.reasons:
            self._outbox.explain(reason)
        self._speech.drop_rest()
        if plan.clears:
            self._downlink.clear(now)
        else:
            self._downlink.forget()
        for record in plan.cancelled:
            record.is_cancelled = True
            self._session.send_if_open(cancel_event(record.id))
        for record, item_id in plan.heard_items:
            record.mark_item_heard(item_id)
        for event in plan.corrections:
            self._session.send_if_open(event)
            if isinstance(event, DeleteItem):
                self._conversation.deletion_sent(event.item_id, is_unheard=True)
        for record in plan.stopped:
            record.lifecycle.step(ResponseInput.INTERRUPT)
        self._downlink.start_playback(plan.started)
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
        for item_id in dict.fromkeys(part.item_id for part, _ in plan.cut):
            for edit in self._conversation.correct_restored(item_id):
                self._session.send(edit)
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

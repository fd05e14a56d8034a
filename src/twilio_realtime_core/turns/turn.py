"""Whose turn it is: the caller's speech, and whether it interrupts the agent.

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

from ..downlink.downlink import Downlink
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import Lifecycle, TurnInput, TurnState
from ..machine.outbox import Outbox
from ..machine.reasons import Reason
from ..machine.timers import Timer, Timers
from ..machine.units import MS, SECOND
from ..notifications import CallerSpeechStarted, CallerSpeechStopped, InterruptionBlocked
from ..protocols.realtime import CreateItem, SpeechStartedEvent, SpeechStoppedEvent
from ..responses.requests import Requests
from ..responses.responses import ResponseRecord, Responses
from ..session.session import Session
from ..values.block_cause import BlockCause
from ..values.playback_position import Clip
from .interruption_gate import InterruptionGate
from .unanswered_turns import UnansweredTurns

__all__ = ["TURN_END_NS", "TurnController"]

TURN_END_NS: Final = 3 * SECOND
"""How long after a caller has stopped the turn may take to be committed, and after that to be
answered: the server does both within 30 ms."""

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


@define(eq=False)
class TurnController:
    """The turns of one call."""

    gate: InterruptionGate
    _outbox: Outbox
    _timers: Timers[Timer]
    _session: Session
    _responses: Responses
    _requests: Requests
    _downlink: Downlink
    _lifecycle: Lifecycle[TurnState, TurnInput]
    _speech_started_at_ns: int = field(init=False, default=0)
    _is_detecting: bool = field(init=False, default=True)
    _committed_item: str | None = field(init=False, default=None)
    """The item of the turn that was committed last."""
    _is_any_uncommitted: bool = field(init=False, default=False)
    """Whether the server may hold a turn that is over here, and that it has not committed."""
    _is_answer_missing: bool = field(init=False, default=False)
    """Whether the server was to answer a turn that it has not committed in time."""
    _unanswered: UnansweredTurns = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._unanswered = UnansweredTurns(self._session.kept_audio)

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
        """Whether the server is to create the response to a turn that is over."""
        state = self._lifecycle.state
        is_paused = state is TurnState.PAUSED and self._session.server_responds
        return is_paused or state is TurnState.COMMITTED or self._is_answer_missing

    @property
    def is_request_needed(self) -> bool:
        """Whether a turn waits for the end of a response, since the server will not answer it."""
        return self._unanswered.is_request_needed

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
        self._is_any_uncommitted |= self._lifecycle.state not in _SETTLED
        self._end(TurnInput.STREAM_STARTED)

    def speech_started(self, event: SpeechStartedEvent, now: int) -> bool:
        """Take the start of speech. Returns whether it interrupts the agent now; it may also be
        evaluated later, by `Timer.SPEECH_CONFIRMATION`."""
        is_agent_active = self.is_agent_active(now)  # the turn that starts holds what is queued
        self._step(TurnInput.SPEECH_STARTED)
        self._is_answer_missing = False
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
                return not record.may_be_heard and self._downlink.is_heard(response_id, now)

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
        self._is_any_uncommitted = self._is_answer_missing = False
        self._step(TurnInput.COMMITTED)
        self._session.kept_audio.turn_committed()
        if not self._session.server_responds:
            self._outbox.explain(Reason.TURN_WITHOUT_RESPONSE)
            self._end(TurnInput.OVER)
            self._unanswered.committed(item_id)  # the application may ask for the answer
            return
        is_free = (
            self._is_active_cancelled or self._requests.is_requested or not self._requests.is_active
        )
        self._unanswered.committed(item_id)
        self._unanswered.is_request_needed = self._requests.is_active
        if not is_free:
            self._outbox.explain(Reason.TURN_DURING_RESPONSE)
            self._end(TurnInput.OVER)
        elif self._lifecycle.state is TurnState.COMMITTED:
            self._outbox.explain(Reason.TURN_AWAITS_RESPONSE)
        if self._lifecycle.state is not TurnState.QUIET:
            self._timers.set(Timer.TURN_END, now + TURN_END_NS)
        self._requests.turn_committed()

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
        self._is_answer_missing = False
        self._unanswered.answered(record)
        if record.has_begun:
            self.answer_began(record)

    def answered_without_start(self, record: ResponseRecord) -> None:
        """Note that a response has ended whose start is lost: it has answered what was committed,
        and nothing that is being said."""
        if self._lifecycle.state is TurnState.COMMITTED:
            self.answered(record)

    def answer_began(self, record: ResponseRecord | None) -> None:
        """Note that a response has begun: what it answers need not be said again."""
        if self._unanswered.is_answer(record):
            self._unanswered.answer_over(is_speaking=not self._is_over)

    def answer_ended(self, record: ResponseRecord) -> None:
        """Note that a response has ended. If it has not begun, and the caller goes on, the next one
        answers all that was said."""
        if self._lifecycle.state is TurnState.QUIET:
            self.answer_began(record)

    @property
    def _is_answer_to_uncommitted(self) -> bool:
        """Whether a response that is created now shows that the server has ended a turn of which
        some event was not received. It does not if it can be the answer to a request of ours, also
        a late one, or to an earlier turn."""
        is_of_earlier = self._unanswered.is_any and (
            self._lifecycle.state is not TurnState.SPEAKING_COMMITTED
        )
        return not self._requests.may_be_answered and not is_of_earlier

    def expire(self) -> bool:
        """End a turn that the server does not commit, or does not answer, in time. Returns whether
        the server had to answer it."""
        state = self._lifecycle.state
        if state in _MISSING:
            self._outbox.notify_fault(Peer.REALTIME, FaultKind.TIMED_OUT, _MISSING[state])
        self._outbox.explain(_EXPIRED[state])
        self._end(TurnInput.EXPIRED)
        if state is TurnState.COMMITTED:  # the answer to it is requested now
            self._unanswered.is_request_needed = False
            return True
        self._unanswered.forget_items()
        if state is TurnState.PAUSED:  # the server holds its audio, as the next one must
            self._is_any_uncommitted = True
            self._is_answer_missing = self._session.server_responds
        else:
            self._unanswered.forget_audio()
            self._session.kept_audio.turn_over()
        return False

    def session_configured(self) -> None:
        """Note how a session is configured: switching turn detection ends what it has detected."""
        if self._is_detecting is not self._session.detects_turns:
            self._is_detecting = self._session.detects_turns
            self.discarded()

    def discarded(self) -> None:
        """End a turn of which the server reports nothing more. One that is committed is still
        answered."""
        self._is_any_uncommitted = self._is_answer_missing = False
        self._end(TurnInput.DISCARDED)
        if not self._is_detecting:
            self._session.kept_audio.turn_started()
        elif self._lifecycle.state is TurnState.QUIET and not self._unanswered.is_any:
            self._session.kept_audio.turn_over()

    def _end(self, event: TurnInput) -> None:
        if self._lifecycle.step(event):
            self._timers.stop(Timer.TURN_END)
            self._timers.stop(Timer.SPEECH_CONFIRMATION)

    @property
    def _is_over(self) -> bool:
        """Whether nothing was said of a turn, by turn detection, that is not committed."""
        is_quiet = self._lifecycle.state is TurnState.QUIET and self._is_detecting
        return is_quiet and not self._is_any_uncommitted

    def take_unanswered_items(self) -> tuple[str, ...]:
        """Remove the items of the turns that are committed, and whose answers have not begun: the
        session is lost. Returns them."""
        if self._lifecycle.state is TurnState.QUIET and self._unanswered.is_answer_stopped:
            self._unanswered.answer_over(is_speaking=not self._is_over)
        return self._unanswered.take_items()

    def session_lost(self, *, is_replayed: bool) -> None:
        """Start anew with the next session, which gets the audio of a turn that goes on.
        `is_replayed`: it gets that of the committed turns as well."""
        self._is_any_uncommitted = self._is_answer_missing = False
        is_replayed = is_replayed and self._is_detecting
        is_replayed |= self._lifecycle.state not in _SETTLED
        self._end(TurnInput.REPLAY if is_replayed else TurnInput.SESSION_LOST)

    def session_began(self, now: int) -> None:
        """Note that the next session got the audio of a turn, which it is to report now."""
        if self._lifecycle.state is TurnState.REPLAYED:
            self._timers.set(Timer.TURN_END, now + TURN_END_NS)

    def take_unanswered_turn(self) -> bool:
        """Return once whether there is a turn that the server will not answer."""
        is_needed = self._unanswered.is_request_needed
        self._unanswered.is_request_needed = False
        return is_needed

    def take_missing_answer(self) -> bool:
        """Return once whether there is a turn that the server was to answer, and has not
        committed."""
        is_missing, self._is_answer_missing = self._is_answer_missing, False
        return is_missing

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

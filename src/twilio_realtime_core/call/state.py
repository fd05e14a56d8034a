"""The state of one call: its parts, and what several inputs do to them.

Each part is one idea; `on_twilio`, `on_realtime` and `on_command` say what each input does to them.
"""

from collections.abc import Iterable
from typing import Final

from attrs import define, field

from ..config.call import CallConfig
from ..conversation.conversation import Conversation
from ..downlink.after_playback import STALL_NS, AfterPlayback
from ..downlink.agent_speech import AgentSpeech
from ..downlink.clips import ClipPlayer
from ..downlink.downlink import Downlink
from ..machine.lifecycles import (
    TURN,
    Lifecycle,
    LifecycleFactory,
    TurnState,
)
from ..machine.outbox import Outbox
from ..machine.reasons import Reason
from ..machine.timers import Timer, Timers
from ..machine.units import MS, SECOND, samples_to_ms
from ..notifications import CallerAudioPadded, InterruptionCause, PaddingCause
from ..protocols.realtime import AppendAudio
from ..responses.function_calls import FunctionCalls
from ..responses.mcp import Mcp
from ..responses.request_queue import KNOWN
from ..responses.requests import Requests
from ..responses.responses import ResponseRecord, Responses
from ..session.media_stream import MediaStream
from ..session.session import Session
from ..session.stream_rate import StreamRate
from ..turns.interrupter import Interrupter
from ..turns.interruption_gate import InterruptionGate
from ..turns.turn import TurnController
from ..uplink.caller_audio import CallerAudio, silence_payload
from ..values.playback_position import PartKey
from .ending import Ending
from .model_watch import ModelWatch
from .recovery_progress import RecoveryProgress

__all__ = ["WAITING_NS", "CallState"]

WAITING_NS: Final = SECOND
"""How long the caller waits for the first session in silence where there is a clip to play."""


@define(eq=False)
class CallState:
    """The parts of one call, created as `config` says."""

    config: CallConfig
    _make_lifecycle: LifecycleFactory = Lifecycle
    outbox: Outbox = field(init=False, factory=Outbox)
    timers: Timers[Timer] = field(init=False, factory=lambda: Timers(Timer))
    stream: MediaStream = field(init=False)
    stream_rate: StreamRate = field(init=False, factory=StreamRate)
    last_media_ns: int = field(init=False, default=0)
    """When the last audio of the caller was received, or the stream started."""
    session: Session = field(init=False)
    caller_audio: CallerAudio = field(init=False)
    conversation: Conversation = field(init=False)
    responses: Responses = field(init=False)
    requests: Requests = field(init=False)
    function_calls: FunctionCalls = field(init=False)
    mcp: Mcp = field(init=False)
    downlink: Downlink = field(init=False)
    clips: ClipPlayer = field(init=False)
    speech: AgentSpeech = field(init=False)
    watch: ModelWatch = field(init=False, factory=ModelWatch)
    recovery: RecoveryProgress = field(init=False, factory=RecoveryProgress)
    after_playback: AfterPlayback = field(init=False, factory=AfterPlayback)
    turns: TurnController = field(init=False)
    interrupter: Interrupter = field(init=False)
    ending: Ending = field(init=False)

    def __attrs_post_init__(self) -> None:
        config, outbox, make_lifecycle = self.config, self.outbox, self._make_lifecycle
        responses = self.responses = Responses(make_lifecycle)
        self.conversation = Conversation(config.resume)
        self.recovery.is_restoring = bool(config.resume)
        self.requests = Requests(make_lifecycle, outbox)
        self.function_calls = FunctionCalls(make_lifecycle)
        timeout_ms = config.inactivity_timeout_ms
        self.stream = MediaStream(outbox, make_lifecycle)
        self.session = Session(
            config.session,
            outbox,
            make_lifecycle,
            disables_server_interruption=not config.interruption.interrupts_immediately,
        )
        self.caller_audio = CallerAudio(None if timeout_ms is None else timeout_ms * MS)
        self.mcp = Mcp(responses)
        self.downlink = Downlink(outbox, responses, config.start_delay_history)
        self.clips = ClipPlayer(outbox, self.downlink, responses)
        self.speech = AgentSpeech(
            outbox,
            self.downlink,
            self.clips,
            responses,
            notifies_audio=config.notify_agent_audio,
        )
        self.turns = TurnController(
            InterruptionGate(config.interruption),
            outbox,
            self.timers,
            self.session,
            responses,
            self.requests,
            self.downlink,
            make_lifecycle(TURN, TurnState.QUIET),
        )
        self.interrupter = Interrupter(
            outbox,
            self.session,
            responses,
            self.requests,
            self.conversation,
            self.downlink,
            self.clips,
            self.speech,
        )
        self.ending = Ending(
            outbox,
            self.timers,
            self.stream,
            self.session,
            responses,
            self.requests,
            self.conversation,
            self.downlink,
            self.clips,
            config.closing_timeout_ms * MS,
        )

    # What several inputs do.

    def open_session(self, now: int) -> None:
        """Open the session, which has to be ready in time."""
        self.timers.stop(Timer.CONFIGURATION)
        timeout_ms = self.config.session_timeout_ms
        self.timers.set(Timer.SESSION, now + timeout_ms * MS)
        if self.config.waiting_clip:
            self.timers.set(Timer.WAITING_CLIP, now + WAITING_NS)
        self.recovery.begin(now, timeout_ms)
        self.session.open(self.config.url, self.config.model)
        self.watch_attempt(now)

    def watch_attempt(self, now: int) -> None:
        """Set the timer of an attempt to open a session, if others can follow it: each has half of
        the time for all, since a server may accept a connection and stay silent."""
        if self.config.reconnect is not None:
            self.timers.set(Timer.SESSION_ATTEMPT, now + self.recovery.timeout_ns // 2)

    def fill_inactivity(self, now: int) -> None:
        """Send silence in the place of frames that have not arrived while the caller speaks, and
        set the timer for the next frame."""
        is_speaking = self.turns.is_speaking
        missing = self.caller_audio.take_due_silence(now, is_speaking=is_speaking)
        if missing:
            self.pad_caller_audio(missing, PaddingCause.INACTIVITY)
        due_at_ns = self.caller_audio.silence_due_at_ns(is_speaking=is_speaking)
        if due_at_ns is not None:
            self.timers.set(Timer.INACTIVITY, due_at_ns)

    def pad_caller_audio(self, samples: int, cause: PaddingCause) -> None:
        """Send silence in the place of audio of the caller."""
        self.outbox.notify(CallerAudioPadded(samples, cause))
        self.session.send(AppendAudio(silence_payload(samples)), samples)

    def request_response(self, reason: Reason, *item_keys: str) -> None:
        """Have the model respond, above all to these items, which were sent: as soon as no response
        is active and the caller's turn is over. Without items it is to those that the server has
        added by itself."""
        self.requests.queue.add_automatic(reason, *(item_keys or (KNOWN,)))

    def send_due_requests(self, now: int) -> None:
        """Send the requests for responses that nothing stands in the way of."""
        if self.after_playback.is_model_lost:
            return  # the call is about to end
        is_caller_turn = self.turns.is_caller_turn
        for event in self.requests.take_due(now, is_caller_turn=is_caller_turn):
            self.session.send(event)

    def play_clip(self, audio: bytes, name: str, now: int) -> None:
        """Play a clip that can be played."""
        self.turns.agent_spoke(self.clips.play(audio, name, now), now)

    def cut_unfinished(
        self, records: Iterable[ResponseRecord], now: int
    ) -> list[tuple[PartKey, int]]:
        """Leave of the words of parts that were being generated those whose audio was received;
        return these parts, and how long that is (ms)."""
        ids = {each.id for each in records if not self.downlink.order.is_held(each)}
        cut = [
            (each.source, samples_to_ms(each.sent_samples))
            for each in self.downlink.positions(now)
            if isinstance(each.source, PartKey)
            and each.source.response_id in ids
            and not each.is_complete
        ]
        for part, sent_ms in cut:
            for update in self.conversation.cut(part.item_id, part.content_index, sent_ms, sent_ms):
                self.outbox.notify(update)
        return cut

    def responses_ended(self, *records: ResponseRecord) -> None:
        """Have the model respond to what has waited for the end of these responses: to a turn that
        the server did not answer, and to the outcomes of their calls."""
        if self.turns.take_unanswered_turn():
            self.request_response(Reason.REQUESTED_FOR_TURN)
        self.request_followup(*records)

    def request_followup(self, *records: ResponseRecord) -> None:
        """Have the model respond once to the outcomes of calls of these responses, if one of them
        is done and all its calls have their outcome, or one of them does not wait for the others.
        """
        ready = [each for each in records if self._is_followup_ready(each)]
        keys = [key for record in ready for key in record.sent_outputs]
        is_urgent = any(each.is_followup_urgent for each in ready)
        for record in ready:
            record.is_followup_requested = record.is_followup_urgent = False
            record.sent_outputs.clear()
        if ready:
            reason = Reason.REQUESTED_AT_ONCE if is_urgent else Reason.REQUESTED_FOR_OUTCOMES
            self.request_response(reason, *keys)

    def _is_followup_ready(self, record: ResponseRecord) -> bool:
        if not record.is_followup_requested:
            return False
        if record.is_generating and not record.is_lost:
            self.outbox.explain(Reason.FOLLOWUP_HELD_BY_RESPONSE)
            return False
        is_ready = self._has_outcomes(record)
        if not is_ready:
            is_output = bool(record.unsent_outputs)
            why = Reason.FOLLOWUP_HELD_BY_OUTPUT if is_output else Reason.FOLLOWUP_HELD_BY_APPROVAL
            self.outbox.explain(why)
        return is_ready

    def _has_outcomes(self, record: ResponseRecord) -> bool:
        """Whether all calls of a response have their outcome, or one does not wait for others."""
        is_any_open = bool(record.unsent_outputs) or self.mcp.is_approval_pending(record)
        return record.is_followup_urgent or not is_any_open

    def is_end_awaited(self, record: ResponseRecord) -> bool:
        """Whether a request waits for the end of a response that is being generated, and no tool of
        it is at work: another one, or that to a turn of the caller, or to the outcomes of calls."""
        is_active = record is self.requests.active_response
        is_any_behind = self.requests.queue.is_any_held or self.turns.is_request_needed
        is_followup_due = record.is_followup_requested and self._has_outcomes(record)
        is_awaited = (is_active and is_any_behind) or is_followup_due
        return is_awaited and not self.mcp.is_running(record)

    def interrupt(
        self,
        cause: InterruptionCause,
        now: int,
        *,
        cancel: bool,
        server_interrupts: bool,
        includes_requests: bool = True,
    ) -> None:
        """Interrupt the agent. A goodbye that is interrupted was the last word all the same."""
        is_interrupted = self.interrupter.interrupt(
            cause,
            now,
            cancel=cancel,
            server_interrupts=server_interrupts,
            includes_requests=includes_requests,
        )
        if is_interrupted and cause is InterruptionCause.CALLER:
            self.turns.gate.caller_interrupted(now)
        if is_interrupted and self.after_playback.is_hangup_pending:
            reason = self.after_playback.hangup_reason
            self.outbox.explain(Reason.HANG_UP_INTERRUPTED)
            self.ending.end(reason, "the goodbye was interrupted", now)

    @property
    def is_speech_pending(self) -> bool:
        """Whether the agent is about to say more: a response is requested, queued or generated, or
        its audio is held behind another."""
        return (
            self.requests.is_busy
            or self.requests.is_speech_pending
            or self.responses.is_speech_pending
            or self.downlink.order.has_held
        )

    def watch_playback(self, now: int) -> None:
        """Set the timer for the end of what plays, if anything waits for it."""
        if self.session.is_next_ready or self.has_deferred:
            silent_at_ns = self.downlink.silent_at_ns
            if silent_at_ns is not None and silent_at_ns > now:
                self.timers.set(Timer.PLAYBACK_END, silent_at_ns)

    @property
    def has_deferred(self) -> bool:
        """Whether anything is deferred until all was heard."""
        return (
            self.after_playback.is_hangup_pending
            or self.clips.is_hold_queued
            or bool(self.after_playback.outputs)
            or bool(self.after_playback.notices)
        )

    def reset_hangup_watchdog(self, now: int) -> None:
        """Note a sign that the goodbye is being generated, or played."""
        if self.after_playback.is_hangup_pending:
            self.timers.set(Timer.HANGUP_WATCHDOG, now + STALL_NS)

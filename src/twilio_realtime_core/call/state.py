"""The state of one call: its parts, and what several inputs do to them.

Each part is one idea; `on_twilio`, `on_realtime` and `on_command` say what each input does to them.
"""

from collections.abc import Iterable

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
from ..machine.timers import Timer, Timers
from ..machine.units import MS
from ..notifications import EndReason, InterruptionCause
from ..protocols.realtime import ClientEvent
from ..responses.function_calls import FunctionCalls
from ..responses.mcp import Mcp
from ..responses.requests import Requests
from ..responses.responses import ResponseRecord, Responses
from ..session.media_stream import MediaStream
from ..session.session import Session
from ..turns.interruption_gate import InterruptionGate
from ..turns.turn import TurnController
from ..uplink.caller_audio import CallerAudio
from .ending import Ending

__all__ = ["CallState"]


@define(eq=False)
class CallState:
    """The parts of one call, created as `config` says."""

    config: CallConfig
    _make_lifecycle: LifecycleFactory = Lifecycle
    outbox: Outbox = field(init=False, factory=Outbox)
    timers: Timers[Timer] = field(init=False, factory=lambda: Timers(Timer))
    stream: MediaStream = field(init=False)
    session: Session = field(init=False)
    caller_audio: CallerAudio = field(init=False)
    conversation: Conversation = field(init=False, factory=Conversation)
    responses: Responses = field(init=False)
    requests: Requests = field(init=False)
    function_calls: FunctionCalls = field(init=False)
    mcp: Mcp = field(init=False)
    downlink: Downlink = field(init=False)
    clips: ClipPlayer = field(init=False)
    speech: AgentSpeech = field(init=False)
    after_playback: AfterPlayback = field(init=False, factory=AfterPlayback)
    turns: TurnController = field(init=False)
    ending: Ending = field(init=False)

    def __attrs_post_init__(self) -> None:
        config, outbox, make_lifecycle = self.config, self.outbox, self._make_lifecycle
        responses = self.responses = Responses(make_lifecycle)
        self.requests = Requests(make_lifecycle)
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
            self.conversation,
            self.downlink,
            self.clips,
            self.speech,
            make_lifecycle(TURN, TurnState.QUIET),
        )
        self.ending = Ending(
            outbox,
            self.timers,
            self.stream,
            self.session,
            responses,
            self.requests,
            self.downlink,
            self.clips,
            config.closing_timeout_ms * MS,
        )

    # What several inputs do.

    def open_session(self, now: int) -> None:
        """Open the session, which has to be ready in time."""
        self.timers.stop(Timer.CONFIGURATION)
        self.timers.set(Timer.SESSION, now + self.config.session_timeout_ms * MS)
        self.session.open(self.config.url, self.config.model)

    def set_inactivity_timer(self) -> None:
        """Set the timer for the next frame of a caller who speaks."""
        due_at_ns = self.caller_audio.silence_due_at_ns(is_speaking=self.turns.is_speaking)
        if due_at_ns is not None:
            self.timers.set(Timer.INACTIVITY, due_at_ns)

    def send_all(self, events: Iterable[ClientEvent]) -> None:
        """Send events as soon as the session is ready."""
        for event in events:
            self.session.send(event)

    def request_response(self) -> None:
        """Have the model respond as soon as no response is active."""
        self.send_all(self.requests.enqueue_automatic())

    def request_followup(self, *records: ResponseRecord) -> None:
        """Have the model respond once to the outcomes of calls of these responses, if one of them
        is done and all its calls have their outcome."""
        ready = [each for each in records if self._is_followup_ready(each)]
        for record in ready:
            record.is_followup_requested = False
        if ready:
            self.request_response()

    def _is_followup_ready(self, record: ResponseRecord) -> bool:
        return (
            record.is_followup_requested
            and not record.is_generating
            and not record.unsent_outputs
            and not self.mcp.is_approval_pending(record)
        )

    def interrupt(
        self, cause: InterruptionCause, now: int, *, cancel: bool, server_interrupts: bool
    ) -> None:
        """Interrupt the agent. A goodbye that is interrupted was the last word all the same."""
        is_interrupted = self.turns.interrupt(
            cause, now, cancel=cancel, server_interrupts=server_interrupts
        )
        if is_interrupted and self.after_playback.is_hangup_pending:
            self.ending.end(EndReason.HUNG_UP, "the goodbye was interrupted", now)

    @property
    def has_deferred(self) -> bool:
        """Whether anything is deferred until all was heard."""
        return (
            self.after_playback.is_hangup_pending
            or self.clips.is_hold_queued
            or self.turns.gate.is_first_speech_protected
            or bool(self.after_playback.outputs)
        )

    def reset_hangup_watchdog(self, now: int) -> None:
        """Note a sign that the goodbye is being generated, or played."""
        if self.after_playback.is_hangup_pending:
            self.timers.set(Timer.HANGUP_WATCHDOG, now + STALL_NS)

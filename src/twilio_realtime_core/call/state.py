"""The parts of one call, and how they end together.

Each part has one idea; `from_twilio`, `from_realtime` and `from_application` tell them what
has happened.
"""

from collections.abc import Iterable
from typing import Final

from attrs import define, evolve, field

from ..config.call import CallConfig
from ..conversation.conversation import Conversation
from ..downlink.after_playback import STALL_NS, AfterPlayback
from ..downlink.agent_speech import AgentSpeech
from ..downlink.clips import ClipPlayer
from ..downlink.downlink import Downlink
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import (
    TURN,
    Lifecycle,
    LifecycleFactory,
    SessionState,
    StreamState,
    TurnInput,
    TurnState,
)
from ..machine.outbox import Outbox
from ..machine.timers import Timer, Timers
from ..notifications import CallEnded, EndReason, InterruptionCause
from ..protocols.realtime import ClientEvent
from ..responses.function_calls import FunctionCalls
from ..responses.mcp import Mcp
from ..responses.requests import Requests
from ..responses.responses import Responses
from ..session.media_stream import MediaStream
from ..session.session import Session
from ..turns.interruption_gate import InterruptionGate
from ..uplink.caller_audio import CallerAudio
from ..values.usage import Usage

__all__ = ["CallState"]

_OVER: Final = (StreamState.CLOSED, SessionState.CLOSED)


@define(eq=False)
class CallState:
    """The parts of one call, made as `config` says. `end` is what ends it, once something has."""

    config: CallConfig
    _make_lifecycle: LifecycleFactory = Lifecycle
    outbox: Outbox = field(init=False, factory=Outbox)
    timers: Timers = field(init=False, factory=Timers)
    stream: MediaStream = field(init=False)
    session: Session = field(init=False)
    turn: Lifecycle[TurnState, TurnInput] = field(init=False)
    caller_audio: CallerAudio = field(init=False)
    gate: InterruptionGate = field(init=False)
    downlink: Downlink = field(init=False)
    clips: ClipPlayer = field(init=False)
    speech: AgentSpeech = field(init=False)
    conversation: Conversation = field(init=False, factory=Conversation)
    requests: Requests = field(init=False)
    function_calls: FunctionCalls = field(init=False, factory=FunctionCalls)
    mcp: Mcp = field(init=False, factory=Mcp)
    after_playback: AfterPlayback = field(init=False, factory=AfterPlayback)
    usage: Usage = field(init=False, factory=Usage)
    end: CallEnded | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        outbox, responses = self.outbox, Responses(self._make_lifecycle)
        self.stream = MediaStream(outbox, self._make_lifecycle)
        self.requests = Requests(self._make_lifecycle)
        self.gate = InterruptionGate(self.config.interruption)
        self.session = Session(
            self.config.session,
            outbox,
            self._make_lifecycle,
            owns_interruption=not self.config.interruption.interrupts_immediately,
        )
        self.turn = self._make_lifecycle(TURN, TurnState.QUIET)
        self.caller_audio = CallerAudio(self.config.inactivity_timeout_ns)
        self.downlink = Downlink(outbox, responses, self.config.start_delay_history)
        self.clips = ClipPlayer(outbox, self.downlink, responses)
        self.speech = AgentSpeech(
            outbox,
            self.downlink,
            self.clips,
            responses,
            self.conversation,
            tells_audio=self.config.notify_agent_audio,
        )

    def open_session(self, now: int) -> None:
        """Ask for the session, which has to be ready in time."""
        self.timers.stop(Timer.CONFIGURATION)
        self.timers.set(Timer.SESSION, now + self.config.session_timeout_ns)
        self.session.open(self.config.url, self.config.model)

    def interrupt(
        self, cause: InterruptionCause, now: int, *, cancel: bool, server_cancels: bool
    ) -> None:
        """Stop the agent. A goodbye that somebody interrupts was the last word all the same."""
        stopped = self.speech.interrupt(cause, now, cancel=cancel, server_cancels=server_cancels)
        self.requests.interrupted(cancel=cancel)
        if stopped:
            self.clips.drop_queued_hold()
            self.gate.interrupted(cause, now)
        if stopped and self.after_playback.is_hangup_pending:
            self.end_call(EndReason.HUNG_UP, "the goodbye was interrupted", now)

    def request_response(self) -> None:
        """Have the model respond, when it is its turn."""
        self.send_all(self.requests.enqueue_automatic())

    def request_followup(self, *response_ids: str) -> None:
        """Have the model go on after responses, once, if one has ended and all that it has asked
        for has its outcome. An empty id: nobody knows of which response something was."""
        going_on = [each for each in response_ids if self._is_followup_ready(each)]
        if going_on:
            self.request_response()

    def _is_followup_ready(self, response_id: str) -> bool:
        known = bool(response_id)
        waits = known and (
            self.speech.is_generating(response_id) or self.mcp.is_approval_pending(response_id)
        )
        return not waits and self.function_calls.take_followup(response_id)

    def send_all(self, events: Iterable[ClientEvent]) -> None:
        """Send events as soon as the session is ready."""
        for event in events:
            self.session.send(event)

    def reset_hangup_watchdog(self, now: int) -> None:
        """The goodbye is being said, or played."""
        if self.after_playback.is_hangup_pending:
            self.timers.set(Timer.HANGUP_WATCHDOG, now + STALL_NS)

    @property
    def has_deferred(self) -> bool:
        """Whether anything waits until all was heard."""
        return (
            self.after_playback.is_hangup_pending
            or self.clips.is_hold_queued
            or self.gate.is_first_speech_protected
            or bool(self.after_playback.outputs)
        )

    def time_out(self, reason: EndReason, peer: Peer, what: str, now: int) -> None:
        """A peer has not done in time what it has to."""
        self.outbox.notify_fault(peer, FaultKind.TIMED_OUT, what)
        self.end_call(reason, what, now)

    def end_call(self, reason: EndReason, detail: str, now: int) -> None:
        """Close what is open; the first cause counts."""
        if self.end is None:
            self.end = CallEnded(reason, detail)
            self.clips.drop_queued_hold()
            self.downlink.end_stream(now)
            self.timers.stop_all()
            self.timers.set(Timer.CLOSING, now + self.config.ending_timeout_ns)
            self.stream.close()
            self.session.close()
        self.notify_end()

    def give_up_closing(self) -> None:
        """The driver has not told of the end of a socket; the call does not wait for it."""
        self.stream.closed()
        self.session.closed()
        self.notify_end()

    @property
    def has_ended(self) -> bool:
        """Whether something has ended the call, and both sockets are closed."""
        return self.end is not None and (self.stream.state, self.session.state) == _OVER

    def notify_end(self) -> None:
        """Tell of the end, if it has come."""
        if self.end is not None and self.has_ended:
            self.timers.stop_all()
            self.outbox.notify(
                evolve(
                    self.end, usage=self.usage, unanswered_requests=self.requests.unanswered_count
                )
            )

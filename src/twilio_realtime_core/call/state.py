"""The parts of one call, and how they end together.

Each part has one idea; `from_twilio`, `from_realtime` and `from_application` tell them what
has happened.
"""

from collections.abc import Iterable
from typing import Final

from attrs import define, evolve, field

from ..config.call import CallConfig
from ..conversation.conversation import Conversation
from ..downlink.after_playback import QUIET_NS, OnceHeard
from ..downlink.agent_speech import Speech
from ..downlink.clips import OwnAudio
from ..downlink.downlink import Line
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import TURN, Lifecycle, SessionState, StreamState, TurnInput, TurnState
from ..machine.outbox import Outbox
from ..machine.timers import Timer, Timers
from ..notifications import CallEnded, EndReason, InterruptionCause
from ..protocols.realtime import ClientEvent
from ..responses.function_calls import FunctionCalls
from ..responses.mcp import Mcp
from ..responses.requests import Requests
from ..responses.responses import Responses
from ..session.media_stream import Stream
from ..session.session import Session
from ..turns.interruption_gate import Interruptions
from ..uplink.caller_audio import CallerAudio
from ..values.usage import Usage

__all__ = ["Parts"]

_OVER: Final = (StreamState.CLOSED, SessionState.CLOSED)


@define(eq=False)
class Parts:
    """The parts of one call, made as `config` says. `end` is what ends it, once something has."""

    config: CallConfig
    outbox: Outbox = field(init=False, factory=Outbox)
    timers: Timers = field(init=False, factory=Timers)
    stream: Stream = field(init=False)
    session: Session = field(init=False)
    turn: Lifecycle[TurnState, TurnInput] = field(init=False)
    caller: CallerAudio = field(init=False)
    interruptions: Interruptions = field(init=False)
    line: Line = field(init=False)
    own: OwnAudio = field(init=False)
    speech: Speech = field(init=False)
    conversation: Conversation = field(init=False, factory=Conversation)
    requests: Requests = field(init=False, factory=Requests)
    functions: FunctionCalls = field(init=False, factory=FunctionCalls)
    mcp: Mcp = field(init=False, factory=Mcp)
    once_heard: OnceHeard = field(init=False, factory=OnceHeard)
    usage: Usage = field(init=False, factory=Usage)
    end: CallEnded | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        outbox, responses = self.outbox, Responses()
        self.stream = Stream(outbox)
        self.interruptions = Interruptions(self.config.interruption)
        self.session = Session(
            self.config.session,
            outbox,
            owns_interruption=not self.config.interruption.at_once,
        )
        self.turn = Lifecycle(TURN, TurnState.QUIET)
        self.caller = CallerAudio(self.config.inactivity_timeout_ns)
        self.line = Line(outbox, responses, self.config.line_history)
        self.own = OwnAudio(outbox, self.line, responses)
        self.speech = Speech(
            outbox,
            self.line,
            self.own,
            responses,
            self.conversation,
            tells_audio=self.config.agent_audio,
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
            self.own.drop_waiting()
            self.interruptions.happened(cause, now)
        if stopped and self.once_heard.hangs_up:
            self.end_call(EndReason.HUNG_UP, "the goodbye was interrupted", now)

    def ask(self) -> None:
        """Have the model respond, when it is its turn."""
        self.send_all(self.requests.ask())

    def go_on(self, *response_ids: str) -> None:
        """Have the model go on after responses, once, if one has ended and all that it has asked
        for has its outcome. An empty id: nobody knows of which response something was."""
        going_on = [each for each in response_ids if self._goes_on(each)]
        if going_on:
            self.ask()

    def _goes_on(self, response_id: str) -> bool:
        known = bool(response_id)
        waits = known and (self.speech.generating(response_id) or self.mcp.waits(response_id))
        return not waits and self.functions.goes_on(response_id)

    def send_all(self, events: Iterable[ClientEvent]) -> None:
        """Send events as soon as the session is ready."""
        for event in events:
            self.session.send(event)

    def sign_of_life(self, now: int) -> None:
        """The goodbye is being said, or played."""
        if self.once_heard.hangs_up:
            self.timers.set(Timer.GOODBYE, now + QUIET_NS)

    @property
    def waits(self) -> bool:
        """Whether anything waits until all was heard."""
        return (
            self.once_heard.hangs_up
            or self.own.waits
            or self.interruptions.protects
            or bool(self.once_heard.outputs)
        )

    def time_out(self, reason: EndReason, peer: Peer, what: str, now: int) -> None:
        """A peer has not done in time what it has to."""
        self.outbox.fault(peer, FaultKind.TIMED_OUT, what)
        self.end_call(reason, what, now)

    def end_call(self, reason: EndReason, detail: str, now: int) -> None:
        """Close what is open; the first cause counts."""
        if self.end is None:
            self.end = CallEnded(reason, detail)
            self.own.drop_waiting()
            self.line.end(now)
            self.timers.stop_all()
            self.timers.set(Timer.ENDING, now + self.config.ending_timeout_ns)
            self.stream.close()
            self.session.close()
        self.tell_end()

    def give_up_closing(self) -> None:
        """The driver has not told of the end of a socket; the call does not wait for it."""
        self.stream.closed()
        self.session.closed()
        self.tell_end()

    @property
    def ended(self) -> bool:
        """Whether something has ended the call, and both sockets are closed."""
        return self.end is not None and (self.stream.state, self.session.state) == _OVER

    def tell_end(self) -> None:
        """Tell of the end, if it has come."""
        if self.end is not None and self.ended:
            self.timers.stop_all()
            self.outbox.notify(
                evolve(self.end, usage=self.usage, unanswered_requests=self.requests.unanswered)
            )

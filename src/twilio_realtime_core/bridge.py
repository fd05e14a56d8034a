"""`Bridge`: one phone call between Twilio Media Streams and the OpenAI Realtime API.

It is a deterministic sans-IO state machine, a `MessageMachine` with two peers, and also takes the
commands of the application:

    Every method takes `now` and returns what to do. Do it in order. Call `handle_timeout(now)` at
    or after `deadline`. Calling it early changes nothing.

A call in short: Twilio opens its socket and sends `start`; the Realtime session is opened and
configured; the caller's audio goes one way, the model's audio the other; an interruption stops the
sound and tells the model what was heard; the end of either side ends both.
"""

from collections.abc import Hashable
from typing import Final, assert_never

from .call import on_command, on_realtime, on_twilio
from .call.state import CallState
from .commands import Command
from .config.call import CallConfig
from .config.start_delay_history import StartDelayHistory
from .errors import LocalProtocolError, redact
from .machine.actions import ABNORMAL_CLOSURE, REALTIME, TWILIO, Action, Peer
from .machine.lifecycles import Lifecycle, LifecycleFactory, SessionState, StreamState
from .machine.timers import Timer
from .machine.units import MS
from .notifications import EndReason, RealtimeEvent, TwilioMessage
from .values.items import ConversationItem
from .values.playback_position import PlaybackPosition

__all__ = ["Bridge"]

_UNOPENED: Final = StreamState.UNOPENED

_RECEIVING: Final = (SessionState.CONFIGURING, SessionState.READY)
"""When the Realtime server may send events."""


class Bridge:
    """One call. Its notifications are those of `notifications`, and `Fault`; the last is
    `CallEnded`. After it no input has outputs, and there is no deadline.

    The methods are of four kinds. *Queries* change nothing. *Inputs* say what a peer did.
    *Commands* say what the application wants. *Time* passes in all of them, and in
    `handle_timeout`. All but the queries are steps of one pipeline: check the arguments; decode
    the input and apply it; run what was deferred and can be done now; return the actions.

    Every step raises `LocalProtocolError`, before anything has changed, if time runs backwards, or
    if it makes no sense for the peer.

    `make_lifecycle` creates the lifecycles of the call, whose transitions a subclass can observe.
    """

    def __init__(
        self, config: CallConfig | None = None, *, make_lifecycle: LifecycleFactory = Lifecycle
    ) -> None:
        self._call = CallState(config or CallConfig(), make_lifecycle)
        self._notifies_twilio_messages = Peer.TWILIO in self._call.config.raw_messages
        self._notifies_realtime_events = Peer.REALTIME in self._call.config.raw_messages
        self._now: int | None = None

    # Queries.

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        return self._call.timers.deadline

    @property
    def has_ended(self) -> bool:
        """Whether `CallEnded` was notified."""
        return self._call.ending.is_complete

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far, in its order, with what was heard of each item."""
        return self._call.conversation.items

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """How far each content part and clip that was not heard to the end has been played: what
        marks confirm, what a `clear` sent at `now` would leave heard, and what was sent, in
        samples."""
        return tuple(self._call.downlink.positions(now))

    @property
    def start_delay_history(self) -> StartDelayHistory:
        """The start delays that this call has shown so far, for the configuration of later ones."""
        return self._call.downlink.start_delay_history

    # Inputs.

    def start(self, now: int) -> list[Action]:
        """Start the call. Called once, before anything else; Twilio's socket is expected next."""
        if self._now is not None:
            raise LocalProtocolError("start() must be called once, before anything else")
        return self._finish_step(now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Twilio's socket was accepted, or the Realtime socket is open after `Open`."""
        self._check_peer(peer)
        self._check_time(now)
        call = self._call
        if peer is Peer.TWILIO and call.stream.opened():
            call.timers.set(Timer.START, now + call.config.start_timeout_ms * MS)
        elif not (peer is Peer.REALTIME and call.session.opened()) and not call.ending.has_started:
            raise LocalProtocolError(f"{peer} is open already, or was not to be opened")
        return self._finish_step(now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message was received from Twilio, or an event from the Realtime server."""
        self._check_peer(peer)
        self._check_time(now)
        call = self._call
        if call.ending.has_started:
            pass  # sent before our close arrived
        elif peer is TWILIO and call.stream.state is not _UNOPENED:
            if self._notifies_twilio_messages:
                call.outbox.notify(TwilioMessage(text))
            on_twilio.on_message(call, text, now)
        elif peer is REALTIME and call.session.state in _RECEIVING:
            if self._notifies_realtime_events:
                call.outbox.notify(RealtimeEvent(text))
            on_realtime.on_event(call, text, now)
        else:
            raise LocalProtocolError(f"{peer} is not open, so no text can come from it")
        return self._finish_step(now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong was received. Those from Twilio measure the round trip."""
        self._check_peer(peer)
        self._check_time(now)
        if peer is Peer.TWILIO:
            self._call.downlink.pong(payload, now)
        return self._finish_step(now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket was closed, by either side, or could not be opened; this ends the call."""
        self._check_peer(peer)
        self._check_time(now)
        call = self._call
        was_opening = call.session.state is SessionState.OPENING
        is_lost = code == ABNORMAL_CLOSURE
        cause = None
        if peer is Peer.TWILIO and call.stream.closed():
            cause = EndReason.TWILIO_LOST if is_lost else EndReason.CALLER_HUNG_UP
        elif peer is Peer.REALTIME and call.session.closed():
            cause = EndReason.REALTIME_LOST if is_lost else EndReason.REALTIME_CLOSED
            cause = EndReason.REALTIME_UNREACHABLE if was_opening else cause
        elif not call.ending.has_started:
            raise LocalProtocolError(f"{peer} is not open, so it cannot have closed")
        if cause is not None:
            call.ending.end(cause, f"{code} {redact(reason)}".rstrip(), now)
        return self._finish_step(now)

    # Commands.

    def send(self, command: Command, now: int) -> list[Action]:
        """Carry out a command of the application; one after the end of the call changes nothing.

        Raises `LocalProtocolError` where it cannot be carried out.
        """
        self._check_time(now)
        if not self._call.ending.has_started:
            on_command.on_command(self._call, command, now)
        return self._finish_step(now)

    # Time.

    def handle_timeout(self, now: int) -> list[Action]:
        """Do what has come due."""
        self._check_time(now)
        while due := self._call.timers.expire(now):
            for timer in due:
                self._expired(timer, now)
        return self._finish_step(now)

    def _expired(self, timer: Timer, now: int) -> None:
        call = self._call
        match timer:
            case Timer.CLOSING:
                call.ending.give_up_closing()
            case _ if call.ending.has_started:
                pass  # due in the same instant as a timer that has ended the call
            case Timer.START:
                what = "no start message was received"
                call.ending.time_out(EndReason.STREAM_NOT_STARTED, Peer.TWILIO, what, now)
            case Timer.CONFIGURATION:
                call.open_session(now)
            case Timer.SESSION:
                what = "the session is not ready"
                call.ending.time_out(EndReason.SESSION_NOT_READY, Peer.REALTIME, what, now)
            case Timer.INACTIVITY:
                on_twilio.fill_inactivity(call, now)
            case Timer.SPEECH_CONFIRMATION:
                on_realtime.evaluate_speech(call, now)
            case Timer.HANGUP_WATCHDOG:
                call.ending.end(EndReason.HUNG_UP, "the stream gave no sign of playing", now)
            case Timer.ROUND_TRIP:
                on_twilio.measure_round_trip(call, now)
            case Timer.PLAYBACK_END:
                pass  # what is deferred until then is run at the end of each step
            case _:
                assert_never(timer)

    # The pipeline.

    def _check_peer(self, peer: Hashable) -> None:
        if not isinstance(peer, Peer):
            raise LocalProtocolError(f"a call has no peer {peer!r}, only those of Peer")

    def _check_time(self, now: int) -> None:
        if self._now is None:
            raise LocalProtocolError("start() must be called before anything else")
        if now < self._now:
            raise LocalProtocolError(f"time runs backwards, from {self._now} to {now} ns")

    def _finish_step(self, now: int) -> list[Action]:
        """Run what was deferred and can be done now; return the actions of the step."""
        self._now = now
        call = self._call
        if call.has_deferred and not call.ending.has_started:
            on_command.run_deferred(call, now)
        return call.outbox.take_actions()

"""`Bridge`: one phone call between Twilio Media Streams and the OpenAI Realtime API.

It is a deterministic sans-IO state machine, a `MessageMachine` with two peers, and also takes the
commands of the application:

    Every method takes `now` and returns what to do. Do it in order. Call `handle_timeout(now)` at
    or after `deadline`. Calling it early changes nothing.

A call in short: Twilio opens its socket and sends `start`; the Realtime session is opened and
configured; the caller's audio goes one way, the model's audio the other; an interruption stops the
sound and sends the model what was heard; the end of either side ends both.
"""

from collections.abc import Hashable
from typing import Final, assert_never

from .call import model_silence, on_command, on_realtime, on_twilio, recovery
from .call.state import CallState
from .commands import Command
from .config.call import CallConfig
from .config.start_delay_history import StartDelayHistory
from .errors import LocalProtocolError, redact
from .machine.actions import ABNORMAL_CLOSURE, TWILIO, Action, Peer, Refusal
from .machine.arguments import (
    BYTES,
    CALLABLE,
    NULL,
    TEXT,
    FieldRule,
    check_instant,
    check_time,
    instance_of,
    integer,
)
from .machine.lifecycles import Lifecycle, LifecycleFactory, SessionState, StreamState
from .machine.reasons import Reason
from .machine.timers import Timer
from .machine.units import MS
from .notifications import CallEndsSoon, EndReason, RealtimeEvent, TwilioMessage
from .values.items import ConversationItem
from .values.playback_position import PlaybackPosition

__all__ = ["Bridge"]

_UNOPENED: Final = StreamState.UNOPENED

_RECEIVING: Final = (SessionState.CONFIGURING, SessionState.READY)
"""When the Realtime server may send events."""

_CONFIG: Final = instance_of(CallConfig) | NULL
_KNOWN_PEER: Final = FieldRule("a Peer, or the peer of an Open action", lambda _value: False)
"""What a peer must be that is none. Which links are known changes during a call."""
_REFUSAL: Final = instance_of(Refusal)
_UNIX_NS: Final = integer(0, 2**63 - 1) | NULL
_CLOSE_CODE: Final = integer(0, 65_535)
"""A close code: two bytes (RFC 6455, section 5.5.1)."""


class Bridge:
    """One call. Its notifications are those of `notifications`, and `Fault`; the last is
    `CallEnded`. After it no input has outputs, and there is no deadline.

    The methods are of four kinds. *Queries* change nothing. *Inputs* say what a peer did.
    *Commands* say what the application wants. *Time* passes in all of them, and in
    `handle_timeout`. All but the queries are steps of one pipeline: check the arguments; decode
    the input and apply it; run what was deferred and can be done now; return the actions. A frame
    of the caller's audio takes the short way: what is deferred waits for an event or a timer.

    Every step raises `LocalProtocolError`, before anything has changed, `reasons` included, if time
    runs backwards, if an argument is of the wrong type (`now` is a whole number of ns, no `float`),
    or if it makes no sense for the peer.

    `make_lifecycle` creates the lifecycles of the call, whose transitions a subclass can observe.
    """

    def __init__(
        self, config: CallConfig | None = None, *, make_lifecycle: LifecycleFactory = Lifecycle
    ) -> None:
        _CONFIG.check("config", config)
        CALLABLE.check("make_lifecycle", make_lifecycle)
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
        check_instant(now)
        return tuple(self._call.downlink.positions(now))

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the last step did what it did where there was a choice, in order; at most 64."""
        return tuple(self._call.outbox.reasons)

    @property
    def start_delay_history(self) -> StartDelayHistory:
        """The start delays that this call has shown so far, for the configuration of later ones."""
        return self._call.downlink.start_delay_history

    # Inputs.

    def start(self, now: int, unix_ns: int | None = None) -> list[Action]:
        """Start the call. Called once, before anything else; Twilio's socket is expected next.

        `unix_ns` is the wall clock at this moment (ns since 1970), for the time at which the server
        says that a session expires. Without it a session lasts an hour.
        """
        if self._now is not None:
            raise LocalProtocolError("start() must be called once, before anything else")
        check_instant(now)
        _UNIX_NS.check("unix_ns", unix_ns)
        self._call.recovery.unix_ns = None if unix_ns is None else unix_ns - now
        return self._finish_step(now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Twilio's socket was accepted, or the Realtime socket is open after `Open`."""
        self._check_peer(peer)
        self._check_time(now)
        call = self._call
        if peer is Peer.TWILIO and call.stream.opened():
            call.timers.set(Timer.START, now + call.config.start_timeout_ms * MS)
        elif peer is Peer.TWILIO or self._is_current(peer) or peer == call.session.next_link:
            is_opened = peer is not Peer.TWILIO and call.session.opened(peer)
            if not is_opened and not call.ending.has_started:
                raise LocalProtocolError(f"{peer} is open already, or was not to be opened")
        return self._finish_step(now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message was received from Twilio, or an event from the Realtime server."""
        if peer is not TWILIO:
            self._check_peer(peer)
        self._check_time(now)
        if type(text) is not str:
            TEXT.check("text", text)
            text = str.__str__(text)  # of a subclass, which no decoder takes
        call = self._call
        if call.ending.cause is not None:
            pass  # sent before our close arrived
        elif peer is TWILIO and call.stream.lifecycle.state is not _UNOPENED:
            if self._notifies_twilio_messages:
                call.outbox.notify(TwilioMessage(text))
            if on_twilio.on_message(call, text, now):  # audio: nothing else waits for it
                self._now = now
                return call.outbox.take_actions()
        elif peer == call.session.link and call.session.state in _RECEIVING:
            if self._notifies_realtime_events:
                call.outbox.notify(RealtimeEvent(text))
            on_realtime.on_event(call, text, now)
        elif peer == call.session.next_link:
            recovery.on_next_event(call, text, now)
        elif peer is TWILIO or self._is_current(peer):
            raise LocalProtocolError(f"{peer} is not open, so no text can come from it")
        return self._finish_step(now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong was received. Those from Twilio measure the round trip."""
        self._check_peer(peer)
        self._check_time(now)
        BYTES.check("payload", payload)
        if peer is Peer.TWILIO:
            self._call.downlink.pong(payload, now)
        return self._finish_step(now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket was closed, by either side, or could not be opened. The end of Twilio's ends the
        call; so does that of the model's where no other session can be had."""
        self._check_peer(peer)
        self._check_time(now)
        _CLOSE_CODE.check("code", code)
        TEXT.check("reason", reason)
        call = self._call
        was_opening = call.session.state is SessionState.OPENING
        is_lost = code == ABNORMAL_CLOSURE
        if peer is Peer.TWILIO and call.stream.closed():
            cause = EndReason.TWILIO_LOST if is_lost else EndReason.CALLER_HUNG_UP
            call.ending.end(cause, f"{code} {redact(reason)}".rstrip(), now)
        elif peer == call.session.link and call.session.closed():
            cause = EndReason.REALTIME_LOST if is_lost else EndReason.REALTIME_CLOSED
            cause = EndReason.REALTIME_UNREACHABLE if was_opening else cause
            if call.ending.has_started:
                call.ending.link_closed()
            else:
                recovery.session_closed(call, cause, code, reason, now)
        elif peer == call.session.next_link:
            recovery.next_closed(call, now)
        elif not call.ending.has_started and (peer is TWILIO or self._is_current(peer)):
            raise LocalProtocolError(f"{peer} is not open, so it cannot have closed")
        return self._finish_step(now)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """The Realtime server has refused the WebSocket that was to be opened."""
        self._check_peer(peer)
        self._check_time(now)
        _REFUSAL.check("refusal", refusal)
        call = self._call
        if peer == call.session.link and call.session.closed():
            if call.ending.has_started:
                call.ending.link_closed()
            else:
                recovery.refused(call, refusal, now)
        elif peer == call.session.next_link:
            recovery.next_closed(call, now)
        elif not call.ending.has_started and (peer is TWILIO or self._is_current(peer)):
            raise LocalProtocolError(f"{peer} is not to be opened, so it cannot be refused")
        return self._finish_step(now)

    # Commands.

    def send(self, command: Command, now: int) -> list[Action]:
        """Carry out a command of the application; one after the end of the call changes nothing.

        Raises `LocalProtocolError` where it cannot be carried out, and for what is no command also
        after the end.
        """
        self._check_time(now)
        on_command.check_command(command)
        if not self._call.ending.has_started:
            on_command.on_command(self._call, command, now)
        return self._finish_step(now)

    # Time.

    def handle_timeout(self, now: int) -> list[Action]:
        """Do what has come due."""
        self._check_time(now)
        while (timer := self._call.timers.expire_next(now)) is not None:
            self._expired(timer, now)
        return self._finish_step(now)

    def _expired(self, timer: Timer, now: int) -> None:  # noqa: C901, PLR0912 - one arm a timer
        call = self._call
        match timer:
            case Timer.CLOSING:
                call.ending.give_up_closing()
            case Timer.START:
                what = "no start message was received"
                call.ending.time_out(EndReason.STREAM_NOT_STARTED, Peer.TWILIO, what, now)
            case Timer.CONFIGURATION:
                call.open_session(now)
            case Timer.SESSION:
                recovery.time_out(call, now)
            case Timer.SESSION_ATTEMPT:
                recovery.abandon_attempt(call, now)
            case Timer.RECONNECT:
                recovery.reconnect(call, now)
            case Timer.WAITING_CLIP:
                recovery.play_waiting_clip(call, now)
            case Timer.ROTATION:
                recovery.rotation_due(call, now)
            case Timer.SESSION_LOSS_ANSWER:
                recovery.ask_expired(call, now)
            case Timer.CALL_LENGTH_WARNING:
                call.outbox.notify(CallEndsSoon(on_twilio.WARNING_NS // MS))
            case Timer.STREAM_IDLE:
                on_twilio.check_idle(call, now)
            case Timer.CALL_LENGTH:
                call.ending.end(EndReason.TOO_LONG, "", now)
            case Timer.INACTIVITY:
                call.fill_inactivity(now)
            case Timer.SPEECH_CONFIRMATION:
                on_realtime.evaluate_speech(call, now)
            case Timer.HANGUP_WATCHDOG:
                on_command.hangup_stalled(call, now)
            case Timer.ROUND_TRIP:
                on_twilio.measure_round_trip(call, now)
            case Timer.TURN_END:
                on_realtime.expire_turn(call)
            case Timer.REQUEST:
                model_silence.end_what_is_lost(call, now)
            case Timer.MODEL_SILENCE:
                model_silence.handle_silence(call, now)
            case Timer.PLAYBACK_END | Timer.SPEECH_STALL:
                pass  # what is deferred until then, or held, is handled at the end of each step
            case _:
                assert_never(timer)

    # The pipeline.

    def _check_peer(self, peer: Hashable) -> None:
        if type(peer) is not Peer and not self._call.session.is_known(peer):
            _KNOWN_PEER.check("peer", peer)

    def _is_current(self, peer: Hashable) -> bool:
        """Whether a peer is the connection to the model that is used, and was not abandoned. What
        is reported of an earlier one was on its way when it was closed."""
        session = self._call.session
        is_closing = session.is_abandoned or session.state is SessionState.CLOSING
        return peer == session.link and not is_closing

    def _check_time(self, now: int) -> None:
        if type(now) is not int or self._now is None or now < self._now:
            check_time(now, self._now)

    def _finish_step(self, now: int) -> list[Action]:
        """Play what was held, send the requests that are due, run what was deferred, each if it
        can be done now; set the timers for what all of it waits for, and for what the model owes;
        return the actions of the step."""
        self._now = now
        call = self._call
        if not call.ending.has_started:
            if call.session.is_next_ready:
                recovery.rotate_if_quiet(call, now)
            if call.downlink.order.has_held:
                call.speech.play_held(now)
            if call.requests.has_queued:
                call.send_due_requests(now)
            if call.has_deferred:
                on_command.run_deferred(call, now)
        if not call.ending.has_started:
            call.watch_playback(now)
            model_silence.watch_model(call, now)
        return call.outbox.take_actions()

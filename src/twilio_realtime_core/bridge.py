"""`Bridge`: one phone call between Twilio Media Streams and OpenAI Realtime, as a pure function.

It is a `MessageMachine` with two peers, and takes the application's commands beside:

    Every method takes `now` and returns what to do. Do it in order. Call `handle_timeout(now)` at
    or after `deadline`. Calling it early changes nothing.

The call in short: Twilio opens its socket and says `start`; the Realtime session is opened and
configured; caller audio goes one way, model audio the other; an interruption stops the sound and
tells the model what was heard; the end of either side ends both.
"""

from collections.abc import Hashable
from typing import Final

from .call import on_command, on_realtime, on_twilio
from .call.state import CallState
from .commands import Command
from .config.call import CallConfig
from .config.start_delay_history import StartDelayHistory
from .errors import LocalProtocolError, redact
from .machine.actions import ABNORMAL_CLOSURE, Action, Peer
from .machine.lifecycles import Lifecycle, LifecycleFactory, SessionState, StreamState
from .machine.timers import Timer
from .notifications import EndReason, RealtimeEvent, TwilioMessage
from .values.items import ConversationItem
from .values.playback_position import PlaybackPosition

__all__ = ["Bridge"]

# Asked for with every message; looking them up in the enum would take 0.1 µs a time.
_TWILIO: Final = Peer.TWILIO
_REALTIME: Final = Peer.REALTIME
_UNOPENED: Final = StreamState.UNOPENED

_TALKING: Final = (SessionState.CONFIGURING, SessionState.READY)
"""When the model's server may say something."""


class Bridge:
    """One call. Its notifications are those of `notifications`, and `Fault`; the last is
    `CallEnded`. After it there are no outputs to any input, and no deadline.

    Every method raises `LocalProtocolError`, before anything has changed, if time runs backwards,
    or if it is called for a peer that it makes no sense for.

    `make_lifecycle` makes the lifecycles of the call; a subclass can observe their transitions.
    """

    def __init__(
        self,
        config: CallConfig | None = None,
        *,
        make_lifecycle: LifecycleFactory = Lifecycle,
    ) -> None:
        self._call = CallState(config or CallConfig(), make_lifecycle)
        self._notifies_twilio_messages = Peer.TWILIO in self._call.config.raw_messages
        self._notifies_realtime_events = Peer.REALTIME in self._call.config.raw_messages
        self._now: int | None = None

    # The contract.

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        return self._call.timers.deadline

    @property
    def has_ended(self) -> bool:
        """Whether `CallEnded` was notified."""
        return self._call.has_ended

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far, in its order, with what was heard of each item."""
        return self._call.conversation.items

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """How far each content part that was not heard to the end has been: what marks confirm,
        what a `clear` sent at `now` would leave heard, what was sent, and how sure that is."""
        return tuple(self._call.downlink.playout.positions(now))

    @property
    def start_delay_history(self) -> StartDelayHistory:
        """What this call has shown of its line so far, for the configuration of later ones."""
        return self._call.downlink.playout.start_delay_history

    def start(self, now: int) -> list[Action]:
        """Begin. Called once, before anything else; Twilio's socket is expected next."""
        if self._now is not None:
            raise LocalProtocolError("start() must be called once, before anything else")
        return self._finish_step(now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Twilio's socket was accepted, or the Realtime socket that was asked for is open."""
        self._check_peer(peer)
        self._check_time(now)
        if peer is Peer.TWILIO and self._call.stream.opened():
            self._call.timers.set(Timer.START, now + self._call.config.start_timeout_ns)
        elif not (peer is Peer.REALTIME and self._call.session.opened()) and self._call.end is None:
            raise LocalProtocolError(f"{peer} is open already, or was not to be opened")
        return self._finish_step(now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message from Twilio, or an event from the model's server."""
        self._check_peer(peer)
        self._check_time(now)
        call = self._call
        if call.end is not None:
            pass  # it has crossed our close
        elif peer is _TWILIO and call.stream.state is not _UNOPENED:
            if self._notifies_twilio_messages:
                call.outbox.notify(TwilioMessage(text))
            on_twilio.on_message(call, text, now)
        elif peer is _REALTIME and call.session.state in _TALKING:
            if self._notifies_realtime_events:
                call.outbox.notify(RealtimeEvent(text))
            on_realtime.on_event(call, text, now)
        else:
            raise LocalProtocolError(f"{peer} is not open, so no text can come from it")
        return self._finish_step(now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come. Those from Twilio answer our measurements of the round trip."""
        self._check_peer(peer)
        self._check_time(now)
        if peer is Peer.TWILIO:
            self._call.downlink.pong(payload, now)
        return self._finish_step(now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone, or could not be opened; whoever closed it, the call ends."""
        self._check_peer(peer)
        self._check_time(now)
        opening = self._call.session.state is SessionState.OPENING
        lost = code == ABNORMAL_CLOSURE
        why = None
        if peer is Peer.TWILIO and self._call.stream.closed():
            why = EndReason.TWILIO_LOST if lost else EndReason.CALLER_HUNG_UP
        elif peer is Peer.REALTIME and self._call.session.closed():
            why = EndReason.REALTIME_LOST if lost else EndReason.REALTIME_CLOSED
            why = EndReason.REALTIME_UNREACHABLE if opening else why
        elif self._call.end is None:
            raise LocalProtocolError(f"{peer} is not open, so it cannot have closed")
        if why is not None:
            self._call.end_call(why, f"{code} {redact(reason)}".rstrip(), now)
        return self._finish_step(now)

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
                call.give_up_closing()
            case _ if call.end is not None:
                pass  # due in the same instant as a timer that has ended the call
            case Timer.START:
                call.time_out(EndReason.STREAM_NOT_STARTED, Peer.TWILIO, "no start came", now)
            case Timer.CONFIGURATION:
                call.open_session(now)
            case Timer.SESSION:
                what = "the session is not ready"
                call.time_out(EndReason.SESSION_NOT_READY, Peer.REALTIME, what, now)
            case Timer.INACTIVITY:
                on_twilio.pad_inactivity(call, now)
            case Timer.SPEECH_CONFIRMATION:
                on_realtime.evaluate_interruption(call, now)
            case Timer.HANGUP_WATCHDOG:
                call.end_call(EndReason.HUNG_UP, "the line gave no sign of playing", now)
            case Timer.ROUND_TRIP:
                on_twilio.measure_round_trip(call, now)
            case _:  # SILENCE, which `_done` looks to; no other timer is set here
                pass

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application; one that comes after the end changes nothing.

        Raises `LocalProtocolError` where it cannot be carried out.
        """
        self._check_time(now)
        if self._call.end is None:
            on_command.on_command(self._call, command, now)
        return self._finish_step(now)

    def _check_peer(self, peer: Hashable) -> None:
        if not isinstance(peer, Peer):
            raise LocalProtocolError(f"a call has no peer {peer!r}, only those of Peer")

    def _check_time(self, now: int) -> None:
        if self._now is None:
            raise LocalProtocolError("start() must be called before anything else")
        if now < self._now:
            raise LocalProtocolError(f"time runs backwards, from {self._now} to {now} ns")

    def _finish_step(self, now: int) -> list[Action]:
        """End a step: time has come this far, and this is to be done."""
        self._now = now
        call = self._call
        if call.has_deferred and call.end is None:
            on_command.run_deferred(call, now)
        return call.outbox.take_actions()

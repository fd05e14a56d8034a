"""`Bridge`: one phone call between Twilio Media Streams and OpenAI Realtime, as a pure function.

It is a `MessageMachine` with two peers, and takes the application's commands beside:

    Every method takes `now` and returns what to do. Do it in order. Call `handle_timeout(now)` at
    or after `deadline`. Calling it early changes nothing.

The call in short: Twilio opens its socket and says `start`; the Realtime session is opened and
configured; caller audio goes one way, model audio the other; an interruption stops the sound and
tells the model what was heard; the end of either side ends both.
"""

from collections.abc import Hashable
from typing import Any, Final

import attrs

from . import realtime, twilio
from .actions import ABNORMAL_CLOSURE, Action, Peer, SendPing
from .audio import count_samples
from .bargein import is_late_cancel
from .commands import Command, Configure, HangUp, Interrupt, SendEvent
from .configuration import CallConfig, check_sendable, pin_event
from .errors import Fault, FaultKind, LocalProtocolError, plain
from .notifications import (
    AgentTranscript,
    CallEnded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallStarted,
    EndReason,
    InterruptionCause,
    KeyPressed,
    RealtimeEvent,
    TwilioMessage,
)
from .outbox import Outbox
from .session import Session
from .speech import Speech
from .states import (
    TURN,
    Lifecycle,
    SessionState,
    StreamState,
    TurnInput,
    TurnState,
)
from .stream import Stream
from .timers import Timer, Timers
from .times import SECOND

__all__ = ["Bridge"]

_ROUND_TRIP_INTERVAL_NS: Final = 5 * SECOND
"""Between measurements of the round trip: paths change in minutes, and a mark costs 100 bytes."""

_TALKING: Final = (SessionState.CONFIGURING, SessionState.READY)
"""When the model's server may say something."""


class Bridge:
    """One call. Its notifications are those of `notifications`, and `Fault`; the last is
    `CallEnded`. After it there are no outputs to any input, and no deadline.

    Every method raises `LocalProtocolError`, before anything has changed, if time runs backwards,
    or if it is called for a peer that it makes no sense for.
    """

    def __init__(self, config: CallConfig | None = None) -> None:
        self._config = config or CallConfig()
        self._tells_twilio = Peer.TWILIO in self._config.raw_messages
        self._tells_realtime = Peer.REALTIME in self._config.raw_messages
        self._now: int | None = None
        self._timers = Timers()
        self._outbox = Outbox()
        self._stream = Stream(self._outbox)
        self._session = Session(self._config.session, self._outbox)
        self._turn = Lifecycle(TURN, TurnState.QUIET)
        self._speech = Speech(self._outbox)
        self._pings = 0
        self._end: CallEnded | None = None

    # The contract.

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        return self._timers.deadline

    def start(self, now: int) -> list[Action]:
        """Begin. Called once, before anything else; Twilio's socket is expected next."""
        if self._now is not None:
            raise LocalProtocolError("start() must be called once, before anything else")
        return self._done(now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Twilio's socket was accepted, or the Realtime socket that was asked for is open."""
        self._check_peer(peer)
        self._check_time(now)
        if peer is Peer.TWILIO and self._stream.opened():
            self._timers.set(Timer.START, now + self._config.start_timeout_ns)
        elif not (peer is Peer.REALTIME and self._session.opened()) and self._end is None:
            raise LocalProtocolError(f"{peer} is open already, or was not to be opened")
        return self._done(now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message from Twilio, or an event from the model's server."""
        self._check_peer(peer)
        self._check_time(now)
        if self._end is not None:
            pass  # it has crossed our close
        elif peer is Peer.TWILIO and self._stream.state is not StreamState.UNOPENED:
            self._from_twilio(text, now)
        elif peer is Peer.REALTIME and self._session.state in _TALKING:
            self._from_realtime(text, now)
        else:
            raise LocalProtocolError(f"{peer} is not open, so no text can come from it")
        return self._done(now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come. Those from Twilio answer our measurements of the round trip."""
        self._check_peer(peer)
        self._check_time(now)
        if peer is Peer.TWILIO:
            self._speech.pong(payload, now)
        return self._done(now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone, or could not be opened; whoever closed it, the call ends."""
        self._check_peer(peer)
        self._check_time(now)
        opening = self._session.state is SessionState.OPENING
        lost = code == ABNORMAL_CLOSURE
        why = None
        if peer is Peer.TWILIO and self._stream.closed():
            why = EndReason.TWILIO_LOST if lost else EndReason.CALLER_HUNG_UP
        elif peer is Peer.REALTIME and self._session.closed():
            why = EndReason.REALTIME_LOST if lost else EndReason.REALTIME_CLOSED
            why = EndReason.REALTIME_UNREACHABLE if opening else why
        elif self._end is None:
            raise LocalProtocolError(f"{peer} is not open, so it cannot have closed")
        if why is not None:
            self._end_call(why, f"{code} {plain(reason)}".rstrip(), now)
        return self._done(now)

    def handle_timeout(self, now: int) -> list[Action]:
        """Do what has come due."""
        self._check_time(now)
        while due := self._timers.expire(now):
            for timer in due:
                self._expired(timer, now)
        return self._done(now)

    def _expired(self, timer: Timer, now: int) -> None:
        match timer:
            case Timer.ENDING:
                self._give_up_closing(now)
            case _ if self._end is not None:
                pass  # due in the same instant as a timer that has ended the call
            case Timer.START:
                self._time_out(EndReason.STREAM_NOT_STARTED, Peer.TWILIO, "no start came", now)
            case Timer.CONFIGURATION:
                self._open_session(now)
            case Timer.SESSION:
                what = "the session is not ready"
                self._time_out(EndReason.SESSION_NOT_READY, Peer.REALTIME, what, now)
            case _:  # ROUND_TRIP: no other timer is set here
                self._measure_round_trip(now)

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application; one that comes after the end changes nothing.

        Raises `LocalProtocolError` where it cannot be carried out.
        """
        self._check_time(now)
        if self._end is None:
            self._check(command)
            self._carry_out(command, now)
        return self._done(now)

    def _check_peer(self, peer: Hashable) -> None:
        if not isinstance(peer, Peer):
            raise LocalProtocolError(f"a call has no peer {peer!r}, only those of Peer")

    def _check_time(self, now: int) -> None:
        if self._now is None:
            raise LocalProtocolError("start() must be called before anything else")
        if now < self._now:
            raise LocalProtocolError(f"time runs backwards, from {self._now} to {now} ns")

    def _done(self, now: int) -> list[Action]:
        """End a step: time has come this far, and this is to be done."""
        self._now = now
        return self._outbox.take()

    # From Twilio.

    def _from_twilio(self, text: str, now: int) -> None:
        if self._tells_twilio:
            self._outbox.notify(TwilioMessage(text))
        message = self._stream.receive(text)
        match message:
            case twilio.CallerMedia():
                self._caller_media(message)
            case twilio.MarkEcho():
                self._speech.echo(message.name, now)
            case twilio.Dtmf():
                self._outbox.notify(KeyPressed(message.digit))
            case twilio.Start():
                self._stream_started(message, now)
            case twilio.Stop():
                self._end_call(EndReason.CALLER_HUNG_UP, "stop", now)
            case _:  # Connected, UnknownMessage, and what the stream has reported
                pass

    def _stream_started(self, message: twilio.Start, now: int) -> None:
        self._timers.stop(Timer.START)
        self._speech.begin(message.stream_sid)
        self._outbox.notify(
            CallStarted(
                message.stream_sid,
                message.call_sid,
                message.account_sid,
                message.custom_parameters,
            )
        )
        self._measure_round_trip(now)
        if self._session.state is SessionState.UNOPENED:
            if self._config.await_configuration_ns:
                self._timers.set(Timer.CONFIGURATION, now + self._config.await_configuration_ns)
            else:
                self._open_session(now)

    def _caller_media(self, message: twilio.CallerMedia) -> None:
        samples = count_samples(message.payload)
        if samples is None:
            self._outbox.fault(
                Peer.TWILIO, FaultKind.BAD_AUDIO, "media: payload is no base64, or empty"
            )
        else:
            self._session.send(realtime.AppendAudio(message.payload), samples)

    def _measure_round_trip(self, now: int) -> None:
        self._pings += 1
        payload = b"round-trip-%d" % self._pings
        self._outbox.add(SendPing(Peer.TWILIO, payload))
        self._speech.measure_round_trip(payload, now)
        self._timers.set(Timer.ROUND_TRIP, now + _ROUND_TRIP_INTERVAL_NS)

    # The session.

    def _open_session(self, now: int) -> None:
        self._timers.stop(Timer.CONFIGURATION)
        self._timers.set(Timer.SESSION, now + self._config.session_timeout_ns)
        self._session.open(self._config.url, self._config.model)

    def _session_updated(self, session: dict[str, Any], now: int) -> None:
        wrong = self._session.updated(session)
        if wrong is None:
            self._timers.stop(Timer.SESSION)
        else:
            self._outbox.fault(Peer.REALTIME, FaultKind.WRONG_FORMAT, wrong)
            self._end_call(EndReason.SESSION_REFUSED, "not the audio format of a phone", now)

    # From the model's server.

    def _from_realtime(self, text: str, now: int) -> None:
        if self._tells_realtime:
            self._outbox.notify(RealtimeEvent(text))
        event = realtime.decode(text)
        match event:
            case realtime.OutputAudioDelta():
                self._speech.audio(event, now)
            case realtime.OutputTranscriptDelta() | realtime.OutputTranscriptDone():
                self._agent_transcript(event)
            case realtime.SpeechStarted():
                self._turn_event(TurnInput.SPEECH_STARTED)
                self._outbox.notify(CallerSpeechStarted(event.item_id, event.audio_start_ms))
                self._speech.interrupt(
                    InterruptionCause.CALLER,
                    now,
                    cancel=True,
                    server_cancels=self._session.server_cancels,
                )
            case realtime.SpeechStopped():
                self._turn_event(TurnInput.SPEECH_STOPPED)
                self._outbox.notify(CallerSpeechStopped(event.item_id, event.audio_end_ms))
            case realtime.SpeechCommitted():
                self._turn_event(TurnInput.COMMITTED)
            case realtime.InputTranscriptDelta():
                self._outbox.notify(CallerTranscript(event.item_id, event.delta or "", final=False))
            case realtime.InputTranscriptCompleted():
                self._outbox.notify(CallerTranscript(event.item_id, event.transcript, final=True))
            case realtime.ResponseCreated():
                self._speech.response_created(event.response)
            case realtime.OutputAudioDone():
                self._speech.audio_done(event, now)
            case realtime.OutputItemDone():
                self._speech.item_done(event)
            case realtime.ResponseDone():
                self._speech.response_done(event.response, now)
            case realtime.SessionUpdated():
                self._session_updated(event.session, now)
            case realtime.ErrorEvent():
                self._server_error(event.error, now)
            case Fault():
                self._outbox.notify(event)
            case _:  # SessionCreated, OtherEvent
                pass

    def _turn_event(self, event: TurnInput) -> None:
        if not self._turn.step(event):
            self._outbox.fault(
                Peer.REALTIME,
                FaultKind.UNEXPECTED,
                f"{event.value} while the caller's turn is {self._turn.state.value}",
            )

    def _agent_transcript(
        self, event: realtime.OutputTranscriptDelta | realtime.OutputTranscriptDone
    ) -> None:
        final = isinstance(event, realtime.OutputTranscriptDone)
        text = event.transcript if isinstance(event, realtime.OutputTranscriptDone) else event.delta
        self._outbox.notify(
            AgentTranscript(event.response_id, event.item_id, event.content_index, text, final)
        )

    def _server_error(self, error: realtime.ServerError, now: int) -> None:
        if is_late_cancel(error):
            return
        what = plain(error.message)
        code = None if error.code is None else plain(error.code)
        self._outbox.fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        if self._session.is_refusal(error):
            self._end_call(EndReason.SESSION_REFUSED, what, now)

    # Commands.

    def _check(self, command: Command) -> None:
        """Raise `LocalProtocolError` if a command cannot be carried out."""
        match command:
            case Configure():
                self._session.check_configurable()
                self._configured(command)
            case SendEvent():
                _check_event(command.event)
                self._session.check_room()
            case Interrupt() | HangUp():
                pass
            case _:
                raise LocalProtocolError(f"{type(command).__name__} is no command")

    def _carry_out(self, command: Command, now: int) -> None:
        match command:
            case Configure():
                self._configure(command, now)
            case SendEvent():
                self._send_event(command.event)
            case Interrupt(cancel=cancel):
                self._speech.interrupt(
                    InterruptionCause.APPLICATION, now, cancel=cancel, server_cancels=False
                )
            case _:  # HangUp
                self._end_call(EndReason.HUNG_UP, "", now)

    def _configure(self, command: Configure, now: int) -> None:
        self._config = self._configured(command)
        self._session.configure(self._config.session)
        if self._stream.state is StreamState.STREAMING:
            self._open_session(now)

    def _configured(self, command: Configure) -> CallConfig:
        given = attrs.asdict(command, recurse=False, filter=lambda _, value: value is not None)
        return attrs.evolve(self._config, **given, await_configuration_ns=0)

    def _send_event(self, event: realtime.ClientEvent) -> None:
        match event:
            case realtime.AppendAudio():
                self._session.send(event, count_samples(event.audio) or 0)
                return
            case realtime.CancelResponse():
                self._speech.cancelled(event)
            case _:
                pass
        self._session.send(pin_event(event))

    # The end.

    def _time_out(self, reason: EndReason, peer: Peer, what: str, now: int) -> None:
        self._outbox.fault(peer, FaultKind.TIMED_OUT, what)
        self._end_call(reason, what, now)

    def _end_call(self, reason: EndReason, detail: str, now: int) -> None:
        """Close what is open; the first cause counts. The call has ended once both are closed."""
        if self._end is None:
            self._end = CallEnded(reason, detail)
            self._timers.stop_all()
            self._timers.set(Timer.ENDING, now + self._config.ending_timeout_ns)
            self._stream.close()
            self._session.close()
        if (self._stream.state, self._session.state) == (StreamState.CLOSED, SessionState.CLOSED):
            self._timers.stop_all()
            self._outbox.notify(self._end)

    def _give_up_closing(self, now: int) -> None:
        """The driver has not told of the end of a socket; the call does not wait for it."""
        self._stream.closed()
        self._session.closed()
        self._end_call(EndReason.HUNG_UP, "", now)  # the reason is known: this only finishes


def _check_event(event: realtime.ClientEvent) -> None:
    """Raise `LocalProtocolError` if an event of the application cannot be sent."""
    if isinstance(event, realtime.AppendAudio) and count_samples(event.audio) is None:
        raise LocalProtocolError("input_audio_buffer.append: audio is no base64, or empty")
    check_sendable(pin_event(event))

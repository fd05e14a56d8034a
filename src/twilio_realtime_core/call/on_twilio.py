"""What each message from Twilio means for the call."""

from typing import Final

from ..audio.payload import count_samples
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import SessionState
from ..machine.timers import Timer
from ..machine.units import SECOND
from ..notifications import CallerAudioPadded, CallStarted, EndReason, KeyPressed, PaddingCause
from ..protocols import twilio
from ..protocols.realtime import AppendAudio
from ..uplink.caller_audio import silence
from .state import Parts

__all__ = ["measure_round_trip", "pad_inactivity", "receive"]

_ROUND_TRIP_INTERVAL_NS: Final = 5 * SECOND
"""Between measurements of the round trip: paths change in minutes, and a mark costs 100 bytes."""


def receive(call: Parts, text: str, now: int) -> None:
    """Take in one message."""
    message = call.stream.receive(text)
    match message:
        case twilio.CallerMedia():
            _caller_media(call, message, now)
        case twilio.MarkEcho():
            if call.line.playout.silent_at is not None:  # else it is that of a probe
                call.sign_of_life(now)
            call.line.echo(message.name, now)
        case twilio.Dtmf():
            call.outbox.notify(KeyPressed(message.digit))
        case twilio.Start():
            _stream_started(call, message, now)
        case twilio.Stop():
            call.end_call(EndReason.CALLER_HUNG_UP, "stop", now)
        case _:  # Connected, UnknownMessage, and what the stream has reported
            pass


def _stream_started(call: Parts, message: twilio.Start, now: int) -> None:
    call.timers.stop(Timer.START)
    call.line.begin(message.stream_sid, now)
    call.caller.begin(call.stream.speaks_mulaw)
    call.outbox.notify(
        CallStarted(
            message.stream_sid,
            message.call_sid,
            message.account_sid,
            message.custom_parameters,
        )
    )
    measure_round_trip(call, now)
    if call.session.state is SessionState.UNOPENED:
        if call.config.await_configuration_ns:
            call.timers.set(Timer.CONFIGURATION, now + call.config.await_configuration_ns)
        else:
            call.open_session(now)


def _caller_media(call: Parts, message: twilio.CallerMedia, now: int) -> None:
    payload = message.payload
    samples = count_samples(payload)
    if samples is None:
        call.outbox.fault(Peer.TWILIO, FaultKind.BAD_AUDIO, "media: payload is no base64, or empty")
        return
    caller = call.caller
    missing = caller.media(message.timestamp_ms, samples, now)
    if missing:
        _pad(call, missing, PaddingCause.GAP)
    if caller.muted:
        payload = silence(samples)
    call.session.send(AppendAudio(payload), samples)


def pad_inactivity(call: Parts, now: int) -> None:
    """The caller speaks, and the next frame of it should have come."""
    missing = call.caller.expire(now)
    if missing:
        _pad(call, missing, PaddingCause.INACTIVITY)
    if call.caller.deadline is not None:
        call.timers.set(Timer.INACTIVITY, call.caller.deadline)


def _pad(call: Parts, samples: int, cause: PaddingCause) -> None:
    call.outbox.notify(CallerAudioPadded(samples, cause))
    call.session.send(AppendAudio(silence(samples)), samples)


def measure_round_trip(call: Parts, now: int) -> None:
    """Ask Twilio for a sign of life, twice: by a ping, and where it tells something by a mark."""
    call.line.measure_round_trip(now)
    call.timers.set(Timer.ROUND_TRIP, now + _ROUND_TRIP_INTERVAL_NS)

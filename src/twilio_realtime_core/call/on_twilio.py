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
from ..uplink.caller_audio import silence_payload
from .state import CallState

__all__ = ["measure_round_trip", "on_message", "pad_inactivity"]

_ROUND_TRIP_INTERVAL_NS: Final = 5 * SECOND
"""Between measurements of the round trip: paths change in minutes, and a mark costs 100 bytes."""


def on_message(call: CallState, text: str, now: int) -> None:
    """Take in one message."""
    message = call.stream.receive(text)
    match message:
        case twilio.MediaEvent():
            _caller_media(call, message, now)
        case twilio.MarkEvent():
            if call.downlink.playout.silent_at_ns is not None:  # else it is that of a probe
                call.reset_hangup_watchdog(now)
            call.downlink.mark_echoed(message.name, now)
        case twilio.DtmfEvent():
            call.outbox.notify(KeyPressed(message.digit))
        case twilio.StartEvent():
            _stream_started(call, message, now)
        case twilio.StopEvent():
            call.end_call(EndReason.CALLER_HUNG_UP, "stop", now)
        case _:  # Connected, UnknownMessage, and what the stream has reported
            pass


def _stream_started(call: CallState, message: twilio.StartEvent, now: int) -> None:
    call.timers.stop(Timer.START)
    call.downlink.start_stream(message.stream_sid, now)
    call.caller_audio.start_stream(call.stream.is_pcmu)
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


def _caller_media(call: CallState, message: twilio.MediaEvent, now: int) -> None:
    payload = message.payload
    samples = count_samples(payload)
    if samples is None:
        call.outbox.notify_fault(
            Peer.TWILIO, FaultKind.BAD_AUDIO, "media: payload is no base64, or empty"
        )
        return
    caller = call.caller_audio
    missing = caller.frame_received(message.timestamp_ms, samples, now)
    if missing:
        _pad(call, missing, PaddingCause.GAP)
    if caller.is_muted:
        payload = silence_payload(samples)
    call.session.send(AppendAudio(payload), samples)


def pad_inactivity(call: CallState, now: int) -> None:
    """The caller speaks, and the next frame of it should have come."""
    missing = call.caller_audio.take_due_silence(now)
    if missing:
        _pad(call, missing, PaddingCause.INACTIVITY)
    if call.caller_audio.deadline is not None:
        call.timers.set(Timer.INACTIVITY, call.caller_audio.deadline)


def _pad(call: CallState, samples: int, cause: PaddingCause) -> None:
    call.outbox.notify(CallerAudioPadded(samples, cause))
    call.session.send(AppendAudio(silence_payload(samples)), samples)


def measure_round_trip(call: CallState, now: int) -> None:
    """Ask Twilio for a sign of life, twice: by a ping, and where it tells something by a mark."""
    call.downlink.measure_round_trip(now)
    call.timers.set(Timer.ROUND_TRIP, now + _ROUND_TRIP_INTERVAL_NS)

"""What each message from Twilio does to the call."""

from typing import Final

from ..audio.pcmu import count_samples
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import SessionState
from ..machine.timers import Timer
from ..machine.units import MS, SECOND
from ..notifications import CallerAudioPadded, CallStarted, EndReason, KeyPressed, PaddingCause
from ..protocols import twilio
from ..protocols.realtime import AppendAudio
from ..uplink.caller_audio import silence_payload
from .state import CallState

__all__ = ["fill_inactivity", "measure_round_trip", "on_message"]

_ROUND_TRIP_INTERVAL_NS: Final = 5 * SECOND
"""Between measurements of the round trip: paths change in minutes, and a mark costs 100 bytes."""


def on_message(call: CallState, text: str, now: int) -> None:
    """Apply one message."""
    message = call.stream.receive(text)
    match message:
        case twilio.MediaEvent():
            _caller_media(call, message, now)
        case twilio.MarkEvent():
            if call.downlink.silent_at_ns is not None:  # else it is that of a probe
                call.reset_hangup_watchdog(now)
            call.downlink.mark_echoed(message.name, now)
        case twilio.DtmfEvent():
            call.outbox.notify(KeyPressed(message.digit))
        case twilio.StartEvent():
            _stream_started(call, message, now)
        case twilio.StopEvent():
            call.ending.end(EndReason.CALLER_HUNG_UP, "stop", now)
        case _:  # ConnectedEvent, UnknownEvent, and what the stream has reported
            pass


def _stream_started(call: CallState, message: twilio.StartEvent, now: int) -> None:
    call.timers.stop(Timer.START)
    call.downlink.start_stream(message.stream_sid, now)
    call.caller_audio.start_stream(is_pcmu=call.stream.is_pcmu)
    call.turns.stream_started()
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
        if call.config.configure_timeout_ms:
            call.timers.set(Timer.CONFIGURATION, now + call.config.configure_timeout_ms * MS)
        else:
            call.open_session(now)


def _caller_media(call: CallState, message: twilio.MediaEvent, now: int) -> None:
    payload = message.payload
    samples = count_samples(payload)
    if samples is None:
        call.outbox.notify_fault(
            Peer.TWILIO, FaultKind.BAD_AUDIO, "media: payload is not base64, or empty"
        )
        return
    missing = call.caller_audio.frame_received(message.timestamp_ms, samples, now)
    if missing:
        _pad(call, missing, PaddingCause.GAP)
    if call.caller_audio.is_muted:
        payload = silence_payload(samples)
    call.session.send(AppendAudio(payload), samples)


def fill_inactivity(call: CallState, now: int) -> None:
    """Send silence in the place of frames that have not arrived while the caller speaks."""
    missing = call.caller_audio.take_due_silence(now, is_speaking=call.turns.is_speaking)
    if missing:
        _pad(call, missing, PaddingCause.INACTIVITY)
    call.set_inactivity_timer()


def _pad(call: CallState, samples: int, cause: PaddingCause) -> None:
    call.outbox.notify(CallerAudioPadded(samples, cause))
    call.session.send(AppendAudio(silence_payload(samples)), samples)


def measure_round_trip(call: CallState, now: int) -> None:
    """Measure the round trip to Twilio: by a ping, and by a mark where that shows it."""
    call.downlink.measure_round_trip(now)
    call.timers.set(Timer.ROUND_TRIP, now + _ROUND_TRIP_INTERVAL_NS)

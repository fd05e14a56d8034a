"""What each message from Twilio does to the call."""

from typing import Final

from ..audio.pcmu import count_samples
from ..errors import FaultKind
from ..machine.actions import POLICY_VIOLATION, Peer
from ..machine.lifecycles import SessionState, StreamInput
from ..machine.timers import Timer
from ..machine.units import FRAME_SAMPLES, MS, SECOND
from ..notifications import CallStarted, EndReason, KeyPressed, PaddingCause
from ..protocols import twilio
from ..protocols.realtime import AppendAudio
from ..uplink.caller_audio import silence_payload
from .state import CallState

__all__ = ["WARNING_NS", "check_idle", "measure_round_trip", "on_message"]

_OUTBOUND: Final = ("outbound", "outbound_track")
"""The track of what the caller hears, which a stream of both tracks carries as well. It must not
reach the model, which would hear itself."""

_ROUTINE: Final = (twilio.MediaEvent, twilio.MarkEvent)
"""Messages that do not count as others: the limit on audio, and the marks sent, limit them."""

_UNKNOWN_MARK: Final = "mark: the echo of a mark that is not expected"

_ROUND_TRIP_INTERVAL_NS: Final = 5 * SECOND
"""Between measurements of the round trip: paths change in minutes, and a mark costs 100 bytes."""

_FIRST_ROUND_TRIPS_NS: Final = SECOND
"""Between the first measurements, until there are enough: longer than any round trip of a call that
can be held, since a ping is forgotten when the next is sent."""

WARNING_NS: Final = 60 * SECOND
"""How long before the call reaches its longest duration the application is notified."""


def on_message(call: CallState, text: str, now: int) -> bool:
    """Apply one message. Return whether it was audio that went to the model, and nothing else."""
    reported = call.stream.reported_count
    message = call.stream.receive(text)
    if isinstance(message, twilio.MediaEvent) and _caller_media(call, message, now):
        return True
    if message is None and call.stream.take_refused() is StreamInput.MEDIA:
        _leave_out_media(call, now)
        return False
    match message:
        case twilio.MarkEvent():
            if call.downlink.silent_at_ns is not None:  # else it is that of a probe
                call.reset_hangup_watchdog(now)
            if not call.downlink.mark_echoed(message.name, now):
                call.stream.report(FaultKind.UNKNOWN_MARK, _UNKNOWN_MARK)
        case twilio.DtmfEvent():
            call.outbox.notify(KeyPressed(message.digit))
        case twilio.StartEvent():
            _stream_started(call, message, now)
        case twilio.StopEvent():
            call.ending.end(EndReason.CALLER_HUNG_UP, "stop", now)
        case _:  # ConnectedEvent, UnknownEvent, audio that is left out, what the stream reported
            pass
    is_routine = isinstance(message, _ROUTINE) and call.stream.reported_count == reported
    if not is_routine and not call.stream_rate.take_message(now):
        _end_over_limit(call, "too many messages that are neither audio nor marks", now)
    return False


def _stream_started(call: CallState, message: twilio.StartEvent, now: int) -> None:
    call.timers.stop(Timer.START)
    call.last_media_ns = now
    if call.config.idle_timeout_ms is not None:
        call.timers.set(Timer.STREAM_IDLE, now + call.config.idle_timeout_ms * MS)
    if call.config.max_call_ms is not None and not call.timers.is_set(Timer.CALL_LENGTH):
        ends_at_ns = now + call.config.max_call_ms * MS
        call.timers.set(Timer.CALL_LENGTH, ends_at_ns)
        if ends_at_ns - WARNING_NS > now:
            call.timers.set(Timer.CALL_LENGTH_WARNING, ends_at_ns - WARNING_NS)
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


def _caller_media(call: CallState, message: twilio.MediaEvent, now: int) -> bool:
    """Send audio to the model. `False`: it was left out."""
    media = message.media
    if media.track != "inbound" and media.track in _OUTBOUND:
        call.stream.report_outbound_media()
        _leave_out_media(call, now)
        return False
    payload = media.payload
    samples = count_samples(payload)
    if samples is None:
        call.stream.report(FaultKind.BAD_AUDIO, "media: payload is not base64, or empty")
        return False
    if not call.stream_rate.take_media(samples, now):
        _end_over_limit(call, "audio faster than it can be spoken", now)
        return False
    call.last_media_ns = now
    missing = call.caller_audio.frame_received(media.timestamp_ms, samples, now)
    if missing:
        call.pad_caller_audio(missing, PaddingCause.GAP)
    if call.caller_audio.is_muted:
        payload = silence_payload(samples)
    call.session.send(AppendAudio(payload), samples)
    return True


def _leave_out_media(call: CallState, now: int) -> None:
    """Count a frame that is no audio of the caller's, so that a flood of them ends the call."""
    if not call.stream_rate.take_media(FRAME_SAMPLES, now):
        _end_over_limit(call, "audio faster than it can be spoken", now)


def _end_over_limit(call: CallState, what: str, now: int) -> None:
    call.outbox.notify_fault(Peer.TWILIO, FaultKind.TOO_MANY, what)
    call.ending.end(EndReason.STREAM_OVER_LIMIT, what, now, stream_code=POLICY_VIOLATION)


def check_idle(call: CallState, now: int) -> None:
    """End the call if no audio was received for too long."""
    idle_at_ns = call.last_media_ns + (call.config.idle_timeout_ms or 0) * MS
    if idle_at_ns > now:
        call.timers.set(Timer.STREAM_IDLE, idle_at_ns)
    else:
        what = "the stream sends no audio"
        call.ending.time_out(EndReason.STREAM_IDLE, Peer.TWILIO, what, now)


def measure_round_trip(call: CallState, now: int) -> None:
    """Measure the round trip to Twilio: by a ping, and by a mark where that shows it. The first few
    follow quickly, since one alone is as wrong as the jitter of both ways."""
    call.downlink.measure_round_trip(now)
    is_measured = call.downlink.is_round_trip_measured
    interval_ns = _ROUND_TRIP_INTERVAL_NS if is_measured else _FIRST_ROUND_TRIPS_NS
    call.timers.set(Timer.ROUND_TRIP, now + interval_ns)

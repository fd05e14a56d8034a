"""What each message from Twilio does to a call."""

from typing import Any

import pytest

from calling import (
    OTHER_SID,
    SESSION,
    SID,
    Call,
    StepResult,
    audio,
    connected,
    dtmf,
    mark,
    media,
    response_done,
    speech_started,
    start,
    stop,
)
from twilio_realtime_core import CallConfig, Fault, FaultKind, HangUp, Mute, Peer
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioPadded,
    CallStarted,
    EndReason,
    KeyPressed,
    PaddingCause,
)
from twilio_realtime_core.protocols.realtime import AppendAudio
from twilio_realtime_core.uplink.caller_audio import silence_payload

FRAME = audio(160, 7)
SECOND_OF_SILENCE = CallerAudioPadded(8000, PaddingCause.INACTIVITY)
SPEECH_STOPPED = {"type": "input_audio_buffer.speech_stopped", "item_id": "u", "audio_end_ms": 9}


def frame(timestamp: str | None, payload: str = FRAME, sid: str = SID) -> dict[str, Any]:
    """A frame of 20 ms, with a timestamp in ms since the start of the stream."""
    message = media(payload, sid)
    del message["media"]["timestamp"]
    if timestamp is not None:
        message["media"]["timestamp"] = timestamp
    return message


def frames(call: Call, *timestamps: str | None) -> StepResult:
    """Frames with these timestamps; what the last one led to."""
    return [call.phone(frame(each)) for each in timestamps][-1]


def speaking(config: CallConfig | None = None) -> Call:
    """The caller has started to speak, and one frame of it was received."""
    call = Call.ready(config)
    call.model(speech_started())
    call.phone(frame("100"))
    return call


def gap(samples: int) -> list[CallerAudioPadded]:
    return [CallerAudioPadded(samples, PaddingCause.GAP)]


# Gaps in the caller's audio.


def test_a_lost_frame_is_replaced_by_silence() -> None:
    """S19."""
    done = frames(Call.ready(), "100", "140")
    assert done.to_model == [AppendAudio(silence_payload(160)), AppendAudio(FRAME)]
    assert done.notified(CallerAudioPadded) == gap(160)


def test_a_timely_frame_has_no_silence_before_it() -> None:
    assert frames(Call.ready(), "100", "120").to_model == [AppendAudio(FRAME)]


def test_silence_is_queued_for_the_session_in_its_place() -> None:
    call = Call.connected()
    assert frames(call, "100", "140").notified(CallerAudioPadded) == gap(160)
    updated = call.model(type="session.updated", session=SESSION)
    assert updated.to_model == [AppendAudio(each) for each in (FRAME, silence_payload(160), FRAME)]


@pytest.mark.parametrize(
    "format_",
    [
        {"encoding": "audio/l16", "sampleRate": 8000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2},
    ],
)
def test_audio_of_another_format_is_not_padded(format_: dict[str, Any]) -> None:
    """S20."""
    call = Call.answered()
    call.phone(connected())
    assert call.phone(start(mediaFormat=format_)).faults == [FaultKind.WRONG_FORMAT]
    call.phone(mark("0"))
    call.opened_and_configured()
    call.model(speech_started())
    assert frames(call, "100", "900").to_model == [AppendAudio(FRAME)]
    assert call.wait(10_000).notified(CallerAudioPadded) == []


@pytest.mark.parametrize("timestamp", [None, "", " ", "NaN", "soon", "-1"])
def test_nothing_is_inferred_from_an_invalid_timestamp(timestamp: str | None) -> None:
    """S21."""
    call = Call.ready()
    frames(call, "100")
    assert frames(call, timestamp).to_model == [AppendAudio(FRAME)]
    assert frames(call, "900").to_model == [AppendAudio(FRAME)]


def test_a_timestamp_that_runs_backwards_starts_anew() -> None:
    """S22."""
    call = Call.ready()
    assert frames(call, "5000", "100").to_model == [AppendAudio(FRAME)]
    assert frames(call, "140").notified(CallerAudioPadded) == gap(160)


def test_a_gap_of_twenty_seconds_is_filled_with_ten() -> None:
    """S23."""
    done = frames(Call.ready(), "100", "20120")
    assert done.notified(CallerAudioPadded) == gap(80_000)
    assert done.to_model == [AppendAudio(silence_payload(80_000)), AppendAudio(FRAME)]


def test_another_stream_starts_anew_without_a_speaking_caller() -> None:
    """S30."""
    call = speaking()
    call.phone(start(OTHER_SID))
    other = frame("5000", sid=OTHER_SID)
    assert call.phone(other).notified(CallerAudioPadded) == []
    assert call.wait(10_000).notified(CallerAudioPadded) == []


# A caller whose frames stop.


def test_silence_follows_a_speaking_caller_whose_frames_stop() -> None:
    """S24."""
    call = speaking()
    assert call.wait(749).to_model == []
    done = call.wait(1)
    assert done.to_model == [AppendAudio(silence_payload(8000))]
    assert done.notified(CallerAudioPadded) == [SECOND_OF_SILENCE]
    assert call.wait(4_250).notified(CallerAudioPadded) == []
    assert call.phone(frame("5120")).to_model == [AppendAudio(FRAME)]


def test_each_frame_restarts_the_inactivity_timeout() -> None:
    call = speaking()
    for number in range(5):
        assert call.wait(700).notified(CallerAudioPadded) == []
        call.phone(frame(str(120 + 20 * number)))
    assert call.wait(750).notified(CallerAudioPadded) == [SECOND_OF_SILENCE]


def test_no_silence_follows_a_caller_who_has_stopped() -> None:
    """S26."""
    call = speaking()
    call.wait(700)
    call.model(SPEECH_STOPPED)
    assert call.wait(10_000).notified(CallerAudioPadded) == []


def test_the_inactivity_timeout_is_as_configured() -> None:
    """S27."""
    call = speaking(CallConfig(inactivity_timeout_ms=250))
    assert call.wait(249).notified(CallerAudioPadded) == []
    assert call.wait(1).notified(CallerAudioPadded) == [SECOND_OF_SILENCE]


def test_no_silence_follows_without_a_timeout() -> None:
    """S28."""
    call = speaking(CallConfig(inactivity_timeout_ms=None))
    assert call.wait(10_000).notified(CallerAudioPadded) == []


# Muted, or no audio at all.


def test_gaps_of_a_muted_caller_are_filled_too() -> None:
    call = Call.ready()
    call.send(Mute())
    done = frames(call, "100", "140")
    assert done.to_model == [AppendAudio(silence_payload(160)), AppendAudio(silence_payload(160))]
    assert done.notified(CallerAudioPadded) == gap(160)


def test_a_frame_that_is_no_audio_leaves_a_gap() -> None:
    call = Call.ready()
    call.phone(frame("100"))
    bad = call.phone(frame("120", payload="not base64"))
    assert (bad.faults, bad.to_model) == ([FaultKind.BAD_AUDIO], [])
    assert call.phone(frame("140")).notified(CallerAudioPadded) == gap(160)


# Other messages.


def test_a_start_is_notified_measured_and_opens_the_session() -> None:
    call = Call.answered()
    call.phone(connected())
    done = call.phone(start())
    assert done.notified(CallStarted) == [CallStarted("MZ1", "CA1", "AC1", {"who": "Ann"})]
    assert (len(done.pings), done.marks, len(done.urls)) == (1, ["0"], 1)
    assert call.wait(0).actions == []


def test_the_session_may_be_opened_after_the_configure_timeout() -> None:
    call = Call.answered(CallConfig(configure_timeout_ms=1_000))
    assert call.phone(start()).urls == []
    assert call.wait(999).urls == []
    assert len(call.wait(1).urls) == 1


def test_the_round_trip_is_measured_every_second_at_first() -> None:
    call = Call.ready()
    assert call.wait(999).pings == []
    assert len(call.wait(1).pings) == 1
    assert len(call.wait(20_000).pings) == 20  # no answer


def test_an_echo_is_a_sign_of_playing() -> None:
    """S82."""
    call = Call.talking(*[8000] * 30)
    call.model(response_done())
    call.send(HangUp(after_playback=True))
    call.wait(9_000)
    assert call.phone(mark("1")).closes == []
    assert call.wait(9_900).closes == []
    assert call.wait(200).closes == [Peer.TWILIO, Peer.REALTIME]


def test_a_key_is_notified_and_an_unknown_mark_reported() -> None:
    call = Call.ready()
    assert call.phone(dtmf("5")).events == [KeyPressed("5")]


def test_what_is_no_key_is_a_fault_once_in_a_stream() -> None:
    call = Call.ready()
    assert call.phone(dtmf("12")).faults == [FaultKind.BAD_MESSAGE]
    assert call.phone(dtmf("w")).events == []
    assert call.phone(dtmf("5")).events == [KeyPressed("5")]
    assert call.phone(mark("77")).faults == [FaultKind.UNKNOWN_MARK]


@pytest.mark.parametrize("message", [{"event": "weather"}, connected()])
def test_an_unexpected_or_unknown_message_has_no_effect(message: dict[str, Any]) -> None:
    done = Call.ready().phone(message)
    assert (done.to_model, done.to_twilio, done.closes) == ([], [], [])


def test_a_stop_ends_the_call() -> None:
    call = Call.ready()
    assert call.phone(stop()).closes == [Peer.TWILIO, Peer.REALTIME]
    call.closed(Peer.TWILIO)
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert (ended.reason, ended.detail) == (EndReason.CALLER_HUNG_UP, "stop")


# Silence counts from the last frame.


def test_silence_is_sent_at_once_where_frames_have_been_missing() -> None:
    call = Call.ready()
    call.phone(frame("0"))
    call.wait(1000)
    done = call.model(speech_started())
    assert done.notified(CallerAudioPadded) == [SECOND_OF_SILENCE]
    assert AppendAudio(silence_payload(8000)) in done.to_model
    assert not call.wait(5000).notified(CallerAudioPadded)


def test_the_rest_of_the_time_is_waited_for() -> None:
    call = Call.ready()
    call.phone(frame("0"))
    call.wait(500)
    assert not call.model(speech_started()).notified(CallerAudioPadded)
    assert not call.wait(249).notified(CallerAudioPadded)
    assert call.wait(1).notified(CallerAudioPadded) == [SECOND_OF_SILENCE]


def test_no_silence_is_sent_before_the_first_frame() -> None:
    call = Call.ready()
    call.wait(1000)
    assert not call.model(speech_started()).notified(CallerAudioPadded)
    assert not call.wait(5000).notified(CallerAudioPadded)


# Late frames.


def test_frames_out_of_order_are_sent_as_received_and_not_padded() -> None:
    call = Call.ready()
    payloads = [audio(160, value) for value in range(3)]
    for timestamp, payload in zip(("100", "80", "120"), payloads, strict=True):
        assert call.phone(frame(timestamp, payload)).to_model == [AppendAudio(payload)]


# Streams of both tracks.


def outbound(timestamp: str = "100", track: object = "outbound") -> dict[str, Any]:
    message = frame(timestamp)
    message["media"]["track"] = track
    return message


@pytest.mark.parametrize("track", ["outbound", "outbound_track"])
def test_audio_of_the_outbound_track_is_left_out_and_notified_once(track: str) -> None:
    call = Call.ready()
    assert call.phone(outbound(track=track)).faults == [FaultKind.UNEXPECTED]
    for timestamp in range(120, 500, 20):
        assert call.phone(outbound(str(timestamp), track)).actions == []
        assert call.phone(frame(str(timestamp))).to_model == [AppendAudio(FRAME)]


@pytest.mark.parametrize("track", ["inbound", None, 5])
def test_audio_of_any_other_track_is_the_callers(track: object) -> None:
    assert Call.ready().phone(outbound(track=track)).to_model == [AppendAudio(FRAME)]


def test_a_stream_that_is_not_bidirectional_is_notified() -> None:
    done = Call.answered().phone(start(tracks=["inbound", "outbound"]))
    (fault,) = done.notified(Fault)
    assert fault.kind is FaultKind.UNEXPECTED
    assert "<Connect><Stream>" in fault.message
    assert done.notified(CallStarted)


@pytest.mark.parametrize("tracks", [["inbound"], [], None, "outbound", [{}]])
def test_any_other_stream_is_not(tracks: object) -> None:
    assert Call.answered().phone(start(tracks=tracks)).faults == []


def test_another_stream_of_both_tracks_is_notified_again() -> None:
    call = Call.ready()
    call.phone(outbound())
    call.phone(start(OTHER_SID))
    message = {**outbound(), "streamSid": OTHER_SID}
    assert call.phone(message).faults == [FaultKind.UNEXPECTED]
    assert call.phone(message).faults == []


# A start that is lost.


def test_frames_without_a_start_are_one_fault_and_the_call_ends() -> None:
    call, faults = Call.answered(), list[FaultKind]()
    call.phone(connected())
    for number in range(500):
        faults += call.phone(frame(str(20 * number))).faults
        faults += call.wait(20).faults
    assert faults == [FaultKind.UNEXPECTED, FaultKind.TIMED_OUT]
    call.closed(Peer.TWILIO)
    assert call.wait(0).actions == []


@pytest.mark.parametrize("message", [media(FRAME, OTHER_SID), dtmf("1", OTHER_SID), mark("x", "?")])
def test_messages_of_another_stream_are_one_fault(message: dict[str, Any]) -> None:
    call = Call.ready()
    assert call.phone(message).faults == [FaultKind.WRONG_STREAM]
    for _ in range(10):
        assert call.phone(message).actions == []


# A start without a media format.


@pytest.mark.parametrize("format_", [{}, None, {"encoding": "audio/x-mulaw"}, {"channels": 1}])
def test_a_format_that_is_not_stated_is_that_of_every_stream(format_: object) -> None:
    call = Call.answered()
    assert call.phone(start(mediaFormat=format_)).faults == []
    call.opened_and_configured()
    call.phone(frame("100"))
    assert call.phone(frame("140")).notified(CallerAudioPadded)


def test_a_flood_of_frames_that_are_left_out_ends_the_call() -> None:
    call = Call.ready()
    faults = [each for _ in range(4000) for each in call.phone(outbound()).faults]
    assert faults == [FaultKind.UNEXPECTED, FaultKind.TOO_MANY]

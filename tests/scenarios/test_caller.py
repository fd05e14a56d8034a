"""Messages from Twilio: audio with and without gaps, messages out of order, and wrong ones."""

from base64 import b64encode
from typing import Any

import pytest

from calling import (
    OTHER_SID,
    PCMU,
    SID,
    Call,
    StepResult,
    audio,
    connected,
    created,
    delta,
    mark,
    media,
    speech_started,
    start,
)
from scenario_phone import Phone
from twilio_realtime_core import (
    CallConfig,
    Fault,
    FaultKind,
    Interrupt,
    LocalProtocolError,
    Peer,
    SendAudio,
    SendEvent,
    SessionConfig,
)
from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.notifications import CallEnded, CallerAudioPadded, EndReason, PaddingCause
from twilio_realtime_core.protocols.realtime import AppendAudio, TruncateItem, UpdateSession
from twilio_realtime_core.protocols.twilio import Clear

FRAME = AppendAudio(audio(160))
SECRET = "0a1b-secret"
PCM = {"type": "audio/pcm", "rate": 24000}


def frame(timestamp: str | None, sid: str = SID) -> dict[str, Any]:
    """A frame of the caller's, stamped so."""
    message = media(audio(160), sid)
    stamp = {} if timestamp is None else {"timestamp": timestamp}
    body = {key: value for key, value in message["media"].items() if key != "timestamp"}
    return {**message, "media": {**body, **stamp}}


def silence(samples: int) -> AppendAudio:
    return AppendAudio(b64encode(b"\xff" * samples).decode())


def of_frames(call: Call, *timestamps: str | None) -> list[Any]:
    """What the model is sent for frames with these stamps."""
    return [each for stamp in timestamps for each in call.phone(frame(stamp)).to_model]


def speaking(timeout_ms: int | None = 750) -> Call:
    """A caller who speaks, and whose last frame was just received."""
    call = Call.ready(CallConfig(inactivity_timeout_ms=timeout_ms))
    call.model(speech_started())
    call.phone(frame("100"))
    return call


def padded(done: StepResult) -> list[CallerAudioPadded]:
    return done.notified(CallerAudioPadded)


# Formats.


def test_s16_any_session_is_sent_with_both_formats() -> None:
    more = {"audio": {"input": {"extra": 1}}}
    defaults = {"turn_detection": {"type": "semantic_vad"}, "transcription": None}
    for session, kept in (
        (SessionConfig(turn_detection=UNSET, transcription=UNSET), {}),
        (SessionConfig(transcription=None, extra_fields=more), {**defaults, "extra": 1}),
    ):
        call = Call.streaming(CallConfig(session=session))
        (update,) = call.opened(Peer.REALTIME).to_model
        assert isinstance(update, UpdateSession)
        assert update.session["audio"] == {
            "input": {"format": PCMU, **kept},
            "output": {"format": PCMU},
        }


@pytest.mark.parametrize("way", ["input", "output"])
def test_s16_a_raw_update_to_another_format_is_refused(way: str) -> None:
    """S16: noise in the caller's ear is never what was meant."""
    call = Call.ready()
    session = {"type": "realtime", "audio": {way: {"format": PCM}}}
    with pytest.raises(LocalProtocolError, match=f"audio.{way}.format"):
        call.send(SendEvent({"type": "session.update", "session": session}))
    partial = {"type": "realtime", "audio": {way: {"extra": 1}}}
    (update,) = call.send(SendEvent({"type": "session.update", "session": partial})).to_model
    assert isinstance(update, UpdateSession)
    assert update.session["audio"][way] == {"extra": 1, "format": PCMU}


@pytest.mark.parametrize("format_", [PCMU, {**PCMU, "rate": 8000}])
def test_s59_the_server_may_spell_the_format_differently(format_: Any) -> None:
    session = {
        "type": "realtime",
        "audio": {"input": {"format": format_}, "output": {"format": format_}},
    }
    call = Phone.ready(session=session)
    call.model(created())
    call.model(delta(4000))
    call.wait(300)
    assert call.send(Interrupt()).to_model[-1] == TruncateItem("i", 0, 300)


@pytest.mark.parametrize("format_", [PCM, {"type": "audio/pcma"}, "g711_ulaw", None])
def test_s59_a_server_that_takes_another_format_ends_the_call(format_: Any) -> None:
    session = {
        "type": "realtime",
        "audio": {"input": {"format": PCMU}, "output": {"format": format_}},
    }
    call = Call.connected()
    done = call.model(type="session.updated", session=session)
    assert done.faults == [FaultKind.WRONG_FORMAT]
    assert done.closes == [Peer.TWILIO, Peer.REALTIME]


# What is forwarded.


def test_s18_frames_before_the_session_are_sent_in_order() -> None:
    """S18: they are not lost, so that the caller's first word is heard."""
    call = Call.connected()
    early = [media(audio(160, value)) for value in range(3)]
    assert [call.phone(each).to_model for each in early] == [[], [], []]
    session = {"type": "realtime", "audio": {way: {"format": PCMU} for way in ("input", "output")}}
    assert call.model(type="session.updated", session=session).to_model == [
        AppendAudio(audio(160, value)) for value in range(3)
    ]


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, EndReason.CALLER_HUNG_UP), (1006, EndReason.TWILIO_LOST)]
)
def test_s18_the_end_of_one_socket_closes_the_other(code: int, reason: EndReason) -> None:
    call = Call.ready()
    assert call.closed(Peer.TWILIO, code).closes == [Peer.REALTIME]
    (ended,) = call.closed(Peer.REALTIME).notified(CallEnded)
    assert ended.reason is reason


def test_s50_audio_of_the_application_is_queued_until_the_session() -> None:
    call = Call.connected()
    assert call.send(SendAudio(b"\0" * 160)).to_model == []
    session = {"type": "realtime", "audio": {way: {"format": PCMU} for way in ("input", "output")}}
    assert call.model(type="session.updated", session=session).to_model == [FRAME]
    assert call.send(SendAudio(b"\0" * 160)).to_model == [FRAME]
    call.closed(Peer.REALTIME)
    assert call.send(SendAudio(b"\0" * 160)).actions == []


# Gaps.


def test_s19_a_missing_frame_becomes_silence() -> None:
    call = Call.ready()
    assert of_frames(call, "100", "140") == [FRAME, silence(160), FRAME]


def test_s20_audio_of_another_format_gets_no_silence() -> None:
    call = Call.answered()
    call.phone(connected())
    alaw = {"encoding": "audio/x-alaw", "sampleRate": 8000, "channels": 1}
    assert call.phone(start(mediaFormat=alaw)).faults == [FaultKind.WRONG_FORMAT]
    call.opened_and_configured()
    assert of_frames(call, "100", "900") == [FRAME, FRAME]
    call.model(speech_started())
    assert padded(call.wait(5000)) == []


@pytest.mark.parametrize("stamp", [None, "", " ", "NaN", "soon"])
def test_s21_nothing_is_inferred_without_a_timestamp(stamp: str | None) -> None:
    assert of_frames(Call.ready(), "100", stamp, "900", "920") == [FRAME] * 4


def test_s22_a_clock_set_back_starts_anew() -> None:
    assert of_frames(Call.ready(), "1000", "500", "520") == [FRAME] * 3


def test_s23_a_gap_of_twenty_seconds_is_filled_with_ten() -> None:
    call = Call.ready()
    assert of_frames(call, "100", "20120") == [FRAME, silence(80_000), FRAME]


def test_s24_silence_follows_a_speaker_whose_frames_stop() -> None:
    call = speaking()
    assert call.wait(749).to_model == []
    assert call.wait(1).to_model == [silence(8000)]
    assert call.wait(4250).to_model == []
    done = call.phone(frame("5120"))
    assert (done.to_model, padded(done)) == ([FRAME], [])


def test_s26_no_silence_follows_a_speaker_who_stopped() -> None:
    call = speaking()
    call.wait(700)
    call.model(type="input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=1000)
    assert padded(call.wait(5000)) == []


def test_s27_the_inactivity_timeout_is_as_configured() -> None:
    call = speaking(250)
    assert padded(call.wait(250)) == [CallerAudioPadded(8000, PaddingCause.INACTIVITY)]


def test_s28_no_silence_follows_without_a_timeout() -> None:
    assert padded(speaking(None).wait(10_000)) == []


def test_s30_another_stream_has_no_gap_and_no_speaker() -> None:
    call = speaking()
    call.phone(start(OTHER_SID))
    assert call.phone(frame("9000", OTHER_SID)).to_model == [FRAME]
    assert padded(call.wait(5000)) == []


def test_s33_the_clear_goes_to_the_current_stream() -> None:
    call = Phone.talking(8000)
    call.wait(300)
    call.phone(start(OTHER_SID))
    call.model(delta(800, item="j"))
    call.wait(60)
    done = call.send(Interrupt())
    assert done.to_twilio == [Clear(OTHER_SID)]
    assert TruncateItem("j", 0, 60) in done.to_model


# Marks, and faults of wrong messages.


def test_s31_a_fault_shows_nothing_of_the_message() -> None:
    """S31: the core writes no logs; a log can hold only what it notifies."""
    call = Call.ready()
    wrong = [
        call.phone(mark(SECRET)),
        call.phone(f'{{"event": "{SECRET}'),
        call.phone({"event": "mark", "streamSid": SID, "mark": {"title": SECRET}}),
        call.phone(media(f"{SECRET}!")),
        call.phone(media(audio(160), SECRET)),
        call.model(f'{{"type": "{SECRET}'),
        call.model({**delta(1), "delta": f"{SECRET}!"}),
    ]
    assert [len(done.notified(Fault)) for done in wrong] == [1] * len(wrong)
    assert SECRET not in repr([done.events for done in wrong])


def test_s32_mark_names_are_unique_and_without_meaning() -> None:
    """S32: what a mark stands for is the bridge's to remember. A name that counts from the
    beginning for each item, or after a `clear`, can be that of an earlier mark."""
    call = Phone.ready()
    call.model(created())
    names = [
        name for item in "ij" for _ in range(4) for name in call.model(delta(2000, item=item)).marks
    ]
    names += call.send(Interrupt()).marks
    call.model(created("s"))
    names += call.model(delta(2000, "s", "k")).marks
    call.phone(start(OTHER_SID))
    names += call.model(delta(2000, "s", "k")).marks
    assert len(names) > 6
    assert len(set(names)) == len(names)
    assert all(name.isdecimal() for name in names)

"""Where the simulated server hears speech start and stop."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.model.audio_formats import format_of
from twilio_realtime.sim.model.input_audio_buffer import InputAudio
from twilio_realtime.sim.model.vad import (
    FRAME_MS,
    SpeechStarted,
    SpeechStopped,
    TurnDetection,
    VoiceActivity,
)

PCMU = format_of({"type": "audio/pcmu"})
PCMA = format_of({"type": "audio/pcma"})
PCM = format_of({"type": "audio/pcm", "rate": 24000})


def server_vad(**changes: Any) -> TurnDetection:
    usual = {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
    }
    return TurnDetection.of(usual | changes)


def quiet(ms: int) -> bytes:
    return bytes(8 * ms)


def loud(ms: int, level: int = 40) -> bytes:
    return bytes([level]) * (8 * ms)


def test_a_turn_starts_before_its_first_loud_frame_and_ends_after_the_silence() -> None:
    ear = VoiceActivity(server_vad())
    heard = ear.hear(quiet(1760) + loud(2272) + quiet(400))
    # 1760 = 55 frames; 7 frames of silence are the first to last 200 ms.
    assert heard == [SpeechStarted(1460), SpeechStopped(1760 + 2272 + 224)]


def test_a_turn_that_starts_with_the_audio_starts_at_0() -> None:
    assert VoiceActivity(server_vad()).hear(loud(32)) == [SpeechStarted(0)]


def test_offsets_run_on_from_turn_to_turn() -> None:
    ear = VoiceActivity(server_vad())
    ear.hear(quiet(320) + loud(320) + quiet(320))
    assert ear.hear(quiet(320) + loud(320))[0] == SpeechStarted(1280 - 300)


def test_a_pause_shorter_than_the_silence_does_not_end_a_turn() -> None:
    ear = VoiceActivity(server_vad(silence_duration_ms=500))
    assert len(ear.hear(loud(320) + quiet(480) + loud(320) + quiet(480))) == 1
    assert ear.speaking


@pytest.mark.parametrize(("threshold", "hears"), [(0.1, True), (0.5, True), (1.0, False)])
def test_a_higher_threshold_needs_louder_audio(threshold: float, *, hears: bool) -> None:
    ear = VoiceActivity(server_vad(threshold=threshold))
    assert bool(ear.hear(loud(64, level=3))) is hears


def test_silence_is_no_speech_at_any_threshold() -> None:
    assert VoiceActivity(server_vad(threshold=0)).hear(quiet(640)) == []


@pytest.mark.parametrize(
    ("eagerness", "silence_ms"), [("low", 2016), ("auto", 1024), ("medium", 1024), ("high", 512)]
)
def test_semantic_vad_waits_by_eagerness(eagerness: str, silence_ms: int) -> None:
    ear = VoiceActivity(TurnDetection.of({"type": "semantic_vad", "eagerness": eagerness}))
    heard = ear.hear(quiet(640) + loud(640) + quiet(4000))
    assert heard == [SpeechStarted(340), SpeechStopped(1280 + silence_ms)]


def test_forgotten_speech_leaves_nothing_but_the_time_it_took() -> None:
    ear = VoiceActivity(server_vad(prefix_padding_ms=0))
    ear.hear(loud(32 + 31))
    ear.forget()
    assert ear.hear(quiet(33)) == []
    assert ear.hear(loud(32)) == [SpeechStarted(96)]


def test_without_settings_nothing_is_heard_but_time_goes_on() -> None:
    ear = VoiceActivity(None)
    assert ear.hear(loud(640)) == []
    ear.settings = server_vad(prefix_padding_ms=0)
    assert ear.hear(loud(32)) == [SpeechStarted(640)]


@given(
    spans=st.lists(st.tuples(st.booleans(), st.integers(1, 900)), max_size=12),
    cuts=st.lists(st.integers(1, 4000), max_size=20),
    padding_ms=st.sampled_from([0, 100, 300]),
    silence_ms=st.sampled_from([0, 200, 500]),
)
def test_pieces_make_no_difference_and_turns_lie_on_frames(
    spans: list[tuple[bool, int]], cuts: list[int], padding_ms: int, silence_ms: int
) -> None:
    settings = server_vad(prefix_padding_ms=padding_ms, silence_duration_ms=silence_ms)
    audio = b"".join(loud(ms) if speech else quiet(ms) for speech, ms in spans)
    whole = VoiceActivity(settings).hear(audio)
    ear, rest = VoiceActivity(settings), audio
    pieces: list[SpeechStarted | SpeechStopped] = []
    for cut in cuts:
        pieces += ear.hear(rest[:cut])
        rest = rest[cut:]
    assert pieces + ear.hear(rest) == whole
    for index, event in enumerate(whole):
        match event:
            case SpeechStarted(start_ms):
                assert index % 2 == 0
                assert start_ms == 0 or (start_ms + padding_ms) % FRAME_MS == 0
            case SpeechStopped(end_ms):
                assert index % 2 == 1
                assert end_ms % FRAME_MS == 0


def test_every_format_tells_the_same_speech_from_silence() -> None:
    ulaw = b"\xff" * 8 * 640 + b"\x20\xa0" * 4 * 640 + b"\xff" * 8 * 640
    heard = [
        InputAudio(audio_format, server_vad()).append(audio_format.encode(ulaw))
        for audio_format in (PCMU, PCMA, PCM)
    ]
    assert heard[0] == [SpeechStarted(340), SpeechStopped(1280 + 224)]
    assert heard[1] == heard[2] == heard[0]


def test_linear_audio_is_as_loud_below_0_as_above() -> None:
    assert PCM.levels(b"\0\0" * 3 + b"\xff\xff" * 3) == b"\0\0"
    assert PCM.levels(b"\0\x40" * 3 + b"\xff\xbf" * 3) == b"\x80\x80"


def test_a_commit_takes_the_turn_and_drops_what_came_before() -> None:
    audio = InputAudio(PCMU, server_vad())
    audio.append(b"\xff" * 800 + b"\x20" * 800 + b"\xff" * 80)
    assert audio.commit_turn(100, 200) == b"\x20" * 800
    assert audio.waiting_ms == 10
    assert audio.position_ms == 210


def test_a_sample_cut_in_two_is_heard_whole() -> None:
    wire = PCM.encode(b"\x20" * 8 * 64)
    audio = InputAudio(PCM, server_vad())
    assert audio.append(wire[:1535]) == []
    assert audio.append(wire[1535:]) == [SpeechStarted(0)]


def test_a_change_of_format_keeps_the_time() -> None:
    audio = InputAudio(PCM, None)
    audio.append(bytes(48 * 640))
    audio.configure(PCMU, server_vad(prefix_padding_ms=0))
    assert (audio.position_ms, audio.waiting_ms) == (640, 0)
    assert audio.append(b"\x20" * 256) == [SpeechStarted(640)]


def test_the_buffer_forgets_the_oldest_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.sim.model.input_audio_buffer.BUFFER_LIMIT", 800)
    audio = InputAudio(PCMU, None)
    audio.append(b"\x01" * 700)
    audio.append(b"\x02" * 700)
    assert audio.commit() == b"\x01" * 100 + b"\x02" * 700
    assert audio.position_ms == 175

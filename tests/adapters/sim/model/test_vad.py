"""Where the simulated server detects the start and the end of speech."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.model.audio_formats import format_from_wire
from twilio_realtime.sim.model.input_audio_buffer import InputAudioBuffer
from twilio_realtime.sim.model.vad import (
    FRAME_MS,
    VadSettings,
    VadSpeechStarted,
    VadSpeechStopped,
    VoiceActivityDetector,
)

PCMU = format_from_wire({"type": "audio/pcmu"})
PCMA = format_from_wire({"type": "audio/pcma"})
PCM = format_from_wire({"type": "audio/pcm", "rate": 24000})


def server_vad(**changes: Any) -> VadSettings:
    usual = {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
    }
    return VadSettings.from_wire(usual | changes)


def quiet(ms: int) -> bytes:
    return bytes(8 * ms)


def loud(ms: int, level: int = 40) -> bytes:
    return bytes([level]) * (8 * ms)


def test_a_turn_includes_padding_before_and_silence_after() -> None:
    detector = VoiceActivityDetector(server_vad())
    events = detector.process(quiet(1760) + loud(2272) + quiet(400))
    # 1760 = 55 frames; 7 frames of silence are the first to last 200 ms.
    assert events == [VadSpeechStarted(1460), VadSpeechStopped(1760 + 2272 + 224)]


def test_a_turn_that_starts_with_the_audio_starts_at_0() -> None:
    assert VoiceActivityDetector(server_vad()).process(loud(32)) == [VadSpeechStarted(0)]


def test_offsets_continue_from_turn_to_turn() -> None:
    detector = VoiceActivityDetector(server_vad())
    detector.process(quiet(320) + loud(320) + quiet(320))
    assert detector.process(quiet(320) + loud(320))[0] == VadSpeechStarted(1280 - 300)


def test_a_short_pause_does_not_end_a_turn() -> None:
    detector = VoiceActivityDetector(server_vad(silence_duration_ms=500))
    assert len(detector.process(loud(320) + quiet(480) + loud(320) + quiet(480))) == 1
    assert detector.is_speaking


@pytest.mark.parametrize(("threshold", "is_detected"), [(0.1, True), (0.5, True), (1.0, False)])
def test_a_higher_threshold_needs_louder_audio(threshold: float, *, is_detected: bool) -> None:
    detector = VoiceActivityDetector(server_vad(threshold=threshold))
    assert bool(detector.process(loud(64, level=3))) is is_detected


def test_silence_is_no_speech_at_any_threshold() -> None:
    assert VoiceActivityDetector(server_vad(threshold=0)).process(quiet(640)) == []


@pytest.mark.parametrize(
    ("eagerness", "silence_ms"), [("low", 2016), ("auto", 1024), ("medium", 1024), ("high", 512)]
)
def test_semantic_vad_waits_by_eagerness(eagerness: str, silence_ms: int) -> None:
    detector = VoiceActivityDetector(
        VadSettings.from_wire({"type": "semantic_vad", "eagerness": eagerness})
    )
    events = detector.process(quiet(640) + loud(640) + quiet(4000))
    assert events == [VadSpeechStarted(340), VadSpeechStopped(1280 + silence_ms)]


def test_reset_speech_still_takes_its_time() -> None:
    detector = VoiceActivityDetector(server_vad(prefix_padding_ms=0))
    detector.process(loud(32 + 31))
    detector.reset()
    assert detector.process(quiet(33)) == []
    assert detector.process(loud(32)) == [VadSpeechStarted(96)]


def test_without_settings_nothing_is_detected_but_time_advances() -> None:
    detector = VoiceActivityDetector(None)
    assert detector.process(loud(640)) == []
    detector.settings = server_vad(prefix_padding_ms=0)
    assert detector.process(loud(32)) == [VadSpeechStarted(640)]


@given(
    spans=st.lists(st.tuples(st.booleans(), st.integers(1, 900)), max_size=12),
    cuts=st.lists(st.integers(1, 4000), max_size=20),
    padding_ms=st.sampled_from([0, 100, 300]),
    silence_ms=st.sampled_from([0, 200, 500]),
)
def test_pieces_do_not_matter_and_turns_align_with_frames(
    spans: list[tuple[bool, int]], cuts: list[int], padding_ms: int, silence_ms: int
) -> None:
    settings = server_vad(prefix_padding_ms=padding_ms, silence_duration_ms=silence_ms)
    audio = b"".join(loud(ms) if speech else quiet(ms) for speech, ms in spans)
    whole = VoiceActivityDetector(settings).process(audio)
    detector, rest = VoiceActivityDetector(settings), audio
    pieces: list[VadSpeechStarted | VadSpeechStopped] = []
    for cut in cuts:
        pieces += detector.process(rest[:cut])
        rest = rest[cut:]
    assert pieces + detector.process(rest) == whole
    for index, event in enumerate(whole):
        match event:
            case VadSpeechStarted(start_ms):
                assert index % 2 == 0
                assert start_ms == 0 or (start_ms + padding_ms) % FRAME_MS == 0
            case VadSpeechStopped(end_ms):
                assert index % 2 == 1
                assert end_ms % FRAME_MS == 0


def test_every_format_detects_the_same_speech() -> None:
    ulaw = b"\xff" * 8 * 640 + b"\x20\xa0" * 4 * 640 + b"\xff" * 8 * 640
    events = [
        InputAudioBuffer(audio_format, server_vad()).append(audio_format.encode(ulaw))
        for audio_format in (PCMU, PCMA, PCM)
    ]
    assert events[0] == [VadSpeechStarted(340), VadSpeechStopped(1280 + 224)]
    assert events[1] == events[2] == events[0]


def test_linear_audio_is_as_loud_below_0_as_above() -> None:
    assert PCM.levels(b"\0\0" * 3 + b"\xff\xff" * 3) == b"\0\0"
    assert PCM.levels(b"\0\x40" * 3 + b"\xff\xbf" * 3) == b"\x80\x80"


def test_taking_a_turn_drops_the_audio_before_it() -> None:
    audio = InputAudioBuffer(PCMU, server_vad())
    audio.append(b"\xff" * 800 + b"\x20" * 800 + b"\xff" * 80)
    assert audio.take_turn(100, 200) == b"\x20" * 800
    assert audio.buffered_ms == 10
    assert audio.position_ms == 210


def test_a_sample_split_between_appends_is_processed_whole() -> None:
    wire = PCM.encode(b"\x20" * 8 * 64)
    audio = InputAudioBuffer(PCM, server_vad())
    assert audio.append(wire[:1535]) == []
    assert audio.append(wire[1535:]) == [VadSpeechStarted(0)]


def test_a_change_of_format_keeps_the_position() -> None:
    audio = InputAudioBuffer(PCM, None)
    audio.append(bytes(48 * 640))
    audio.configure(PCMU, server_vad(prefix_padding_ms=0))
    assert (audio.position_ms, audio.buffered_ms) == (640, 0)
    assert audio.append(b"\x20" * 256) == [VadSpeechStarted(640)]


def test_the_buffer_drops_the_oldest_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.sim.model.input_audio_buffer.MAX_BUFFERED_SAMPLES", 800)
    audio = InputAudioBuffer(PCMU, None)
    audio.append(b"\x01" * 700)
    audio.append(b"\x02" * 700)
    assert audio.take_all() == b"\x01" * 100 + b"\x02" * 700
    assert audio.position_ms == 175

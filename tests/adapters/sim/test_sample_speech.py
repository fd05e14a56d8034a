"""Sample speech, and the G.711 and WAV code that reads it."""

import struct
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim import audio, sample_speech

DOCS = Path(__file__).parents[3] / "docs"

SECONDS = {
    "caller_question": (1.5, 2.5),
    "caller_interruption": (0.7, 1.5),
    "caller_goodbye": (0.7, 1.7),
    "agent_greeting": (2.5, 3.5),
    "agent_answer": (6.5, 8.5),
    "agent_goodbye": (1.0, 2.0),
}


def test_names_match_the_files_in_the_package() -> None:
    folder = files("twilio_realtime.sim.sample_speech")
    samples = [file for file in folder.iterdir() if file.name.endswith(".wav")]
    assert sorted(file.name for file in samples) == sorted(
        f"{name}.wav" for name in sample_speech.NAMES
    )
    assert sum(len(file.read_bytes()) for file in samples) < 300_000


@pytest.mark.parametrize("name", sample_speech.NAMES)
def test_samples_contain_speech_from_start_to_end(name: str) -> None:
    sample = sample_speech.load(name)
    shortest, longest = SECONDS[name]
    assert sample.name == name
    assert shortest < len(sample.audio) / 8000 < longest
    assert audio.energy(sample.audio) > 0.002
    assert audio.energy(sample.audio[:800]) > 0.0001
    assert audio.energy(sample.audio[-800:]) > 0.0001


@pytest.mark.parametrize("name", sample_speech.NAMES)
def test_script_page_and_code_have_the_same_words(name: str) -> None:
    words = sample_speech.load(name).transcript
    assert f'"{words}"\n' in (DOCS / "tools/make_recordings.sh").read_text("utf-8")
    assert f"| {words} |\n" in (DOCS / "project/sample-speech.md").read_text("utf-8")


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        sample_speech.load("nobody")


def test_decoding_gives_the_values_of_the_recommendation() -> None:
    codes = bytes([0xFF, 0x7F, 0xFE, 0xF0, 0xEF, 0x80, 0x00])
    values = struct.unpack("<7h", audio.to_linear(codes))
    assert values == (0, 0, 8, 120, 132, 32124, -32124)


def test_encoding_gives_back_every_code() -> None:
    codes = bytes(range(256))
    again = audio.from_linear(audio.to_linear(codes))
    assert again == codes.replace(b"\x7f", b"\xff")  # 0 has two codes


@given(st.integers(-32768, 32767))
def test_encoding_takes_the_nearest_step(sample: int) -> None:
    (value,) = struct.unpack("<h", audio.to_linear(audio.from_linear(struct.pack("<h", sample))))
    clipped = max(-32124, min(32124, sample))
    step = max(8, 1 << max(0, (abs(clipped) + 132).bit_length() - 5))
    assert abs(value - clipped) <= step / 2 + 4


def test_half_a_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="half a 16-bit sample"):
        audio.from_linear(b"\0")


def test_energy_is_the_mean_square_of_full_scale() -> None:
    assert audio.energy(b"") == 0.0
    assert audio.energy(audio.silence(160)) == 0.0
    assert audio.energy(b"\x80\x00\xff\xff") == 0.5


@given(st.binary(max_size=9))
def test_a_wav_file_gives_back_its_audio(content: bytes) -> None:
    assert audio.decode_wav(audio.encode_wav(content)) == content


def test_channels_are_interleaved_and_padded_to_the_longest() -> None:
    file = audio.encode_wav(b"ab", b"ABC")
    assert file[-6:] == b"aAbB\xffC"
    assert len(file) == 8 + int.from_bytes(file[4:8], "little")
    assert file[20:38] == struct.pack("<HHIIHHH", 7, 2, 8000, 16000, 2, 8, 0)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "no WAV file"),
        (audio.encode_wav(b"a", b"b"), "not µ-law, mono"),
        (b"RIFF\4\0\0\0WAVE", "not µ-law, mono"),
        (audio.encode_wav(b"")[:38], "without data"),
    ],
)
def test_other_files_and_formats_are_an_error(file: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audio.decode_wav(file)

"""No command overwrites what it reads, or what it has written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.simulate import record_simulated_call
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import encode_wav

Refuse = Callable[..., str]


@pytest.fixture(scope="module")
def call() -> str:
    """The text of a recording."""
    return record_simulated_call(1, scenario="question", keep_audio=True)[1]


@pytest.fixture
def recording(call: str, tmp_path: Path) -> Path:
    path = tmp_path / "call.jsonl"
    path.write_text(call, "utf-8")
    return path


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Runs a command that is a usage error, and returns the line that it prints."""

    def run(*arguments: object) -> str:
        assert run_command([str(each) for each in arguments]) == 2
        out, errors = capsys.readouterr()
        assert out == ""
        assert errors.count("\n") == 1
        return errors

    return run


def same_path(path: Path) -> Path:
    return path.parent / "." / path.name


def symbolic_link(path: Path) -> Path:
    link = path.with_name("symbolic")
    link.symlink_to(path)
    return link


def hard_link(path: Path) -> Path:
    link = path.with_name("hard")
    link.hardlink_to(path)
    return link


@pytest.mark.parametrize("rename", [same_path, symbolic_link, hard_link])
@pytest.mark.parametrize(
    "options",
    [
        ("redact", "-o"),
        ("show", "-o"),
        ("show", "--wav"),
        ("show", "--perfetto"),
        ("line", "-o"),
        ("line", "--svg"),
    ],
)
def test_a_recording_is_not_overwritten(
    recording: Path,
    call: str,
    options: tuple[str, str],
    rename: Callable[[Path], Path],
    refuse: Refuse,
) -> None:
    command, option = options
    output = rename(recording)
    error = refuse(command, recording, option, output)
    assert f"{output} is the recording itself: name another file to write" in error
    assert recording.read_text("utf-8") == call


def test_none_of_several_recordings_is_overwritten(
    recording: Path, call: str, refuse: Refuse
) -> None:
    other = recording.with_name("other.jsonl")
    other.write_text(call, "utf-8")
    assert "itself" in refuse("line", recording, other, "-o", other)
    assert other.read_text("utf-8") == call


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("show", ("--output", "--wav")),
        ("show", ("--wav", "--perfetto")),
        ("line", ("--output", "--svg")),
    ],
)
@pytest.mark.parametrize("is_linked", [False, True])
def test_two_outputs_are_two_files(
    recording: Path, command: str, options: tuple[str, str], refuse: Refuse, *, is_linked: bool
) -> None:
    output = recording.with_name("written")
    other = symbolic_link(output) if is_linked else output
    first, second = options
    error = refuse(command, recording, first, output, second, other)
    assert f"{other} is named by {first} and by {second}: name two files" in error
    assert not output.exists()


def test_a_device_may_be_named_twice(recording: Path) -> None:
    command = ["line", str(recording), "-o", "/dev/null", "--svg", "/dev/null"]
    assert run_command(command) == 0


@pytest.mark.parametrize("option", ["--record", "--junit"])
def test_the_speech_of_the_phone_is_not_overwritten(
    tmp_path: Path, option: str, refuse: Refuse
) -> None:
    speech = tmp_path / "question.wav"
    audio = encode_wav(sample_speech.load("caller_question").audio)
    speech.write_bytes(audio)
    error = refuse("phone", "ws://127.0.0.1:1/x", "--wav", speech, option, speech)
    assert "is the caller's speech itself" in error
    assert speech.read_bytes() == audio

"""`twilio-realtime line`, and `simulate --line`."""

import json
from pathlib import Path

import pytest

from command_line import usage_error
from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.simulate import KindOfCall, record_simulated_call
from twilio_realtime.sim.line_profile import LineProfile, read_line_profile


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a call."""
    path = tmp_path_factory.mktemp("calls") / "call.jsonl"
    path.write_text(record_simulated_call(1, scenario="question")[1], "utf-8")
    return path


def test_a_line_is_printed_for_people(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["line", str(recording)]) == 0
    out = capsys.readouterr().out
    assert "round trip to the player, ms" in out
    assert "learned from 1 call;" in out


def test_a_line_is_printed_for_programs(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["line", "--json", str(recording), str(recording)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["calls"] == 2
    known = LineProfile.from_json(printed).distributions
    assert set(known) | set(printed["missing"]) == set(LineProfile.distribution_names())


def test_a_line_is_written_drawn_and_simulated(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile, picture = tmp_path / "my line.json", tmp_path / "line.svg"
    command = ["line", str(recording), "-o", str(profile), "--svg", str(picture)]
    assert run_command(command) == 0
    assert read_line_profile(profile).calls == 1
    assert picture.read_text("utf-8").startswith("<svg ")
    simulate = ["simulate", "--calls", "2", "--workers", "1", "--line", str(profile)]
    outputs: list[str] = []
    for folder in ("one", "other"):
        record = tmp_path / folder
        assert run_command([*simulate, "--record", str(record)]) == 0
        outputs += [(record / "1-messages-line.jsonl").read_text("utf-8")]
    assert outputs[0] == outputs[1]
    capsys.readouterr()


def test_the_command_that_repeats_a_call_names_its_line(tmp_path: Path) -> None:
    kind = KindOfCall(None, "messages", 20, LineProfile(), tmp_path / "my line.json")
    assert kind.repeat_command(7).endswith(f"--seed 7 --line '{tmp_path}/my line.json'")


def test_a_recording_that_shows_nothing_is_a_failure(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(recording.read_bytes().splitlines(keepends=True)[0])
    assert run_command(["line", str(path)]) == 1
    assert "not known: round trip to the player, ms: no media stream" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this is not a recording: it has no whole line"),
        (b"\x1b[31m\n", "this is not a recording: its first line is not a JSON object"),
        (b'{"format":"twilio-realtime-call","version":3}\n', "has version 3 of the format"),
    ],
)
def test_a_file_that_is_no_recording_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    error = usage_error("line", str(path))
    assert f"{path}: " in error
    assert message in error


def test_a_file_that_is_no_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "line.json"
    path.write_text("{}", "utf-8")
    assert "not the profile of a line" in usage_error("simulate", "--line", str(path))

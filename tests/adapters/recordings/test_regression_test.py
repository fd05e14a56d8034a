"""A recorded call becomes a regression test."""

import subprocess
import sys
from pathlib import Path

import pytest

from calling import Call, delta, media
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.format import decode_line, encode_line
from twilio_realtime.recordings.recorder import Recorder
from twilio_realtime.recordings.redactor import Redactor
from twilio_realtime.recordings.regression_test import write_regression_test
from twilio_realtime.recordings.replay import replay
from twilio_realtime.sim.reference import CallMachine
from twilio_realtime_core import Bridge, CallConfig, InterruptionPolicy, LocalProtocolError

AUDIO = "c2VjcmV0"


def refuse(_: object) -> bool:
    return False


class RecordedCall(Call):
    """A call with its recording, with audio, in `lines`."""

    def build(self) -> CallMachine:
        self.lines: list[str] = []
        config = CallConfig(interruption=InterruptionPolicy(predicate=refuse))
        return Recorder(Bridge(config), config, self.lines.append, Redactor(keep_audio=True))


def record(path: Path) -> list[str]:
    call = RecordedCall.ready()
    call.model(delta(800))
    call.phone(media(AUDIO))
    with pytest.raises(LocalProtocolError):
        call.opened("nobody")
    path.write_text("".join(call.lines), "utf-8")
    return call.lines


def run_tests(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run pytest in a folder as it is, without the configuration of this project."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    return subprocess.run(  # noqa: S603 - this very Python
        command, cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_test_passes_as_it_is_written(tmp_path: Path) -> None:
    lines = record(tmp_path / "Bad call-7.jsonl")
    written = write_regression_test(tmp_path / "Bad call-7.jsonl", tmp_path / "deep" / "tests")
    assert (written.test.name, written.recording.name) == (
        "test_bad_call_7.py",
        "bad_call_7.jsonl",
    )
    assert (written.steps, written.difference) == (len(lines) - 1, None)
    assert AUDIO not in written.recording.read_text("utf-8")
    done = run_tests(written.test.parent)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_test_fails_if_the_bridge_does_something_else(tmp_path: Path) -> None:
    record(tmp_path / "call.jsonl")
    written = write_regression_test(tmp_path / "call.jsonl", tmp_path / "tests")
    lines = written.recording.read_text("utf-8").splitlines(keepends=True)
    lines[4] = encode_line({**decode_line(lines[4]), "actions": []})
    written.recording.write_text("".join(lines), "utf-8")
    done = run_tests(written.test.parent)
    assert done.returncode == 1
    assert "Difference(line=5" in done.stdout


def test_a_test_holds_what_this_version_does(tmp_path: Path) -> None:
    lines = record(tmp_path / "old.jsonl")
    lines[4] = encode_line({**decode_line(lines[4]), "actions": []})
    (tmp_path / "old.jsonl").write_text(
        "".join([*lines, '{"unrecordable":"TypeError"}\n']), "utf-8"
    )
    written = write_regression_test(tmp_path / "old.jsonl", tmp_path / "tests")
    assert written.difference is not None
    assert written.difference.line == 5
    with written.recording.open(encoding="utf-8") as file:
        result = replay(file)
    assert (result.difference, result.steps) == (None, written.steps)


def test_a_recording_that_is_cut_off_becomes_a_test(tmp_path: Path) -> None:
    lines = record(tmp_path / "cut.jsonl")
    (tmp_path / "cut.jsonl").write_text("".join([*lines[:6], lines[6][:9]]), "utf-8")
    assert write_regression_test(tmp_path / "cut.jsonl", tmp_path / "tests").steps == 5


@pytest.mark.parametrize("name", ["call.jsonl", "test_call.py"])
def test_no_file_is_overwritten(tmp_path: Path, name: str) -> None:
    record(tmp_path / "call.jsonl")
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / name).write_text("mine", "utf-8")
    with pytest.raises(UsageError, match=f"{name} exists"):
        write_regression_test(tmp_path / "call.jsonl", folder)
    assert [each.name for each in folder.iterdir()] == [name]


def test_a_name_without_letters_is_replaced(tmp_path: Path) -> None:
    record(tmp_path / "+.jsonl")
    written = write_regression_test(tmp_path / "+.jsonl", tmp_path / "tests")
    assert written.test.name == "test_call.py"

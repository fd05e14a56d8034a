"""`twilio-realtime replay`, and recordings by `serve --record`."""

import json
from pathlib import Path

import pytest

from command_line import RunningCommand, usage_error
from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.simulate import record_simulated_call


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording of a call."""
    path = tmp_path / "call.jsonl"
    path.write_text(record_simulated_call(1, scenario="question")[1], "utf-8")
    return path


def change(path: Path) -> None:
    """Record other actions of the second step."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    lines[2] = json.dumps({**json.loads(lines[2]), "actions": [], "deadline_ns": 5}) + "\n"
    path.write_text("".join(lines), "utf-8")


def test_a_recording_without_a_difference_is_reported(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["replay", str(recording)]) == 0
    assert capsys.readouterr().out.endswith("steps, no difference\n")


def test_the_first_difference_is_printed(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(recording)
    assert run_command(["replay", str(recording)]) == 1
    out, errors = capsys.readouterr()
    assert "a difference after 1 equal steps" in out
    assert "line 3, " in out
    assert "recorded  deadline 5" in out
    assert "the replay differs from the recording" in errors


def test_results_are_printed_as_json(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["replay", "--json", str(recording)]) == 0
    change(recording)
    assert run_command(["replay", "--json", str(recording), str(recording)]) == 1
    same, *different = map(json.loads, capsys.readouterr().out.splitlines())
    assert (same["event"], same["file"]) == ("replayed", str(recording))
    assert same["cut_off"] is False
    assert same["steps"] > 100
    assert [each["line"] for each in different] == [3, 3]
    assert different[0]["recorded"] == "deadline 5"


@pytest.mark.parametrize("steps", [0, 5])
def test_a_recording_that_was_cut_off_is_reported(
    recording: Path, capsys: pytest.CaptureFixture[str], steps: int
) -> None:
    lines = recording.read_text("utf-8").splitlines(keepends=True)
    recording.write_text("".join([*lines[: steps + 1], lines[steps + 1][:9]]), "utf-8")
    assert run_command(["replay", str(recording)]) == 0
    assert run_command(["replay", "--json", str(recording)]) == 0
    text, data = capsys.readouterr().out.splitlines()
    assert text == f"{recording}: cut off after {steps} steps, no difference"
    assert json.loads(data).items() >= {"steps": steps, "cut_off": True}.items()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is not a JSON object"),
        (b"\xff\xff\n", "this is not a text file"),
        (b"{}\n", "this is not a recording"),
        (b'{"format":"twilio-realtime-call","version":1}\n', "has version 1 of the format"),
    ],
)
def test_a_file_that_is_not_a_recording_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    assert run_command(["replay", str(path)]) == 2
    errors = capsys.readouterr().err
    assert str(path) in errors
    assert message in errors


def test_a_served_call_is_recorded_and_replayed(tmp_path: Path) -> None:
    with RunningCommand("model", "--port", "0", "--json", "--reply", "speak Hello.") as model:
        url = model.wait_for_event("listening")["url"]
        options = ("--port", "0", "--realtime-url", url, "--record", str(tmp_path), "--json")
        with RunningCommand("serve", *options) as serve:
            port = serve.wait_for_event("listening")["port"]
            stream = f"ws://127.0.0.1:{port}/media-stream"
            with RunningCommand("phone", stream, "--limit-s", "1") as phone:
                phone.wait()
            serve.wait_for_event("call.ended")
    (path,) = tmp_path.iterdir()
    with RunningCommand("replay", str(path)) as replay:
        assert replay.wait() == 0, replay.lines
    assert "no difference" in replay.lines[0]


def test_recording_audio_needs_a_folder() -> None:
    assert "--record-audio needs --record" in usage_error(
        "serve", "--record-audio", "--realtime-url", "ws://127.0.0.1:9"
    )


# Another configuration.


def test_what_another_configuration_does_is_printed(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["replay", str(recording), "--set", "max_call_ms=1003"]) == 0
    out = capsys.readouterr().out
    assert "steps, with max_call_ms=1003" in out
    assert "first difference: before line " in out
    assert "instead   Close, Close" in out
    assert "steps differ" in out
    assert "the bridge sends Close; the recording cannot tell" in out


def test_a_configuration_that_changes_nothing_is_reported(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(recording)
    assert run_command(["replay", str(recording), "--set", "closing_timeout_ms=9000"]) == 0
    out = capsys.readouterr().out
    assert "the bridge would have done the same" in out
    assert "does not do what was recorded from line 3 on" in out


def test_what_another_configuration_does_is_printed_as_json(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", "max_call_ms=1003", "--set", "interruption.after_speech_ms=300"]
    assert run_command(["replay", "--json", str(recording), *settings]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["event"], result["file"]) == ("what_if", str(recording))
    assert result["settings"] == settings[1::2]
    assert result["different_steps"] >= len(result["differences"]) > 0
    assert result["server_interrupts"] in (None, False)
    assert {"line", "at_ms", "cause"} == result["hypothetical"].keys()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("max_call_ms", "--set: a setting is FIELD=VALUE"),
        ("max_call_ms=soon", "max_call_ms must be a whole number of milliseconds (int) or none"),
        ("max_cal_ms=5", "did you mean max_call_ms?"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(
    recording: Path, setting: str, message: str
) -> None:
    assert message in usage_error("replay", str(recording), "--set", setting)


# A test.


def test_a_recording_is_written_as_a_test(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recording.parent / "tests"
    assert run_command(["replay", str(recording), "--to-test", str(folder)]) == 0
    assert f"{folder}/test_call.py: replays call.jsonl" in capsys.readouterr().out
    assert {each.name for each in folder.iterdir()} == {"test_call.py", "call.jsonl"}
    again = usage_error("replay", str(recording), "--to-test", str(folder))
    assert f"{folder}/test_call.py exists" in again


def test_a_difference_names_the_command_and_the_test_says_so(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(recording)
    assert run_command(["replay", str(recording)]) == 1
    assert f"replay {recording} --to-test DIR" in capsys.readouterr().out
    folder = recording.parent / "tests"
    assert run_command(["replay", str(recording), "--to-test", str(folder)]) == 0
    assert "differs from the recording at line 3" in capsys.readouterr().out


def test_settings_and_tests_exclude_each_other(recording: Path) -> None:
    options = ("--set", "model=x", "--to-test", str(recording.parent))
    assert "exclude each other" in usage_error("replay", str(recording), *options)

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
    with RunningCommand("model", "--port", "0", "--json", "--say", "agent_goodbye") as model:
        url = model.wait_for_event("listening")["url"]
        options = ("--port", "0", "--realtime-url", url, "--record", str(tmp_path), "--json")
        with RunningCommand("serve", *options) as serve:
            port = serve.wait_for_event("listening")["port"]
            stream = f"ws://127.0.0.1:{port}/media-stream"
            with RunningCommand("phone", stream, "--limit-s", "1") as phone:
                phone.wait()
            serve.wait_for_event("call_ended")
    (path,) = tmp_path.iterdir()
    with RunningCommand("replay", str(path)) as replay:
        assert replay.wait() == 0, replay.lines
    assert "no difference" in replay.lines[0]


def test_recording_audio_needs_a_folder() -> None:
    assert "--record-audio needs --record" in usage_error("serve", "--record-audio")

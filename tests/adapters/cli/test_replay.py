"""`twilio-realtime replay`, and `serve --record`, which writes what it reads."""

import json
from pathlib import Path

import pytest

from command_line import RunningCommand, usage_error
from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.simulate import record_simulated_call


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A file that holds a call."""
    path = tmp_path / "call.jsonl"
    path.write_text(record_simulated_call(1, scenario="question")[1], "utf-8")
    return path


def change(path: Path) -> None:
    """As if the bridge had asked for something else in the second step."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    lines[2] = json.dumps({**json.loads(lines[2]), "out": [], "deadline": 5}) + "\n"
    path.write_text("".join(lines), "utf-8")


def test_a_call_without_a_difference(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["replay", str(recorded)]) == 0
    assert capsys.readouterr().out.endswith("steps, no difference\n")


def test_the_first_difference_is_told(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(recorded)
    assert run_command(["replay", str(recorded)]) == 1
    out, errors = capsys.readouterr()
    assert "a difference after 1 steps that are the same" in out
    assert "line 3, " in out
    assert "recorded  deadline 5" in out
    assert "does not go as it went" in errors


def test_programs_are_told_in_json(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["replay", "--json", str(recorded)]) == 0
    change(recorded)
    assert run_command(["replay", "--json", str(recorded), str(recorded)]) == 1
    same, *different = map(json.loads, capsys.readouterr().out.splitlines())
    assert (same["event"], same["file"]) == ("replayed", str(recorded))
    assert same["cut_off"] is False
    assert same["steps"] > 100
    assert [each["line"] for each in different] == [3, 3]
    assert different[0]["recorded"] == "deadline 5"


@pytest.mark.parametrize("steps", [0, 5])
def test_a_file_that_was_cut_off_is_told_to_be(
    recorded: Path, capsys: pytest.CaptureFixture[str], steps: int
) -> None:
    lines = recorded.read_text("utf-8").splitlines(keepends=True)
    recorded.write_text("".join([*lines[: steps + 1], lines[steps + 1][:9]]), "utf-8")
    assert run_command(["replay", str(recorded)]) == 0
    assert run_command(["replay", "--json", str(recorded)]) == 0
    words, data = capsys.readouterr().out.splitlines()
    assert words == f"{recorded}: cut off after {steps} steps, no difference"
    assert json.loads(data).items() >= {"steps": steps, "cut_off": True}.items()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "line 1 is no JSON object"), (b"\xff\xff\n", "it is no text"), (b"{}\n", "no recorded")],
)
def test_what_is_no_recorded_call_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    assert run_command(["replay", str(path)]) == 2
    errors = capsys.readouterr().err
    assert str(path) in errors
    assert words in errors


def test_a_call_that_is_served_can_be_recorded_and_replayed(tmp_path: Path) -> None:
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


def test_audio_cannot_be_recorded_nowhere() -> None:
    assert "--record-audio needs --record" in usage_error("serve", "--record-audio")

"""`twilio-realtime redact`."""

import stat
from pathlib import Path

import pytest

from command_line import usage_error
from twilio_realtime.cli.commands import run_command
from twilio_realtime.recordings.recorder import Recorder
from twilio_realtime.recordings.redactor import Redactor
from twilio_realtime_core import Bridge, CallConfig, Peer

AUDIO = "c2VjcmV0"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording with audio."""
    lines: list[str] = []
    bridge = Recorder(Bridge(), CallConfig(), lines.append, Redactor(keep_audio=True))
    bridge.start(0)
    bridge.opened(Peer.TWILIO, 1)
    bridge.receive_text(Peer.TWILIO, f'{{"event":"media","media":{{"payload":"{AUDIO}"}}}}', 2)
    path = tmp_path / "call.jsonl"
    path.write_text("".join(lines), "utf-8")
    assert AUDIO in path.read_text("utf-8")
    return path


def test_a_redacted_recording_is_written_for_its_owner(recording: Path) -> None:
    output = recording.with_name("shared.jsonl")
    output.write_text("older", "utf-8")
    assert run_command(["redact", str(recording), "-o", str(output)]) == 0
    assert AUDIO not in output.read_text("utf-8")
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert AUDIO in recording.read_text("utf-8")


def test_a_redacted_recording_is_printed(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["redact", str(recording)]) == 0
    printed = capsys.readouterr().out
    assert AUDIO not in printed
    assert len(printed.splitlines()) == 4
    assert '"has_audio":false' in printed.splitlines()[0]


def test_a_folder_that_does_not_exist_is_named(recording: Path) -> None:
    output = recording.parent / "nowhere" / "x.jsonl"
    error = usage_error("redact", str(recording), "-o", str(output))
    assert f"cannot open {output}" in error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is not a JSON object"),
        (b"\xff\xff\n", "this is not a text file"),
        (b'{"format":"twilio-realtime-call","version":3}\n', "has version 3 of the format"),
        (b'{"format":"twilio-realtime-call","version":2}\n', "line 1 cannot be redacted"),
    ],
)
def test_a_file_that_is_not_a_recording_leaves_the_output_alone(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path, output = tmp_path / "x.jsonl", tmp_path / "out.jsonl"
    path.write_bytes(content)
    output.write_text("older", "utf-8")
    error = usage_error("redact", str(path), "-o", str(output))
    assert str(path) in error
    assert message in error
    assert output.read_text("utf-8") == "older"

"""`twilio-realtime show`."""

import json
import stat
import wave
from pathlib import Path

import pytest

from shown_calls import ShownCall, interrupted_call, resumed_call, simulate
from twilio_realtime.cli.commands import run_command
from twilio_realtime.sim.phone.caller import AfterDelay, CallerHangsUp
from twilio_realtime_core.machine.units import MS


@pytest.fixture(scope="module")
def call() -> ShownCall:
    return interrupted_call()


@pytest.fixture
def recording(call: ShownCall, tmp_path: Path) -> Path:
    """The recording of a call that is interrupted once."""
    path = tmp_path / "call.jsonl"
    path.write_bytes(call.text)
    return path


def test_the_story_says_who_spoke_and_what_was_cut(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["show", str(recording)]) == 0
    story = capsys.readouterr().out
    assert "“Could you tell me where my order is, please?”" in story
    assert "[not heard: " in story
    assert "of 8,050 ms" in story
    assert "the caller interrupts the agent" in story
    assert "2 answered turns: median " in story
    assert "the call ends: caller hung up" in story


def test_a_slow_or_lost_call_is_worth_a_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "call.jsonl"
    path.write_bytes(resumed_call(keep_audio=False).text)
    assert run_command(["show", str(path)]) == 0
    _, _, findings = capsys.readouterr().out.partition("worth a look")
    assert "the session is lost: realtime lost" in findings


def test_figures_are_printed_as_json(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["show", "--json", str(recording)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["file"] == str(recording)
    assert figures["recording"] == "complete"
    assert figures["interruptions"] == 1
    assert figures["latency_ms"]["turns"] == 2
    (cut,) = (each for each in figures["speech"] if each["is_cut"])
    assert cut["heard_ms"] < cut["sent_ms"] == 8050
    assert "order" not in json.dumps(figures)  # figures hold no words


def test_the_voices_are_written_as_stereo(
    recording: Path, call: ShownCall, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "call.wav"
    assert run_command(["show", str(recording), "--wav", str(path)]) == 0
    assert capsys.readouterr().out == ""
    with wave.open(str(path)) as wav:
        assert (wav.getnchannels(), wav.getframerate()) == (2, 8000)
        frames = wav.readframes(wav.getnframes())
    left, right = (
        [
            int.from_bytes(frames[at : at + 2], "little", signed=True)
            for at in range(2 * channel, len(frames), 4)
        ]
        for channel in (0, 1)
    )
    heard_ns = call.phone.segments(10**12)[0].start_ns
    first = next(index for index, sample in enumerate(right) if abs(sample) > 1000)
    assert abs(first / 8 - heard_ns / MS) < 120
    assert max(map(abs, left)) > 5000


def test_the_trace_has_each_lane(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert run_command(["show", str(recording), "--perfetto", str(path)]) == 0
    events = json.loads(path.read_text("utf-8"))["traceEvents"]
    lanes = {each["tid"]: each["args"]["name"] for each in events if each["ph"] == "M"}
    spans = [each for each in events if each["ph"] == "X"]
    used = {lanes[each["tid"]] for each in spans}
    assert {"caller", "agent as heard", "agent, cut", "generated", "sessions"} <= used
    assert all(each["dur"] >= 0 for each in spans)
    assert any(each["ph"] == "C" and each["args"]["ms"] > 5000 for each in events)
    assert any(each["ph"] == "i" and each["name"] == "clear" for each in events)


def test_a_page_is_written_and_nothing_printed(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "call.html"
    assert run_command(["show", str(recording), "-o", str(path)]) == 0
    assert capsys.readouterr().out == ""
    with_audio = path.read_text("utf-8")
    assert "<title>call.jsonl</title>" in with_audio
    assert run_command(["show", str(recording), "-o", str(path), "--no-audio"]) == 0
    assert len(path.read_text("utf-8")) < len(with_audio) - 100_000


def test_another_configuration_is_shown_beside_the_call(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = "interruption.after_speech_ms=300"
    assert run_command(["show", str(recording), "--set", setting]) == 0
    _, _, story = capsys.readouterr().out.partition("another configuration: ")
    assert story.splitlines()[0].endswith(f"steps, with {setting}")
    assert "recorded  clear, conversation.item.truncate" in story
    assert "the recording cannot tell what would have been answered" in story

    path = tmp_path / "call.html"
    assert run_command(["show", str(recording), "--set", setting, "-o", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert f"<code>{setting}</code>" in path.read_text("utf-8")

    assert run_command(["show", "--json", str(recording), "--set", setting]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["what_if"]["settings"] == [setting]
    assert figures["what_if"]["different_steps"] == len(figures["what_if"]["different_at_ms"])
    assert "order" not in json.dumps(figures)  # figures hold no words


def test_a_recording_that_is_cut_off_is_compared_as_far_as_it_goes(
    recording: Path, call: ShownCall, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write_bytes(call.text[: len(call.text) // 2])
    assert run_command(["show", str(recording), "--set", "max_call_ms=1003"]) == 0
    story = capsys.readouterr().out
    assert "The recording is cut off after line" in story
    assert "steps, cut off, with max_call_ms=1003" in story
    assert "first difference: before line" in story


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "no_such=1"), "no_such"),
        (("--set", "max_call_ms"), "--set: a setting is FIELD=VALUE"),
        (("--set", "model=x", "--wav", "x.wav"), "--set changes neither --wav nor --perfetto"),
    ],
)
def test_a_setting_that_has_no_use_is_refused_before_anything_is_written(
    recording: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(recording.parent)
    assert run_command(["show", str(recording), *options]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert message in errors
    assert [each.name for each in recording.parent.iterdir()] == [recording.name]


@pytest.mark.parametrize("option", ["-o", "--wav", "--perfetto"])
def test_only_the_owner_can_read_what_is_written(
    recording: Path, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "written"
    assert run_command(["show", str(recording), option, str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_named_in_one_line(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "absent" / "call.html"
    assert run_command(["show", str(recording), "-o", str(path)]) == 2
    errors = capsys.readouterr().err
    assert str(path) in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 is not a JSON object"),
        (b"\xff\xff\n", "this is not text"),
        (b"{}\n", "this is not a recording"),
        (b'{"format":"twilio-realtime-call","version":1}\n', "has version 1 of the format"),
        (b'{"format":"twilio-realtime-call","versi', "cut off in its first line"),
    ],
)
def test_a_file_that_is_not_a_recording_is_refused_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    assert run_command(["show", str(path)]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith(f"twilio-realtime: {path}: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_audio_of_a_recording_that_has_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "call.jsonl"
    path.write_bytes(simulate((AfterDelay(200 * MS, CallerHangsUp()),), keep_audio=False).text)
    assert run_command(["show", str(path), "--wav", str(tmp_path / "call.wav")]) == 2
    assert "record calls with --record-audio" in capsys.readouterr().err
    assert not (tmp_path / "call.wav").exists()


def test_a_recording_that_is_cut_off_is_shown_as_far_as_it_goes(
    recording: Path, call: ShownCall, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write_bytes(call.text[: len(call.text) // 2])
    assert run_command(["show", str(recording)]) == 0
    story = capsys.readouterr().out
    assert "The recording is cut off after line" in story
    assert "Could you tell me" in story


def test_words_cannot_control_the_terminal(
    recording: Path, call: ShownCall, capsys: pytest.CaptureFixture[str]
) -> None:
    text = call.text.replace(b"Your order", rb"\\u001b[31m\\u202eX")
    recording.write_bytes(text)
    assert run_command(["show", str(recording)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\N{REPLACEMENT CHARACTER}[31m" in out

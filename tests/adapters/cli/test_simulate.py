"""`twilio-realtime simulate`: many random calls, printed as lines or as JSON."""

import errno
import json
import os
import re
import signal
import stat
import time
from collections.abc import Hashable
from functools import partial, wraps
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from command_line import RunningCommand
from twilio_realtime.cli import simulate as command
from twilio_realtime.cli.commands import run_command
from twilio_realtime.cli.simulation_output import SimulationOutput
from twilio_realtime.sim.batch.batch import CallResult, run_call
from twilio_realtime.sim.batch.random_call import Failure
from twilio_realtime_core import Action, Bridge, Peer


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[Any]:
    """The events that are printed as JSON."""
    assert run_command(["simulate", "--json", *arguments]) == status
    out, errors = capsys.readouterr()
    assert errors == ""
    return [json.loads(line) for line in out.splitlines()]


def fail_some(seed: int = 0, **_: object) -> CallResult:
    """The call of a seed; those of even seeds fail."""
    failure = Failure(
        4,
        f"truncated at \x1b[31m too much, {seed} ms",
        ("a step",),
        ("an impairment",),
        "Heard positions",
        tuple(f"story {step}" for step in range(20)),
    )
    result = run_call(1)
    return CallResult(
        seed=seed,
        scenario="random",
        level="messages",
        outcome="HUNG_UP" if seed % 2 else "FAILED",
        duration_ns=result.duration_ns,
        failure=None if seed % 2 else failure,
        impairments=(),
        transitions=(),
        received=(),
        commands=(("HangUp", 1),),
    )


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where traces are written by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.cli.simulate.run_call", fail_some)


def test_the_summary_does_not_depend_on_the_workers(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--calls", "30", "--seed", "7", "--scenario", "greeting")
    alone = printed(capsys, *arguments, "--workers", "1")
    assert printed(capsys, *arguments, "--workers", "2") == alone
    (summary,) = alone
    assert summary["event"] == "summary"
    assert summary["scenarios"] == {"greeting": 30}
    assert summary["calls"] == 30


def test_the_summary_has_what_occurred_and_what_did_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["simulate", "--calls", "2", "--level", "bytes"]) == 0
    out = capsys.readouterr().out
    assert "2 calls, " in out
    assert "\nends: " in out
    assert "impairments that did not occur: " in out
    assert "transitions of the tables: " in out
    assert "No call failed." in out


def test_frames_may_last_longer(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--calls", "30", "--seed", "7", "--scenario", "greeting", "--frame-ms", "100")
    alone = printed(capsys, *arguments, "--workers", "1")
    assert printed(capsys, *arguments, "--workers", "2") == alone
    (summary,) = alone
    assert summary["frame_ms"] == {"100": 30}
    (usual,) = printed(capsys, *arguments[:-2], "--workers", "1")
    assert usual["frame_ms"] == {"20": 30}
    assert usual["received"]["input_audio_buffer.append"] > (
        4 * summary["received"]["input_audio_buffer.append"]
    )


@pytest.mark.parametrize("frame_ms", ["0", "30", "120", "-20", "20.0", "x"])
def test_frames_of_another_duration_are_a_usage_error(
    frame_ms: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["simulate", "--frame-ms", frame_ms]) == 2
    assert "'20', '40', '60', '80', '100'" in capsys.readouterr().err


@pytest.mark.usefixtures("failing")
def test_the_command_that_repeats_a_call_has_its_frames(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failure, _ = printed(capsys, "--calls", "1", "--frame-ms", "60", "--workers", "1", status=1)
    assert failure["command"] == "twilio-realtime simulate --calls 1 --seed 0 --frame-ms 60"


@pytest.mark.usefixtures("failing")
def test_a_failure_is_printed_with_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--calls", "3", "--seed", "10", "--workers", "1", "--scenario", "keys")
    first, second, summary = printed(capsys, *arguments, status=1)
    assert first["command"] == "twilio-realtime simulate --calls 1 --seed 10 --scenario keys"
    assert (first["seed"], second["seed"]) == (10, 12)
    assert first["trace"] == ["a step"]
    assert first["decisions"] == ["an impairment"]
    assert summary["failures"] == {"4": 2}


@pytest.mark.usefixtures("failing")
def test_calls_that_fail_alike_are_told_in_full_once(
    capsys: pytest.CaptureFixture[str], working_folder: Path
) -> None:
    assert run_command(["simulate", "--calls", "19", "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("seed 0 failed: truncated at") == 1
    assert "invariant 4, Heard positions: An item is truncated between" in " ".join(out.split())
    assert "… 12 steps before these …" in out
    assert out.count("story 19") == 1
    assert "story 11" not in out
    assert out.count("failed as seed 0 did") == 4  # the others are counted
    assert out.count("repeat: twilio-realtime simulate --calls 1 --seed ") == 5
    record = "twilio-realtime simulate --calls 1 --seed 0 --record DIR"
    replay = "twilio-realtime replay DIR/0-messages.jsonl --to-test DIR"
    assert out.count(f"test:   {record}; {replay}\n") == 1
    assert "10 times, lowest seed 0: 4 Heard positions: truncated at" in out
    assert "10 calls failed." in out
    assert [each.name for each in (working_folder / "failed-calls").iterdir()] == ["0-messages.txt"]


@pytest.mark.usefixtures("failing")
def test_the_trace_file_has_all_that_is_known(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, _ = printed(capsys, "--calls", "1", "--traces", str(tmp_path / "new" / "t"), status=1)
    text = Path(first["trace_file"]).read_text("utf-8")
    assert first["trace_file"] == str(tmp_path / "new" / "t" / "0-messages.txt")
    for part in ("seed 0 failed", "repeat: ", "story 0\n", "a step\n", "an impairment\n"):
        assert part in text


@pytest.mark.usefixtures("failing")
def test_a_trace_that_cannot_be_written_does_not_end_the_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    arguments = ["simulate", "--calls", "3", "--traces", str(tmp_path / "file" / "traces")]
    assert run_command([*arguments, "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "trace:  not written: not a directory" in out
    assert "page:   not written: " in out
    assert "2 calls failed." in out


def test_a_call_that_fails_is_shrunk_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class IgnoresStreamEnd(Bridge):
        def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
            return [] if peer is Peer.TWILIO else super().closed(peer, code, reason, now)

    run = partial(run_call, make_bridge=IgnoresStreamEnd)
    seed = next(seed for seed in range(50) if run(seed).failure is not None)
    monkeypatch.setattr("twilio_realtime.cli.simulate.run_call", run)
    arguments = ("--calls", "1", "--seed", str(seed))
    shrunk, _ = printed(capsys, *arguments, status=1)
    plain, _ = printed(capsys, *arguments, "--no-shrink", status=1)
    assert shrunk["text"] == plain["text"]
    assert len(shrunk["decisions"]) < len(plain["decisions"])
    assert (shrunk["calls_tried"] > 0, plain["calls_tried"]) == (True, 0)
    assert plain["story"][0].endswith("the call is accepted")


@pytest.fixture
def deaf_to_the_phone(monkeypatch: pytest.MonkeyPatch) -> int:
    """Calls fail in which the phone ends its stream; returns the seed of one."""
    closed = Bridge.closed

    @wraps(closed)  # a recording names the methods
    def ignore(bridge: Bridge, peer: Hashable, *arguments: Any) -> list[Action]:
        return [] if peer is Peer.TWILIO else closed(bridge, peer, *arguments)

    monkeypatch.setattr(Bridge, "closed", ignore)
    return next(seed for seed in range(50) if run_call(seed, trace_steps=0).failure is not None)


@pytest.mark.parametrize("option", ["--shrink", "--no-shrink"])
def test_a_failed_call_has_a_page_beside_its_trace(
    deaf_to_the_phone: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    seed = str(deaf_to_the_phone)
    found = tmp_path / "found.jsonl"
    arguments = ("--calls", "1", "--workers", "1", "--seed", seed, option, "--traces", "traces")
    failure, _ = printed(capsys, *arguments, "--found", str(found), status=1)
    page, trace = Path(failure["page_file"]), Path(failure["trace_file"])
    assert page == trace.with_suffix(".html") == Path("traces") / f"{seed}-messages.html"
    assert failure["page_error"] is None
    assert f"page:   {page}" in trace.read_text("utf-8")
    assert json.loads(found.read_text("utf-8"))["page_file"] == str(page)
    text = page.read_text("utf-8")
    assert f"<title>seed {seed} failed: " in text
    ends_s = float(re.findall(r" +([0-9.]+) s ", failure["story"][-1])[0])
    duration = re.search(r'"duration":([0-9.]+)', text)
    assert duration is not None
    assert float(duration[1]) / 1000 >= ends_s  # it is the call whose steps are printed
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_the_page_of_a_failed_call_is_named_for_people(
    deaf_to_the_phone: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--calls", "1", "--workers", "1", "--seed", str(deaf_to_the_phone), "--no-shrink"]
    assert run_command(["simulate", *arguments]) == 1
    page = f"failed-calls/{deaf_to_the_phone}-messages.html"
    assert f"    page:   {page}\n" in capsys.readouterr().out
    assert Path(page).exists()


@pytest.mark.usefixtures("failing")
def test_a_page_that_cannot_be_written_does_not_end_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, *_, summary = printed(capsys, "--calls", "3", "--workers", "1", status=1)
    assert first["page_file"] is None
    assert first["page_error"].startswith("the call has no recording to show")
    assert first["trace_file"] == "failed-calls/0-messages.txt"
    assert summary["failures"] == {"4": 2}


def test_each_recorded_call_replays_without_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "calls"
    plain = printed(capsys, "--calls", "4", "--workers", "1")
    assert printed(capsys, "--calls", "4", "--workers", "2", "--record", str(folder)) == plain
    files = sorted(folder.iterdir())
    assert [each.name for each in files] == [f"{seed}-messages.jsonl" for seed in range(4)]
    assert run_command(["replay", *map(str, files)]) == 0


def test_a_failed_call_is_recorded_once_up_to_its_failure() -> None:
    class Wrong(Bridge):
        def opened(self, peer: Hashable, now: int) -> list[Action]:
            if peer is Peer.REALTIME:
                raise RuntimeError("wrong")
            return super().opened(peer, now)

    result, text = command.record_simulated_call(
        1, scenario="greeting", level="bytes", make_bridge=Wrong
    )
    assert result.failure is not None
    lines = text.splitlines()
    assert [json.loads(line).get("method") for line in lines].count("start") == 1
    assert json.loads(lines[-1])["raised"] == "RuntimeError"


def test_the_command_that_repeats_a_call_names_its_level() -> None:
    text = command.repeat_command(0, scenario=None, level="bytes")
    assert text == "twilio-realtime simulate --calls 1 --seed 0 --level bytes"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--calls 0", "0 is not in the range x>=1"),
        ("--scenario nosuch", "'nosuch' is not one of"),
        ("--level bits", "'bits' is not one of"),
        ("--workers 0", "0 is not in the range x>=1"),
        ("--forever --calls 5", "leave out --calls"),
        ("--forever --record calls", "it needs a number of --calls"),
        ("--workers 2 --executor a:b", "leave out --executor"),
        ("--executor nosuch", "nosuch is neither dask://host:port nor module:function"),
        ("--executor nosuch:make", "nosuch:make cannot be loaded: ModuleNotFoundError: No module"),
        ("--executor executor_factories:raises", "raised RuntimeError: no quota left"),
        ("--executor executor_factories:other_version", "has another version"),
        ("--executor executor_factories:full_disk", "seeds 0 to 24: no space left on device"),
        ("--found .", "'.' is a directory"),
        ("--found /dev/null", "/dev/null is a device; name a file"),
    ],
)
def test_an_error_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: str, text: str
) -> None:
    assert run_command(["simulate", *arguments.split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("twilio-realtime: ")
    assert error.count("\n") == 1
    assert text in error


def test_an_executor_of_the_user_gives_the_same_summary(
    capsys: pytest.CaptureFixture[str], working_folder: Path
) -> None:
    (working_folder / "of_the_user.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\n\n\n"
        "def make():\n    return ThreadPoolExecutor(2)\n"
    )
    arguments = ("--calls", "30", "--scenario", "greeting")
    assert printed(capsys, *arguments, "--executor", "of_the_user:make") == printed(
        capsys, *arguments, "--workers", "1"
    )


# Runs without end.


def test_a_run_without_end_stops_at_ctrl_c_with_a_report() -> None:
    arguments = ("simulate", "--forever", "--json", "--workers", "2", "--scenario", "greeting")
    with RunningCommand(*arguments) as running:
        seed = running.wait_for_event("started")["seed"]
        assert running.send_signal() == 0
    assert running.errors == ""
    assert 0 <= seed < 2**63
    _, summary, run = running.events()
    assert (summary["event"], summary["failures"]) == ("summary", {})
    assert (run["event"], run["first_seed"], run["calls"]) == ("run", seed, summary["calls"])
    assert run["next_seed"] >= seed + summary["calls"]


def test_a_run_without_end_starts_from_a_given_seed() -> None:
    with RunningCommand("simulate", "--forever", "--seed", "7", "--workers", "1") as running:
        running.wait_for_line("from seed 7 on, until Ctrl-C")
        assert running.send_signal(signal.SIGTERM) == 0
    assert any(line.startswith("seeds 7 to ") for line in running.lines)
    assert any("times real time" in line for line in running.lines)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted_says_how_far_it_came(
    number: signal.Signals, status: int, working_folder: Path
) -> None:
    found = working_folder / "found.jsonl"
    arguments = ("simulate", "--calls", "1000000", "--workers", "2", "--found", str(found))
    with RunningCommand(*arguments) as running:
        while not found.exists():  # then it has begun; it does not matter how far it comes
            time.sleep(0.01)
        assert running.send_signal(number) == status
    assert running.errors == ""
    if running.lines:
        assert any(line.startswith("stopped after ") for line in running.lines)


@pytest.mark.usefixtures("failing")
def test_what_was_found_is_appended_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["simulate", "--workers", "1", "--found", str(tmp_path / "found.jsonl")]
    assert run_command([*arguments, "--calls", "5", "--seed", "3"]) == 1
    assert "found before" not in capsys.readouterr().out
    assert run_command([*arguments, "--calls", "5", "--seed", "11"]) == 1
    assert "found before: twilio-realtime simulate --calls 1 --seed 4" in capsys.readouterr().out
    (line,) = (tmp_path / "found.jsonl").read_text("utf-8").splitlines()
    found = json.loads(line)
    assert found["what"] == "4 Heard positions: truncated at \x1b[31m too much, # ms".replace(
        "31", "#"
    )
    assert found["command"] == "twilio-realtime simulate --calls 1 --seed 4"
    assert found["seed"] == 4
    assert found["version"].startswith(version("twilio-realtime-core"))


@pytest.mark.usefixtures("failing")
def test_a_run_ends_when_what_was_found_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: int, __: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.write", write)
    arguments = ["simulate", "--calls", "1", "--workers", "1", "--found", "found.jsonl"]
    assert run_command(arguments) == 2
    out, error = capsys.readouterr()
    assert error == (
        "twilio-realtime: --found: cannot write found.jsonl: no space left on device\n"
    )
    assert "1 call failed." in out


# Progress.


@pytest.mark.parametrize("is_slow", [False, True])
def test_only_a_run_of_more_than_a_second_shows_its_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, is_slow: bool
) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    times = count(0, 2 if is_slow else 0)
    monkeypatch.setattr("twilio_realtime.cli.simulation_output.monotonic", lambda: next(times))
    with SimulationOutput(as_json=False, calls=100) as output:
        output.advance(25, "1 found")
    assert ("25/100" in capsys.readouterr().out) is is_slow


def test_json_has_no_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    times = count(0, 2)
    monkeypatch.setattr("twilio_realtime.cli.simulation_output.monotonic", lambda: next(times))
    with SimulationOutput(as_json=True, calls=None) as output:
        output.advance(25)
    assert capsys.readouterr().out == ""

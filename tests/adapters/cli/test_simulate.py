"""`twilio-realtime simulate`: many random calls, printed as lines or as JSON."""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from twilio_realtime.cli import simulate as command
from twilio_realtime.cli.commands import run_command
from twilio_realtime.sim.batch.batch import CallResult, run_call
from twilio_realtime.sim.batch.random_call import Failure
from twilio_realtime_core import Action, Bridge, Peer


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[Any]:
    """The events that are printed as JSON."""
    assert run_command(["simulate", "--json", *arguments]) == status
    out, errors = capsys.readouterr()
    assert errors == ""
    return [json.loads(line) for line in out.splitlines()]


def fail_some(seed: int, **_: object) -> CallResult:
    """The call of a seed; those of even seeds fail."""
    failure = Failure(4, "truncated at \x1b[31m too much", ("a step",), ("an impairment",))
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


@pytest.mark.usefixtures("failing")
def test_a_failure_is_printed_with_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--calls", "3", "--seed", "10", "--workers", "1", "--scenario", "keys")
    first, second, summary = printed(capsys, *arguments, status=1)
    assert first["command"] == "twilio-realtime simulate --calls 1 --seed 10 --scenario keys"
    assert (first["seed"], second["seed"]) == (10, 12)
    assert first["trace"] == ["a step"]
    assert first["decided"] == ["an impairment"]
    assert summary["failures"] == {"4": 2}


@pytest.mark.usefixtures("failing")
def test_first_failures_are_printed_in_full_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["simulate", "--calls", "9", "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("a step") == 3
    assert out.count("repeat: twilio-realtime simulate --calls 1 --seed ") == 5
    assert "5 calls failed." in out


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
    result = run_call(0, level="bytes", scenario="greeting")
    output = command.SimulationOutput(as_json=True, calls=1, scenario=None)
    assert output.repeat_command(result).endswith("--seed 0 --level bytes")


@pytest.mark.parametrize(
    "arguments", ["--calls 0", "--scenario nosuch", "--level bits", "--workers 0"]
)
def test_a_usage_error_is_printed(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    assert run_command(["simulate", *arguments.split()]) == 2
    assert capsys.readouterr().err.startswith("twilio-realtime: ")

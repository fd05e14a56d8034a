"""`twilio-realtime simulate`: many random calls, told as lines or as JSON."""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from twilio_realtime.cli import simulate as command
from twilio_realtime.cli.commands import run_command
from twilio_realtime.sim.batch.batch import Result, run_call
from twilio_realtime.sim.batch.random_call import Failure
from twilio_realtime_core import Action, Bridge, Peer


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[Any]:
    """What is said in JSON."""
    assert run_command(["simulate", "--json", *arguments]) == status
    out, errors = capsys.readouterr()
    assert errors == ""
    return [json.loads(line) for line in out.splitlines()]


def fail_some(seed: int, **_: object) -> Result:
    """The call of a seed; those of even seeds go wrong."""
    failure = Failure(4, "truncated at \x1b[31m too much", ("a step",), ("a fault",))
    result = run_call(1)
    return Result(
        seed=seed,
        scenario="random",
        level="messages",
        outcome="HUNG_UP" if seed % 2 else "FAILED",
        duration_ns=result.duration_ns,
        failure=None if seed % 2 else failure,
        faults=(),
        transitions=(),
        seen=(),
        commands=(("HangUp", 1),),
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.cli.simulate.run_call", fail_some)


def test_the_summary_does_not_depend_on_the_workers(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--calls", "30", "--seed", "7", "--scenario", "greeting")
    alone = told(capsys, *arguments, "--workers", "1")
    assert told(capsys, *arguments, "--workers", "2") == alone
    (summary,) = alone
    assert summary["event"] == "summary"
    assert summary["scenarios"] == {"greeting": 30}
    assert summary["calls"] == 30


def test_people_read_what_was_tried_and_what_was_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["simulate", "--calls", "2", "--level", "bytes"]) == 0
    out = capsys.readouterr().out
    assert "2 calls, " in out
    assert "how they ended: " in out
    assert "faults that were not tried: " in out
    assert "transitions of the tables: " in out
    assert "Nothing went wrong." in out


@pytest.mark.usefixtures("failing")
def test_a_failure_is_told_with_the_command_that_makes_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--calls", "3", "--seed", "10", "--workers", "1", "--scenario", "keys")
    first, second, summary = told(capsys, *arguments, status=1)
    assert first["command"] == "twilio-realtime simulate --calls 1 --seed 10 --scenario keys"
    assert (first["seed"], second["seed"]) == (10, 12)
    assert first["trace"] == ["a step"]
    assert first["decided"] == ["a fault"]
    assert summary["failures"] == {"4": 2}


@pytest.mark.usefixtures("failing")
def test_the_first_failures_are_told_in_full_and_harmlessly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["simulate", "--calls", "9", "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("a step") == 3
    assert out.count("again: twilio-realtime simulate --calls 1 --seed ") == 5
    assert "5 calls went wrong." in out


def test_each_call_is_recorded_and_replays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "calls"
    plain = told(capsys, "--calls", "4", "--workers", "1")
    assert told(capsys, "--calls", "4", "--workers", "2", "--record", str(folder)) == plain
    files = sorted(folder.iterdir())
    assert [each.name for each in files] == [f"{seed}-messages.jsonl" for seed in range(4)]
    assert run_command(["replay", *map(str, files)]) == 0


def test_a_call_that_goes_wrong_is_recorded_up_to_there_once() -> None:
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
    assert [json.loads(line).get("do") for line in lines].count("start") == 1
    assert json.loads(lines[-1])["raised"] == "RuntimeError"


def test_calls_at_byte_level_are_made_again_there() -> None:
    result = run_call(0, level="bytes", scenario="greeting")
    show = command.SimulationOutput(as_json=True, calls=1, scenario=None)
    assert show.repeat_command(result).endswith("--seed 0 --level bytes")


@pytest.mark.parametrize(
    "arguments", ["--calls 0", "--scenario nosuch", "--level bits", "--workers 0"]
)
def test_wrong_use_is_told(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    assert run_command(["simulate", *arguments.split()]) == 2
    assert capsys.readouterr().err.startswith("twilio-realtime: ")

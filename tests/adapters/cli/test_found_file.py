"""The file of what was found, which several runs may share."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from twilio_realtime.cli.found_file import FoundFile
from twilio_realtime.errors import UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "found.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_each_failure_has_one_line(path: Path) -> None:
    with FoundFile(path) as found:
        assert found.add("a", {"seed": 1}) is None
        assert found.add("b", {"seed": 2}) is None
        assert found.add("a", {"seed": 3}) == {"what": "a", "seed": 1}
    assert lines(path) == [{"what": "a", "seed": 1}, {"what": "b", "seed": 2}]


def test_what_another_run_appends_is_known_at_once(path: Path) -> None:
    with FoundFile(path) as one, FoundFile(path) as other:
        one.add("a", {"run": 1})
        assert other.add("a", {"run": 2}) == {"what": "a", "run": 1}
        other.add("b", {"run": 2})
        assert one.add("b", {"run": 1}) == {"what": "b", "run": 2}
        assert len(one) == len(other) == 2


def _append(path: Path, run: int) -> None:
    with FoundFile(path) as found:
        for number in range(50):
            found.add(f"failure {number}", {"run": run, "text": "x" * 5000})


def test_runs_at_the_same_time_append_each_failure_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=_append, args=(path, run)) for run in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    whats = [each["what"] for each in lines(path)]
    assert sorted(whats) == sorted(f"failure {number}" for number in range(50))


def test_a_line_that_was_never_finished_is_passed_over(path: Path) -> None:
    path.write_text('{"what": "a"}\n{"what": "b", "te')
    with FoundFile(path) as found:
        assert len(found) == 1
        found.add("b", {})
    with FoundFile(path) as found:
        assert len(found) == 2
    assert path.read_text() == '{"what": "a"}\n{"what": "b", "te\n{"what": "b"}\n'


@pytest.mark.parametrize(
    "text", ["import os\n", "no line break", "[1]\n", '{"event": "x"}\n', "\0"]
)
def test_a_file_of_something_else_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match="is not a file of findings; name another one"):
        FoundFile(path)
    assert path.read_text() == text


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FoundFile(tmp_path / "nosuch" / "found.jsonl")

"""Recorded calls go as they went. Put a file into the folder, and it is held to that."""

from pathlib import Path

import pytest

from twilio_realtime.recordings.recorder import replay

CALLS = sorted((Path(__file__).parent / "recorded_calls").glob("*.jsonl"))


def test_there_are_recorded_calls() -> None:
    assert CALLS


@pytest.mark.parametrize("path", CALLS, ids=lambda path: path.stem)
def test_a_recorded_call_goes_as_it_went(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        replayed = replay(file)
    assert replayed.difference is None, replayed.difference
    assert not replayed.is_cut_off
    assert replayed.steps > 10

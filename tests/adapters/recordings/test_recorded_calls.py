"""Each recording in the folder `recorded_calls` replays without a difference."""

from pathlib import Path

import pytest

from twilio_realtime.recordings.replay import replay

CALLS = sorted((Path(__file__).parent / "recorded_calls").glob("*.jsonl"))


def test_there_are_recorded_calls() -> None:
    assert CALLS


@pytest.mark.parametrize("path", CALLS, ids=lambda path: path.stem)
def test_a_recorded_call_replays_without_a_difference(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        result = replay(file)
    assert result.difference is None, result.difference
    assert not result.is_cut_off
    assert result.steps > 10

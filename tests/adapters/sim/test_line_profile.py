import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.errors import UsageError
from twilio_realtime.sim.batch.batch import run_call
from twilio_realtime.sim.line_profile import Distribution, LineProfile, read_line_profile

HEAD: dict[str, object] = {"format": "twilio-realtime-line", "version": 1}
LINE = LineProfile(
    calls=3,
    round_trip_ms=Distribution.of([100, 120, 140]),
    jitter_ms=Distribution.of([0, 2, 9]),
    start_delay_ms=Distribution.of([50, 60]),
    start_delay_varies_ms=Distribution.of([0, 30]),
    first_audio_ms=Distribution.of([10, 400]),
    audio_speed=Distribution.of([2, 8]),
)
samples = st.lists(st.floats(0, 600_000), min_size=1, max_size=50)


@given(samples, st.integers())
def test_a_distribution_is_within_its_samples(values: list[float], seed: int) -> None:
    distribution = Distribution.of(values)
    assert distribution is not None
    assert distribution.samples == len(values)
    drawn = distribution.draw(Random(seed))
    assert min(values) - 0.001 <= drawn <= max(values) + 0.001
    assert drawn == distribution.draw(Random(seed))


def test_nothing_has_no_distribution() -> None:
    assert Distribution.of([]) is None


def test_a_distribution_is_drawn_as_it_is() -> None:
    distribution, random = Distribution.of(list(range(101))), Random(1)
    assert distribution is not None
    drawn = sorted(distribution.draw(random) for _ in range(4000))
    assert drawn[1000] == pytest.approx(25, abs=3)
    assert drawn[3000] == pytest.approx(75, abs=3)


@given(st.dictionaries(st.sampled_from(LineProfile.distribution_names()), samples))
def test_a_profile_survives_its_file(found: dict[str, list[float]]) -> None:
    shown = {name: Distribution.of([1 + each for each in values]) for name, values in found.items()}
    profile = LineProfile(calls=2, **shown)
    assert LineProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def test_fields_of_later_versions_are_ignored() -> None:
    assert LineProfile.from_json({**HEAD, "later": 1}) == LineProfile()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not a JSON object"),
        ({}, "`format`"),
        ({"format": "twilio-realtime-line"}, "version null"),
        ({**HEAD, "version": 2}, "version 2, and this program reads version 1"),
        ({**HEAD, "version": True}, "version true"),
        ({**HEAD, "calls": -1}, "`calls` is -1"),
        ({**HEAD, "jitter_ms": 3}, "`jitter_ms` is 3"),
        ({**HEAD, "jitter_ms": {"samples": 0, "quantiles": []}}, "`jitter_ms` is"),
        ({**HEAD, "jitter_ms": {"samples": 1, "quantiles": [1]}}, "has 1 quantiles, and needs 21"),
        ({**HEAD, "jitter_ms": {"samples": 1, "quantiles": ["1"] * 21}}, "is not a number"),
        ({**HEAD, "jitter_ms": {"samples": 1, "quantiles": [-1] * 21}}, "not from 0 to 600000"),
        ({**HEAD, "jitter_ms": {"samples": 1, "quantiles": [float("nan")] * 21}}, "not from 0"),
        ({**HEAD, "jitter_ms": {"samples": 1, "quantiles": [10**400] * 21}}, "too large"),
        ({**HEAD, "jitter_ms": {"samples": 1, "quantiles": [*[2] * 20, 1]}}, "decrease"),
        ({**HEAD, "audio_speed": {"samples": 1, "quantiles": [0] * 21}}, "nothing is generated"),
        ({**HEAD, "jitter_ms": "x" * 9999}, "…"),
    ],
)
def test_what_is_no_profile_is_refused(data: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LineProfile.from_json(data)


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[" * 100_000, b" " * (1 << 21)])
def test_a_file_that_is_no_profile_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "line.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"line\.json: this is not the profile of a line"):
        read_line_profile(path)


def test_the_same_seed_and_line_make_the_same_call() -> None:
    for seed in range(6):
        one, other = (run_call(seed, line=LINE) for _ in range(2))
        assert one == other
        assert one.failure is None, one.failure
    assert run_call(1, line=LINE) != run_call(1)


def test_an_empty_profile_changes_nothing() -> None:
    assert run_call(3, line=LineProfile()) == run_call(3)


@pytest.mark.parametrize("level", ["messages", "bytes"])
def test_calls_over_a_line_keep_the_invariants(level: str) -> None:
    for seed in range(20, 26):
        result = run_call(seed, line=LINE, level=level)
        assert result.failure is None, result.failure

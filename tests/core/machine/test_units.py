import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.machine.units import (
    FRAME_SAMPLES,
    MS,
    SAMPLE_NS,
    SECOND,
    ns_to_samples,
    samples_to_ms,
    samples_to_ns,
)


def test_a_second_holds_8000_samples() -> None:
    assert SAMPLE_NS * 8000 == SECOND
    assert samples_to_ns(FRAME_SAMPLES) == 20 * MS
    assert ns_to_samples(SECOND) == 8000
    assert samples_to_ms(FRAME_SAMPLES) == 20


@given(st.integers(min_value=0, max_value=10**12))
def test_samples_are_equal_after_a_round_trip_through_time(samples: int) -> None:
    assert ns_to_samples(samples_to_ns(samples)) == samples


@given(st.integers(min_value=0, max_value=10**18))
def test_samples_in_a_duration_fit_and_one_more_would_not(duration: int) -> None:
    samples = ns_to_samples(duration)
    assert samples_to_ns(samples) <= duration < samples_to_ns(samples + 1)


@pytest.mark.parametrize("duration", [-1, -SAMPLE_NS, -SECOND])
def test_a_negative_duration_holds_no_samples(duration: int) -> None:
    assert ns_to_samples(duration) == 0


@given(st.integers(min_value=0, max_value=10**12))
def test_whole_milliseconds_are_rounded_down(samples: int) -> None:
    assert samples_to_ms(samples) * MS <= samples_to_ns(samples) < (samples_to_ms(samples) + 1) * MS

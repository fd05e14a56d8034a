import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.machine.units import (
    FRAME_SAMPLES,
    MS,
    SAMPLE_NS,
    SECOND,
    duration_ns,
    samples_in,
    whole_ms,
)


def test_a_second_holds_8000_samples_and_a_frame_lasts_20_ms() -> None:
    assert SAMPLE_NS * 8000 == SECOND
    assert duration_ns(FRAME_SAMPLES) == 20 * MS
    assert samples_in(SECOND) == 8000
    assert whole_ms(FRAME_SAMPLES) == 20


@given(st.integers(min_value=0, max_value=10**12))
def test_samples_are_the_same_after_a_way_through_time(samples: int) -> None:
    assert samples_in(duration_ns(samples)) == samples


@given(st.integers(min_value=0, max_value=10**18))
def test_samples_in_a_duration_fit_and_one_more_would_not(duration: int) -> None:
    samples = samples_in(duration)
    assert duration_ns(samples) <= duration < duration_ns(samples + 1)


@pytest.mark.parametrize("duration", [-1, -SAMPLE_NS, -SECOND])
def test_a_negative_duration_holds_no_samples(duration: int) -> None:
    assert samples_in(duration) == 0


@given(st.integers(min_value=0, max_value=10**12))
def test_whole_milliseconds_are_rounded_down(samples: int) -> None:
    assert whole_ms(samples) * MS <= duration_ns(samples) < (whole_ms(samples) + 1) * MS

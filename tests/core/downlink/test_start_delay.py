import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.downlink.play_queue import Burst
from twilio_realtime_core.downlink.start_delay import StartDelayEstimator


def burst() -> Burst:
    return Burst(start=0, sent_at_ns=0, start_delay_ns=0)


def estimator(*start_delays_ns: int) -> StartDelayEstimator:
    return StartDelayEstimator(StartDelayHistory(start_delays_ns))


def test_an_unknown_path_has_no_expected_delay() -> None:
    assert estimator().expected_ns == 0
    assert estimator().spread_ns is None


def test_the_median_of_the_history_is_expected() -> None:
    assert estimator(50, 900, 40).expected_ns == 50
    assert estimator(50, 900, 40, 60).expected_ns == 50
    assert estimator(50, 900, 40).spread_ns == 860


def test_the_delays_of_the_call_replace_the_history() -> None:
    estimates = estimator(50, 60, 70)
    estimates.learn(burst(), 200, 0)
    assert (estimates.expected_ns, estimates.spread_ns) == (200, 0)
    estimates.learn(burst(), 100, 0)
    estimates.learn(burst(), 110, 0)
    assert (estimates.expected_ns, estimates.spread_ns) == (110, 100)
    assert estimates.history == StartDelayHistory((200, 100, 110))


def test_the_earliest_of_the_last_three_echoes_counts() -> None:
    estimates, one = estimator(), burst()
    assert [estimates.learn(one, late, 0) for late in (90, 50, 80, 70, 85)] == [90, 50, 50, 50, 70]
    assert estimates.history == StartDelayHistory((70,))


def test_an_echo_of_another_burst_starts_anew() -> None:
    estimates, one, other = estimator(), burst(), burst()
    estimates.learn(one, 50, 0)
    assert estimates.is_learned(one)
    assert not estimates.is_learned(other)
    assert estimates.learn(other, 90, 0) == 90
    assert estimates.is_learned(other)


def test_a_first_echo_within_jitter_keeps_the_expected_delay() -> None:
    estimates, one = estimator(50), burst()
    assert estimates.learn(one, 60, jitter_ns=10) == 50
    assert estimates.learn(one, 58, jitter_ns=10) == 50
    assert estimates.learn(one, 59, jitter_ns=10) == 58
    assert estimates.learn(burst(), 69, jitter_ns=10) == 69
    assert estimates.learn(burst(), 40, jitter_ns=10) == 40


def test_the_first_echo_counts_where_nothing_is_expected() -> None:
    assert estimator().learn(burst(), 5, jitter_ns=10) == 5


def test_no_burst_starts_before_it_was_sent() -> None:
    assert estimator().learn(burst(), -30, 0) == 0


def test_sixteen_bursts_of_a_call_are_remembered() -> None:
    estimates = estimator()
    for late in range(20):
        estimates.learn(burst(), late, 0)
    assert estimates.history.start_delays_ns == tuple(range(4, 20))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=80))
def test_the_expected_delay_is_one_of_the_history(delays: list[int]) -> None:
    assert estimator(*delays).expected_ns in delays


@pytest.mark.parametrize("late", [1, 500])
def test_a_burst_is_learned_by_its_first_echo(late: int) -> None:
    assert estimator(7).learn(burst(), late, 0) == late

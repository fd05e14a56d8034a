import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.downlink.play_queue import Burst
from twilio_realtime_core.downlink.start_delay import StartDelayEstimator


def burst() -> Burst:
    return Burst(start=0, sent_at_ns=0, start_delay_ns=0)


def lags(*start_delays: int) -> StartDelayEstimator:
    return StartDelayEstimator(StartDelayHistory(start_delays))


def test_of_an_unknown_line_no_delay_is_expected_and_nothing_is_sure() -> None:
    assert lags().expected_ns == 0
    assert lags().spread_ns is None


def test_of_a_known_line_the_median_is_expected() -> None:
    assert lags(50, 900, 40).expected_ns == 50
    assert lags(50, 900, 40, 60).expected_ns == 50
    assert lags(50, 900, 40).spread_ns == 860


def test_what_the_call_has_shown_counts_for_more_than_any_history() -> None:
    known = lags(50, 60, 70)
    known.learn(burst(), 200, 0)
    assert (known.expected_ns, known.spread_ns) == (200, 0)
    known.learn(burst(), 100, 0)
    known.learn(burst(), 110, 0)
    assert (known.expected_ns, known.spread_ns) == (110, 100)
    assert known.history == StartDelayHistory((200, 100, 110))


def test_the_earliest_of_the_last_three_echoes_of_a_burst_counts() -> None:
    known, one = lags(), burst()
    assert [known.learn(one, late, 0) for late in (90, 50, 80, 70, 85)] == [90, 50, 50, 50, 70]
    assert known.history == StartDelayHistory((70,))


def test_an_echo_of_another_burst_begins_anew() -> None:
    known, one, other = lags(), burst(), burst()
    known.learn(one, 50, 0)
    assert known.is_learned(one)
    assert not known.is_learned(other)
    assert known.learn(other, 90, 0) == 90
    assert known.is_learned(other)


def test_a_first_echo_that_jitter_explains_does_not_outweigh_what_is_expected() -> None:
    known, one = lags(50), burst()
    assert known.learn(one, 60, jitter=10) == 50
    assert known.learn(one, 58, jitter=10) == 50
    assert known.learn(one, 59, jitter=10) == 58
    assert known.learn(burst(), 69, jitter=10) == 69
    assert known.learn(burst(), 40, jitter=10) == 40


def test_where_nothing_is_expected_the_first_echo_counts() -> None:
    assert lags().learn(burst(), 5, jitter=10) == 5


def test_no_burst_starts_before_it_was_sent() -> None:
    assert lags().learn(burst(), -30, 0) == 0


def test_sixteen_bursts_of_a_call_are_remembered() -> None:
    known = lags()
    for late in range(20):
        known.learn(burst(), late, 0)
    assert known.history.start_delays_ns == tuple(range(4, 20))


def test_histories_are_joined_newest_last_up_to_64_bursts() -> None:
    history = StartDelayHistory(tuple(range(60)))
    joined = history.merged_with(StartDelayHistory(tuple(range(60, 70))))
    assert joined.start_delays_ns == tuple(range(6, 70))
    assert StartDelayHistory().merged_with(StartDelayHistory()) == StartDelayHistory()


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=80))
def test_what_is_expected_was_seen(delays: list[int]) -> None:
    assert lags(*delays).expected_ns in delays


@pytest.mark.parametrize("late", [1, 500])
def test_a_burst_is_learned_by_its_first_echo(late: int) -> None:
    assert lags(7).learn(burst(), late, 0) == late

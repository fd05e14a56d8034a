from random import Random
from statistics import fmean
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.downlink.play_queue import Burst
from twilio_realtime_core.downlink.start_delay import StartDelayEstimator
from twilio_realtime_core.machine.units import MS

JITTER = 8
"""What echoes are taken to deviate by at first (ms)."""


def burst(expected: int = 0) -> Burst:
    """A burst that is expected to have this start delay (ms)."""
    return Burst(start=0, sent_at_ns=0, start_delay_ns=expected * MS)


def learn(estimates: StartDelayEstimator, one: Burst, late: int) -> int:
    """Take an echo (ms) as the playout does; return the start delay (ms)."""
    one.start_delay_ns = estimates.learn(one, late * MS, 0)
    return one.start_delay_ns // MS


def estimator(*start_delays_ns: int) -> StartDelayEstimator:
    return StartDelayEstimator(StartDelayHistory(start_delays_ns))


def test_an_unknown_path_has_no_expected_delay() -> None:
    assert estimator().expected_ns == 0
    assert estimator().spread_ns is None


def test_the_middle_of_the_history_is_expected() -> None:
    assert estimator(50, 900, 40).expected_ns == 50
    assert estimator(50, 900, 40, 60).expected_ns == 55
    assert estimator(50, 900, 40).spread_ns == 860


def test_no_delay_is_expected_that_is_below_none() -> None:
    estimates = estimator()
    assert learn(estimates, burst(), -5) == -5
    assert estimates.expected_ns == 0
    assert estimates.history == StartDelayHistory((0,))


def test_the_delays_of_the_call_replace_the_history() -> None:
    estimates = estimator(50, 60, 70)
    learn(estimates, burst(), 200)
    assert (estimates.expected_ns, estimates.spread_ns) == (200 * MS, 0)
    learn(estimates, burst(), 100)
    learn(estimates, burst(), 110)
    assert (estimates.expected_ns, estimates.spread_ns) == (110 * MS, 100 * MS)
    assert estimates.history == StartDelayHistory((200 * MS, 100 * MS, 110 * MS))


def test_the_mean_of_the_echoes_counts() -> None:
    estimates, one = estimator(), burst()
    assert [learn(estimates, one, late) for late in (90, 80, 85, 81)] == [90, 85, 85, 84]
    assert estimates.history == StartDelayHistory((84 * MS,))


def test_each_echo_counts_for_an_eighth_at_least() -> None:
    estimates, one = estimator(), burst()
    for _ in range(40):
        learn(estimates, one, 80)
    assert learn(estimates, one, 80 + 8 * JITTER) == 80
    assert learn(estimates, one, 80 + JITTER // 2) == 80 + JITTER // 16


def test_late_echoes_count_once_three_in_a_row_were() -> None:
    estimates, one = estimator(), burst()
    shown = [learn(estimates, one, late) for late in (50, 200, 50, 190, 200, 50, 200, 190, 210)]
    assert shown == [50] * 8 + [190]
    assert learn(estimates, one, 194) == 192


def test_a_much_earlier_echo_counts_alone() -> None:
    estimates, one = estimator(), burst()
    assert [learn(estimates, one, late) for late in (250, 50, 60)] == [250, 50, 55]


def test_an_echo_of_another_burst_starts_anew() -> None:
    estimates, one, other = estimator(), burst(), burst()
    learn(estimates, one, 50)
    assert estimates.is_learned(one)
    assert not estimates.is_learned(other)
    assert learn(estimates, other, 90) == 90
    assert estimates.is_learned(other)


def test_what_the_call_lets_expect_counts_as_one_echo() -> None:
    estimates = estimator()
    learn(estimates, burst(), 50)
    one = burst(expected=50)
    assert learn(estimates, one, 60) == 55
    assert learn(estimates, one, 49) == 53
    assert learn(estimates, burst(expected=50), 300) == 300
    assert learn(estimates, burst(expected=300), 40) == 40


def test_what_other_calls_let_expect_does_not_count_beside_an_echo() -> None:
    assert learn(estimator(50 * MS), burst(expected=50), 60) == 60


def test_a_burst_may_be_quicker_than_usual() -> None:
    estimates, one = estimator(), burst()
    assert [learn(estimates, one, late) for late in (-6, 2)] == [-6, -2]
    assert estimates.history == StartDelayHistory((0,))
    assert estimates.expected_ns == 0


def test_sixteen_bursts_of_a_call_are_remembered() -> None:
    estimates = estimator()
    for late in range(20):
        learn(estimates, burst(), late * JITTER * 10)
    assert len(estimates.history.start_delays_ns) == 16


def test_the_jitter_of_echoes_is_learned() -> None:
    estimates, one = estimator(), burst()
    assert estimates.echo_jitter_ns == 24 * MS
    for _ in range(40):
        learn(estimates, one, 80)
    assert estimates.echo_jitter_ns < MS
    learn(estimates, one, 9_000)
    learn(estimates, one, 80)
    assert 12 * MS < estimates.echo_jitter_ns < 20 * MS
    for number in range(100):
        learn(estimates, one, 80 + 20 * (number % 2))
    assert 20 * MS < estimates.echo_jitter_ns < 40 * MS


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=80))
def test_the_expected_delay_is_within_the_history(delays: list[int]) -> None:
    assert min(delays) <= estimator(*delays).expected_ns <= max(delays)


@pytest.mark.parametrize("late", [1, 500])
def test_a_burst_is_learned_by_its_first_echo(late: int) -> None:
    assert learn(estimator(7), burst(), late) == late


Echo: TypeAlias = tuple[bool, int, int]
"""Whether it is of a new burst, how late it is, and the jitter of round trips (ms)."""


@given(st.lists(st.tuples(st.booleans(), st.integers(-60, 500), st.integers(0, 60)), max_size=60))
def test_an_estimate_moves_only_towards_what_an_echo_shows(echoes: list[Echo]) -> None:
    estimates, one = estimator(), burst()
    late_in_a_row: list[int] = []
    for is_new, late_ms, jitter_ms in echoes:
        if is_new:
            one = burst(expected=estimates.expected_ns // MS)
            late_in_a_row = []
        before_ns, late_ns = one.start_delay_ns, late_ms * MS
        late_in_a_row.append(late_ns)
        after_ns = estimates.learn(one, late_ns, jitter_ms * MS)
        lowest_ns = min(before_ns, late_ns)
        assert lowest_ns <= after_ns <= max(before_ns, late_ns, *late_in_a_row[-3:])
        assert late_ns > before_ns or after_ns <= before_ns
        assert 0 <= estimates.echo_jitter_ns <= 150 * MS
        one.start_delay_ns = after_ns


@given(st.integers(0, 300), st.lists(st.integers(0, 20), min_size=12, max_size=60))
def test_jitter_is_averaged_out(start_ms: int, jitter_ms: list[int]) -> None:
    """Of even jitter no echo counts as late, and the estimate is among the echoes."""
    estimates, one = estimator(), burst()
    for each in jitter_ms:
        learn(estimates, one, start_ms + each)
    assert start_ms + min(jitter_ms) <= one.start_delay_ns / MS <= start_ms + max(jitter_ms)


def test_the_mean_of_many_calls_is_not_early_or_late() -> None:
    random = Random(1)
    errors: list[int] = []
    for _ in range(400):
        estimates, one = estimator(), burst()
        for _ in range(10):
            learn(estimates, one, 100 + random.randrange(21))
        errors.append(one.start_delay_ns - 110 * MS)
    assert abs(fmean(errors)) < MS

"""The faults of one call, as they are drawn: any of all, or those that are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.impairments.plan import DIRECTIONS
from twilio_realtime.sim.impairments.table import (IMPAIRMENTS, draw_impairments)

NAMES = ("the model's socket reset", "marks lost")


def added(seed: int, names: tuple[str, ...] = (), percent: int = 100) -> tuple[str, ...]:
    return tuple(draw_impairments(Choices.from_seed(seed), names, percent).rules_by_name)


def test_faults_that_are_named_are_there_and_no_others() -> None:
    assert {added(seed, NAMES) for seed in range(20)} == {NAMES}


def test_or_in_so_many_of_a_hundred_calls() -> None:
    counts = [sum(name in added(seed, NAMES, 50) for seed in range(200)) for name in NAMES]
    assert all(80 < count < 120 for count in counts)
    assert {added(seed, NAMES, 0) for seed in range(20)} == {()}


def test_a_fault_that_ends_a_call_is_seldom_unless_it_is_named() -> None:
    calls = [added(seed) for seed in range(400)]
    fatal, other = (sum(name in each for each in calls) for name in NAMES)
    assert 0 < fatal < other / 2


@given(st.integers(0, 2**32))
def test_what_is_named_leaves_the_ways_as_they_are(seed: int) -> None:
    any_of_all, named = (
        draw_impairments(Choices.from_seed(seed), names) for names in ((), NAMES[1:])
    )
    for trouble in (any_of_all, named):
        assert list(trouble.directions) == list(DIRECTIONS)
    assert [way.latency_ns for way in named.directions.values()] == [
        way.latency_ns for way in any_of_all.directions.values()
    ]


@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_its_rules_tell_how_often_a_fault_has_had_its_way(name: str) -> None:
    trouble = draw_impairments(Choices.from_source(lambda _, low, __: low), [name])
    rules = trouble.rules_by_name[name]
    assert rules == trouble.all_rules()
    assert trouble.applied_counts() == {name: 0 if rules else 1}

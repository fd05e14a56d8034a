"""The drawn impairments of a call: any, or those that are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.impairments.plan import DIRECTIONS
from twilio_realtime.sim.impairments.table import IMPAIRMENTS, draw_impairments

NAMES = ("the model's socket reset", "marks lost")


def drawn_names(seed: int, names: tuple[str, ...] = (), percent: int = 100) -> tuple[str, ...]:
    return tuple(draw_impairments(Choices.from_seed(seed), names, percent).rules_by_name)


def test_exactly_the_named_impairments_are_drawn() -> None:
    assert {drawn_names(seed, NAMES) for seed in range(20)} == {NAMES}


def test_named_impairments_occur_in_a_percentage_of_calls() -> None:
    counts = [sum(name in drawn_names(seed, NAMES, 50) for seed in range(200)) for name in NAMES]
    assert all(80 < count < 120 for count in counts)
    assert {drawn_names(seed, NAMES, 0) for seed in range(20)} == {()}


def test_fatal_impairments_are_rare_unless_named() -> None:
    calls = [drawn_names(seed) for seed in range(400)]
    fatal, other = (sum(name in each for each in calls) for name in NAMES)
    assert 0 < fatal < other / 2


@given(st.integers(0, 2**32))
def test_naming_impairments_does_not_change_the_latencies(seed: int) -> None:
    any_of_all, named = (
        draw_impairments(Choices.from_seed(seed), names) for names in ((), NAMES[1:])
    )
    for plan in (any_of_all, named):
        assert list(plan.directions) == list(DIRECTIONS)
    assert [each.latency_ns for each in named.directions.values()] == [
        each.latency_ns for each in any_of_all.directions.values()
    ]


@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_rules_count_how_often_an_impairment_applied(name: str) -> None:
    plan = draw_impairments(Choices.from_source(lambda _, low, __: low), [name])
    rules = plan.rules_by_name[name]
    assert rules == plan.all_rules()
    assert plan.applied_counts() == {name: 0 if rules else 1}

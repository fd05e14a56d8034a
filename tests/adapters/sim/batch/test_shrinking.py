"""Shrinking: the plainest call that fails as a given one does."""

from collections.abc import Callable, Hashable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.batch.batch import run_call
from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.batch.shrinking import Plan, follow, plan_of, shrink, shrink_call
from twilio_realtime.sim.choices import Choices
from twilio_realtime_core import Action, Bridge, Peer


def draw_all(choices: Choices) -> list[int]:
    return [
        choices.draw_integer("a", 0, 100),
        *(
            choices.draw_integer("b", 5, 1000)
            for _ in range(choices.draw_integer("how many", 0, 4))
        ),
    ]


def shrunk(start: Plan, fails: Callable[[list[int]], bool]) -> Plan:
    """The smallest plan of `draw_all` that fails."""

    def attempt(plan: Plan) -> Plan | None:
        choices = follow(plan)
        return plan_of(choices.draws) if fails(draw_all(choices)) else None

    return shrink(start, attempt)


@given(st.integers(0, 2**32))
def test_a_plan_makes_the_same_choices_again(seed: int) -> None:
    choices = Choices.from_seed(seed)
    numbers = draw_all(choices)
    again = follow(plan_of(choices.draws))
    assert (draw_all(again), again.draws) == (numbers, choices.draws)


def test_the_plan_of_a_call_makes_the_same_call() -> None:
    choices = Choices.from_seed(3)
    assert RandomCall(choices).run() is None
    again = follow(plan_of(choices.draws))
    assert RandomCall(again).run() is None
    assert again.draws == choices.draws


def test_a_number_that_is_too_high_becomes_the_highest() -> None:
    assert draw_all(follow({("a", 0): 101})) == [100]


START: Plan = {("a", 0): 90, ("how many", 0): 4, **{("b", n): 700 + n for n in range(4)}}


def test_shrinking_leaves_out_what_does_not_matter() -> None:
    assert shrunk(START, lambda numbers: numbers[0] >= 17) == {("a", 0): 17}


def test_shrinking_makes_what_matters_sooner_and_smaller() -> None:
    plan = shrunk(START, lambda numbers: any(each > 250 for each in numbers[1:]))
    assert plan == {("how many", 0): 1, ("b", 0): 251}


def test_shrinking_leaves_out_unused_draws() -> None:
    """Two lists of the same length, of which only one pair matters."""

    def attempt(plan: Plan) -> Plan | None:
        choices = follow(plan)
        times = [
            choices.draw_integer("at", 0, 99) for _ in range(choices.draw_integer("how many", 0, 9))
        ]
        fails = any(at > 30 and choices.draw_integer("what", 0, 9) == 7 for at in sorted(times))
        return plan_of(choices.draws) if fails else None

    start = {("how many", 0): 4, **{("at", n): 90 - n for n in range(4)}, ("what", 2): 7}
    assert attempt(start) == start
    assert shrink(start, attempt) == {("how many", 0): 1, ("at", 0): 31, ("what", 0): 7}


def test_shrinking_keeps_what_fails_only_whole() -> None:
    whole = draw_all(follow(START))
    assert shrunk(START, lambda numbers: numbers == whole) == START


# Calls.


class IgnoresStreamEnd(Bridge):
    """A planted bug: the end of the stream is ignored."""

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return [] if peer is Peer.TWILIO else super().closed(peer, code, reason, now)


def test_a_shrunk_call_fails_in_the_same_way_with_fewer_decisions() -> None:
    run = partial(run_call, make_bridge=IgnoresStreamEnd)
    result = next(each for each in map(run, range(50)) if each.failure is not None)
    assert result.failure is not None
    shrunk = shrink_call(result.seed, run, 60)
    assert shrunk is not None
    failure = shrunk.result.failure
    assert failure is not None
    assert (failure.invariant, failure.name) == (result.failure.invariant, result.failure.name)
    assert len(failure.decisions) < len(result.failure.decisions)
    assert 0 < shrunk.tried <= 60


def test_every_step_of_a_shrunk_call_is_in_its_trace() -> None:
    run = partial(run_call, make_bridge=IgnoresStreamEnd)
    seed = next(seed for seed in range(50) if run(seed).failure is not None)
    shrunk = shrink_call(seed, run, 0)
    assert shrunk is not None
    assert shrunk.result.failure is not None
    assert "start()" in shrunk.result.failure.trace[0]
    assert len(shrunk.result.failure.trace) > 30


@pytest.mark.parametrize("seed", [0, 1])
def test_a_call_that_succeeds_is_not_shrunk(seed: int) -> None:
    assert shrink_call(seed, run_call, 10) is None

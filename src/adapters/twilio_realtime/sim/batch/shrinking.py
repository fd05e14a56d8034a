"""Shrinking: the plainest call that fails as a given one does.

A plan holds the numbers that choices give, by label and by how often the label was drawn before.
A number that it does not hold is the lowest one, which is the plainest. So an impairment or a
command is left out of a call by leaving its draws out of the plan, and no draw of another label
changes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Final, Protocol, TypeAlias

from attrs import frozen

from ..choices import Choices, Draw
from .batch import EVERY_STEP, CallResult
from .random_call import Failure

__all__ = [
    "Attempt",
    "Plan",
    "RunChoices",
    "ShrunkCall",
    "follow",
    "plan_of",
    "shrink",
    "shrink_call",
]

_MOST_DRAWS: Final = 10
"""A greater number is none that says how often something is drawn."""

Plan: TypeAlias = dict[tuple[str, int], int]

Attempt: TypeAlias = Callable[[Plan], Plan | None]
"""Tries a plan: returns what was drawn of it if the call fails, else `None`."""


class RunChoices(Protocol):
    """Makes a call: `run_call`, or a `partial` of it."""

    def __call__(
        self, seed: int = ..., *, choices: Choices | None = ..., trace_steps: int = ...
    ) -> CallResult:
        """Make the call of a seed, or of given choices."""
        ...


@frozen
class ShrunkCall:
    """The plainest call that was found which fails as the call of a seed does: its result, whose
    failure has every step; how many calls were tried; and the plan of its choices, to make it
    again."""

    result: CallResult
    tried: int
    plan: Plan


def shrink_call(seed: int, run: RunChoices, max_calls: int) -> ShrunkCall | None:
    """Shrink the call of a seed, which fails, by at most about `max_calls` other calls.

    A call fails in the same way if it breaks the same invariant. Returns `None` if the call of the
    seed does not fail when it is made again.
    """
    choices = Choices.from_seed(seed)
    first = run(choices=choices, trace_steps=0).failure
    if first is None:
        return None
    tried = 0

    def attempt(plan: Plan) -> Plan | None:
        nonlocal tried
        if tried >= max_calls:
            return None
        tried += 1
        choices = follow(plan)
        failure = run(choices=choices, trace_steps=0).failure
        is_same = failure is not None and _kind_of(failure) == _kind_of(first)
        return plan_of(choices.draws) if is_same else None

    plan = shrink(plan_of(choices.draws), attempt)
    return ShrunkCall(run(choices=follow(plan), trace_steps=EVERY_STEP), tried, plan)


def _kind_of(failure: Failure) -> tuple[int, str]:
    return failure.invariant, failure.name


def plan_of(made: Sequence[Draw]) -> Plan:
    """The plan that comes to the same choices."""
    drawn, plan = Counter[str](), Plan()
    for draw in made:
        if draw.value > draw.low:
            plan[draw.label, drawn[draw.label]] = draw.value
        drawn[draw.label] += 1
    return plan


def follow(plan: Plan) -> Choices:
    """Choices by a plan; where a number is too high, the highest that is possible."""
    drawn = Counter[str]()

    def draw(label: str, low: int, high: int) -> int:
        value = plan.get((label, drawn[label]), low)
        drawn[label] += 1
        return min(max(value, low), high)

    return Choices.from_source(draw)


def shrink(plan: Plan, attempt: Attempt) -> Plan:
    """The plainest plan that can be found which still fails, as `plan` does."""
    tried: dict[frozenset[tuple[tuple[str, int], int]], Plan | None] = {}

    def attempt_once(plan: Plan) -> Plan | None:
        key = frozenset(plan.items())
        if key not in tried:
            tried[key] = attempt(plan)
        return tried[key]

    before: Plan | None = None
    while plan != before:
        before = plan
        for step in _STEPS:
            plan = step(plan, attempt_once)
    return plan


def _leave_out_labels(plan: Plan, attempt: Attempt) -> Plan:
    for label in dict.fromkeys(label for label, _ in plan):
        plan = attempt({key: value for key, value in plan.items() if key[0] != label}) or plan
    return plan


def _leave_out_draws(plan: Plan, attempt: Attempt) -> Plan:
    for left_out in list(plan):
        if left_out in plan:
            plan = attempt({key: value for key, value in plan.items() if key != left_out}) or plan
    return plan


def _close_gaps(plan: Plan, attempt: Attempt) -> Plan:
    """Of what is drawn several times, what was plain is left out: the rest comes sooner."""
    for label, nth in list(plan):
        before = max((n for name, n in plan if name == label and n < nth), default=-1)
        gap = nth - before - 1
        if gap:
            sooner = {
                (name, n - gap if name == label and n >= nth else n): value
                for (name, n), value in plan.items()
            }
            plan = attempt(sooner) or plan
    return plan


def _lower(plan: Plan, attempt: Attempt) -> Plan:
    for key in list(plan):
        least = 0
        while key in plan and least < plan[key]:
            middle = (least + plan[key]) // 2
            lower = attempt({**plan, key: middle})
            if lower is None:
                least = middle + 1
            else:
                plan = lower
    return plan


def _draw_fewer(plan: Plan, attempt: Attempt) -> Plan:
    """A number that says how often something is drawn goes down, and one of those draws goes: of
    the labels that are drawn for each, one or two."""
    for count in [key for key, value in plan.items() if value <= _MOST_DRAWS]:
        repeated = dict.fromkeys(label for label, nth in plan if nth)
        for label, other in [*((each, None) for each in repeated), *permutations(repeated, 2)]:
            for nth in range(1 + max((n for name, n in plan if name == label), default=0)):
                if nth < plan.get(count, 0):
                    fewer = {**plan, count: plan[count] - 1}
                    plan = attempt(_without(_without(fewer, label, nth), other, 0)) or plan
    return plan


def _without(plan: Plan, label: str | None, nth: int) -> Plan:
    return {
        (name, n - (name == label and n > nth)): value
        for (name, n), value in plan.items()
        if (name, n) != (label, nth)
    }


_STEPS: Final = (_leave_out_labels, _leave_out_draws, _close_gaps, _lower, _draw_fewer)

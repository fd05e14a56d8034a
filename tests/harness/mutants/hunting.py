"""Looks for the bug in the core that this process has, and makes plain what has shown it.

python -m mutants.hunting find FIRST END [FRAME_MS]  # the seed of the first that fails, or null
python -m mutants.hunting show SEED  # a `Find`, as JSON
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

import attrs
from attrs import frozen

from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.batch.shrinking import Plan, follow, plan_of, shrink
from twilio_realtime.sim.choices import Choices

__all__ = ["Find", "find", "shorten", "show"]

_EVERYTHING: Final = 100_000
"""Steps: more than a call has."""

_TOLD: Final = re.compile(r"\s*[\d.]+ ms  bridge\.")
_FRAME: Final = re.compile(r'bridge\.receive_text\([^\n]*"event": ?"media"')
_APPENDED: Final = re.compile(r"\s*-> Send\(peer=<Peer\.REALTIME[^\n]* message=AppendAudio\(")


@frozen
class Find:
    """A bug that the call of a seed has shown. `decided` and `trace` are those of the plainest call
    that shows it, which `plan` makes again; `trials`: how many calls it took to find that."""

    seed: int
    invariant: int
    text: str
    trials: int
    plan: list[tuple[tuple[str, int], int]]
    decided: list[str]
    trace: list[str]


def find(seeds: Iterable[int], frame_ms: int = 20) -> int | None:
    """The seed of the first call that fails; the caller's frames last `frame_ms`."""
    return next((seed for seed in seeds if _fails(seed, frame_ms)), None)


def _fails(seed: int, frame_ms: int) -> bool:
    return RandomCall(Choices.from_seed(seed), frame_ms=frame_ms).run() is not None


def show(seed: int) -> Find:
    """The plainest call that fails as the one of this seed does."""
    choices = Choices.from_seed(seed)
    failure = RandomCall(choices).run()
    assert failure is not None, seed
    invariant = failure.invariant
    trials = 0

    def attempt(plan: Plan) -> Plan | None:
        nonlocal trials
        trials += 1
        followed = follow(plan)
        failure = RandomCall(followed).run()
        fails = failure is not None and failure.invariant == invariant
        return plan_of(followed.draws) if fails else None

    plan = shrink(plan_of(choices.draws), attempt)
    shown = RandomCall(follow(plan), trace_limit=_EVERYTHING).run()
    assert shown is not None  # it has failed before
    trace = shorten(shown.trace)
    return Find(
        seed, invariant, shown.text, trials, list(plan.items()), list(shown.decisions), trace
    )


def shorten(trace: Iterable[str]) -> list[str]:
    """The steps of the bridge; frames of the caller are counted where they do nothing but pass, and
    so is what one step asks for many times."""
    return list(_shorten(trace))


def _shorten(trace: Iterable[str]) -> Iterator[str]:
    frames = 0
    for step in trace:
        if not _TOLD.match(step):
            continue
        told, *asked = step.splitlines()
        if _FRAME.search(told) and all(map(_APPENDED.match, asked)):
            frames += 1
            continue
        if frames:
            yield f"{'':14}… {frames} frames of the caller …"
            frames = 0
        yield "\n".join(_once(step.splitlines()))
    if frames:
        yield f"{'':14}… {frames} frames of the caller …"


def _once(lines: Iterable[str]) -> Iterator[str]:
    """What is asked for many times in a row, once."""
    for line, same in groupby(lines):
        times = len(list(same))
        yield line if times == 1 else f"{line} ({times} times)"


def main(what: str, *numbers: str) -> None:
    given = [int(each) for each in numbers]
    found = find(range(*given[:2]), *given[2:]) if what == "find" else attrs.asdict(show(*given))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Random calls of about ten seconds, each a pure function of its seed, and many of them at once.

    result = run_call(7)
    assert result.failure is None, result.failure

A call is put together from parts of scenarios, links, some of the faults, and commands of the
application at any moment. Every step is checked. Then the faults stop, somebody hangs up, and the
call must end in time.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

from attrs import evolve, field, frozen

from twilio_realtime_core import Bridge

from .choices import Choices
from .random_call import Failure, MakeBridge, RandomCall
from .transition_coverage import Transition, TransitionCoverage

__all__ = ["LEVELS", "Result", "RunSeed", "run_call", "run_calls", "run_job", "seeds"]

LEVELS: Final = ("messages", "bytes")

_TRACED: Final = 30
"""Steps that a failure shows."""

_CALLS_A_JOB: Final = 25
"""How many calls a worker gets at a time: about a second of work."""

_JOBS_AHEAD: Final = 256
"""Jobs that are given to workers and not done yet: more than any machine has cores. Results weigh
much more than jobs, so none is kept."""


@frozen
class Result:
    """How a call went.

    `outcome` is the name of an `EndReason`, `FAILED`, or `NEVER_BEGUN` if the phone was lost before
    it came to the bridge. `faults`: how often each fault of the call had its way; `transitions`:
    those of the core's tables that the bridge took, unless `make_bridge` made it; `seen`: how often
    peers and application were told what, by its name (the invariants speak of these); `commands`
    that the application gave. All are sorted.
    """

    seed: int | None
    scenario: str
    level: str
    outcome: str
    duration_ns: int
    failure: Failure | None
    faults: tuple[tuple[str, int], ...] = field(repr=False)
    transitions: tuple[Transition, ...] = field(repr=False)
    seen: tuple[tuple[str, int], ...] = field(repr=False)
    commands: tuple[tuple[str, int], ...] = field(repr=False)


def run_call(
    seed: int | None = None,
    *,
    choices: Choices | None = None,
    scenario: str | None = None,
    level: str = "messages",
    make_bridge: MakeBridge | None = None,
) -> Result:
    """Make the call of a seed, or of given choices, at the level of `messages` or of `bytes`.

    `scenario`: the name of one of `SCENARIOS` to be played in place of a random one. Never raises
    for what goes wrong in the call: that is its `failure`.
    """
    drawn = choices or Choices.seeded(seed or 0)
    make = partial(_run, seed=seed, scenario=scenario, level=level, make_bridge=make_bridge)
    result = make(drawn)
    if result.failure is None:
        return result
    # A trace costs more than it tells while all is well: the same call again, now with one.
    again = make(Choices.recorded(drawn.made), trace_limit=_TRACED)
    return again if _is_same(again.failure, result.failure) else _not_again(result, result.failure)


def _is_same(again: Failure | None, first: Failure) -> bool:
    return again is not None and (again.invariant, again.text) == (first.invariant, first.text)


def _not_again(result: Result, failure: Failure) -> Result:
    """Something in a bridge, or in these machines, is left to chance: that is worth to be known."""
    text = f"{failure.text}; and not so when the same call was made again"
    return evolve(result, failure=evolve(failure, text=text))


def _run(
    choices: Choices,
    *,
    seed: int | None,
    scenario: str | None,
    level: str,
    make_bridge: MakeBridge | None,
    trace_limit: int = 0,
) -> Result:
    coverage = TransitionCoverage()
    make = make_bridge or partial(Bridge, make_lifecycle=coverage.make_lifecycle)
    call = RandomCall(choices, scenario, level, make, trace_limit=trace_limit)
    failure = call.run()
    return Result(
        seed,
        call.scenario,
        level,
        _outcome(call, failure),
        call.ended_ns or call.world.now,
        failure,
        tuple(sorted(call.trouble.exercised().items())),
        tuple(sorted(coverage.transitions)),
        tuple(sorted((call.told + call.phone.received + call.model.received).items())),
        tuple(sorted(call.application.given.items())),
    )


def _outcome(call: RandomCall, failure: Failure | None) -> str:
    if failure is not None:
        return "FAILED"
    return "NEVER_BEGUN" if call.ended is None else call.ended.reason.name


RunSeed: TypeAlias = Callable[[int], Result]
"""Makes the call of a seed."""


def seeds(first: int, calls: int) -> list[range]:
    """The seeds of so many calls from `first` on, in jobs for workers."""
    end = first + calls
    return [
        range(begin, min(begin + _CALLS_A_JOB, end)) for begin in range(first, end, _CALLS_A_JOB)
    ]


def run_job(job: Sequence[int], run: RunSeed = run_call) -> list[Result]:
    """The calls of some seeds: what a worker does."""
    return [run(seed) for seed in job]


def run_calls(
    jobs: Sequence[Sequence[int]], executor: Executor, run: RunSeed = run_call
) -> Generator[list[Result], None, None]:
    """The results of all jobs, as they come: each is the same whoever has worked on it, and when.

    `run` makes the call of a seed: `run_call`, or what a worker can be sent (`partial(run_call,
    level="bytes")`, say). If the iterator is closed early, what has not begun is not done.
    """
    waiting = iter(jobs)
    pending: set[Future[list[Result]]] = set()
    try:
        while True:
            for job in islice(waiting, _JOBS_AHEAD - len(pending)):
                pending.add(executor.submit(run_job, job, run))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            while done:
                yield done.pop().result()
    finally:
        for unfinished in pending:
            unfinished.cancel()

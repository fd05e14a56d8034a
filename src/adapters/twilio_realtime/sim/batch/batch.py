"""Random calls of about ten seconds, each a pure function of its seed, and many of them in
parallel.

    result = run_call(7)
    assert result.failure is None, result.failure

A call combines parts of scenarios, links, some impairments, and commands of the application at any
moment. Every step is checked. Then the impairments stop, one side hangs up, and the call must end
in time.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

from attrs import evolve, field, frozen

from twilio_realtime_core import Bridge

from ..choices import Choices
from .random_call import Failure, MakeBridge, RandomCall
from .transition_coverage import Transition, TransitionCoverage

__all__ = ["LEVELS", "CallResult", "RunSeed", "run_call", "run_calls", "run_job", "split_seeds"]

LEVELS: Final = ("messages", "bytes")
"""The levels at which calls can be simulated."""

_TRACE_STEPS: Final = 30
"""How many steps the trace of a failure holds."""

_CALLS_PER_JOB: Final = 25
"""How many calls a worker gets at a time: about a second of work."""

_MAX_PENDING_JOBS: Final = 256
"""How many jobs are submitted at most: more than any machine has cores. Results are much larger
than jobs, so none is kept."""


@frozen
class CallResult:
    """The result of a call.

    `outcome` is the name of an `EndReason`, `FAILED`, or `NEVER_BEGUN` if the phone was lost before
    it reached the bridge. `impairments`: how often each impairment of the call applied;
    `transitions`: those of the core's tables that the bridge took, unless `make_bridge` made it;
    `received`: how often the peers and the application received each kind of message or
    notification; `commands`: how often the application
    gave each command. All are sorted.
    """

    seed: int | None
    scenario: str
    level: str
    outcome: str
    duration_ns: int
    failure: Failure | None
    impairments: tuple[tuple[str, int], ...] = field(repr=False)
    transitions: tuple[Transition, ...] = field(repr=False)
    received: tuple[tuple[str, int], ...] = field(repr=False)
    commands: tuple[tuple[str, int], ...] = field(repr=False)


def run_call(
    seed: int | None = None,
    *,
    choices: Choices | None = None,
    scenario: str | None = None,
    level: str = "messages",
    make_bridge: MakeBridge | None = None,
) -> CallResult:
    """Make the call of a seed, or of given choices, at the level of `messages` or of `bytes`.

    `scenario` is the name of one of `SCENARIOS`, in place of a random one. Never raises for what
    goes wrong in the call: that is its `failure`.
    """
    drawn = choices or Choices.from_seed(seed or 0)
    make = partial(_run, seed=seed, scenario=scenario, level=level, make_bridge=make_bridge)
    result = make(drawn)
    if result.failure is None:
        return result
    # A trace is too expensive for calls that succeed, so only a failed one is repeated with it.
    again = make(Choices.from_draws(drawn.draws), trace_limit=_TRACE_STEPS)
    return (
        again
        if _is_same_failure(again.failure, result.failure)
        else _with_unrepeatable_failure(result, result.failure)
    )


def _is_same_failure(again: Failure | None, first: Failure) -> bool:
    return again is not None and (again.invariant, again.text) == (first.invariant, first.text)


def _with_unrepeatable_failure(result: CallResult, failure: Failure) -> CallResult:
    """Return the result with a failure that says so: the bridge, or the simulation, depends on
    something else than the seed."""
    text = f"{failure.text}; not so when the same call was repeated"
    return evolve(result, failure=evolve(failure, text=text))


def _run(
    choices: Choices,
    *,
    seed: int | None,
    scenario: str | None,
    level: str,
    make_bridge: MakeBridge | None,
    trace_limit: int = 0,
) -> CallResult:
    coverage = TransitionCoverage()
    make = make_bridge or partial(Bridge, make_lifecycle=coverage.make_lifecycle)
    call = RandomCall(choices, scenario, level, make, trace_limit=trace_limit)
    failure = call.run()
    return CallResult(
        seed,
        call.scenario,
        level,
        _outcome(call, failure),
        call.call_ended_ns or call.world.now,
        failure,
        tuple(sorted(call.plan.applied_counts().items())),
        tuple(sorted(coverage.transitions)),
        tuple(
            sorted(
                (
                    call.notification_counts
                    + call.phone.received_counts
                    + call.model.received_counts
                ).items()
            )
        ),
        tuple(sorted(call.application.command_counts.items())),
    )


def _outcome(call: RandomCall, failure: Failure | None) -> str:
    if failure is not None:
        return "FAILED"
    return "NEVER_BEGUN" if call.call_ended is None else call.call_ended.reason.name


RunSeed: TypeAlias = Callable[[int], CallResult]
"""Makes the call of a seed."""


def split_seeds(first_seed: int, calls: int) -> list[range]:
    """Split the seeds of `calls` calls, from `first_seed` on, into jobs for workers."""
    end = first_seed + calls
    return [
        range(start, min(start + _CALLS_PER_JOB, end))
        for start in range(first_seed, end, _CALLS_PER_JOB)
    ]


def run_job(job: Sequence[int], run: RunSeed = run_call) -> list[CallResult]:
    """Make the calls of some seeds; the work of a worker."""
    return [run(seed) for seed in job]


def run_calls(
    jobs: Sequence[Sequence[int]], executor: Executor, run: RunSeed = run_call
) -> Generator[list[CallResult], None, None]:
    """Yield the results of all jobs, in the order in which they finish. Results do not depend on
    the worker or on the order.

    `run` makes the call of a seed: `run_call`, or a picklable function such as `partial(run_call,
    level="bytes")`. If the iterator is closed early, jobs that have not started are cancelled.
    """
    unsubmitted = iter(jobs)
    pending: set[Future[list[CallResult]]] = set()
    try:
        while True:
            for job in islice(unsubmitted, _MAX_PENDING_JOBS - len(pending)):
                pending.add(executor.submit(run_job, job, run))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            while done:
                yield done.pop().result()
    finally:
        for unfinished in pending:
            unfinished.cancel()

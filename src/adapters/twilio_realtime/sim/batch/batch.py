"""Random calls of about ten seconds, each a pure function of its seed. `jobs` makes many of them.

    result = run_call(7)
    assert result.failure is None, result.failure

A call combines parts of scenarios, links, some impairments, and commands of the application at any
moment. Every step is checked. Then the impairments stop, one side hangs up, and the call must end
in time.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from attrs import evolve, field, frozen

from twilio_realtime_core import Bridge

from ..choices import Choices
from ..line_profile import LineProfile
from .random_call import Failure, MakeBridge, RandomCall
from .transition_coverage import Transition, TransitionCoverage

__all__ = ["EVERY_STEP", "LEVELS", "CallResult", "RunSeed", "run_call"]

LEVELS: Final = ("messages", "bytes")
"""The levels at which calls can be simulated."""

_TRACE_STEPS: Final = 30
"""How many steps the trace of a failure holds."""

EVERY_STEP: Final = 10_000_000
"""A `trace_steps` that is more than any call has."""


@frozen
class CallResult:
    """The result of a call. `seed` is 0 if its choices were given.

    `outcome` is the name of an `EndReason`, `FAILED`, or `NEVER_BEGUN` if the phone was lost before
    it reached the bridge. `impairments`: how often each impairment of the call applied;
    `transitions`: those of the core's tables that the bridge took, unless `make_bridge` made it;
    `received`: how often the peers and the application received each kind of message or
    notification; `commands`: how often the application
    gave each command. All are sorted. `recording`: that of the call, compressed by zlib, if one was
    asked for.
    """

    seed: int
    scenario: str
    level: str
    outcome: str
    duration_ns: int
    failure: Failure | None
    impairments: tuple[tuple[str, int], ...] = field(repr=False)
    transitions: tuple[Transition, ...] = field(repr=False)
    received: tuple[tuple[str, int], ...] = field(repr=False)
    commands: tuple[tuple[str, int], ...] = field(repr=False)
    recording: bytes = field(default=b"", repr=False)
    frame_ms: int = field(default=20, kw_only=True)
    """How long the frames of the caller lasted."""


def run_call(
    seed: int = 0,
    *,
    choices: Choices | None = None,
    scenario: str | None = None,
    level: str = "messages",
    frame_ms: int = 20,
    line: LineProfile | None = None,
    make_bridge: MakeBridge | None = None,
    trace_steps: int = _TRACE_STEPS,
) -> CallResult:
    """Make the call of a seed, or of given choices, at the level of `messages` or of `bytes`.

    `scenario` is the name of one of `SCENARIOS`, in place of a random one. `frame_ms` is how long
    the frames of the caller last, one of `FRAME_MS_VALUES`; calls of longer frames are made faster,
    and are other calls. (`ValueError`: another value.) `line` says what the line to the phone and
    the model are like, before impairments. Otherwise never raises for what
    goes wrong in the call: that is its `failure`, whose trace has the last `trace_steps` steps. A
    call that fails is made again to get them, unless they are 0.
    """
    drawn = choices or Choices.from_seed(seed)
    make = partial(
        _run,
        seed=seed,
        scenario=scenario,
        level=level,
        frame_ms=frame_ms,
        line=line,
        make_bridge=make_bridge,
    )
    result = make(drawn)
    if result.failure is None or not trace_steps:
        return result
    # A trace is too expensive for calls that succeed, so only a failed one is repeated with it.
    again = make(Choices.from_draws(drawn.draws), trace_limit=trace_steps)
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
    seed: int,
    scenario: str | None,
    level: str,
    frame_ms: int,
    line: LineProfile | None,
    make_bridge: MakeBridge | None,
    trace_limit: int = 0,
) -> CallResult:
    coverage = TransitionCoverage()
    make = make_bridge or partial(Bridge, make_lifecycle=coverage.make_lifecycle)
    call = RandomCall(
        choices, scenario, level, make, frame_ms=frame_ms, line=line, trace_limit=trace_limit
    )
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
        frame_ms=frame_ms,
    )


def _outcome(call: RandomCall, failure: Failure | None) -> str:
    if failure is not None:
        return "FAILED"
    return "NEVER_BEGUN" if call.call_ended is None else call.call_ended.reason.name


RunSeed: TypeAlias = Callable[[int], CallResult]
"""Makes the call of a seed."""

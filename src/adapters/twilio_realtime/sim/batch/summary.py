"""The summary of many random calls: how they ended, what was tried in them, and what was not."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field

from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import EndReason

from ..impairments.table import IMPAIRMENTS
from .batch import CallResult
from .transition_coverage import TRANSITIONS, Transition

__all__ = ["UNREACHABLE_TRANSITIONS", "Summary"]

UNREACHABLE_TRANSITIONS: Final[Mapping[Transition, str]] = MappingProxyType(
    {
        ("stream", "UNOPENED", "CLOSED"): "a driver would have to report the end of a socket that "
        "it has not reported open",
        ("session", "CLOSING", "OPENED"): "a world gives up a dial at once; drivers may not, and "
        "the unit tests hold that",
    }
)
"""Transitions that cannot occur between the simulated ends of one call, with the reasons. All
others occur, given enough calls."""


@define(eq=False)
class Summary:
    """The sum of results, whatever their order."""

    calls: int = field(init=False, default=0)
    outcomes: Counter[str] = field(init=False, factory=Counter[str])
    """By name of the `EndReason`, or `FAILED`."""
    scenarios: Counter[str] = field(init=False, factory=Counter[str])
    frame_ms: Counter[int] = field(init=False, factory=Counter[int])
    """In how many calls the frames of the caller lasted so many ms."""
    failures: Counter[int] = field(init=False, factory=Counter[int])
    """By number of the invariant."""
    impairments: Counter[str] = field(init=False, factory=Counter[str])
    """In how many calls each impairment applied."""
    commands: Counter[str] = field(init=False, factory=Counter[str])
    received: Counter[str] = field(init=False, factory=Counter[str])
    """How often the peers and the application received each kind of message or notification."""
    transitions: Counter[Transition] = field(init=False, factory=Counter[Transition])
    """In how many calls each transition was taken."""
    _durations_ms: Counter[int] = field(init=False, factory=Counter[int])
    """How many calls had each duration: a billion calls have no more than some ten thousand."""

    def add(self, result: CallResult) -> None:
        """Add the result of one call."""
        self.calls += 1
        self.outcomes[result.outcome] += 1
        self.scenarios[result.scenario] += 1
        self.frame_ms[result.frame_ms] += 1
        if result.failure is not None:
            self.failures[result.failure.invariant] += 1
        self.impairments.update(name for name, times in result.impairments if times)
        self.commands.update(dict(result.commands))
        self.received.update(dict(result.received))
        self.transitions.update(result.transitions)
        self._durations_ms[result.duration_ns // MS] += 1

    def merge(self, other: "Summary") -> None:
        """Add all calls of another summary."""
        self.calls += other.calls
        self.outcomes += other.outcomes
        self.scenarios += other.scenarios
        self.frame_ms += other.frame_ms
        self.failures += other.failures
        self.impairments += other.impairments
        self.commands += other.commands
        self.received += other.received
        self.transitions += other.transitions
        self._durations_ms += other._durations_ms  # noqa: SLF001 - it is another of this class

    @property
    def total_seconds(self) -> float:
        """The duration of all calls, in virtual time."""
        return sum(ms * calls for ms, calls in self._durations_ms.items()) * MS / SECOND

    @property
    def missing_transitions(self) -> list[Transition]:
        """Transitions of the tables that no call has taken."""
        return [each for each in TRANSITIONS if each not in self.transitions]

    @property
    def missing_impairments(self) -> list[str]:
        """Impairments that never applied."""
        return [each for each in IMPAIRMENTS if each not in self.impairments]

    @property
    def missing_outcomes(self) -> list[str]:
        """Ends that no call had."""
        return [each.name for each in EndReason if each.name not in self.outcomes]

    def duration_percentile_ms(self, percent: int) -> int:
        """Return the duration that `percent` of a hundred calls did not exceed (ms)."""
        place = min(self.calls - 1, self.calls * percent // 100)
        for ms in sorted(self._durations_ms):
            place -= self._durations_ms[ms]
            if place < 0:
                return ms
        return 0

    def to_json(self) -> Mapping[str, Any]:
        """Return the whole summary as a JSON object, in a fixed order."""
        return {
            "calls": self.calls,
            "seconds": round(self.total_seconds, 3),
            "duration_ms": {str(each): self.duration_percentile_ms(each) for each in (5, 50, 95)},
            **{
                name: {str(key): counter[key] for key in sorted(counter)}
                for name, counter in (
                    ("outcomes", self.outcomes),
                    ("failures", Counter({str(n): c for n, c in self.failures.items()})),
                    ("scenarios", self.scenarios),
                    ("frame_ms", Counter({str(ms): n for ms, n in self.frame_ms.items()})),
                    ("impairments", self.impairments),
                    ("commands", self.commands),
                    ("received", self.received),
                    (
                        "transitions",
                        Counter({" ".join(each): n for each, n in self.transitions.items()}),
                    ),
                )
            },
            "missing": {
                "outcomes": self.missing_outcomes,
                "impairments": self.missing_impairments,
                "transitions": [" ".join(each) for each in self.missing_transitions],
            },
        }

"""What many random calls have come to: how they ended, what was tried in them, and what was not."""

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
"""Transitions that cannot come up between the simulated ends of one call, and why not. All others
do, if there are enough calls."""


@define(eq=False)
class Summary:
    """Adds up results; in whatever order they come, the sum is the same."""

    calls: int = field(init=False, default=0)
    outcomes: Counter[str] = field(init=False, factory=Counter[str])
    """By name of the `EndReason`, or `FAILED`."""
    scenarios: Counter[str] = field(init=False, factory=Counter[str])
    failures: Counter[int] = field(init=False, factory=Counter[int])
    """By number of the invariant."""
    impairments: Counter[str] = field(init=False, factory=Counter[str])
    """In how many calls each fault had its way."""
    commands: Counter[str] = field(init=False, factory=Counter[str])
    received: Counter[str] = field(init=False, factory=Counter[str])
    """How often the peers and the application were told what."""
    transitions: Counter[Transition] = field(init=False, factory=Counter[Transition])
    """In how many calls each was taken."""
    _durations_ms: list[int] = field(init=False, factory=list[int])

    def add(self, result: CallResult) -> None:
        """One more call."""
        self.calls += 1
        self.outcomes[result.outcome] += 1
        self.scenarios[result.scenario] += 1
        if result.failure is not None:
            self.failures[result.failure.invariant] += 1
        self.impairments.update(name for name, times in result.impairments if times)
        self.commands.update(dict(result.commands))
        self.received.update(dict(result.received))
        self.transitions.update(result.transitions)
        self._durations_ms.append(result.duration_ns // MS)

    @property
    def total_seconds(self) -> float:
        """How long all calls took, in their own time."""
        return sum(self._durations_ms) * MS / SECOND

    @property
    def missing_transitions(self) -> list[Transition]:
        """What the tables have and no call has gone through."""
        return [each for each in TRANSITIONS if each not in self.transitions]

    @property
    def missing_impairments(self) -> list[str]:
        """Faults that never had their way."""
        return [each for each in IMPAIRMENTS if each not in self.impairments]

    @property
    def missing_outcomes(self) -> list[str]:
        """Ends that no call came to."""
        return [each.name for each in EndReason if each.name not in self.outcomes]

    def duration_percentile_ms(self, percent: int) -> int:
        """So many of a hundred calls lasted no longer."""
        ordered = sorted(self._durations_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0

    def to_json(self) -> Mapping[str, Any]:
        """All of it, as JSON has it, in an order of its own."""
        return {
            "calls": self.calls,
            "seconds": round(self.total_seconds, 3),
            "lasted_ms": {str(each): self.duration_percentile_ms(each) for each in (5, 50, 95)},
            **{
                name: {str(key): counter[key] for key in sorted(counter)}
                for name, counter in (
                    ("outcomes", self.outcomes),
                    ("failures", Counter({str(n): c for n, c in self.failures.items()})),
                    ("scenarios", self.scenarios),
                    ("faults", self.impairments),
                    ("commands", self.commands),
                    ("seen", self.received),
                    (
                        "transitions",
                        Counter({" ".join(each): n for each, n in self.transitions.items()}),
                    ),
                )
            },
            "missing": {
                "outcomes": self.missing_outcomes,
                "faults": self.missing_impairments,
                "transitions": [" ".join(each) for each in self.missing_transitions],
            },
        }

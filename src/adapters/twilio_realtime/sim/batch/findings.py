"""Findings: what broke in calls that failed, so that calls that failed in one way count as one."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from attrs import define

from ..reference import INVARIANTS
from .batch import CallResult
from .random_call import Failure
from .story import IdNumbers

__all__ = ["Findings", "FoundFailure", "invariant_text", "what_broke"]

_NUMBER: Final = re.compile(r"\d+(\.\d+)?")

_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {each.name: each.sentence() for each in INVARIANTS}
)

_FIRST_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {each.number: each.name for each in reversed(INVARIANTS)}
)
"""The name of the first invariant of each number: what the ground truth finds has no other."""

_WITHOUT_JUDGE: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1: "No exceptions: nothing raises, whatever a peer sends.",
        0: "Ground truth: what the phone has played and what the peers complain of agree with what "
        "the bridge has sent.",
    }
)
"""What does not hold when no judge of the reference model has found it, by number."""


def what_broke(failure: Failure) -> str:
    """Return the text that calls which fail in the same way share: the invariant, and what is
    wrong without its ids and numbers."""
    text = _NUMBER.sub("#", IdNumbers().replace(failure.text))
    return f"{failure.invariant} {failure.name}: {text}"


def invariant_text(failure: Failure) -> str:
    """Return the number, the name and the sentence of the invariant that does not hold."""
    name = failure.name or _FIRST_NAMES.get(failure.invariant, "")
    if failure.name or failure.invariant not in _WITHOUT_JUDGE:
        sentence = f"{name}: {_SENTENCES[name]}" if name in _SENTENCES else name
    else:
        sentence = _WITHOUT_JUDGE[failure.invariant]
    return f"invariant {failure.invariant}, {sentence}"


@define
class FoundFailure:
    """One way in which calls failed: the seed of the one that was found first, the lowest seed, and
    how many calls did so far."""

    what: str
    first_seed: int
    lowest_seed: int
    calls: int = 0


class Findings:
    """All ways in which the calls of a run failed."""

    def __init__(self) -> None:
        self._findings: dict[str, FoundFailure] = {}

    def add(self, result: CallResult, failure: Failure) -> FoundFailure:
        """Count a call that failed; return the way in which it did."""
        what = what_broke(failure)
        finding = self._findings.setdefault(what, FoundFailure(what, result.seed, result.seed))
        finding.calls += 1
        finding.lowest_seed = min(finding.lowest_seed, result.seed)
        return finding

    def __iter__(self) -> Iterator[FoundFailure]:
        """Iterate over the ways, the most frequent one first, whatever the order of the calls."""
        return iter(sorted(self._findings.values(), key=lambda each: (-each.calls, each.what)))

    def __len__(self) -> int:
        return len(self._findings)

"""The transitions of the core's lifecycle tables that a call has taken.

coverage = TransitionCoverage()
bridge = Bridge(config, make_lifecycle=coverage.make_lifecycle)
...
coverage.transitions

The bridge gets its lifecycles from the observer, so a bridge that is not observed pays nothing.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, cast

from twilio_realtime_core.machine import lifecycles
from twilio_realtime_core.machine.lifecycles import Lifecycle, Table

__all__ = ["TABLES", "TRANSITIONS", "Transition", "TransitionCoverage"]

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741

Transition: TypeAlias = tuple[str, str, str]
"""The name of a table, and of a state and an input that the table lists."""

TABLES: Final[Mapping[str, Mapping[Any, Mapping[Any, Any]]]] = MappingProxyType(
    {
        name.lower(): cast("Mapping[Any, Mapping[Any, Any]]", table)
        for name, table in vars(lifecycles).items()
        if name.isupper() and isinstance(table, Mapping)
    }
)
"""All tables of the core, by name; one that is added there is added here."""

TRANSITIONS: Final[tuple[Transition, ...]] = tuple(
    (table, state.name, each.name)
    for table, rows in TABLES.items()
    for state, row in rows.items()
    for each in row
)
"""All transitions, in the order of the tables."""

_TABLE_OF: Final[Mapping[Enum, str]] = MappingProxyType(
    {state: table for table, rows in TABLES.items() for state in rows}
)


class TransitionCoverage:
    """An observer of the lifecycles of any number of bridges."""

    def __init__(self) -> None:
        self._taken: set[tuple[Enum, Enum]] = set()

    def make_lifecycle(self, table: Table[S, I], state: S) -> Lifecycle[S, I]:
        """Return a lifecycle whose transitions are observed, for a bridge."""
        return _ObservedLifecycle(table, state, self._taken)

    @property
    def transitions(self) -> frozenset[Transition]:
        """The transitions that were taken so far."""
        return frozenset((_TABLE_OF[state], state.name, event.name) for state, event in self._taken)


class _ObservedLifecycle(Lifecycle[S, I]):
    """A lifecycle that adds each transition that it takes to `taken`."""

    __slots__ = ("_taken",)

    def __init__(self, table: Table[S, I], state: S, taken: set[tuple[Enum, Enum]]) -> None:
        super().__init__(table, state)
        self._taken = taken

    def step(self, event: I) -> bool:
        """Take the transition for `event`, and add it."""
        state = self.state
        is_possible = super().step(event)
        if is_possible:
            self._taken.add((state, event))
        return is_possible

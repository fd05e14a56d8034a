"""Which states and transitions of the core's tables a call goes through.

The tables are the core's, and the core does not know that it is watched: while somebody does, this
stands in `Lifecycle.step`.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from twilio_realtime_core.machine import lifecycles
from twilio_realtime_core.machine.lifecycles import Lifecycle

__all__ = ["TABLES", "TRANSITIONS", "Transition", "visits"]

Transition: TypeAlias = tuple[str, str, str]
"""A table, a state of it, and an input that is possible there, by their names."""

TABLES: Final[Mapping[str, Mapping[Any, Mapping[Any, Any]]]] = MappingProxyType(
    {
        name.lower(): cast("Mapping[Any, Mapping[Any, Any]]", table)
        for name, table in vars(lifecycles).items()
        if name.isupper() and isinstance(table, Mapping)
    }
)
"""Those that the core has, whichever they are."""

TRANSITIONS: Final[tuple[Transition, ...]] = tuple(
    (table, state.name, each.name)
    for table, rows in TABLES.items()
    for state, row in rows.items()
    for each in row
)
"""All there are, in the order of the tables."""

_TABLE_OF: Final[Mapping[Enum, str]] = MappingProxyType(
    {state: table for table, rows in TABLES.items() for state in rows}
)
_seen: ContextVar[set[tuple[Enum, Enum]] | None] = ContextVar("_seen", default=None)
_step: Final[Callable[[Lifecycle[Any, Any], Any], bool]] = getattr(Lifecycle, "step")  # noqa: B009 - as it was


def _noted_step(lifecycle: Lifecycle[Any, Any], event: Enum) -> bool:
    state = lifecycle.state
    possible = _step(lifecycle, event)
    if possible and (seen := _seen.get()) is not None:
        seen.add((state, event))
    return possible


@contextmanager
def visits() -> Generator[set[Transition], None, None]:
    """What is gone through in the context, and in its thread; complete at its end."""
    # Once watched, always: other threads may be at it. Who is not watched pays a function call.
    setattr(Lifecycle, "step", _noted_step)  # noqa: B010 - it stands in for a method
    visited: set[Transition] = set()
    seen: set[tuple[Enum, Enum]] = set()
    token = _seen.set(seen)
    try:
        yield visited
    finally:
        _seen.reset(token)
        visited |= {(_TABLE_OF[state], state.name, event.name) for state, event in seen}

"""One step of a bridge as its judges see it, and what judges and facts have in common.

What a bridge is told is a value: a message of a peer, a command, or one of the values here. What
it asks for is one as well: the message of a `Send`, the event of a `Notify`, any other action
itself. Facts and invariants name the kinds that concern them, and hear of no others.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, get_args

from attrs import define, field, frozen

from twilio_realtime_core import realtime
from twilio_realtime_core.actions import Action, Notify, Send

from ..world import Step

__all__ = [
    "CLIENT_EVENTS",
    "ByKind",
    "Fact",
    "Gone",
    "Invariant",
    "Opened",
    "Ponged",
    "Started",
    "TimedOut",
    "Told",
    "value_of",
]

CLIENT_EVENTS: Final[tuple[type, ...]] = get_args(realtime.ClientEvent)
"""Whatever may be sent to the model's server."""


@frozen
class Started:
    """The call begins."""


@frozen
class Opened:
    """A socket is open."""

    peer: object


@frozen
class Gone:
    """A socket is closed, or could not be opened."""

    peer: object


@frozen
class Ponged:
    """A pong has come."""


@frozen
class TimedOut:
    """The deadline may have come."""


@define(eq=False)
class Told:
    """One step: `event` is what the bridge was told at `now` (ns), `outputs` what it asked for."""

    now: int
    event: object
    outputs: Sequence[Action]
    deadline_before: int | None
    deadline: int | None
    method: str = field(repr=False)
    arguments: tuple[object, ...] = field(repr=False)

    @property
    def step(self) -> Step:
        """The step as a trace shows it."""
        return Step(self.now, "bridge", self.method, self.arguments, tuple(self.outputs))


def value_of(action: Action) -> object:
    """What an action is about."""
    if isinstance(action, Send):
        return action.message
    return action.event if isinstance(action, Notify) else action


class Fact:
    """What is known of a call, told of the inputs and outputs that it names."""

    inputs: ClassVar[tuple[type, ...]] = ()
    outputs: ClassVar[tuple[type, ...]] = ()

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""

    def asked(self, value: object, told: Told) -> None:
        """Take in one thing that it asked for."""

    def finish(self, told: Told) -> None:
        """The step is over."""


class Invariant:
    """What must hold. The methods say what is wrong, or `None`."""

    number: ClassVar[int]
    inputs: ClassVar[tuple[type, ...]] = ()
    outputs: ClassVar[tuple[type, ...]] = ()

    def __init__(self, facts: Any) -> None:
        del facts

    def on_input(self, told: Told) -> str | None:
        """What is wrong with how an input was taken, by the facts that it leaves behind."""
        del told
        return None

    def on_output(self, value: object, told: Told) -> str | None:
        """What is wrong with an output, by the facts from before it."""
        del value, told
        return None

    def after(self, told: Told) -> str | None:
        """What is wrong now that a step is over."""
        del told
        return None


class ByKind(dict[type, list[Callable[..., Any]]]):
    """The method of each of `judges` that a value concerns, by its kind. `kinds` is where they name
    theirs: `inputs` or `outputs`."""

    def __init__(self, judges: Sequence[Fact | Invariant], method: str, kinds: str) -> None:
        super().__init__()
        self._concerned = [(getattr(each, kinds), getattr(each, method)) for each in judges]

    def __missing__(self, kind: type) -> list[Callable[..., Any]]:
        found = [method for kinds, method in self._concerned if issubclass(kind, kinds)]
        self[kind] = found
        return found

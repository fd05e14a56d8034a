"""One step of a bridge as its judges see it, and what judges and facts have in common.

What a bridge is told is a value: a message of a peer, a command, or one of the values here. What
it asks for is one as well: the message of a `Send`, the event of a `Notify`, any other action
itself. Facts and invariants name the kinds that concern them, and hear of no others.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeAlias, get_args

from attrs import define, field, frozen

from twilio_realtime_core.machine.actions import Action, Notify, Send
from twilio_realtime_core.protocols import realtime

from ..world.world import Step

__all__ = [
    "CLIENT_EVENTS",
    "ByKind",
    "Ends",
    "Fact",
    "Gone",
    "Invariant",
    "Opened",
    "Ponged",
    "Started",
    "TimedOut",
    "Told",
    "is_later",
    "news_of",
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
    method: Callable[..., Any] = field(repr=False)
    arguments: tuple[object, ...] = field(repr=False)

    @property
    def step(self) -> Step:
        """The step as a trace shows it."""
        name = self.method.__name__
        return Step(self.now, "bridge", name, self.arguments, tuple(self.outputs))


def value_of(action: Action) -> object:
    """What an action is about."""
    if isinstance(action, Send):
        return action.message
    return action.event if isinstance(action, Notify) else action


def is_later(deadline: int | None, limit: int) -> bool:
    """Whether a bridge with this deadline may do nothing until after a time (ns)."""
    return deadline is None or deadline > limit


class Fact:
    """What is known of a call, told of the inputs and outputs that it names. `finish` ends the
    steps that held any of them, or of the kinds in `ends`."""

    inputs: ClassVar[tuple[type, ...]] = ()
    outputs: ClassVar[tuple[type, ...]] = ()
    ends: ClassVar[tuple[type, ...]] = ()

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""

    def asked(self, value: object, told: Told) -> None:
        """Take in one thing that it asked for."""

    def finish(self, told: Told) -> None:
        """The step is over."""


class Invariant:
    """What must hold. The methods say what is wrong, or `None`. `after` judges the steps that held
    anything of what concerns the invariant itself, or of the kinds in `ends`: those that can change
    what it looks at."""

    number: ClassVar[int]
    inputs: tuple[type, ...] = ()
    """Of a kind of invariant; one of them may need fewer, as its call is configured."""
    outputs: ClassVar[tuple[type, ...]] = ()
    ends: ClassVar[tuple[type, ...]] = ()

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


def news_of(*facts: type[Fact]) -> tuple[type, ...]:
    """All that changes what these know: for the `ends` of who looks at them."""
    return tuple(kind for each in facts for kind in (*each.inputs, *each.outputs, *each.ends))


Judge: TypeAlias = Fact | Invariant
_Method: TypeAlias = Callable[..., Any]


class ByKind(dict[type, tuple[Any, ...]]):
    """What a kind of value means, for inputs or for outputs (`kinds`): for each of `groups`, which
    are judges and the name of a method, a list of the methods of those that it concerns; and last,
    the bits of the `ends` that it concerns."""

    def __init__(
        self, kinds: str, groups: Sequence[tuple[Sequence[Judge], str]], ends: "Ends"
    ) -> None:
        super().__init__()
        self._kinds = kinds
        self._groups = groups
        self._ends = ends

    def __missing__(self, kind: type) -> tuple[Any, ...]:
        lists = [
            [
                getattr(each, method)
                for each in judges
                if issubclass(kind, getattr(each, self._kinds))
            ]
            for judges, method in self._groups
        ]
        found = self[kind] = (*lists, self._ends.bits(kind))
        return found


class Ends(dict[int, tuple[list[_Method], list[_Method]]]):
    """Who judges the end of a step, and for whom it is over, by those whom the step concerns: a
    number with a bit for each. (Most steps concern few, and they are a great many.)"""

    def __init__(self, invariants: Sequence[Invariant], facts: Sequence[Fact]) -> None:
        super().__init__()
        self._invariants = [each for each in invariants if type(each).after is not Invariant.after]
        self._facts = [each for each in facts if type(each).finish is not Fact.finish]

    def bits(self, kind: type) -> int:
        """Whom a step concerns that holds a value of this kind."""
        judges: list[Judge] = [*self._invariants, *self._facts]
        concerns = (issubclass(kind, (*each.inputs, *each.outputs, *each.ends)) for each in judges)
        return sum(1 << bit for bit, concerned in enumerate(concerns) if concerned)

    def __missing__(self, bits: int) -> tuple[list[_Method], list[_Method]]:
        judges = [each.after for bit, each in enumerate(self._invariants) if bits >> bit & 1]
        bits_of_facts = bits >> len(self._invariants)
        finishes = [each.finish for bit, each in enumerate(self._facts) if bits_of_facts >> bit & 1]
        found = self[bits] = judges, finishes
        return found

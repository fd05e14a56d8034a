"""One step of a bridge as its judges see it, and the base classes of judges and of models.

The input of a step is a value: a message of a peer (see `received`), a command of the application,
or one of the values here. So is each output: a message to a peer (see `sent`), a notification, or
any other action itself. A model or an invariant names the types of inputs and outputs that concern
it, and is called for these alone.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeAlias, get_args

from attrs import define, field, frozen

from twilio_realtime_core.machine.actions import Action, Notify, Send
from twilio_realtime_core.protocols.realtime import ClientEvent

from ..world.world import Step
from .received import ReceivedMedia
from .sent import read_sent

__all__ = [
    "CLIENT_EVENTS",
    "Dispatch",
    "ExpectedState",
    "Invariant",
    "Judge",
    "PongReceived",
    "SocketClosed",
    "SocketOpened",
    "StartRequested",
    "StepEnds",
    "StepRecord",
    "TimeoutHandled",
    "is_concerned",
    "is_later",
    "kinds_of",
    "read_output",
]

CLIENT_EVENTS: Final[tuple[type, ...]] = get_args(ClientEvent)
"""The client events that are commands of the application."""


@frozen
class StartRequested:
    """The call starts."""


@frozen
class SocketOpened:
    """A socket is open."""

    peer: object


@frozen
class SocketClosed:
    """A socket is closed, or could not be opened."""

    peer: object


@frozen
class PongReceived:
    """A pong is received."""


@frozen
class TimeoutHandled:
    """`handle_timeout` is called, at the deadline or before."""


@define(eq=False)
class StepRecord:
    """One step: its input `event` at `now` (ns), and the outputs, both as `actions` of the bridge
    and as the `values` that the judges read."""

    now: int
    event: object
    actions: Sequence[Action]
    values: Sequence[object]
    deadline_before: int | None
    deadline: int | None
    method: Callable[..., Any] = field(repr=False)
    arguments: tuple[object, ...] = field(repr=False)

    @property
    def trace_step(self) -> Step:
        """The step as a trace shows it."""
        name = self.method.__name__
        return Step(self.now, "bridge", name, self.arguments, tuple(self.actions))

    def has_output(self, *types: type[Any]) -> bool:
        """Whether an output is of one of the types."""
        return bool(self.values) and any(isinstance(each, types) for each in self.values)


def read_output(action: Action) -> object:
    """Return the value of an output that the judges read."""
    if isinstance(action, Send):
        return read_sent(action.peer, action.message)
    return action.event if isinstance(action, Notify) else action


def is_later(deadline: int | None, limit_ns: int) -> bool:
    """Whether a bridge with this deadline (ns) may wait until after a time."""
    return deadline is None or deadline > limit_ns


class ExpectedState:
    """A part of the reference model. `finish_step` is called after steps with an input or output
    of the types in `inputs`, `outputs` or `triggers`."""

    inputs: ClassVar[tuple[type, ...]] = ()
    outputs: ClassVar[tuple[type, ...]] = ()
    triggers: ClassVar[tuple[type, ...]] = ()
    is_frame_judge: ClassVar[bool] = False
    """Whether a frame that is only forwarded (see `forwarded_frames`) changes nothing of it."""

    def apply_input(self, step: StepRecord) -> None:
        """Apply the input of a step."""

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Apply one output of a step."""

    def finish_step(self, step: StepRecord) -> None:
        """Reset what holds for one step only."""


class Invariant:
    """A judge of one invariant. The methods return what is wrong, or `None`. `check_step` is called
    after steps with an input or output of the types in `inputs`, `outputs` or `triggers`: those
    that can change what it looks at."""

    number: ClassVar[int]
    """The id of the invariant; several judges may share it."""
    name: ClassVar[str]
    """Two to five words. The first paragraph of the docstring is the sentence that holds."""
    inputs: tuple[type, ...] = ()
    """May be fewer for one judge than for its class, by the configuration of its call."""
    outputs: ClassVar[tuple[type, ...]] = ()
    triggers: ClassVar[tuple[type, ...]] = ()
    judges_deadline: ClassVar[bool] = False
    """Whether `check_step` is called after steps that change the deadline, too."""
    is_frame_judge: ClassVar[bool] = False
    """Whether `check_frame` is all that it has to do for a frame that is only forwarded (see
    `forwarded_frames`)."""

    def __init__(self, call: Any) -> None:
        del call

    @classmethod
    def sentence(cls) -> str:
        """Return the sentence that holds, in one line."""
        return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())

    def check_input(self, step: StepRecord) -> str | None:
        """Judge the outputs to an input, once the model has applied the input."""
        del step
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output, before the model applies it."""
        del value, step
        return None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        del step
        return None

    def check_frame(
        self, frame: ReceivedMedia, samples: int, now: int, deadline: int | None
    ) -> str | None:
        """Judge a step that only forwards a frame, in place of the other methods."""
        del frame, samples, now, deadline
        return None


def kinds_of(*states: type[ExpectedState]) -> tuple[type, ...]:
    """Return all types of inputs and outputs that change these parts of the model."""
    return tuple(kind for each in states for kind in (*each.inputs, *each.outputs, *each.triggers))


Judge: TypeAlias = ExpectedState | Invariant


def is_concerned(judge: Judge, kind: type) -> bool:
    """Whether a value of a type concerns a judge, as an input, as an output or otherwise."""
    return issubclass(kind, (*judge.inputs, *judge.outputs, *judge.triggers))


_Method: TypeAlias = Callable[..., Any]


_KindGroups: TypeAlias = tuple[tuple[tuple[type, ...], ...], ...]


class _Concerned(dict[type, tuple[list[int], ...]]):
    """By the type of a value, the indexes of the judges in each group that it concerns, where each
    judge is the tuple of types that it names."""

    def __init__(self, groups: _KindGroups) -> None:
        super().__init__()
        self._groups = groups

    def __missing__(self, kind: type) -> tuple[list[int], ...]:
        found = self[kind] = tuple(
            [index for index, kinds in enumerate(group) if issubclass(kind, kinds)]
            for group in self._groups
        )
        return found


_CONCERNED: Final[dict[_KindGroups, _Concerned]] = {}
"""Shared by all calls whose judges name the same types, of which there are few: every call meets
some forty types, and has some fifty judges."""


class Dispatch(dict[type, tuple[Any, ...]]):
    """The methods to call for a type of value, of `direction` `inputs` or `outputs`: a list for
    each of `groups`, which are judges and the name of a method; and last the bits of the judges
    that are concerned at the end of the step."""

    def __init__(
        self,
        direction: str,
        groups: Sequence[tuple[Sequence[Judge], str]],
        step_ends: "StepEnds",
    ) -> None:
        super().__init__()
        self._groups = groups
        self._step_ends = step_ends
        key = tuple(tuple(getattr(each, direction) for each in judges) for judges, _ in groups)
        self._concerned = _CONCERNED.setdefault(key, _Concerned(key))

    def __missing__(self, kind: type) -> tuple[Any, ...]:
        lists = [
            [getattr(judges[index], method) for index in indexes]
            for (judges, method), indexes in zip(self._groups, self._concerned[kind], strict=True)
        ]
        found = self[kind] = (*lists, self._step_ends.bits(kind))
        return found


class StepEnds(dict[int, tuple[list[_Method], list[_Method]]]):
    """The methods to call at the end of a step, by the judges that the step concerns: a number with
    a bit for each. (Most steps concern few of them, and there are many steps.) With `judges_all`
    each step concerns all."""

    def __init__(
        self,
        invariants: Sequence[Invariant],
        states: Sequence[ExpectedState],
        *,
        judges_all: bool = False,
    ) -> None:
        super().__init__()
        self._judges_all = judges_all
        self._invariants = [
            each for each in invariants if type(each).check_step is not Invariant.check_step
        ]
        self._states = [
            each for each in states if type(each).finish_step is not ExpectedState.finish_step
        ]
        judges: list[Judge] = [*self._invariants, *self._states]
        key = (tuple((*each.inputs, *each.outputs, *each.triggers) for each in judges),)
        self._concerned = _CONCERNED.setdefault(key, _Concerned(key))
        self._all_bits = (1 << len(judges)) - 1
        self.deadline_bits = sum(
            1 << bit for bit, each in enumerate(self._invariants) if each.judges_deadline
        )
        """The bits of the judges that a change of the deadline concerns."""

    def bits(self, kind: type) -> int:
        """Return the bits of the judges that a value of this type concerns."""
        if self._judges_all:
            return self._all_bits
        (indexes,) = self._concerned[kind]
        return sum(1 << bit for bit in indexes)

    def __missing__(self, bits: int) -> tuple[list[_Method], list[_Method]]:
        checks = [each.check_step for bit, each in enumerate(self._invariants) if bits >> bit & 1]
        state_bits = bits >> len(self._invariants)
        finishes = [
            each.finish_step for bit, each in enumerate(self._states) if state_bits >> bit & 1
        ]
        found = self[bits] = checks, finishes
        return found

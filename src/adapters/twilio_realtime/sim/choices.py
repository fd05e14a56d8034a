"""The one source of all that a simulated call leaves to chance.

Every draw is a whole number between two bounds, and has a label that says what it decides. Where
the numbers come from is interchangeable: a seed, a property test that looks for the smallest call
that fails, or the draws of an earlier call.

    choices = Choices.seeded(7)
    call(choices)
    call(Choices.recorded(choices.made))  # the same call again
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Final, NamedTuple, TypeAlias, TypeVar

from attrs import define, field

__all__ = ["Choices", "Draw", "DrawMismatchError", "DrawSource"]

T = TypeVar("T")

_MAX_SEED: Final = 2**32
"""Seeds of what is drawn too often to draw each for itself."""


class Draw(NamedTuple):
    """One choice: what it decided, its bounds (both possible), and what came out."""

    label: str
    low: int
    high: int
    value: int

    def __str__(self) -> str:
        return f"{self.label}: {self.value} of {self.low} to {self.high}"


DrawSource: TypeAlias = Callable[[str, int, int], int]
"""Gives a number between two bounds, for a label. The lowest is always the plainest choice, so that
who looks for a small failure looks for small numbers."""


class DrawMismatchError(AssertionError):
    """The draws of another call were given, or the code that draws has changed since."""


@define(eq=False)
class Choices:
    """Draws from a source, and notes what was drawn in `made`, and in `decided`, for people, what
    that came to where it did not come out plainest.

    A draw from a recording that does not fit raises `WrongDraw`.
    """

    _source: DrawSource
    draws: list[Draw] = field(init=False, factory=list[Draw])
    decisions: list[str] = field(init=False, factory=list[str])

    @classmethod
    def from_seed(cls, seed: int) -> "Choices":
        """All from `seed`. Each label has numbers of its own: a draw that is added to one part of a
        call leaves the other parts as they were."""
        by_label: dict[str, Random] = {}

        def draw(label: str, low: int, high: int) -> int:
            if label not in by_label:
                by_label[label] = Random(f"{seed} {label}")  # noqa: S311 - it must repeat itself
            return by_label[label].randint(low, high)

        return cls(draw)

    @classmethod
    def from_source(cls, source: DrawSource) -> "Choices":
        """From a function of label, lowest and highest, such as one that asks Hypothesis:
        `lambda label, low, high: data.draw(st.integers(low, high), label=label)`."""
        return cls(source)

    @classmethod
    def from_draws(cls, draws: Sequence[Draw]) -> "Choices":
        """Those that were `made` before, in the same order."""
        left = iter(draws)

        def draw(label: str, low: int, high: int) -> int:
            known = next(left, None)
            if known is None or known[:3] != (label, low, high):
                raise DrawMismatchError(f"{label}, {low} to {high}, is not what was drawn: {known}")
            return known.value

        return cls(draw)

    def draw_integer(self, label: str, low: int, high: int) -> int:
        """A number from `low` to `high`, both possible."""
        value = self._draw(label, low, high)
        self._note_decision(value > low, f"{label}: {value}")
        return value

    def draw_bool(self, label: str, percent: int) -> bool:
        """Whether something happens that does so in `percent` of a hundred calls."""
        happens = self._draw(label, 0, 99) >= 100 - percent
        self._note_decision(happens, label)
        return happens

    def draw_option(self, label: str, options: Sequence[T]) -> T:
        """One of several, each as likely. The first is the plainest."""
        index = self._draw(label, 0, len(options) - 1)
        self._note_decision(index > 0, f"{label}: {_option_name(options[index], index)}")
        return options[index]

    def draw_weighted(self, label: str, options: Sequence[tuple[int, T]]) -> T:
        """One of several, by weight. The first is the plainest."""
        weights = [weight for weight, _ in options]
        point = self._draw(label, 0, sum(weights) - 1)
        index = bisect_right(list(accumulate(weights)), point)
        option = options[index][1]
        self._note_decision(index > 0, f"{label}: {_option_name(option, index)}")
        return option

    def draw_random(self, label: str) -> Random:
        """Chance for what is drawn thousands of times a call, such as the jitter of each message:
        only its seed is a choice."""
        return Random(self._draw(label, 0, _MAX_SEED - 1))  # noqa: S311 - it must repeat itself

    def _draw(self, label: str, low: int, high: int) -> int:
        value = self._source(label, low, high)
        self.draws.append(Draw(label, low, high, value))
        return value

    def _note_decision(self, is_notable: bool, description: str) -> None:  # noqa: FBT001 - it is private
        if is_notable:
            self.decisions.append(description)


def _option_name(option: object, index: int) -> str:
    """What to call an option: values by what they are, functions by their names or numbers."""
    if callable(option):
        name: str = getattr(option, "__name__", "")
        return name if name.isidentifier() else f"number {index}"
    return str(option)

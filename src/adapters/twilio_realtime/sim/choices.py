"""The one source of random decisions in a simulated call.

Every draw is an integer between two bounds, with a label that says what it decides. The source of
the numbers is interchangeable: a seed, a property test that searches for the smallest failing call,
or the draws of an earlier call.

    choices = Choices.from_seed(7)
    call(choices)
    call(Choices.from_draws(choices.draws))  # the same call again
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
"""The number of seeds for what is drawn too often to draw each value by itself."""


class Draw(NamedTuple):
    """One draw: its label, its bounds (both possible), and its value."""

    label: str
    low: int
    high: int
    value: int

    def __str__(self) -> str:
        return f"{self.label}: {self.value} of {self.low} to {self.high}"


DrawSource: TypeAlias = Callable[[str, int, int], int]
"""Returns a number between two bounds, for a label. The lowest number is always the plainest
choice, so that a search for a small failure can search for small numbers."""


class DrawMismatchError(AssertionError):
    """The given draws are those of another call, or the code that draws has changed since."""


@define(eq=False)
class Choices:
    """The random decisions of a simulated call, drawn from a seed or replayed from an earlier call.

    `draws` holds every draw, and `decisions` describes in words those that are not the plainest.
    Draws from an earlier call that do not fit raise `DrawMismatchError`.
    """

    _source: DrawSource
    draws: list[Draw] = field(init=False, factory=list[Draw])
    decisions: list[str] = field(init=False, factory=list[str])

    @classmethod
    def from_seed(cls, seed: int) -> "Choices":
        """Return choices that are a function of `seed`. Each label has numbers of its own: a draw
        that is added to one part of a call does not change the other parts."""
        by_label: dict[str, Random] = {}

        def draw(label: str, low: int, high: int) -> int:
            if label not in by_label:
                by_label[label] = Random(f"{seed} {label}")  # noqa: S311 - it must be repeatable
            return by_label[label].randint(low, high)

        return cls(draw)

    @classmethod
    def from_source(cls, source: DrawSource) -> "Choices":
        """Return choices from a function of label, lowest and highest, such as Hypothesis: `lambda
        label, low, high: data.draw(st.integers(low, high), label=label)`."""
        return cls(source)

    @classmethod
    def from_draws(cls, draws: Sequence[Draw]) -> "Choices":
        """Return choices that repeat the `draws` of an earlier call, in the same order."""
        remaining = iter(draws)

        def draw(label: str, low: int, high: int) -> int:
            earlier = next(remaining, None)
            if earlier is None or earlier[:3] != (label, low, high):
                raise DrawMismatchError(
                    f"{label}, {low} to {high}, was not drawn in the earlier call: {earlier}"
                )
            return earlier.value

        return cls(draw)

    def draw_integer(self, label: str, low: int, high: int) -> int:
        """Draw a number from `low` to `high`, both possible."""
        value = self._draw(label, low, high)
        self._note_decision(value > low, f"{label}: {value}")
        return value

    def draw_bool(self, label: str, percent: int) -> bool:
        """Draw whether something happens that does so in `percent` of a hundred calls."""
        is_drawn = self._draw(label, 0, 99) >= 100 - percent
        self._note_decision(is_drawn, label)
        return is_drawn

    def draw_option(self, label: str, options: Sequence[T]) -> T:
        """Draw one of several options, each as likely. The first is the plainest."""
        index = self._draw(label, 0, len(options) - 1)
        self._note_decision(index > 0, f"{label}: {_option_name(options[index], index)}")
        return options[index]

    def draw_weighted(self, label: str, options: Sequence[tuple[int, T]]) -> T:
        """Draw one of several options, by weight. The first is the plainest."""
        weights = [weight for weight, _ in options]
        point = self._draw(label, 0, sum(weights) - 1)
        index = bisect_right(list(accumulate(weights)), point)
        option = options[index][1]
        self._note_decision(index > 0, f"{label}: {_option_name(option, index)}")
        return option

    def draw_random(self, label: str) -> Random:
        """Draw a `Random` for what is drawn thousands of times a call, such as the jitter of each
        message: only its seed is a draw."""
        return Random(self._draw(label, 0, _MAX_SEED - 1))  # noqa: S311 - it must be repeatable

    def _draw(self, label: str, low: int, high: int) -> int:
        value = self._source(label, low, high)
        self.draws.append(Draw(label, low, high, value))
        return value

    def _note_decision(self, is_notable: bool, description: str) -> None:  # noqa: FBT001 - it is private
        if is_notable:
            self.decisions.append(description)


def _option_name(option: object, index: int) -> str:
    """Return a name for an option: the text of a value, the name or number of a function."""
    if callable(option):
        name: str = getattr(option, "__name__", "")
        return name if name.isidentifier() else f"number {index}"
    return str(option)

"""What goes wrong in a call, as a value: the same for each call that it is given to."""

from typing import Final

from attrs import Attribute, evolve, field, frozen

from ..sim.choices import Choices, Draw
from ..sim.impairments.plan import ImpairmentPlan
from ..sim.impairments.table import IMPAIRMENTS, draw_impairments

__all__ = ["NAMES", "NO_FAULTS", "Faults"]

NAMES: Final = tuple(IMPAIRMENTS)
"""All faults, each by its name in the table of the simulator."""

_ALWAYS: Final = 100
_ONE_IN_TWO: Final = 50


def _are_known(
    faults: object, attribute: "Attribute[tuple[str, ...]]", names: tuple[str, ...]
) -> None:
    del faults, attribute
    for name in names:
        if name not in NAMES:
            raise KeyError(f"there is no fault named {name!r}: NAMES has all")


@frozen(repr=False)
class Faults:
    """What goes wrong, and how long the ways are: `draws` decide it, or else all is as plain as it
    can be. Of the faults with `names`, each is there in `percent` of a hundred calls; without names
    any of all may be. `KeyError`: there is none of that name."""

    names: tuple[str, ...] = field(default=(), validator=_are_known)
    draws: tuple[Draw, ...] = ()
    percent: int = _ALWAYS
    decided: tuple[str, ...] = field(default=(), eq=False)
    """What the draws came to, for people."""

    @classmethod
    def seeded(cls, seed: int, *names: str) -> "Faults":
        """Those that are named, each as a seed says; or else some of all, or none."""
        return _drawn(cls(names), Choices.from_seed(seed))

    @classmethod
    def drawn_from(cls, choices: Choices, *names: str) -> "Faults":
        """As chance says: each of those that are named one time in two; or else some of all, or
        none."""
        return _drawn(cls(names, percent=_ONE_IN_TWO), choices)

    def make(self) -> ImpairmentPlan:
        """The faults of one call."""
        plainest = Choices.from_source(lambda _, lowest, __: lowest)
        choices = Choices.from_draws(self.draws) if self.draws else plainest
        return draw_impairments(choices, self.names, self.percent)

    def __repr__(self) -> str:
        return f"Faults({'; '.join(self.decided or self.names)})"


def _drawn(faults: Faults, choices: Choices) -> Faults:
    draw_impairments(choices, faults.names, faults.percent)
    return evolve(faults, draws=tuple(choices.draws), decided=tuple(choices.decisions))


NO_FAULTS: Final = Faults()

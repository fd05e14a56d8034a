"""The impairments of a call as a value: the same for each call that has it."""

from typing import Final

from attrs import Attribute, evolve, field, frozen

from ..sim.choices import Choices, Draw
from ..sim.impairments.plan import ImpairmentPlan
from ..sim.impairments.table import IMPAIRMENTS, draw_impairments

__all__ = ["IMPAIRMENT_NAMES", "NO_IMPAIRMENTS", "Impairments"]

IMPAIRMENT_NAMES: Final = tuple(IMPAIRMENTS)
"""The names of all impairments, as in the table of the simulator."""

_ALWAYS_PERCENT: Final = 100
_HALF_PERCENT: Final = 50


def _check_names(
    impairments: object, attribute: "Attribute[tuple[str, ...]]", names: tuple[str, ...]
) -> None:
    del impairments, attribute
    for name in names:
        if name not in IMPAIRMENT_NAMES:
            raise KeyError(f"there is no impairment {name!r}: see IMPAIRMENT_NAMES")


@frozen(repr=False)
class Impairments:
    """The impairments of a call, and the latencies of its links.

    `draws` decide both; without draws everything has its simplest value. With `names`, each of
    these impairments occurs in `percent` of a hundred calls; without names, any may occur. Raises
    `KeyError` if there is no impairment of a name.
    """

    names: tuple[str, ...] = field(default=(), validator=_check_names)
    draws: tuple[Draw, ...] = ()
    percent: int = _ALWAYS_PERCENT
    decisions: tuple[str, ...] = field(default=(), eq=False)
    """What the draws decided, for people."""

    @classmethod
    def seeded(cls, seed: int, *names: str) -> "Impairments":
        """Return impairments with these names, each as the seed decides; without names, some of
        all, or none."""
        return _draw(cls(names), Choices.from_seed(seed))

    @classmethod
    def drawn_from(cls, choices: Choices, *names: str) -> "Impairments":
        """Return impairments drawn from `choices`: each of these names in half of the cases;
        without names, some of all, or none."""
        return _draw(cls(names, percent=_HALF_PERCENT), choices)

    def make_plan(self) -> ImpairmentPlan:
        """Return the plan for one call."""
        simplest = Choices.from_source(lambda _, lowest, __: lowest)
        choices = Choices.from_draws(self.draws) if self.draws else simplest
        return draw_impairments(choices, self.names, self.percent)

    def __repr__(self) -> str:
        return f"Impairments({'; '.join(self.decisions or self.names)})"


def _draw(impairments: Impairments, choices: Choices) -> Impairments:
    draw_impairments(choices, impairments.names, impairments.percent)
    return evolve(impairments, draws=tuple(choices.draws), decisions=tuple(choices.decisions))


NO_IMPAIRMENTS: Final = Impairments()

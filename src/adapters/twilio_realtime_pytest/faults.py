"""What goes wrong in a call, as a value: the same for each call that it is given to."""

from typing import Final

from attrs import field, frozen

from twilio_realtime_core.times import MS
from twilio_realtime_sim.calls import TO_MODEL_NS, TO_TWILIO_NS
from twilio_realtime_sim.choices import Choices, Draw
from twilio_realtime_sim.links import RoughWay
from twilio_realtime_sim.trouble import FAULTS, Trouble

__all__ = ["NAMES", "NO_FAULTS", "Faults"]

NAMES: Final = tuple(FAULTS)
"""All faults, each by its name in the table of the simulator."""

_WAYS: Final = ("phone to bridge", "bridge to phone", "bridge to model", "model to bridge")

_PERCENT: Final = 10
_LONGEST_MS: Final = 150


@frozen(repr=False)
class Faults:
    """Some of the faults that have `names`, and how long the ways are. `draws` decide which, and
    what they are like: see `drawn_from`."""

    names: tuple[str, ...] = ()
    draws: tuple[Draw, ...] = ()
    decided: tuple[str, ...] = field(default=(), eq=False)
    """The same, for people."""

    @classmethod
    def drawn_from(cls, choices: Choices, *names: str) -> "Faults":
        """As chance says; of all faults, unless some are named (`KeyError`: there is none of that
        name)."""
        if unknown := set(names) - set(NAMES):
            raise KeyError(f"there is no fault named {min(unknown)}")
        _make(choices, names or NAMES)
        return cls(names or NAMES, tuple(choices.made), tuple(choices.decided))

    @classmethod
    def seeded(cls, seed: int, *names: str) -> "Faults":
        """As a seed says."""
        return cls.drawn_from(Choices.seeded(seed), *names)

    def make(self) -> Trouble:
        """The faults of one call."""
        if not self.draws:
            return _make(Choices.drawn(lambda _, low, __: low), ())
        return _make(Choices.recorded(self.draws), self.names)

    def __repr__(self) -> str:
        return f"Faults({'; '.join(self.decided)})"


def _make(choices: Choices, names: tuple[str, ...]) -> Trouble:
    trouble = Trouble(choices)
    for name in _WAYS:
        latency_ns = TO_TWILIO_NS if "phone" in name else TO_MODEL_NS
        if names and choices.happens(f"{name}: another latency", _PERCENT):
            latency_ns = choices.integer(f"{name}: latency, ms", 0, _LONGEST_MS) * MS
        trouble.ways[name] = RoughWay(latency_ns)
    for name in names:
        if choices.happens(name, _PERCENT):
            FAULTS[name](trouble)
    return trouble


NO_FAULTS: Final = Faults()

"""What is wrong in one call: what faults change before it begins."""

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

from ..choices import Choices
from ..model.pace import Pace
from ..model.realtime_peer import SESSION_NS, OpeningFault
from ..model.replies import Reply
from ..world.network_direction import RoughWay
from .protocol_rules import StreamRestart
from .rules import Rule

__all__ = ["WAYS", "AddFault", "Cut", "Trouble"]

WAYS: Final = ("phone to bridge", "bridge to phone", "bridge to model", "model to bridge")


@define
class Cut:
    """A link is lost: which, when (ns), and, where there are bytes, after how many more of them,
    from the phone's or the model's side, and whether by a reset."""

    leg: str
    at_ns: int
    after_bytes: int
    reset: bool


@define(eq=False)
class Trouble:
    """What is wrong with the peers, the links and the clocks of a call."""

    choices: Choices
    from_phone: list[Rule] = field(init=False, factory=list[Rule])
    to_phone: list[Rule] = field(init=False, factory=list[Rule])
    from_model: list[Rule] = field(init=False, factory=list[Rule])
    to_model: list[Rule] = field(init=False, factory=list[Rule])
    ways: dict[str, RoughWay] = field(init=False, factory=dict[str, RoughWay])
    """By where it comes from and goes to, such as `bridge to phone`."""
    cuts: list[Cut] = field(init=False, factory=list[Cut])
    drift_ppm: dict[str, int] = field(init=False, factory=dict[str, int])
    """By peer: `phone` or `model`."""
    refused: bool = field(init=False, default=False)
    """The model's server accepts no connection."""
    connect_ns: int = field(init=False, default=0)
    start_delay_ns: int = field(init=False, default=0)
    pace: Pace = field(init=False, factory=Pace)
    opening_fault: OpeningFault | None = field(init=False, default=None)
    session_ns: int = field(init=False, default=SESSION_NS)
    edit_replies: list[Callable[[int, Reply], Reply]] = field(
        init=False, factory=list[Callable[[int, Reply], Reply]]
    )
    """What becomes of the model's reply of a number."""
    restart: StreamRestart | None = field(init=False, default=None)
    fails_to_transcribe: bool = field(init=False, default=False)
    added: dict[str, list[Rule]] = field(init=False, factory=dict[str, list[Rule]])
    """The faults of this call by name, with their rules."""

    def rules(self) -> list[Rule]:
        """All rules so far."""
        restart = [] if self.restart is None else [self.restart]
        return [*self.from_phone, *self.to_phone, *self.from_model, *self.to_model, *restart]

    def rules_of(self, peer: str) -> tuple[list[Rule], list[Rule]]:
        """What happens to messages that go to a peer, `phone` or `model`, and that come from it."""
        if peer == "phone":
            return self.to_phone, self.from_phone
        return self.to_model, self.from_model

    def touches(self, peer: str) -> bool:
        """Whether anything is wrong with a peer itself, its clock, or messages to or from it."""
        restarts = peer == "phone" and self.restart is not None
        return restarts or peer in self.drift_ppm or any(self.rules_of(peer))

    def exercised(self) -> dict[str, int]:
        """How often each fault of this call has had its way; 1 where that cannot be counted."""
        return {
            name: sum(rule.done for rule in rules) if rules else 1
            for name, rules in self.added.items()
        }


AddFault: TypeAlias = Callable[[Trouble], object]
"""Adds one fault; it draws its numbers from the choices of the call."""

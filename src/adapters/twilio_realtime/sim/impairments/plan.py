"""What is wrong in one call: what faults change before it begins."""

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

from ..choices import Choices
from ..model.pace import Pace
from ..model.realtime_peer import MAX_SESSION_NS, OpeningError
from ..model.replies import Reply
from ..world.network_direction import NetworkDirection
from .protocol_rules import StreamRestart
from .rules import Rule

__all__ = ["DIRECTIONS", "AddImpairment", "ImpairmentPlan", "LinkCut"]

DIRECTIONS: Final = ("phone to bridge", "bridge to phone", "bridge to model", "model to bridge")


@define
class LinkCut:
    """A link is lost: which, when (ns), and, where there are bytes, after how many more of them,
    from the phone's or the model's side, and whether by a reset."""

    peer: str
    at_ns: int
    after_bytes: int
    is_reset: bool


@define(eq=False)
class ImpairmentPlan:
    """What is wrong with the peers, the links and the clocks of a call."""

    choices: Choices
    from_phone: list[Rule] = field(init=False, factory=list[Rule])
    to_phone: list[Rule] = field(init=False, factory=list[Rule])
    from_model: list[Rule] = field(init=False, factory=list[Rule])
    to_model: list[Rule] = field(init=False, factory=list[Rule])
    directions: dict[str, NetworkDirection] = field(init=False, factory=dict[str, NetworkDirection])
    """By where it comes from and goes to, such as `bridge to phone`."""
    cuts: list[LinkCut] = field(init=False, factory=list[LinkCut])
    drift_ppm: dict[str, int] = field(init=False, factory=dict[str, int])
    """By peer: `phone` or `model`."""
    is_connection_refused: bool = field(init=False, default=False)
    """The model's server accepts no connection."""
    connect_ns: int = field(init=False, default=0)
    start_delay_ns: int = field(init=False, default=0)
    pace: Pace = field(init=False, factory=Pace)
    opening_error: OpeningError | None = field(init=False, default=None)
    max_session_ns: int = field(init=False, default=MAX_SESSION_NS)
    reply_edits: list[Callable[[int, Reply], Reply]] = field(
        init=False, factory=list[Callable[[int, Reply], Reply]]
    )
    """What becomes of the model's reply of a number."""
    stream_restart: StreamRestart | None = field(init=False, default=None)
    is_transcription_failing: bool = field(init=False, default=False)
    rules_by_name: dict[str, list[Rule]] = field(init=False, factory=dict[str, list[Rule]])
    """The faults of this call by name, with their rules."""

    def all_rules(self) -> list[Rule]:
        """All rules so far."""
        restart = [] if self.stream_restart is None else [self.stream_restart]
        return [*self.from_phone, *self.to_phone, *self.from_model, *self.to_model, *restart]

    def rules_of(self, peer: str) -> tuple[list[Rule], list[Rule]]:
        """What happens to messages that go to a peer, `phone` or `model`, and that come from it."""
        if peer == "phone":
            return self.to_phone, self.from_phone
        return self.to_model, self.from_model

    def is_impaired(self, peer: str) -> bool:
        """Whether anything is wrong with a peer itself, its clock, or messages to or from it."""
        restarts = peer == "phone" and self.stream_restart is not None
        return restarts or peer in self.drift_ppm or any(self.rules_of(peer))

    def applied_counts(self) -> dict[str, int]:
        """How often each fault of this call has had its way; 1 where that cannot be counted."""
        return {
            name: sum(rule.applied_count for rule in rules) if rules else 1
            for name, rules in self.rules_by_name.items()
        }


AddImpairment: TypeAlias = Callable[[ImpairmentPlan], object]
"""Adds one fault; it draws its numbers from the choices of the call."""

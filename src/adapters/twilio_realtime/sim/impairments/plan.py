"""The impairments of one call, as a plan that is made before the call begins."""

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

from twilio_realtime_core.machine.units import SECOND

from ..choices import Choices
from ..model.pace import Pace
from ..model.realtime_peer import MAX_SESSION_NS, OpeningError
from ..model.replies import Reply
from ..world.network_direction import NetworkDirection
from .protocol_rules import StreamRestart
from .rules import Rule

__all__ = ["DIRECTIONS", "FRAME_MS", "AddImpairment", "ImpairmentPlan", "LinkCut"]

FRAME_MS: Final = 20
"""How long a frame of Twilio lasts (ms)."""

DIRECTIONS: Final = ("phone to bridge", "bridge to phone", "bridge to model", "model to bridge")
"""The directions of the links of a call."""


@define
class LinkCut:
    """A link that is lost: the `peer` at its end (`phone` or `model`) and the time (ns). In a byte
    world, the stream from that peer is cut after `after_bytes` more bytes, by a reset or not."""

    peer: str
    at_ns: int
    after_bytes: int
    is_reset: bool


@define(eq=False)
class ImpairmentPlan:
    """All impairments of the peers, the links and the clocks of a call."""

    choices: Choices
    frame_ms: int = FRAME_MS
    """How long the frames of the caller last."""
    from_phone: list[Rule] = field(init=False, factory=list[Rule])
    to_phone: list[Rule] = field(init=False, factory=list[Rule])
    from_model: list[Rule] = field(init=False, factory=list[Rule])
    to_model: list[Rule] = field(init=False, factory=list[Rule])
    directions: dict[str, NetworkDirection] = field(init=False, factory=dict[str, NetworkDirection])
    """By name, one of `DIRECTIONS`."""
    cuts: list[LinkCut] = field(init=False, factory=list[LinkCut])
    drift_ppm: dict[str, int] = field(init=False, factory=dict[str, int])
    """By peer: `phone` or `model`."""
    is_connection_refused: bool = field(init=False, default=False)
    """Whether the model's server refuses connections."""
    connect_ns: int = field(init=False, default=0)
    start_delay_ns: int = field(init=False, default=0)
    """The most by which the player starts late."""
    draw_start_delay_ns: Callable[[], int] | None = field(init=False, default=None)
    """Draws the start delay of a burst of audio, if they differ."""
    pace: Pace = field(init=False, factory=Pace)
    opening_error: OpeningError | None = field(init=False, default=None)
    id_suffix: str = field(init=False, default="")
    """What the ids of items and function calls end with, as on no server that we know."""
    max_session_ns: int = field(init=False, default=MAX_SESSION_NS)
    reply_edits: list[Callable[[int, Reply], Reply]] = field(
        init=False, factory=list[Callable[[int, Reply], Reply]]
    )
    """Functions that change a reply of the model, given its number."""
    stream_restart: StreamRestart | None = field(init=False, default=None)
    is_transcription_failing: bool = field(init=False, default=False)
    has_speech_beside: bool = field(init=False, default=False)
    """Whether the application requests out-of-band speech whenever the agent starts to respond."""
    duration_ns: int = field(init=False, default=8 * SECOND)
    """How long the impairments last."""
    rules_by_name: dict[str, list[Rule]] = field(init=False, factory=dict[str, list[Rule]])
    """The impairments of this call by name, with their rules."""

    def draw_frames(self, label: str, most: int) -> int:
        """Draw how many frames of the caller pass, up to `most` of 20 ms."""
        return self.choices.draw_integer(label, 0, most) * FRAME_MS // self.frame_ms

    def all_rules(self) -> list[Rule]:
        """Return all rules of the plan."""
        restart = [] if self.stream_restart is None else [self.stream_restart]
        return [*self.from_phone, *self.to_phone, *self.from_model, *self.to_model, *restart]

    def rules_of(self, peer: str) -> tuple[list[Rule], list[Rule]]:
        """Return the rules for messages to a peer, `phone` or `model`, and for those from it."""
        if peer == "phone":
            return self.to_phone, self.from_phone
        return self.to_model, self.from_model

    def is_impaired(self, peer: str) -> bool:
        """Return whether the plan impairs a peer itself, its clock, or messages to or from it."""
        restarts = peer == "phone" and self.stream_restart is not None
        return restarts or peer in self.drift_ppm or any(self.rules_of(peer))

    def applied_counts(self) -> dict[str, int]:
        """Return how often each impairment of this call has applied; 1 where that cannot be
        counted."""
        return {
            name: sum(rule.applied_count for rule in rules) if rules else 1
            for name, rules in self.rules_by_name.items()
        }


AddImpairment: TypeAlias = Callable[[ImpairmentPlan], object]
"""Adds one impairment to a plan; it draws its numbers from the choices of the call."""

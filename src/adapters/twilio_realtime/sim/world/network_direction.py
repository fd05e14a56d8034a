"""Ways that are no ideal ones: jitter, a narrow line, stalls. Order is kept on all of them."""

from random import Random
from typing import TypeAlias

from attrs import define, field, validators

from twilio_realtime_core.machine.units import SECOND

from .world import LinkDirection

__all__ = ["NetworkDirection", "Stall"]

Stall: TypeAlias = tuple[int, int]
"""From when until when nothing leaves (ns of the world). What was sent meanwhile leaves then."""


@define(eq=False, kw_only=True)
class NetworkDirection(LinkDirection):
    """One direction of a link as networks have it.

    What is sent waits for the end of a stall, takes its turn on a line of `bytes_per_second`
    (`None`: without limit), travels for the latency, and up to `jitter_ns` more, as `chance` says.
    A reader that is slow looks the same as a narrow line.
    """

    jitter_ns: int = field(default=0, validator=validators.ge(0))
    bytes_per_second: int | None = None
    stalls: tuple[Stall, ...] = ()
    random: Random = field(factory=lambda: Random(0))  # noqa: S311 - it must repeat itself
    _line_free_ns: int = field(init=False, default=0)

    def transit_ns(self, size_bytes: int, now: int) -> int:
        """As of `Way`."""
        leaves = max(now, self._line_free_ns)
        for begins, ends in self.stalls:
            if begins <= leaves < ends:
                leaves = ends
        if self.bytes_per_second is not None:
            leaves += size_bytes * SECOND // self.bytes_per_second
            self._line_free_ns = leaves
        jitter_ns = self.random.randint(0, self.jitter_ns) if self.jitter_ns else 0
        return leaves - now + self.propagation_ns(now) + jitter_ns

    def remove_impairments(self) -> None:
        """Let all trouble be over: no jitter, no limit, no stalls."""
        self.jitter_ns, self.bytes_per_second, self.stalls = 0, None, ()

"""Directions of links with jitter, limited bandwidth and stalls. All of them keep the order."""

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from attrs import define, field, validators

from twilio_realtime_core.machine.units import SECOND

from .world import LinkDirection

__all__ = ["NetworkDirection", "Stall"]

Stall: TypeAlias = tuple[int, int]
"""The start and end (ns of the world) of a time in which nothing leaves. What was sent meanwhile
leaves at its end."""


@define(eq=False)
class NetworkDirection(LinkDirection):
    """One direction of a link as in a real network.

    An item waits for the end of a stall, then for its turn on a line of `bytes_per_second` (`None`:
    no limit), and travels for the latency plus up to `jitter_ns` drawn from `random`. A slow reader
    looks the same as a line of limited bandwidth. `draw_jitter_ns` draws the jitter of an item from
    `random`, evenly unless it is given; `jitter_ns` is the most that it returns.
    """

    jitter_ns: int = field(default=0, validator=validators.ge(0), kw_only=True)
    bytes_per_second: int | None = field(default=None, kw_only=True)
    stalls: tuple[Stall, ...] = field(default=(), kw_only=True)
    draw_jitter_ns: Callable[[Random], int] | None = field(default=None, kw_only=True)
    random: Random = field(factory=lambda: Random(0), kw_only=True)  # noqa: S311 - it must repeat itself
    _line_free_ns: int = field(init=False, default=0)

    def transmit(self, size_bytes: int, now: int) -> int:
        """See `LinkDirection`."""
        departure_ns = now if now > self._line_free_ns else self._line_free_ns
        for start_ns, end_ns in self.stalls:
            if start_ns <= departure_ns < end_ns:
                departure_ns = end_ns
        if self.bytes_per_second is not None:
            departure_ns += size_bytes * SECOND // self.bytes_per_second
            self._line_free_ns = departure_ns
        transit_ns = departure_ns - now + self.propagation_ns(now)
        return transit_ns + self._draw_jitter_ns() if self.jitter_ns else transit_ns

    def _draw_jitter_ns(self) -> int:
        if self.draw_jitter_ns is not None:
            return min(self.jitter_ns, self.draw_jitter_ns(self.random))
        return self.random.randint(0, self.jitter_ns)

    def constant_ns(self, now: int) -> int | None:
        """See `LinkDirection`."""
        has_queue = self.bytes_per_second is not None or self._line_free_ns > now
        varies = has_queue or self.jitter_ns or self.stalls or type(self) is not NetworkDirection
        return None if varies else self.latency_ns

    def remove_impairments(self) -> None:
        """Remove jitter, the bandwidth limit and stalls; only the latency remains."""
        self.jitter_ns, self.bytes_per_second, self.stalls = 0, None, ()

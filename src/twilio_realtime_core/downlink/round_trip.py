"""How long a message to Twilio and its answer take, measured all through the call.

Three kinds of evidence. A probe mark, sent while nothing waits to be played, is echoed at once, by
the player itself (Twilio documentation, "Media Streams - WebSocket Messages", mark). A WebSocket
ping may be answered by an edge in front of the player instead; that is not documented. So pings
count alone only until the first probe is echoed, and after that where they agree with it. A mark
behind audio comes back when that has been played, so that it bounds the round trip from above.

The smallest of the last few samples is the estimate: queues on the way only ever add to it.
"""

from collections import deque
from typing import Final

from ..machine.units import MS

__all__ = ["RoundTrip"]

_SAMPLES: Final = 8
"""How many samples of a kind are remembered: enough that one is undisturbed, few enough that a
call that moves to another path is believed within a minute (one sample each five seconds)."""

_AGREEMENT_NS: Final = 10 * MS
"""How far a ping may lie from the probes and count: the timing noise of one process and one LAN."""


class RoundTrip:
    """Collects samples in ns. `estimate` is the least that a round trip takes, `slowest` the most
    that one of the last has taken; `None` until there is any evidence."""

    def __init__(self) -> None:
        self._by_mark: deque[int] = deque(maxlen=_SAMPLES)
        self._by_ping: deque[int] = deque(maxlen=_SAMPLES)
        self._bounds: deque[int] = deque(maxlen=_SAMPLES)
        self._fastest: list[int] = []  # of the samples that count, once there is any
        self._pings: dict[bytes, int] = {}
        self.estimate_ns: int | None = None
        self.slowest_ns: int | None = None

    @property
    def jitter_ns(self) -> int | None:
        """By how much the last round trips differed (ns)."""
        if self.estimate_ns is None or self.slowest_ns is None:
            return None
        return self.slowest_ns - self.estimate_ns

    def ping_sent(self, payload: bytes, now: int) -> None:
        """A ping went out at `now`. One that is not answered before the next is forgotten."""
        self._pings = {payload: now}

    def pong(self, payload: bytes, now: int) -> None:
        """A pong came in at `now`; one that answers no outstanding ping is no evidence."""
        sent = self._pings.pop(payload, None)
        if sent is not None:
            self._by_ping.append(now - sent)
            self._select_samples()

    def probe_echoed(self, sent: int, now: int) -> None:
        """A mark sent at `sent`, with nothing queued before it, was echoed at `now`."""
        self._by_mark.append(now - sent)
        self._select_samples()

    def add_upper_bound(self, bound: int) -> int:
        """A round trip has taken no more than `bound`. Returns the estimate."""
        self._bounds.append(bound)
        return self._update_estimate()

    def _select_samples(self) -> None:
        """Note which of the samples count, now that there is another."""
        samples = list(self._by_mark or self._by_ping)
        if self._by_mark:
            probed = min(self._by_mark)
            samples += [ping for ping in self._by_ping if abs(ping - probed) <= _AGREEMENT_NS]
        self._fastest, self.slowest_ns = [min(samples)], max(samples)
        self._update_estimate()

    def _update_estimate(self) -> int:
        self.estimate_ns = min([*self._fastest, *self._bounds])
        if not self._fastest:
            self.slowest_ns = max(self._bounds)
        return self.estimate_ns

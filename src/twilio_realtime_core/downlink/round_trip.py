"""How long a message to Twilio and its answer take, measured all through the call.

There are three kinds of evidence. A probe mark, sent while no audio is queued, is echoed at once by
the player itself (Twilio documentation, "Media Streams - WebSocket Messages", `mark`,
https://www.twilio.com/docs/voice/media-streams/websocket-messages). A WebSocket ping may be
answered by an edge in front of the player instead; that is not documented. So pings count alone
only until the first probe is echoed, and after that where they agree with it. A mark behind audio
comes back when that was played, so it bounds the round trip from above.

The smallest of the last samples is the estimate, since queues on the way only ever add to it.
"""

from collections import deque
from typing import Final

from ..machine.units import MS

__all__ = ["RoundTrip"]

_SAMPLES: Final = 8
"""How many samples of a kind count: enough that one is undisturbed, few enough that a call that
moves to another path is followed within a minute (one sample each five seconds)."""

_AGREEMENT_NS: Final = 10 * MS
"""How far a ping may be from the probes and count: the timing noise of one process and one LAN."""


class RoundTrip:
    """How long a message to Twilio and its answer take together, measured by marks and pings.

    `estimate_ns` is the least that one takes, `slowest_ns` the most that one of the last has taken;
    `None` until there is any evidence.
    """

    def __init__(self) -> None:
        self._by_mark_ns: deque[int] = deque(maxlen=_SAMPLES)
        self._by_ping_ns: deque[int] = deque(maxlen=_SAMPLES)
        self._bounds_ns: deque[int] = deque(maxlen=_SAMPLES)
        self._fastest_ns: list[int] = []  # of the samples that count, once there is any
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
        """A ping was sent. One that is not answered before the next is forgotten."""
        self._pings = {payload: now}

    def pong(self, payload: bytes, now: int) -> None:
        """A pong was received; one that answers no outstanding ping is no evidence."""
        sent_at_ns = self._pings.pop(payload, None)
        if sent_at_ns is not None:
            self._by_ping_ns.append(now - sent_at_ns)
            self._select_samples()

    def probe_echoed(self, sent_at_ns: int, now: int) -> None:
        """A mark sent at `sent_at_ns`, with no audio queued before it, was echoed."""
        self._by_mark_ns.append(now - sent_at_ns)
        self._select_samples()

    def add_upper_bound(self, bound_ns: int) -> int:
        """Note that a round trip took no more than `bound_ns`. Returns the estimate (ns)."""
        self._bounds_ns.append(bound_ns)
        return self._update_estimate()

    def _select_samples(self) -> None:
        """Select the samples that count, now that there is another."""
        samples = list(self._by_mark_ns or self._by_ping_ns)
        if self._by_mark_ns:
            probed = min(self._by_mark_ns)
            samples += [ping for ping in self._by_ping_ns if abs(ping - probed) <= _AGREEMENT_NS]
        self._fastest_ns, self.slowest_ns = [min(samples)], max(samples)
        self._update_estimate()

    def _update_estimate(self) -> int:
        self.estimate_ns = min([*self._fastest_ns, *self._bounds_ns])
        if not self._fastest_ns:
            self.slowest_ns = max(self._bounds_ns)
        return self.estimate_ns

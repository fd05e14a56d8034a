"""How long a message to Twilio and its answer take, measured all through the call.

There are four kinds of evidence. A probe mark, sent while no audio is queued, is echoed at once by
the player itself. So is a mark whose audio a `clear` discards, and its echo shows the trip of the
`clear` (Twilio documentation, "Media Streams - WebSocket Messages", `mark` and `clear`,
https://www.twilio.com/docs/voice/media-streams/websocket-messages). A WebSocket ping may be
answered by an edge in front of the player instead; that is not documented. So pings count alone
only until the first probe is echoed, and after that where they agree with the probes. A mark behind
audio comes back when that was played, so it bounds the round trip from above.

Jitter makes each of them longer by another time. The estimate is the typical round trip: the mean
of the middle half of the last samples, which a few retransmissions do not move. The `clear` that is
sent next takes a typical time as well, so what is late by jitter is not late on average.
"""

from collections import deque
from collections.abc import Collection
from math import isqrt
from typing import Final

from ..machine.units import MS

__all__ = ["RoundTrip", "middle_mean"]

_SAMPLES: Final = 8
"""How many samples of a kind count: enough that a few slow ones are left out, few enough that a
call that moves to another path is followed within a minute (one ping each five seconds)."""

_MAX_JITTER_NS: Final = 150 * MS
"""How much longer than the fastest a sample may take and count: more is a stall or a
retransmission, whose least time-out is 200 ms on Linux."""

_AGREEMENT_NS: Final = 10 * MS
"""How far pings may be from the probes and count, jitter aside: the timing noise of one process and
one LAN."""


class RoundTrip:
    """How long a message to Twilio and its answer take together, measured by marks and pings.

    `estimate_ns` is what one typically takes, `fastest_ns` the least that one of the last has
    taken, and `jitter_ns` by how much they differed; `None` until there is any evidence.
    """

    def __init__(self) -> None:
        self._by_mark_ns: deque[int] = deque(maxlen=_SAMPLES)
        self._by_clear_ns: deque[int] = deque(maxlen=_SAMPLES)
        self._by_ping_ns: deque[int] = deque(maxlen=_SAMPLES)
        self._samples_ns: list[int] = []  # those that count
        self._bounds_ns: deque[int] = deque(maxlen=_SAMPLES)  # one for each burst
        self._burst: object = None  # the one that the last bound is of
        self._burst_bounds_ns: deque[int] = deque(maxlen=_SAMPLES)
        self._echo_jitter_ns = 0
        self._pings: dict[bytes, tuple[int, bool]] = {}
        self.estimate_ns: int | None = None
        self.fastest_ns: int | None = None
        self.jitter_ns: int | None = None

    @property
    def is_measured(self) -> bool:
        """Whether there are so many samples that others hardly change the estimate."""
        return len(self._samples_ns) >= _SAMPLES

    def ping_sent(self, payload: bytes, now: int, *, is_behind_mark: bool = False) -> None:
        """A ping was sent, `is_behind_mark` with a probe mark before it. One that is not answered
        before the next is forgotten."""
        self._pings = {payload: (now, is_behind_mark)}

    def pong(self, payload: bytes, now: int) -> None:
        """A pong was received; one that answers no outstanding ping is no evidence."""
        sent_at_ns, is_behind_mark = self._pings.pop(payload, (None, False))
        # A ping that has waited behind a mark shows nothing that the mark does not show better.
        if sent_at_ns is not None and not (is_behind_mark and self._by_mark_ns):
            self._by_ping_ns.append(now - sent_at_ns)
            self._select_samples()

    def probe_echoed(self, sent_at_ns: int, now: int) -> None:
        """A mark sent at `sent_at_ns`, with no audio queued before it, was echoed."""
        self._by_mark_ns.append(now - sent_at_ns)
        self._select_samples()

    def clear_echoed(self, sent_at_ns: int, now: int) -> None:
        """A mark was echoed whose audio was discarded by a `clear` sent at `sent_at_ns`."""
        self._by_clear_ns.append(now - sent_at_ns)
        self._select_samples()

    def add_upper_bound(self, bound_ns: int, burst: object, echo_jitter_ns: int) -> int:
        """Note that a round trip took no more than `bound_ns`, by an echo from `burst`; echoes vary
        by `echo_jitter_ns`. Returns the estimate without it, or the bound if there was none."""
        before_ns = self.estimate_ns
        if burst is self._burst:
            self._bounds_ns.pop()
        else:
            self._burst = burst
            self._burst_bounds_ns.clear()
        self._burst_bounds_ns.append(bound_ns)
        self._bounds_ns.append(middle_mean(self._burst_bounds_ns))
        self._echo_jitter_ns = echo_jitter_ns
        self._update_estimate()
        return bound_ns if before_ns is None else before_ns

    def _select_samples(self) -> None:
        """Select the samples that count, now that there is another."""
        marks, pings = self._by_mark_ns, self._by_ping_ns
        is_counted = not marks or not pings or self._agree(pings, marks)
        self._samples_ns = [*marks, *self._by_clear_ns, *(pings if is_counted else ())]
        self._update_estimate()

    def _agree(self, pings: Collection[int], marks: Collection[int]) -> bool:
        apart_ns = abs(middle_mean(pings) - middle_mean(marks))
        return apart_ns <= _AGREEMENT_NS + max(marks) - min(marks)

    def _update_estimate(self) -> None:
        samples: Collection[int] = self._samples_ns or self._bounds_ns
        self.fastest_ns = min(samples)
        self.jitter_ns = max(samples) - self.fastest_ns
        if not self._samples_ns:
            self.estimate_ns = self.fastest_ns
            return
        usual = [each for each in samples if each <= self.fastest_ns + _MAX_JITTER_NS]
        self.estimate_ns = middle_mean(usual)
        # Echoes as quick as the samples, as exactly as these few show it, are of a player that
        # starts at once. Then they are samples too.
        exact_to_ns = isqrt(self._echo_jitter_ns**2 // len(usual))
        if self._bounds_ns and middle_mean(self._bounds_ns) <= self.estimate_ns + exact_to_ns:
            self.estimate_ns = middle_mean([*usual, *self._bounds_ns])


def middle_mean(samples: Collection[int]) -> int:
    """Return the mean of the middle half of some samples, rounded down; of three, the middle."""
    ordered = sorted(samples)
    cut = (len(ordered) + 1) // 4
    middle = ordered[cut : len(ordered) - cut]
    return sum(middle) // len(middle)

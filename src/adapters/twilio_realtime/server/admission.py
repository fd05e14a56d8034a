"""The new calls that a service accepts: as many as it can serve well, and none while it drains."""

import os
from collections import deque
from collections.abc import Callable
from statistics import median
from time import monotonic
from typing import Final
from weakref import WeakSet

from attrs import Attribute, define, field, frozen

from ..errors import UsageError
from ..runtime.tcp_acceptor import MAX_CONNECTIONS, SPARE_CONNECTIONS, Connections

__all__ = [
    "LAG_WINDOW_S",
    "RESERVATION_S",
    "Admission",
    "CallLimits",
    "Capacity",
    "measure_capacity",
]

RESERVATION_S: Final = 10
"""How long a place is kept for a call whose webhook was answered: Twilio opens the stream within a
second."""

LAG_WINDOW_S: Final = 5
"""How long the loop has to be late, most of the time, until that counts: many calls that start at
the same time make it late for a second or two."""

_MAX_LAGS: Final = 200
"""Measurements that are kept, more than are made in `LAG_WINDOW_S`."""

_MIN_LAGS: Final = 5
"""Measurements that say something: as many as a loop makes that is late by a second."""

_OTHER_DESCRIPTORS: Final = 24
"""Descriptors of a process besides its connections, where they cannot be counted."""


def _check_positive(_: object, attribute: "Attribute[int]", value: int) -> None:
    if value < 1:
        raise UsageError(f"CallLimits.{attribute.name} must be at least 1, not {value}")


@frozen(kw_only=True)
class CallLimits:
    """The limits of the calls of one process. Raises `UsageError` for a limit below 1."""

    max_calls: int = field(default=MAX_CONNECTIONS // 2, validator=_check_positive)
    """Calls at a time. 200 calls take 400 sockets, and the usual limit is 1,024 descriptors. What
    a machine can serve may be less: see `max_loop_lag_ms`."""
    max_calls_per_minute: int = field(default=300, validator=_check_positive)
    """Calls that begin within a minute: 200 at a time of 40 s each, which is short for a call. More
    are a mistake, or an attack on your account."""
    max_loop_lag_ms: int = field(default=100, validator=_check_positive)
    """How late the event loop may be, in the median of some seconds. Callers hear pauses above
    that, and one call more would make it worse for all."""


@frozen
class Capacity:
    """What the descriptors of a process allow.

    Of those that are free, a call takes as many as it needs; `spare_connections` are for
    connections above the limit, and as many for look-ups of names, certificates and the
    application's own files. Connections that are no calls share what is left.
    """

    max_calls: int
    spare_connections: int = SPARE_CONNECTIONS
    _connections: int = 1 << 30
    """Connections in all, with `max_calls` calls."""

    @classmethod
    def of(cls, max_descriptors: int, used: int, descriptors_per_call: int) -> "Capacity":
        """Return what `max_descriptors` allow, of which `used` are open for other things."""
        spare = min(SPARE_CONNECTIONS, max_descriptors // 8)
        free = max_descriptors - used - 2 * spare
        max_calls = max(1, free // descriptors_per_call)
        return cls(max_calls, spare, max(1, free - (descriptors_per_call - 1) * max_calls))

    def make_connections(self, max_calls: int) -> Connections:
        """Return the connections of a service that takes up to `max_calls` calls: twice as many,
        unless calls might then lack descriptors."""
        limit = min(max(MAX_CONNECTIONS, max_calls), 2 * max_calls, self._connections)
        return Connections(limit, self.spare_connections)


def measure_capacity(descriptors_per_call: int = 2) -> Capacity:
    """Return what the limit of descriptors (`ulimit -n`) allows, with those that are open now."""
    try:
        import resource  # noqa: PLC0415 - it exists on Unix only
    except ModuleNotFoundError:
        return Capacity(1 << 30)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return Capacity(1 << 30)
    try:
        used = len(os.listdir("/dev/fd"))
    except OSError:
        used = _OTHER_DESCRIPTORS
    return Capacity.of(limit, used, descriptors_per_call)


@define(eq=False)
class Admission:
    """Decides whether the service takes a new call, and counts those in progress.

    `clock` (s) is monotonic. `measure_lag` is called with each measurement of how late the event
    loop is (s).
    """

    limits: CallLimits = field(factory=CallLimits)
    _clock: Callable[[], float] = field(default=monotonic, kw_only=True, alias="clock")
    is_draining: bool = field(init=False, default=False)
    """Whether no new calls are taken, since the service is to end."""
    _calls: "WeakSet[object]" = field(init=False, factory=WeakSet[object])
    _reservations: deque[float] = field(init=False, factory=deque[float])
    """When each place that is kept is given up."""
    _begun_at: deque[float] = field(init=False, factory=deque[float])
    """When the calls of the last minute began."""
    _lags: deque[tuple[float, float]] = field(
        init=False, factory=lambda: deque[tuple[float, float]](maxlen=_MAX_LAGS)
    )
    """The measurements of the last seconds: their times, and how late the loop was (s)."""

    @property
    def loop_lag_s(self) -> float:
        """How late the event loop is: the median of the last `LAG_WINDOW_S`; 0 if not measured."""
        now = self._clock()
        return median([lag for at, lag in self._lags if at > now - LAG_WINDOW_S] or [0.0])

    @property
    def calls(self) -> int:
        """How many calls are in progress."""
        return len(self._calls)

    def find_refusal(self) -> str | None:
        """Return why a new call would not be taken now, or `None` if it would be."""
        now = self._clock()
        if self.is_draining:
            return "the service is about to end"
        kept = sum(end > now for end in self._reservations)
        if self.calls + kept >= self.limits.max_calls:
            return f"there are {self.limits.max_calls} calls, which is the limit"
        if sum(at > now - 60 for at in self._begun_at) >= self.limits.max_calls_per_minute:
            return f"{self.limits.max_calls_per_minute} calls began within a minute: the limit"
        lags_ms = [1000 * lag for at, lag in self._lags if at > now - LAG_WINDOW_S]
        if len(lags_ms) >= _MIN_LAGS and median(lags_ms) > self.limits.max_loop_lag_ms:
            return (
                f"the event loop is late by {median(lags_ms):.0f} ms: the machine is at its limit"
            )
        return None

    def reserve(self) -> str | None:
        """Keep a place for a call whose stream is to come, or return why there is none."""
        refusal = self.find_refusal()
        if refusal is None:
            self._note_beginning()
            self._reservations.append(self._clock() + RESERVATION_S)
        return refusal

    def begin(self, call: object) -> str | None:
        """Count a call, until `end` or the end of the object, or return why it cannot be taken. A
        place that was kept is used up."""
        now = self._clock()
        while self._reservations and self._reservations[0] <= now:
            self._reservations.popleft()
        if self._reservations:
            self._reservations.popleft()
        else:
            refusal = self.find_refusal()
            if refusal is not None:
                return refusal
            self._note_beginning()
        self._calls.add(call)
        return None

    def end(self, call: object) -> None:
        """The call is over."""
        self._calls.discard(call)

    def measure_lag(self, lag_s: float) -> None:
        """Note how late the event loop was."""
        self._lags.append((self._clock(), lag_s))

    def _note_beginning(self) -> None:
        now = self._clock()
        while self._begun_at and self._begun_at[0] <= now - 60:
            self._begun_at.popleft()
        self._begun_at.append(now)

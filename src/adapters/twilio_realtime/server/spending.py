"""Limits of what calls may cost: minutes a day, tokens a call, callers who call again and again.

Calls at a time and a minute are limited by `CallLimits`. All of it is counted in this process, and
begins anew when it starts; several processes share no counts.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from os import urandom
from typing import Final
from weakref import WeakKeyDictionary

from attrs import Attribute, define, field, frozen

from twilio_realtime_core.notifications import ResponseFinished

from ..errors import UsageError

__all__ = ["MAX_CALLERS", "Spending", "SpendingLimits", "TokenBudget"]

MAX_CALLERS: Final = 10_000
"""Callers that are remembered; the one who has not called for longest is forgotten first."""

_HOUR_S: Final = 3_600
_MINUTE_S: Final = 60


def _check_positive(_: object, attribute: "Attribute[int | None]", value: int | None) -> None:
    if value is not None and value < 1:
        raise UsageError(f"SpendingLimits.{attribute.name} must be at least 1, not {value}")


@frozen(kw_only=True)
class SpendingLimits:
    """The limits; `None`: there is none. Raises `UsageError` for a limit below 1."""

    max_minutes_per_day: int | None = field(default=None, validator=_check_positive)
    """Minutes of all calls in a day of UTC. Further callers hear a busy signal; calls in progress
    go on."""
    max_tokens_per_call: int | None = field(default=None, validator=_check_positive)
    """Tokens of all responses of a call, read and generated. A call that has used them ends once
    all was heard."""
    max_calls_per_caller: int | None = field(default=None, validator=_check_positive)
    """Calls of one number in an hour. A caller who calls more often hears a busy signal, which
    costs nothing, and can call again once for each part of the hour that a call stands for: with a
    limit of 30, every two minutes."""


@define(eq=False)
class _Allowance:
    """The calls that a caller has left, as a bucket that fills again with time."""

    calls: float
    at_s: float


@define(eq=False)
class Spending:
    """What was spent, by these limits. `clock` (s) is monotonic, `now_utc` the time of day.

    Callers are kept as keyed hashes, so no phone number stays in memory.
    """

    limits: SpendingLimits = field(factory=SpendingLimits)
    _clock: Callable[[], float] = field(default=time.monotonic, kw_only=True, alias="clock")
    _now_utc: Callable[[], datetime] = field(
        default=lambda: datetime.now(UTC), kw_only=True, alias="now_utc"
    )
    _key: bytes = field(init=False, factory=lambda: urandom(16))
    _callers: dict[bytes, _Allowance] = field(init=False, factory=dict[bytes, _Allowance])
    _begun_s: "WeakKeyDictionary[object, float]" = field(
        init=False, factory=WeakKeyDictionary[object, float]
    )
    """When each call in progress began, or the day did, if that was later."""
    _spent_s: float = field(init=False, default=0.0)
    """Seconds of the calls of the day that are over."""
    _day: object = field(init=False, default=None)

    @property
    def minutes_today(self) -> float:
        """Minutes of all calls since midnight, those in progress included."""
        self._begin_day()
        now = self._clock()
        return (self._spent_s + sum(now - at for at in self._begun_s.values())) / _MINUTE_S

    def find_refusal(self) -> str | None:
        """Return why a new call would cost too much, or `None`."""
        limit = self.limits.max_minutes_per_day
        if limit is not None and self.minutes_today >= limit:
            return f"the calls of today have taken {limit} minutes, which is the limit"
        return None

    def admit_caller(self, number: str) -> str | None:
        """Count a call of a number, or return why it is refused. Numbers that are withheld share
        what one caller has."""
        limit = self.limits.max_calls_per_caller
        if limit is None:
            return None
        caller = blake2b(number.encode(), key=self._key, digest_size=16).digest()
        now = self._clock()
        allowance = self._callers.pop(caller, None) or _Allowance(limit, now)
        refilled = allowance.calls + (now - allowance.at_s) * limit / _HOUR_S
        allowance.calls, allowance.at_s = min(float(limit), refilled), now
        if len(self._callers) >= MAX_CALLERS:
            del self._callers[next(iter(self._callers))]
        self._callers[caller] = allowance
        if allowance.calls < 1:
            return f"one caller has called more than {limit} times in an hour"
        allowance.calls -= 1
        return None

    def begin(self, call: object) -> None:
        """A call has begun."""
        self._begin_day()
        self._begun_s[call] = self._clock()

    def end(self, call: object) -> None:
        """A call is over."""
        self._begin_day()
        begun_s = self._begun_s.pop(call, None)
        if begun_s is not None:
            self._spent_s += self._clock() - begun_s

    def _begin_day(self) -> None:
        """Count anew if a day has begun."""
        day = self._now_utc().date()
        if day != self._day:
            self._day, self._spent_s = day, 0.0
            now = self._clock()
            for call in tuple(self._begun_s):
                self._begun_s[call] = now


@define(eq=False)
class TokenBudget:
    """The tokens that one call may use, `limit`; `None`: any number."""

    limit: int | None = None
    used: int = field(init=False, default=0)
    _is_used_up: bool = field(init=False, default=False)

    def is_used_up_by(self, event: object) -> bool:
        """Whether this notification is the one with which the call has used its tokens."""
        if self.limit is None or type(event) is not ResponseFinished or event.usage is None:
            return False
        self.used += event.usage.input.total + event.usage.output.total
        was_used_up, self._is_used_up = self._is_used_up, self.used >= self.limit
        return self._is_used_up and not was_used_up

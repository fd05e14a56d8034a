"""One-time tokens, which stand in the URL of a stream and lead to what the webhook has decided.

Twilio requests the webhook, gets a URL with a new token, and opens that URL at once. The token says
nothing; a URL that was seen later, in a log or by a proxy, opens no second stream.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from enum import Enum, unique
from typing import Final, Generic, TypeVar

from attrs import define, field

from twilio_realtime_core.machine.units import MS

__all__ = ["MAX_TOKENS", "TOKEN_CHARACTERS", "TOKEN_LIFETIME_MS", "StreamTokens", "TokenFault"]

TOKEN_LIFETIME_MS: Final = 60_000
"""How long a token is valid by default. Twilio opens the stream within a second or two; a minute
allows for a document that says something before it connects."""

MAX_TOKENS: Final = 10_000
"""Tokens that are kept; the oldest goes first. It is 150 calls a second for a minute, far more than
a process can answer."""

_TOKEN_BYTES: Final = 24
"""192 random bits: not to be guessed."""

TOKEN_CHARACTERS: Final = _TOKEN_BYTES // 3 * 4
"""The length of a token: the same in base64."""

T = TypeVar("T")


@unique
class TokenFault(Enum):
    """Why a token opens no stream."""

    UNKNOWN = "its token is unknown here"
    USED = "its token was used before"
    EXPIRED = "its token has expired"


@define(eq=False)
class StreamTokens(Generic[T]):
    """The tokens that were issued, each with a value. Time is that of `now_ns` (ns)."""

    lifetime_ms: int
    random_bytes: Callable[[int], bytes]
    now_ns: Callable[[], int]
    _tokens: dict[str, tuple[int, T | None]] = field(
        init=False, factory=dict[str, "tuple[int, T | None]"]
    )
    """By token, oldest first: when it expires, and its value until it is used."""

    def issue(self, value: T) -> str:
        """Return a new token for `value`."""
        now = self.now_ns()
        self._forget_old(now)
        token = urlsafe_b64encode(self.random_bytes(_TOKEN_BYTES)).decode()
        self._tokens[token] = (now + self.lifetime_ms * MS, value)
        return token

    def get(self, token: str) -> T | TokenFault:
        """Return the value of a token that is valid, or why it is not."""
        expires_ns, value = self._tokens.get(token, (0, None))
        if expires_ns == 0:
            return TokenFault.UNKNOWN
        if value is None:
            return TokenFault.USED
        return TokenFault.EXPIRED if self.now_ns() >= expires_ns else value

    def mark_used(self, token: str) -> None:
        """Make a token invalid from now on."""
        self._tokens[token] = (self._tokens[token][0], None)

    def _forget_old(self, now: int) -> None:
        """Forget tokens that no request can ask about any more: a used or expired one is kept for
        one more lifetime, to say so, and there are never more than `MAX_TOKENS`."""
        grace_ns = self.lifetime_ms * MS
        while self._tokens:
            oldest = next(iter(self._tokens))
            is_old = self._tokens[oldest][0] + grace_ns <= now
            if not is_old and len(self._tokens) < MAX_TOKENS:
                return
            del self._tokens[oldest]

"""The policy for connections to the model that cannot be opened, or are lost."""

from typing import Final
from zlib import crc32

from attrs import field, frozen

from ..errors import LocalProtocolError
from ..machine.arguments import MIN_TIMEOUT_MS, integer, milliseconds

__all__ = ["ReconnectPolicy"]

_DELAY: Final = milliseconds(0)


@frozen(kw_only=True)
class ReconnectPolicy:
    """How the bridge connects to the model again.

    The delay before an attempt doubles from one to the next, and is shortened by up to a half so
    that calls that were lost together do not come back together. A server that says how long to
    wait (`Retry-After`) is obeyed where there is time for it.

    Raises `LocalProtocolError` for a field of the wrong type or out of range, and if
    `initial_delay_ms` is more than `max_delay_ms`.
    """

    max_attempts: int = field(default=5, validator=integer(1, 1000))
    """How often in a row it is tried."""
    initial_delay_ms: int = field(default=250, validator=_DELAY)
    """The delay before the first attempt."""
    max_delay_ms: int = field(default=4000, validator=_DELAY)
    """The longest delay."""
    timeout_ms: int = field(default=15_000, validator=milliseconds(MIN_TIMEOUT_MS))
    """How long after a session was lost the next one may take to be ready, over all attempts. That
    of the first session of a call is `CallConfig.session_timeout_ms`."""
    rotate_before_ms: int = field(default=120_000, validator=milliseconds(0))
    """How long before a session expires the next one is opened beside it, which takes over when
    nobody speaks. A session lasts an hour."""

    def __attrs_post_init__(self) -> None:
        if self.initial_delay_ms > self.max_delay_ms:
            raise LocalProtocolError(
                "ReconnectPolicy.initial_delay_ms must not be more than max_delay_ms: "
                f"{self.initial_delay_ms} is more than {self.max_delay_ms}"
            )

    def delay_ms(self, attempt: int, key: str) -> int:
        """Return the delay before an attempt, which are numbered from 1. `key` names the call."""
        doublings = min(attempt - 1, self.max_delay_ms.bit_length())
        longest = min(self.initial_delay_ms << doublings, self.max_delay_ms)
        share = crc32(f"{key} {attempt}".encode()) % 1024
        return longest - longest * share // 2048

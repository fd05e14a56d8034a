"""The limits on what Twilio's socket may send, so that one stream costs neither money nor time
without limit.

Twilio sends audio in real time, and after a stall what it has kept. Everything else is rare, and
what is wrong should not occur at all.
"""

from typing import Final

from ..machine.units import SAMPLE_NS, SECOND

__all__ = ["MAX_MEDIA_BURST_NS", "MAX_MESSAGES_PER_SECOND", "MAX_MESSAGE_BURST", "StreamRate"]

_MEDIA_SPEED: Final = 2
"""Audio that may be received, in seconds a second: a stream that has fallen behind catches up."""

_SAMPLE_COST_NS: Final = SAMPLE_NS // _MEDIA_SPEED

MAX_MEDIA_BURST_NS: Final = 60 * SECOND
"""Audio that may be received at once: that of a stall of a minute, which no call survives."""

_MEDIA_BUCKET_NS: Final = MAX_MEDIA_BURST_NS // _MEDIA_SPEED
"""The time in which the bucket of audio fills."""

MAX_MESSAGES_PER_SECOND: Final = 20
"""Messages besides audio and echoes of marks, such as faulty ones: nobody presses keys faster."""

MAX_MESSAGE_BURST: Final = 10 * MAX_MESSAGES_PER_SECOND
"""Such messages that may be received at once: those of ten seconds."""


class StreamRate:
    """What may still be received in a call. Each limit is a bucket that fills with time; what is
    stored is the instant at which it will be full (generic cell rate algorithm)."""

    def __init__(self) -> None:
        self._media_full_at_ns = 0
        self._messages_full_at_ns = 0

    def take_media(self, samples: int, now: int) -> bool:
        """Take audio out of its bucket. `False`: there is not as much."""
        full_at_ns = self._media_full_at_ns
        full_at_ns = (full_at_ns if full_at_ns > now else now) + samples * _SAMPLE_COST_NS
        if full_at_ns - now > _MEDIA_BUCKET_NS:
            return False
        self._media_full_at_ns = full_at_ns
        return True

    def take_message(self, now: int) -> bool:
        """Take another message out of its bucket. `False`: there is none left."""
        cost_ns = SECOND // MAX_MESSAGES_PER_SECOND
        full_at_ns = max(self._messages_full_at_ns, now) + cost_ns
        if full_at_ns - now > MAX_MESSAGE_BURST * cost_ns:
            return False
        self._messages_full_at_ns = full_at_ns
        return True

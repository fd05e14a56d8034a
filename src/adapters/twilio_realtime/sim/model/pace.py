"""How fast the simulated server works."""

from collections.abc import Iterator

from attrs import frozen

from twilio_realtime_core.machine.units import MS

__all__ = ["Pace"]


@frozen
class Pace:
    """How fast the server works, in ns unless it says ms. The defaults are those seen of
    `gpt-realtime` in recorded sessions."""

    session_created_ns: int = 4 * MS
    """From the opening to `session.created`."""
    client_event_ns: int = 2 * MS
    """What each client event but an append takes; they are worked through one by one."""
    response_created_ns: int = 20 * MS
    """From `response.create` to `response.created`. A turn's own response comes at once."""
    first_spoken_item_ns: int = 300 * MS
    """From `response.created` to the first item, if it is spoken."""
    first_text_item_ns: int = 195 * MS
    """From `response.created` to the first item, if it is written."""
    next_item_ns: int = 50 * MS
    """From one item to the next."""
    transcript_ns: int = 8 * MS
    """From an item to its first transcript deltas."""
    first_audio_ns: int = 120 * MS
    """From there to its first audio."""
    text_delta_ns: int = 12 * MS
    """From one delta of written text, or of a call's arguments, to the next."""
    audio_speed: float = 5.0
    """How many times faster than real time audio is made."""
    first_deltas_ms: tuple[int, ...] = (100, 150)
    """The first audio deltas."""
    delta_ms: int = 250
    """The audio deltas after these."""
    max_last_delta_ms: int = 750
    """With less than this left, the rest comes in one delta."""
    interruption_ns: int = 2 * MS
    """From `speech_started` to the end of the response that it interrupts."""
    cancelled_done_ns: int = 0
    """From a cut response's last item to its `response.done`; its place is free before that, so
    that the next response may be created first."""
    rate_limits_ns: int = 35 * MS
    """From `response.done` to `rate_limits.updated`."""
    transcription_ns: int = 1200 * MS
    """From a committed turn to its transcription, where it is not live."""
    ping_interval_ns: int = 20_260 * MS
    """From one WebSocket ping to the next."""

    def delta_sizes_ms(self, total_ms: int) -> Iterator[int]:
        """How a spoken item of `total_ms` is cut into deltas (ms)."""
        left = total_ms
        for size in self.first_deltas_ms:
            if left > 0:
                yield min(size, left)
                left -= size
        while left >= self.max_last_delta_ms:
            yield self.delta_ms
            left -= self.delta_ms
        if left > 0:
            yield left

    def generation_ns(self, duration_ms: int) -> int:
        """How long it takes to make so much audio (ns)."""
        return round(duration_ms * MS / self.audio_speed)

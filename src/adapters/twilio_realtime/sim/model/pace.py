"""The pace of the simulated server."""

from collections.abc import Iterator

from attrs import frozen

from twilio_realtime_core.machine.units import MS

__all__ = ["Pace"]


@frozen
class Pace:
    """How fast the server works (ns unless the name says ms). The defaults are those of
    `gpt-realtime` in recorded sessions."""

    session_created_ns: int = 4 * MS
    """From the open connection to `session.created`."""
    client_event_ns: int = 2 * MS
    """How long each client event except an append takes; they are processed one by one."""
    response_created_ns: int = 20 * MS
    """From `response.create` to `response.created`. The response to a turn starts immediately."""
    first_spoken_item_ns: int = 300 * MS
    """From `response.created` to the first item, if it is spoken."""
    first_text_item_ns: int = 195 * MS
    """From `response.created` to the first item, if it is text."""
    next_item_ns: int = 50 * MS
    """From one item to the next."""
    transcript_ns: int = 8 * MS
    """From an item to its first transcript deltas."""
    first_audio_ns: int = 120 * MS
    """From these to its first audio."""
    text_delta_ns: int = 12 * MS
    """From one delta of text, or of a call's arguments, to the next."""
    audio_speed: float = 5.0
    """How many times faster than real time audio is generated."""
    first_deltas_ms: tuple[int, ...] = (100, 150)
    """The durations of the first audio deltas."""
    delta_ms: int = 250
    """The duration of the audio deltas after these."""
    max_last_delta_ms: int = 750
    """When less than this is left, the rest comes in one delta."""
    interruption_ns: int = 2 * MS
    """From `speech_started` to the end of the response that it interrupts."""
    cancelled_done_ns: int = 0
    """From the last item of a cancelled response to its `response.done`. It is no longer the active
    response before that, so the next one may start first."""
    rate_limits_ns: int = 35 * MS
    """From `response.done` to `rate_limits.updated`."""
    transcription_ns: int = 1200 * MS
    """From a committed turn to its transcription, if it is not live."""
    ping_interval_ns: int = 20_260 * MS
    """From one WebSocket ping to the next."""

    def delta_sizes_ms(self, total_ms: int) -> Iterator[int]:
        """Yield the durations of the deltas of a spoken item of `total_ms` (ms)."""
        left_ms = total_ms
        for delta_ms in self.first_deltas_ms:
            if left_ms > 0:
                yield min(delta_ms, left_ms)
                left_ms -= delta_ms
        while left_ms >= self.max_last_delta_ms:
            yield self.delta_ms
            left_ms -= self.delta_ms
        if left_ms > 0:
            yield left_ms

    def generation_ns(self, duration_ms: int) -> int:
        """Return how long it takes to generate `duration_ms` of audio (ns)."""
        return round(duration_ms * MS / self.audio_speed)

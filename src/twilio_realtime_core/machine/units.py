"""Time in integer nanoseconds, audio in samples; no rounding between them.

G.711 at 8 kHz has one byte a sample, and one sample lasts 125,000 ns exactly (ITU-T G.711,
section 2). Milliseconds appear only where a protocol counts in them.
"""

__all__ = [
    "FRAME_SAMPLES",
    "MS",
    "SAMPLE_NS",
    "SECOND",
    "ns_to_samples",
    "samples_to_ms",
    "samples_to_ns",
]

MS = 1_000_000
"""Nanoseconds in a millisecond."""

SECOND = 1_000 * MS
"""Nanoseconds in a second."""

SAMPLE_NS = 125_000
"""Nanoseconds in a sample of G.711 at 8 kHz; also samples are bytes."""

FRAME_SAMPLES = 160
"""Samples, and bytes, in the 20 ms frame that telephony works in."""


def samples_to_ns(samples: int) -> int:
    """How long `samples` of G.711 last, in ns."""
    return samples * SAMPLE_NS


def ns_to_samples(duration_ns: int) -> int:
    """How many whole samples of G.711 fit in a duration in ns; negative durations hold none."""
    return max(0, duration_ns // SAMPLE_NS)


def samples_to_ms(samples: int) -> int:
    """How many whole milliseconds `samples` of G.711 last, rounded down."""
    return samples // 8

"""Units: time in integer nanoseconds, audio in samples, and exact conversions between them.

G.711 at 8 kHz has one byte a sample, and one sample lasts exactly 125,000 ns (ITU-T G.711, section
2). Milliseconds are used only where a protocol counts in them.
"""

__all__ = [
    "FRAME_SAMPLES",
    "MS",
    "SAMPLE_NS",
    "SECOND",
    "ns_to_ms",
    "ns_to_samples",
    "samples_to_ms",
    "samples_to_ns",
]

MS = 1_000_000
"""Nanoseconds in a millisecond."""

SECOND = 1_000 * MS
"""Nanoseconds in a second."""

SAMPLE_NS = 125_000
"""Nanoseconds in a sample, which is one byte, of G.711 at 8 kHz."""

FRAME_SAMPLES = 160
"""Samples (bytes) in a 20 ms frame, the usual unit of telephony."""


def samples_to_ns(samples: int) -> int:
    """Return the duration of `samples` of G.711, in ns."""
    return samples * SAMPLE_NS


def ns_to_samples(duration_ns: int) -> int:
    """Return the number of whole samples of G.711 in a duration; 0 for a negative duration."""
    return max(0, duration_ns // SAMPLE_NS)


def ns_to_ms(duration_ns: int) -> int:
    """Return a duration in whole ms, rounded down."""
    return duration_ns // MS


def samples_to_ms(samples: int) -> int:
    """Return the duration of `samples` of G.711 in whole ms, rounded down."""
    return samples // 8

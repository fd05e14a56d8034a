"""Time in integer nanoseconds, audio in samples.

G.711 has 8,000 samples a second of one byte each, so a sample lasts 125,000 ns (ITU-T G.711,
section 2).
"""

from typing import Final

__all__ = [
    "FRAME_SAMPLES",
    "MS",
    "SAMPLES_PER_MS",
    "SAMPLES_PER_SECOND",
    "SECOND",
    "ns_to_samples",
    "samples_to_ms",
    "samples_to_ns",
]

MS: Final = 1_000_000
"""Nanoseconds in a millisecond."""

SECOND: Final = 1_000_000_000
"""Nanoseconds in a second."""

SAMPLES_PER_MS: Final = 8
SAMPLES_PER_SECOND: Final = 8_000

FRAME_SAMPLES: Final = 160
"""Samples of the 20 ms frame that telephony works in."""


def samples_to_ns(samples: int) -> int:
    """Return how long samples last (ns)."""
    return samples * SECOND // SAMPLES_PER_SECOND


def ns_to_samples(duration_ns: int) -> int:
    """Return how many whole samples fit in a duration; none in a negative one."""
    return max(0, duration_ns * SAMPLES_PER_SECOND // SECOND)


def samples_to_ms(samples: int) -> int:
    """Return how many whole milliseconds samples last."""
    return samples // SAMPLES_PER_MS

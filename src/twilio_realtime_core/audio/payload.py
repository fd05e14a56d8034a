"""G.711 audio in base64, told by its text: 8 kHz, mono, one byte a sample.

What is passed on is not decoded. But it is spliced into JSON, so it must be known to be base64: an
unchecked payload could bring its own quotes and braces.
"""

from typing import Final

__all__ = ["PCMU", "count_samples"]

PCMU: Final = {"type": "audio/pcmu"}
"""G.711 µ-law at 8 kHz as Realtime names it. It must stand without a `rate`
(platform.openai.com, Realtime API reference, `session.update`)."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def count_samples(payload: str) -> int | None:
    """How many samples (bytes) a base64 payload holds; `None` if it is no base64 or empty.

    Standard alphabet with padding, no line breaks (RFC 4648, section 4).
    """
    if not payload or len(payload) % 4 or not payload.isascii():
        return None
    digits = payload.rstrip("=")
    padding = len(payload) - len(digits)
    if padding > 2 or digits.encode().translate(None, _ALPHABET):  # noqa: PLR2004
        return None
    return len(payload) // 4 * 3 - padding

"""Durations as people write them: `25s`, `10m`, `1h`, `500ms`."""

import re
from typing import Final

__all__ = ["parse_duration_ms"]

_MS_OF_UNIT: Final = {"ms": 1, "s": 1000, "": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}

_DURATION: Final = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(ms|s|min|m|h|)\s*", re.ASCII)


def parse_duration_ms(value: object) -> int:
    """Return the milliseconds of a duration; a number without a unit is seconds.

    Raises `ValueError` for what is no duration.
    """
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value))
    if match is None:
        raise ValueError("use a time such as 500ms, 25s, 10m or 1h")
    return round(float(match[1]) * _MS_OF_UNIT[match[2]])

"""How many marks serve: the same calls with marks further apart or closer together."""

from statistics import fmean
from typing import Final
from unittest.mock import patch

from twilio_realtime_core.downlink import marks, playout

from .measuring import OURS, measure, quantile
from .worlds import WORLDS

__all__ = ["study"]

STUDIED: Final = ("clean", "hidden", "restless", "jittery", "mixed")
APART_MS: Final = (20, 125, 250, 500, 1000, 600_000)
"""The last stands for the first frame of a burst and the tail alone."""


def study(calls: int) -> str:
    """A table: the mean and the 95th percentile of the error by what is between two marks, and
    with the first mark of a burst behind its first delta, not its first frame."""
    lines = [f"{'ms apart':>22}{'marks a call':>14}" + "".join(f"{name:>14}" for name in STUDIED)]
    for apart in APART_MS:
        with patch.object(marks, "MARK_INTERVAL_SAMPLES", 8 * apart):
            lines.append(_line(str(apart), calls))
    with patch.object(playout.Playout, "starts_burst", _never):
        lines.append(_line("250, no first frame", calls))
    return "\n".join(lines)


def _never(_playout: playout.Playout, _now: int) -> bool:
    return False


def _line(what: str, calls: int) -> str:
    worlds = [world for world in WORLDS if world.name in STUDIED]
    found = [each[OURS] for each in measure(calls, worlds).values()]
    marks = fmean(each.marks for each in found) / calls
    cells = (f"{fmean(each.errors):7.1f} /{quantile(each.errors, 0.95):5.0f}" for each in found)
    return f"{what:>22}{marks:>14.0f}{''.join(cells)}"

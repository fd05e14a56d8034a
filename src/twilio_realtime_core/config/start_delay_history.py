"""The start delays that earlier calls have shown, as a value for later ones."""

from typing import Final

from attrs import frozen

__all__ = ["StartDelayHistory"]

_MAX_START_DELAYS: Final = 64
"""Bursts of earlier calls: enough that one odd line does not shift their median, few enough that
another carrier is learned within some dozen calls."""


@frozen
class StartDelayHistory:
    """How late players began bursts of audio (ns), newest last: what a call has shown, to be given
    to later ones. It is a value; a process keeps one, or one for each kind of line."""

    start_delays_ns: tuple[int, ...] = ()

    def merged_with(self, later: "StartDelayHistory") -> "StartDelayHistory":
        """What both have shown; the last 64 bursts are kept."""
        return StartDelayHistory(
            (*self.start_delays_ns, *later.start_delays_ns)[-_MAX_START_DELAYS:]
        )

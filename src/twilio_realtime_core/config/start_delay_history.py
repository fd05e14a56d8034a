"""The start delays that earlier calls measured, as a value for later ones."""

from typing import Any, Final

from attrs import Attribute, field, frozen

from ..machine.arguments import FieldRule

__all__ = ["StartDelayHistory"]

_MAX_START_DELAYS: Final = 64
"""Start delays that are kept: enough that one odd line does not shift their median, few enough that
another carrier is learned within some dozen calls."""


_DELAYS: Final = FieldRule(
    "a tuple of durations in whole nanoseconds (int)", lambda value: isinstance(value, tuple)
)
_DELAY: Final = FieldRule(
    "whole nanoseconds (int), at least 0",
    lambda value: type(value) is int and value >= 0,
    shows_numbers=True,
)


def _check_delays(
    history: object, attribute: "Attribute[Any]", delays_ns: tuple[object, ...]
) -> None:
    _DELAYS(history, attribute, delays_ns)
    for index, delay_ns in enumerate(delays_ns):
        _DELAY.check(f"StartDelayHistory.start_delays_ns[{index}]", delay_ns)


@frozen
class StartDelayHistory:
    """The time for which earlier calls' phones buffered audio before they started to play it.

    A process keeps one history, or one for each kind of line. Raises `LocalProtocolError` for
    delays of the wrong type, or below 0.
    """

    start_delays_ns: tuple[int, ...] = field(default=(), validator=_check_delays)
    """One delay for each burst of audio, newest last."""

    def merged_with(self, later: "StartDelayHistory") -> "StartDelayHistory":
        """Return the delays of both histories, of which the last 64 are kept."""
        merged = (*self.start_delays_ns, *later.start_delays_ns)
        return StartDelayHistory(merged[-_MAX_START_DELAYS:])

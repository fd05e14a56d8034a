"""The start delays that earlier calls measured, as a value for later ones."""

from typing import Final, cast

from attrs import field, frozen

from ..machine.arguments import FieldRule

__all__ = ["StartDelayHistory"]

_MAX_START_DELAYS: Final = 64
"""Start delays that are kept: enough that one odd line does not shift their median, few enough that
another carrier is learned within some dozen calls."""


_DELAYS: Final = FieldRule(
    "a tuple of durations in whole nanoseconds (int)",
    lambda value: (
        isinstance(value, tuple)
        and all(type(each) is int for each in cast("tuple[object, ...]", value))
    ),
)


@frozen
class StartDelayHistory:
    """The time for which earlier calls' phones buffered audio before they started to play it.

    A process keeps one history, or one for each kind of line. Raises `LocalProtocolError` for
    delays of the wrong type.
    """

    start_delays_ns: tuple[int, ...] = field(default=(), validator=_DELAYS)
    """One delay for each burst of audio, newest last."""

    def merged_with(self, later: "StartDelayHistory") -> "StartDelayHistory":
        """Return the delays of both histories, of which the last 64 are kept."""
        merged = (*self.start_delays_ns, *later.start_delays_ns)
        return StartDelayHistory(merged[-_MAX_START_DELAYS:])

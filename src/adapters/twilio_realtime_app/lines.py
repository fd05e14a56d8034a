"""What the calls of a process have shown of telephone lines, for the calls that follow."""

from collections.abc import Callable

from attrs import define, field

from twilio_realtime_core import Bridge, CallConfig
from twilio_realtime_core.lag import LineHistory

__all__ = ["Lines"]


@define(eq=False)
class Lines:
    """The history of all calls that are over. None is kept for that: a bridge tells what it has
    learned when its driver lets it go, however its call has ended."""

    _known: LineHistory = field(init=False, factory=LineHistory)

    def bridge(self, config: CallConfig) -> Bridge:
        """A bridge that is learned of."""
        return _Watched(config, self._learn)

    def known(self) -> LineHistory:
        """What is known by now."""
        return self._known

    def _learn(self, history: LineHistory) -> None:
        self._known = self._known.joined(history)


class _Watched(Bridge):
    """Tells what it has learned as it goes."""

    _learn: Callable[[LineHistory], None] | None = None

    def __init__(self, config: CallConfig, learn: Callable[[LineHistory], None]) -> None:
        super().__init__(config)
        self._learn = learn

    def __del__(self) -> None:
        if self._learn is not None:
            self._learn(self.line_history)

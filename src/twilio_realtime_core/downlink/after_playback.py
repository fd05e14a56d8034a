"""What is deferred until all that was sent has been heard: function outputs, and the hang-up.

Marks show when that is. Where they do not come, there are two ways out: the time by which all must
have been played, and, for the hang-up, a time without any sign of playing.
"""

from typing import Final

from attrs import define, field, frozen

from ..machine.units import SECOND

__all__ = ["STALL_NS", "AfterPlayback", "DeferredOutput"]

STALL_NS: Final = 10 * SECOND
"""Without an echo, and without audio from the model, for this long, the stream is dead: while audio
plays there are four echoes a second, and a model takes seconds before it speaks."""


@frozen
class DeferredOutput:
    """The output of a function call, to be sent after playback. `respond`: the model is then to
    respond to it."""

    call_id: str
    output: str = field(repr=False)
    respond: bool = True


@define(eq=False)
class AfterPlayback:
    """What is deferred. There are never more outputs than unanswered function calls."""

    outputs: list[DeferredOutput] = field(init=False, factory=list[DeferredOutput])
    is_hangup_pending: bool = field(init=False, default=False)

    def take_outputs(self) -> list[DeferredOutput]:
        """Remove the deferred outputs, and return them."""
        outputs, self.outputs = self.outputs, []
        return outputs

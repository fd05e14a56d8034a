"""What waits until all that the agent has to say was heard: outputs of functions, and the end.

The marks tell when that is. Where they do not come, there are two ways out: the time by which all
must have been played, and, for the end of the call, a time without any sign of life.
"""

from typing import Final

from attrs import define, field

from ..commands import SendFunctionOutput
from ..machine.units import SECOND

__all__ = ["STALL_NS", "AfterPlayback"]

STALL_NS: Final = 10 * SECOND
"""Without an echo, and without audio from the model, for so long, the line is dead: while audio
plays there are four echoes a second, and a model thinks for seconds before it speaks."""


@define(eq=False)
class AfterPlayback:
    """What waits. There are never more outputs than function calls that wait for one."""

    outputs: list[SendFunctionOutput] = field(init=False, factory=list[SendFunctionOutput])
    is_hangup_pending: bool = field(init=False, default=False)

    def take_outputs(self) -> list[SendFunctionOutput]:
        """The outputs, which wait no longer."""
        outputs, self.outputs = self.outputs, []
        return outputs

"""What is deferred until all that was sent has been heard: function outputs, notices, and the
hang-up.

Marks show when that is. Where they do not come, there are two ways out: the time by which all must
have been played, and, for the hang-up, a time without any sign of playing.
"""

from typing import Final

from attrs import define, field, frozen

from ..errors import LocalProtocolError
from ..machine.reasons import Reason
from ..machine.units import SECOND
from ..notifications import EndReason

__all__ = ["MAX_NOTICES", "STALL_NS", "AfterPlayback", "DeferredOutput"]

STALL_NS: Final = 10 * SECOND
"""Without an echo, and without audio from the model, for this long, the stream is dead: while audio
plays there are four echoes a second, and a model takes seconds before it speaks."""

MAX_NOTICES: Final = 32
"""Notices that are awaited at a time: more than one call has reasons for."""


@frozen
class DeferredOutput:
    """The output of a function call, to be sent after playback. `respond`: the model is then to
    respond to it. `wait_for_others`: once the other calls of its response have theirs."""

    call_id: str
    output: str = field(repr=False)
    respond: bool = True
    wait_for_others: bool = True


@define(eq=False)
class AfterPlayback:
    """What is deferred. There are never more outputs than unanswered function calls."""

    outputs: list[DeferredOutput] = field(init=False, factory=list[DeferredOutput])
    notices: list[str] = field(init=False, factory=list[str])
    """The names of what is notified when all was heard."""
    is_hangup_pending: bool = field(init=False, default=False)
    hangup_reason: EndReason = field(init=False, default=EndReason.HUNG_UP)
    hangup_detail: str = field(init=False, default="")
    is_model_lost: bool = field(init=False, default=False)
    """Whether the model says no more: what it owes is not waited for."""
    deferred_by: Reason | None = field(init=False, default=None)
    """What is waited for, as it was explained last."""

    def hang_up(self, reason: EndReason, detail: str, *, is_model_lost: bool = False) -> None:
        """Defer the end of the call. The first reason counts."""
        if not self.is_hangup_pending:
            self.is_hangup_pending = True
            self.hangup_reason, self.hangup_detail = reason, detail
        self.is_model_lost |= is_model_lost

    def notify(self, name: str) -> None:
        """Defer a notification. Raises `LocalProtocolError` if there are too many."""
        if len(self.notices) >= MAX_NOTICES:
            raise LocalProtocolError(
                f"{MAX_NOTICES} notifications are awaited after playback already"
            )
        self.notices.append(name)

    def take_notices(self) -> list[str]:
        """Remove the names of the deferred notifications, and return them."""
        notices, self.notices = self.notices, []
        return notices

    def take_outputs(self) -> list[DeferredOutput]:
        """Remove the deferred outputs, and return them."""
        outputs, self.outputs = self.outputs, []
        return outputs

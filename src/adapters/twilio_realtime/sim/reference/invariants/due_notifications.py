"""Notifications that are due, and how those may show the words of a peer that repeat them."""

from attrs import define

from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import CallerTranscriptFailed, ResponseRefused

from ..received import ReceivedError, ReceivedInputFailure
from .redaction import may_quote, may_show

__all__ = ["DueFailure", "DueFault", "DueRefusal", "is_due", "name_of"]


@define(eq=False)
class DueFault:
    """A fault of one of the kinds that quotes words of the peer; it may say more."""

    peer: Peer
    kinds: tuple[FaultKind, ...]
    words: str | None = None
    code: str | None = None

    def allows(self, value: object) -> bool:
        """Whether a notification is this."""
        if not isinstance(value, Fault) or value.peer is not self.peer:
            return False
        is_quoted = self.words is None or may_quote(value.message, self.words)
        return value.kind in self.kinds and is_quoted and may_show(value.code, self.code)


@define(eq=False)
class DueRefusal:
    """A refused request, with words of the server."""

    error: ReceivedError
    event_id: str

    def allows(self, value: object) -> bool:
        """Whether a notification is this."""
        if not isinstance(value, ResponseRefused) or value.event_id != self.event_id:
            return False
        is_same_code = may_show(value.code, self.error.code)
        return is_same_code and may_show(value.message, self.error.message)


@define(eq=False)
class DueFailure:
    """A failed transcription, with words of the server."""

    event: ReceivedInputFailure

    def allows(self, value: object) -> bool:
        """Whether a notification is this."""
        if not isinstance(value, CallerTranscriptFailed) or value.item_id != self.event.item_id:
            return False
        return may_show(value.reason, self.event.reason)


def is_due(due: object, value: object) -> bool:
    """Whether a notification is the one that is due."""
    if isinstance(due, DueFault | DueRefusal | DueFailure):
        return due.allows(value)
    return due == value


def name_of(due: object) -> str:
    """Return the name of the notification that is due."""
    match due:
        case DueFault():
            return Fault.__name__
        case DueRefusal():
            return ResponseRefused.__name__
        case DueFailure():
            return CallerTranscriptFailed.__name__
        case _:
            return type(due).__name__

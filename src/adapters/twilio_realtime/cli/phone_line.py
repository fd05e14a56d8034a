"""The caller and his line, with what a report of the call needs to know of them."""

from collections.abc import Hashable

from attrs import define, field, frozen

from twilio_realtime_core import Action, ByteAction, Notify
from twilio_realtime_core.transport.stack import Stack

from ..sim.phone.twilio_peer import TwilioPeer

__all__ = ["Caller", "Line", "StreamBegan"]


@frozen
class StreamBegan:
    """The server has accepted the stream."""


@define(eq=False, kw_only=True)
class Caller(TwilioPeer):
    """A `TwilioPeer` that notifies `StreamBegan`, and remembers when (`began_ns`)."""

    began_ns: int | None = field(init=False, default=None)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """The stream begins."""
        self.began_ns = now
        return [Notify(StreamBegan()), *super().opened(peer, now)]


@define(eq=False, repr=False)
class Line(Stack):
    """A `Stack` that remembers why the server could not be reached, if it could not."""

    unreachable: str | None = field(init=False, default=None)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """The byte stream could not be opened; `reason` is for people."""
        self.unreachable = reason
        return super().connect_failed(peer, reason, now)

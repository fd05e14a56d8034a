"""The machines of the `phone` command: a phone and its stack, which keep what the report needs."""

from collections.abc import Hashable

from attrs import define, field, frozen

from twilio_realtime_core import Action, ByteAction, Notify
from twilio_realtime_core.transport.stack import Stack

from ..sim.phone.twilio_peer import TwilioPeer

__all__ = ["PhonePeer", "PhoneStack", "StreamStarted"]


@frozen
class StreamStarted:
    """The server has accepted the stream's WebSocket."""


@define(eq=False, kw_only=True)
class PhonePeer(TwilioPeer):
    """A `TwilioPeer` that notifies `StreamStarted` and keeps its time."""

    stream_started_ns: int | None = field(init=False, default=None)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """See `TwilioPeer.opened`."""
        self.stream_started_ns = now
        return [Notify(StreamStarted()), *super().opened(peer, now)]


@define(eq=False, repr=False)
class PhoneStack(Stack):
    """A `Stack` that keeps the reason why the server could not be reached, if so."""

    unreachable_reason: str | None = field(init=False, default=None)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """See `Stack.connect_failed`."""
        self.unreachable_reason = reason
        return super().connect_failed(peer, reason, now)

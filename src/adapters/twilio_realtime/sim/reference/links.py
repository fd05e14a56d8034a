"""How far the two links, the stream and the session of a call are."""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Any, Final, cast

from attrs import define, field

from twilio_realtime_core.audio.pcmu import PCMU_FORMAT
from twilio_realtime_core.machine.actions import Close, Open, Peer
from twilio_realtime_core.notifications import CallEnded
from twilio_realtime_core.protocols import realtime, twilio

from .step_record import Fact, Gone, Opened, Told

__all__ = ["OVER", "Leg", "Line", "speaks_pcmu"]


@unique
class Leg(Enum):
    """How far one of the two links is."""

    NONE = "none"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


OVER: Final = (Leg.NONE, Leg.CLOSED)
"""Nothing is to be waited for."""

_MULAW: Final = ("audio/x-mulaw", 8000, 1)


@define(eq=False)
class Line(Fact):
    """The life of the call, as its peers tell it."""

    inputs = (Opened, Gone, twilio.StartEvent, twilio.StopEvent, realtime.SessionUpdatedEvent)
    outputs = (Open, Close, CallEnded)

    legs: dict[Peer, Leg] = field(init=False, factory=lambda: dict.fromkeys(Peer, Leg.NONE))
    stream_sid: str = field(init=False, default="")
    """Of the stream that began last; empty before."""
    begins: bool = field(init=False, default=False)
    """This step was told of a new stream."""
    streaming: bool = field(init=False, default=False)
    """Twilio's stream has begun and not ended."""
    speaks_mulaw: bool = field(init=False, default=False)
    """The stream is in the one format that Twilio documents."""
    ready: bool = field(init=False, default=False)
    """The server has confirmed a session in the right format."""
    server_cancels: bool = field(init=False, default=True)
    """The server cancels its response by itself when it hears the caller."""
    live: bool = field(init=False, default=True)
    """Nothing has yet ended the call."""
    ending_since: int | None = field(init=False, default=None)
    """When something did (ns)."""
    waits_since: int = field(init=False, default=0)
    """Since when it waits for what comes next: a stream, a configuration, a session (ns)."""
    ended: bool = field(init=False, default=False)
    """`CallEnded` was notified."""

    def told(self, told: Told) -> None:
        """Take in what the bridge was told."""
        match told.event:
            case Opened(Peer.TWILIO) if self.legs[Peer.TWILIO] is Leg.NONE:
                self.legs[Peer.TWILIO], self.waits_since = Leg.OPEN, told.now
            case Opened(Peer.REALTIME) if self.legs[Peer.REALTIME] is Leg.OPENING:
                self.legs[Peer.REALTIME] = Leg.OPEN
            case Gone(Peer() as peer):
                self.legs[peer] = Leg.CLOSED
                self._ends(told.now, peer)
            case twilio.StartEvent() as start if self.live and start.stream_sid != self.stream_sid:
                self.stream_sid, self.streaming, self.begins = start.stream_sid, True, True
                if self.legs[Peer.REALTIME] is Leg.NONE:
                    self.waits_since = told.now
                self.speaks_mulaw = (start.encoding, start.sample_rate, start.channels) == _MULAW
            case twilio.StopEvent(sid) if not self.stream_sid or sid == self.stream_sid:
                self._ends(told.now, Peer.TWILIO)
            case realtime.SessionUpdatedEvent(session) if self.live and speaks_pcmu(session):
                self.ready, self.server_cancels = True, _interrupts_by_itself(session)
            case _:
                pass

    def asked(self, value: object, told: Told) -> None:
        """Take in one thing that the bridge asked for."""
        match value:
            case Open(Peer() as peer):
                self.legs[peer], self.waits_since = Leg.OPENING, told.now
            case Close(Peer() as peer):
                self.legs[peer] = Leg.CLOSING
                self._ends(told.now, peer)
            case _:  # CallEnded
                self.ended = True
                self._ends(told.now, Peer.TWILIO)

    def finish(self, told: Told) -> None:
        """The step is over."""
        self.begins = False

    def _ends(self, now: int, peer: Peer) -> None:
        if self.live:
            self.live, self.ending_since = False, now
        self.streaming = self.streaming and peer is not Peer.TWILIO


def speaks_pcmu(session: Mapping[str, Any]) -> bool:
    """Whether a session, as the server describes it, is in G.711 µ-law both ways."""
    return all(
        _format(session, way).get("type") == PCMU_FORMAT["type"] for way in ("input", "output")
    )


def _interrupts_by_itself(session: Mapping[str, Any]) -> bool:
    """Whether turn detection has a session cancel its response; without it, nothing does."""
    match session:
        case {"audio": {"input": {"turn_detection": {"interrupt_response": False} | None}}}:
            return False
        case {"audio": {"input": {"turn_detection": _}}}:
            return True
        case _:
            return False


def _format(session: Mapping[str, Any], way: str) -> Mapping[str, Any]:
    value: Any = session
    for name in ("audio", way, "format"):
        value = cast(Mapping[str, Any], value).get(name) if isinstance(value, Mapping) else None
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}

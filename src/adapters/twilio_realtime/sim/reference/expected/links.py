"""The expected state of the two links, of the stream and of the session."""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Any, Final

from attrs import define, field

from twilio_realtime_core.machine.actions import Close, Open, Peer
from twilio_realtime_core.notifications import CallEnded

from ..limits import PCMU, TWILIO_FORMAT
from ..received import ReceivedSession, ReceivedStart, ReceivedStop
from ..sent import SentUpdate
from ..step_record import ExpectedState, SocketClosed, SocketOpened, StepRecord
from .turn_detection import ExpectedTurnDetection

__all__ = ["OPEN_STATES", "OVER_STATES", "ExpectedLinks", "LinkState", "is_pcmu_session"]


@unique
class LinkState(Enum):
    """The state of one of the two links."""

    NONE = "none"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


OPEN_STATES: Final = (LinkState.OPENING, LinkState.OPEN)
"""The bridge has to close the link."""

OVER_STATES: Final = (LinkState.NONE, LinkState.CLOSED)
"""Nothing more happens on the link."""


@define(eq=False)
class ExpectedLinks(ExpectedState):
    """The lifecycle of the call."""

    inputs = (SocketOpened, SocketClosed, ReceivedStart, ReceivedStop, ReceivedSession)
    outputs = (Open, Close, CallEnded, SentUpdate)

    states: dict[Peer, LinkState] = field(
        init=False, factory=lambda: dict.fromkeys(Peer, LinkState.NONE)
    )
    stream_sid: str = field(init=False, default="")
    """That of the latest stream; empty before the first."""
    is_stream_starting: bool = field(init=False, default=False)
    """A stream starts in this step."""
    is_streaming: bool = field(init=False, default=False)
    """A stream has started and not ended."""
    is_pcmu_stream: bool = field(init=False, default=False)
    """The stream states no other format than the one that Twilio documents."""
    is_session_ready: bool = field(init=False, default=False)
    """The server has confirmed a session in the right format."""
    turn_detection: ExpectedTurnDetection = field(init=False, factory=ExpectedTurnDetection)
    """That of the session."""
    is_live: bool = field(init=False, default=True)
    """Nothing has ended the call yet."""
    ending_since_ns: int | None = field(init=False, default=None)
    """When something ended the call."""
    waiting_since_ns: int = field(init=False, default=0)
    """Since when the call waits for the stream, the configuration or the session."""
    has_ended: bool = field(init=False, default=False)
    """`CallEnded` was notified."""

    def apply_input(self, step: StepRecord) -> None:
        """Apply what happens to a socket, the stream or the session."""
        match step.event:
            case SocketOpened(Peer.TWILIO) if self.states[Peer.TWILIO] is LinkState.NONE:
                self.states[Peer.TWILIO], self.waiting_since_ns = LinkState.OPEN, step.now
            case SocketOpened(Peer.REALTIME) if self.states[Peer.REALTIME] is LinkState.OPENING:
                self.states[Peer.REALTIME] = LinkState.OPEN
            case SocketClosed(Peer() as peer):
                self.states[peer] = LinkState.CLOSED
                self._end(step.now, peer)
            case ReceivedStart() as start if self.is_live and start.stream_sid != self.stream_sid:
                self.stream_sid, self.is_streaming = start.stream_sid, True
                self.is_stream_starting = True
                if self.states[Peer.REALTIME] is LinkState.NONE:
                    self.waiting_since_ns = step.now
                self.is_pcmu_stream = all(
                    stated in (None, documented)
                    for stated, documented in zip(start.format, TWILIO_FORMAT, strict=True)
                )
            case ReceivedStop(sid) if not self.stream_sid or sid == self.stream_sid:
                self._end(step.now, Peer.TWILIO)
            case ReceivedSession(session) if self.is_live and is_pcmu_session(session):
                self.is_session_ready = True
                self.turn_detection.describe(session)
            case _:
                pass

    def apply_output(self, value: object, step: StepRecord) -> None:
        """Apply what the bridge opens and closes."""
        match value:
            case Open(Peer() as peer):
                self.states[peer], self.waiting_since_ns = LinkState.OPENING, step.now
            case Close(Peer() as peer):
                self.states[peer] = LinkState.CLOSING
                self._end(step.now, peer)
            case SentUpdate(body=body):
                self.turn_detection.ask(body)
            case _:  # CallEnded
                self.has_ended = True
                self._end(step.now, Peer.TWILIO)

    def finish_step(self, step: StepRecord) -> None:
        """Reset what holds for one step only."""
        self.is_stream_starting = False

    def _end(self, now: int, peer: Peer) -> None:
        if self.is_live:
            self.is_live, self.ending_since_ns = False, now
        self.is_streaming = self.is_streaming and peer is not Peer.TWILIO


def is_pcmu_session(session: Mapping[str, Any]) -> bool:
    """Whether a session, as the server describes it, has G.711 µ-law both ways."""
    match session:
        case {
            "audio": {
                "input": {"format": {"type": str(heard)}},
                "output": {"format": {"type": str(spoken)}},
            }
        }:
            return heard == spoken == PCMU["type"]
        case _:
            return False

"""The Media Stream of a call: its lifecycle, and the messages that Twilio may send in each state.

Source: Twilio documentation, "Media Streams - WebSocket Messages",
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from typing import Final

from ..errors import Fault, FaultKind
from ..machine.actions import Close, Peer
from ..machine.lifecycles import STREAM, Lifecycle, LifecycleFactory, StreamInput, StreamState
from ..machine.outbox import Outbox
from ..protocols import twilio

__all__ = ["MediaStream"]

_PCMU_MEDIA_FORMAT: Final = ("audio/x-mulaw", 8000, 1)
"""The `mediaFormat` of every stream that Twilio documents."""

_MEDIA: Final = StreamInput.MEDIA  # used for every frame; a look-up in the enum takes 0.1 µs


class MediaStream:
    """A stream, and the socket that carries it.

    `sid` is empty before the first `start`. `is_pcmu` is false if the last `start` announced
    another format than G.711 µ-law at 8 kHz.
    """

    def __init__(self, outbox: Outbox, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._outbox = outbox
        self._lifecycle = make_lifecycle(STREAM, StreamState.UNOPENED)
        self.sid = ""
        self.is_pcmu = True

    @property
    def state(self) -> StreamState:
        """The state of the lifecycle."""
        return self._lifecycle.state

    def opened(self) -> bool:
        """Note that the socket was accepted. `False`: it was accepted before."""
        return self._lifecycle.step(StreamInput.OPENED)

    def receive(self, text: str) -> twilio.StreamEvent | None:
        """Decode a message from Twilio and advance the lifecycle by it.

        `None`: the message is a fault, which is notified.
        """
        event = twilio.decode(text)
        match event:
            case twilio.MediaEvent():
                is_accepted = self._accept(_MEDIA, event.stream_sid)
            case twilio.MarkEvent():
                is_accepted = self._accept(StreamInput.MARK, event.stream_sid)
            case twilio.DtmfEvent():
                is_accepted = self._accept(StreamInput.DTMF, event.stream_sid)
            case twilio.StopEvent():
                is_accepted = self._accept(StreamInput.STOP, event.stream_sid)
            case twilio.ConnectedEvent():
                is_accepted = self._accept(StreamInput.CONNECTED, self.sid)
            case twilio.StartEvent():
                is_accepted = self._accept_start(event)
            case Fault():
                self._outbox.notify(event)
                return None
            case _:  # UnknownEvent
                is_accepted = True
        return event if is_accepted else None

    def _accept(self, event: StreamInput, sid: str) -> bool:
        """Advance the lifecycle, or notify a fault and return `False`."""
        if sid != self.sid and self.state is StreamState.STREAMING:
            what = f"{event.value}: streamSid is not that of start"
            self._notify_fault(FaultKind.WRONG_STREAM, what)
            return False
        if not self._lifecycle.step(event):
            self._notify_fault(FaultKind.UNEXPECTED, f"{event.value} while {self.state.value}")
            return False
        return True

    def _accept_start(self, event: twilio.StartEvent) -> bool:
        """Start a stream, or notify a fault and return `False`."""
        is_same = event.stream_sid == self.sid
        if not self._accept(StreamInput.START_AGAIN if is_same else StreamInput.START, self.sid):
            return False
        self.sid = event.stream_sid
        media_format = (event.encoding, event.sample_rate, event.channels)
        self.is_pcmu = media_format == _PCMU_MEDIA_FORMAT
        if not self.is_pcmu:
            self._notify_fault(
                FaultKind.WRONG_FORMAT,
                "start: mediaFormat is not audio/x-mulaw at 8000 Hz with 1 channel; the audio is "
                "forwarded unchanged",
            )
        return True

    def _notify_fault(self, kind: FaultKind, what: str) -> None:
        self._outbox.notify_fault(Peer.TWILIO, kind, what)

    def close(self, code: int) -> None:
        """Close the socket, if it is open, with a close code."""
        self._lifecycle.step(StreamInput.CLOSE)
        if self.state is StreamState.CLOSING:
            self._outbox.add(Close(Peer.TWILIO, code, ""))

    def closed(self) -> bool:
        """Note that the socket is closed. `False`: it was closed before."""
        return self._lifecycle.step(StreamInput.CLOSED)

"""The Media Stream of a call: its life, and which of Twilio's messages make sense in it.

Source: Twilio documentation, "Media Streams - WebSocket Messages".
"""

from typing import Final

from ..errors import Fault, FaultKind
from ..machine.actions import NORMAL_CLOSURE, Close, Peer
from ..machine.lifecycles import STREAM, Lifecycle, LifecycleFactory, StreamInput, StreamState
from ..machine.outbox import Outbox
from ..protocols import twilio

__all__ = ["MediaStream"]

_MULAW: Final = ("audio/x-mulaw", 8000, 1)
"""`mediaFormat` of every stream."""

_MEDIA: Final = StreamInput.MEDIA  # asked for with every frame; a look-up takes 0.1 µs


class MediaStream:
    """One stream, and the socket that carries it. `sid` is empty before the first `start`;
    `speaks_mulaw` is false for a stream of another format, which Twilio has none of."""

    def __init__(self, outbox: Outbox, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._outbox = outbox
        self._life = make_lifecycle(STREAM, StreamState.UNOPENED)
        self.sid = ""
        self.is_pcmu = True

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        return self._life.state

    def opened(self) -> bool:
        """The socket was accepted. `False` if it was accepted before."""
        return self._life.step(StreamInput.OPENED)

    def receive(self, text: str) -> twilio.StreamEvent | None:
        """A message that makes sense now; `None` for any other, which has been reported."""
        message = twilio.decode(text)
        match message:
            case twilio.MediaEvent():
                expected = self._is_expected(_MEDIA, message.stream_sid)
            case twilio.MarkEvent():
                expected = self._is_expected(StreamInput.MARK, message.stream_sid)
            case twilio.DtmfEvent():
                expected = self._is_expected(StreamInput.DTMF, message.stream_sid)
            case twilio.StopEvent():
                expected = self._is_expected(StreamInput.STOP, message.stream_sid)
            case twilio.ConnectedEvent():
                expected = self._is_expected(StreamInput.CONNECTED, self.sid)
            case twilio.StartEvent():
                expected = self._is_start_accepted(message)
            case Fault():
                self._outbox.notify(message)
                return None
            case _:  # UnknownMessage
                expected = True
        return message if expected else None

    def _is_expected(self, event: StreamInput, sid: str) -> bool:
        if sid != self.sid and self.state is StreamState.STREAMING:
            self._fault(FaultKind.WRONG_STREAM, f"{event.value}: streamSid is not that of start")
            return False
        if not self._life.step(event):
            self._fault(FaultKind.UNEXPECTED, f"{event.value} while {self.state.value}")
            return False
        return True

    def _is_start_accepted(self, message: twilio.StartEvent) -> bool:
        again = message.stream_sid == self.sid
        if not self._is_expected(StreamInput.START_AGAIN if again else StreamInput.START, self.sid):
            return False
        self.sid = message.stream_sid
        media_format = (message.encoding, message.sample_rate, message.channels)
        self.is_pcmu = media_format == _MULAW
        if not self.is_pcmu:
            self._fault(
                FaultKind.WRONG_FORMAT,
                "start: mediaFormat is not audio/x-mulaw at 8000 Hz with 1 channel; the audio is "
                "passed on as if it were",
            )
        return True

    def _fault(self, kind: FaultKind, what: str) -> None:
        self._outbox.notify_fault(Peer.TWILIO, kind, what)

    def close(self) -> None:
        """Close the socket, if it is open."""
        self._life.step(StreamInput.CLOSE)
        if self.state is StreamState.CLOSING:
            self._outbox.add(Close(Peer.TWILIO, NORMAL_CLOSURE, ""))

    def closed(self) -> bool:
        """The socket is gone. `False` if it was gone before."""
        return self._life.step(StreamInput.CLOSED)

"""The Media Stream of a call: its lifecycle, and the messages that Twilio may send in each state.

Source: Twilio documentation, "Media Streams - WebSocket Messages",
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

import re
from typing import Final, cast

from ..errors import Fault, FaultKind
from ..machine.actions import Close, Peer
from ..machine.lifecycles import STREAM, Lifecycle, LifecycleFactory, StreamInput, StreamState
from ..machine.outbox import Outbox
from ..protocols import twilio

__all__ = ["MediaStream"]

_PCMU_MEDIA_FORMAT: Final = ("audio/x-mulaw", 8000, 1)
"""The `mediaFormat` of every stream that Twilio documents. What a `start` leaves out is as here."""

_NOT_BIDIRECTIONAL: Final = (
    "start: the stream has the outbound track, so it is not bidirectional, and the caller hears "
    "nothing of what is sent: use <Connect><Stream>"
)
_OUTBOUND_MEDIA: Final = (
    "media: audio of the outbound track is left out, or the model would hear itself: use "
    "<Connect><Stream>, or the inbound track alone"
)

_DIGITS: Final = re.compile(r"[0-9]+")

_MEDIA: Final = StreamInput.MEDIA  # used for every frame; a look-up in the enum takes 0.1 µs


class MediaStream:
    """A stream, and the socket that carries it. What Twilio does wrong with each kind of message is
    notified once in a stream, wherever in the text of a message it is.

    `sid` is empty before the first `start`. `is_pcmu` is false if the last `start` announced
    another format than G.711 µ-law at 8 kHz.
    """

    def __init__(self, outbox: Outbox, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._outbox = outbox
        self.lifecycle = make_lifecycle(STREAM, StreamState.UNOPENED)
        self._refused: StreamInput | None = None
        self._reported: set[tuple[FaultKind, str]] = set()
        """The faults that were notified in this stream, and are not notified again; without
        numbers, such as the position in a text, so that there are few."""
        self.reported_count = 0
        """How many faults were given to `report` so far, notified or not."""
        self.sid = ""
        self.is_pcmu = True

    @property
    def state(self) -> StreamState:
        """The state of the lifecycle."""
        return self.lifecycle.state

    def opened(self) -> bool:
        """Note that the socket was accepted. `False`: it was accepted before."""
        return self.lifecycle.step(StreamInput.OPENED)

    def receive(self, text: str) -> twilio.StreamEvent | None:
        """Decode a message from Twilio and advance the lifecycle by it.

        `None`: the message is a fault, which is notified once.
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
            case Fault(kind=kind, message=message):
                self._notify_once(kind, message)
                return None
            case _:  # UnknownEvent
                is_accepted = True
        return event if is_accepted else None

    def _accept(self, event: StreamInput, sid: str) -> bool:
        """Advance the lifecycle, or notify a fault and return `False`."""
        if sid != self.sid and self.state is StreamState.STREAMING:
            what = f"{event.value}: streamSid is not that of start"
            self._notify_once(FaultKind.WRONG_STREAM, what)
            return False
        if not self.lifecycle.step(event):
            self._notify_once(FaultKind.UNEXPECTED, f"{event.value} while {self.state.value}")
            self._refused = event
            return False
        return True

    def _accept_start(self, event: twilio.StartEvent) -> bool:
        """Start a stream, or notify a fault and return `False`."""
        is_same = event.stream_sid == self.sid
        if not self._accept(StreamInput.START_AGAIN if is_same else StreamInput.START, self.sid):
            return False
        self.sid = event.stream_sid
        self._reported.clear()
        stated = (event.encoding, event.sample_rate, event.channels)
        self.is_pcmu = all(
            each in (None, documented)
            for each, documented in zip(stated, _PCMU_MEDIA_FORMAT, strict=True)
        )
        tracks = event.tracks
        if isinstance(tracks, list) and "outbound" in cast("list[object]", tracks):
            self._notify_once(FaultKind.UNEXPECTED, _NOT_BIDIRECTIONAL)
        if not self.is_pcmu:
            self._notify_once(
                FaultKind.WRONG_FORMAT,
                "start: mediaFormat is not audio/x-mulaw at 8000 Hz with 1 channel; the audio is "
                "forwarded unchanged",
            )
        return True

    def take_refused(self) -> StreamInput | None:
        """Return once what the last message was, if it came without a stream."""
        refused, self._refused = self._refused, None
        return refused

    def report_outbound_media(self) -> None:
        """Notify once that the stream carries audio of the outbound track, which is left out."""
        self._notify_once(FaultKind.UNEXPECTED, _OUTBOUND_MEDIA)

    def report(self, kind: FaultKind, what: str) -> None:
        """Notify once what is wrong with a message that the stream has accepted."""
        self.reported_count += 1
        self._notify_once(kind, what)

    def _notify_once(self, kind: FaultKind, what: str) -> None:
        fault = kind, _DIGITS.sub("", what)
        if fault not in self._reported:
            self._reported.add(fault)
            self._outbox.notify_fault(Peer.TWILIO, kind, what)

    def close(self, code: int) -> None:
        """Close the socket, if it is open, with a close code."""
        self.lifecycle.step(StreamInput.CLOSE)
        if self.state is StreamState.CLOSING:
            self._outbox.add(Close(Peer.TWILIO, code, ""))

    def closed(self) -> bool:
        """Note that the socket is closed. `False`: it was closed before."""
        return self.lifecycle.step(StreamInput.CLOSED)

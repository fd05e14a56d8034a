"""The line to the caller: audio out with its marks, and what echoes tell of what was heard.

Model audio and audio of the application's own go the same way, in the order in which they are
played.
"""

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from ..config.start_delay_history import LineHistory
from ..errors import FaultKind
from ..machine.actions import Peer, SendPing
from ..machine.outbox import Outbox
from ..machine.units import FRAME_SAMPLES, whole_ms
from ..notifications import OwnAudioFinished, PlaybackFinished, PlaybackStarted
from ..protocols.twilio import Clear, Mark, Media
from ..responses.responses import Responses
from ..values.playback_position import Heard, Part
from .framing import Chunk, split
from .playout import Playout, Progress

__all__ = ["Line"]

_LONGEST_SAMPLES: Final = 48 * FRAME_SAMPLES
"""Samples of one message: 960 ms, whose base64 has no padding. Deltas are shorter as a rule; a
longer one is cut, since echoes between its pieces tell how it is played."""

_FULL: Final = "ten minutes of audio wait to be played, or too many pieces; this is dropped"


@frozen
class _Own:
    name: str
    samples: int


class Line:
    """What goes out on the stream that `begin` names, and what is known to have been heard.
    `history` is what earlier calls have shown of lines."""

    def __init__(self, outbox: Outbox, responses: Responses, history: LineHistory) -> None:
        self._outbox = outbox
        self._responses = responses
        self._own: dict[Part, _Own] = {}
        self._own_begun = 0
        self._pings = 0
        self.stream_sid = ""
        self.playout = Playout(history)

    def begin(self, stream_sid: str, now: int) -> None:
        """A stream has begun: nothing has been played on it."""
        self.end(now)
        self.stream_sid = stream_sid
        self.playout.restart()

    @property
    def own_samples(self) -> int:
        """How much audio of the application's was sent and is not known to have been heard."""
        return sum(each.samples for each in self._own.values())

    def is_playing(self, part: Part) -> bool:
        """Whether audio of the application's is not known to have been heard."""
        return part in self._own

    def end(self, now: int) -> None:
        """Nothing more is heard."""
        self.own_ended([each for each in self.playout.heard(now) if each.part.own])

    # To Twilio.

    def own(self, name: str, samples: int) -> Part:
        """The part that so much audio of the application's counts as; it is to be played whole."""
        self._own_begun += 1
        part = Part(0, "", str(self._own_begun), 0)
        self._own[part] = _Own(name, samples)
        return part

    def play(self, chunk: Chunk, now: int) -> None:
        """Audio, and a mark behind it where one is due."""
        if not self.playout.room(chunk.samples, now):
            self._outbox.fault(Peer.REALTIME, FaultKind.OVERFLOW, _FULL)
            return
        # The first frame of a burst goes alone: its echo tells soonest how late the player starts.
        apart = self.playout.begins_burst(now) and chunk.samples > FRAME_SAMPLES
        for each in split(chunk, FRAME_SAMPLES) if apart else (chunk,):
            for piece in _pieces(each):
                self._send(piece, now)

    def _send(self, chunk: Chunk, now: int) -> None:
        if not chunk.part.own:
            self._responses.get(chunk.part.response_id).sent += chunk.samples
        self._outbox.twilio(Media(self.stream_sid, chunk.payload))
        self.report(self.playout.sent(chunk.part, chunk.samples, now))
        if self.playout.checkpoint_due(now):
            self._mark(now)

    def play_rest(self, chunks: list[Chunk], now: int) -> None:
        """The last audio of a part, with a mark behind it."""
        for chunk in chunks:
            self.play(chunk, now)
        if self.playout.tail_due():
            self._mark(now)

    def clear(self) -> None:
        """Empty Twilio's queue: what was not heard by now never will be."""
        self._outbox.twilio(Clear(self.stream_sid))
        self.playout.clear()

    def measure_round_trip(self, now: int) -> None:
        """Send a ping, and a probe mark with it if that would tell."""
        self._pings += 1
        payload = b"round-trip-%d" % self._pings
        self._outbox.add(SendPing(Peer.TWILIO, payload))
        self.playout.round_trip.ping_sent(payload, now)
        if self.playout.probe_due():
            self._mark(now)

    def _mark(self, now: int) -> None:
        self._outbox.twilio(Mark(self.stream_sid, self.playout.mark(now)))

    # From Twilio.

    def echo(self, name: str, now: int) -> None:
        """A mark has come back."""
        progress = self.playout.echo(name, now)
        if progress is None:
            self._outbox.fault(
                Peer.TWILIO, FaultKind.UNKNOWN_MARK, "mark: an echo of no mark that is under way"
            )
            return
        self.report(progress)

    def pong(self, payload: bytes, now: int) -> None:
        """A pong has come."""
        self.playout.round_trip.pong(payload, now)

    def report(self, progress: Progress) -> None:
        """Tell what newly counts as heard."""
        for part in progress.started:
            if not part.own:
                self._responses.get(part.response_id).item_heard(part.item_id)
                self._outbox.notify(
                    PlaybackStarted(part.response_id, part.item_id, part.content_index)
                )
        for part in progress.finished:
            if part.own:
                whole = whole_ms(self._own[part].samples)
                self._own_finished(part, whole, whole)
            else:
                self._outbox.notify(
                    PlaybackFinished(part.response_id, part.item_id, part.content_index)
                )

    def own_ended(self, heard: list[Heard]) -> None:
        """Audio of the application's was cut, perhaps behind its end."""
        for each in heard:
            self._own_finished(each.part, whole_ms(each.estimated), whole_ms(each.sent))

    def _own_finished(self, part: Part, heard_ms: int, sent_ms: int) -> None:
        self._outbox.notify(OwnAudioFinished(self._own.pop(part).name, heard_ms, sent_ms))


def _pieces(chunk: Chunk) -> Iterator[Chunk]:
    size = _LONGEST_SAMPLES // 3 * 4
    for at in range(0, len(chunk.payload), size):
        left = chunk.samples - at // 4 * 3
        yield Chunk(chunk.part, chunk.payload[at : at + size], min(left, _LONGEST_SAMPLES))

"""The line to the caller: audio out with its marks, and what echoes tell of what was heard.

Model audio and audio of the application's own go the same way, in the order in which they are
played.
"""

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from ..config.start_delay_history import StartDelayHistory
from ..errors import FaultKind
from ..machine.actions import Peer, SendPing
from ..machine.outbox import Outbox
from ..machine.units import FRAME_SAMPLES, samples_to_ms
from ..notifications import ClipFinished, PlaybackFinished, PlaybackStarted
from ..protocols.twilio import Clear, Mark, Media
from ..responses.responses import Responses
from ..values.playback_position import PartKey, PlaybackPosition
from .framing import AudioChunk, split
from .playout import PlaybackProgress, Playout

__all__ = ["Downlink"]

_LONGEST_SAMPLES: Final = 48 * FRAME_SAMPLES
"""Samples of one message: 960 ms, whose base64 has no padding. Deltas are shorter as a rule; a
longer one is cut, since echoes between its pieces tell how it is played."""

_FULL: Final = "ten minutes of audio wait to be played, or too many pieces; this is dropped"


@frozen
class _ClipState:
    name: str
    samples: int


class Downlink:
    """What goes out on the stream that `begin` names, and what is known to have been heard.
    `history` is what earlier calls have shown of lines."""

    def __init__(self, outbox: Outbox, responses: Responses, history: StartDelayHistory) -> None:
        self._outbox = outbox
        self._responses = responses
        self._clips: dict[PartKey, _ClipState] = {}
        self._clip_count = 0
        self._pings = 0
        self.stream_sid = ""
        self.playout = Playout(history)

    def start_stream(self, stream_sid: str, now: int) -> None:
        """A stream has begun: nothing has been played on it."""
        self.end_stream(now)
        self.stream_sid = stream_sid
        self.playout.restart()

    @property
    def clip_samples(self) -> int:
        """How much audio of the application's was sent and is not known to have been heard."""
        return sum(each.samples for each in self._clips.values())

    def is_playing(self, part: PartKey) -> bool:
        """Whether audio of the application's is not known to have been heard."""
        return part in self._clips

    def end_stream(self, now: int) -> None:
        """Nothing more is heard."""
        self.clips_cut([each for each in self.playout.positions(now) if each.part.is_clip])

    # To Twilio.

    def add_clip(self, name: str, samples: int) -> PartKey:
        """The part that so much audio of the application's counts as; it is to be played whole."""
        self._clip_count += 1
        part = PartKey(0, "", str(self._clip_count), 0)
        self._clips[part] = _ClipState(name, samples)
        return part

    def play(self, chunk: AudioChunk, now: int) -> None:
        """Audio, and a mark behind it where one is due."""
        if not self.playout.has_capacity(chunk.samples, now):
            self._outbox.notify_fault(Peer.REALTIME, FaultKind.OVERFLOW, _FULL)
            return
        # The first frame of a burst goes alone: its echo tells soonest how late the player starts.
        apart = self.playout.starts_burst(now) and chunk.samples > FRAME_SAMPLES
        for each in split(chunk, FRAME_SAMPLES) if apart else (chunk,):
            for piece in _pieces(each):
                self._send(piece, now)

    def _send(self, chunk: AudioChunk, now: int) -> None:
        if not chunk.part.is_clip:
            self._responses.get_or_create(chunk.part.response_id).sent_samples += chunk.samples
        self._outbox.send_to_twilio(Media(self.stream_sid, chunk.payload))
        self.notify_progress(self.playout.audio_sent(chunk.part, chunk.samples, now))
        if self.playout.is_checkpoint_due(now):
            self._mark(now)

    def flush_part(self, chunks: list[AudioChunk], now: int) -> None:
        """The last audio of a part, with a mark behind it."""
        for chunk in chunks:
            self.play(chunk, now)
        if self.playout.is_final_mark_due():
            self._mark(now)

    def clear(self) -> None:
        """Empty Twilio's queue: what was not heard by now never will be."""
        self._outbox.send_to_twilio(Clear(self.stream_sid))
        self.playout.clear()

    def measure_round_trip(self, now: int) -> None:
        """Send a ping, and a probe mark with it if that would tell."""
        self._pings += 1
        payload = b"round-trip-%d" % self._pings
        self._outbox.add(SendPing(Peer.TWILIO, payload))
        self.playout.round_trip.ping_sent(payload, now)
        if self.playout.is_probe_due():
            self._mark(now)

    def _mark(self, now: int) -> None:
        self._outbox.send_to_twilio(Mark(self.stream_sid, self.playout.next_mark(now)))

    # From Twilio.

    def mark_echoed(self, name: str, now: int) -> None:
        """A mark has come back."""
        progress = self.playout.mark_echoed(name, now)
        if progress is None:
            self._outbox.notify_fault(
                Peer.TWILIO, FaultKind.UNKNOWN_MARK, "mark: an echo of no mark that is under way"
            )
            return
        self.notify_progress(progress)

    def pong(self, payload: bytes, now: int) -> None:
        """A pong has come."""
        self.playout.round_trip.pong(payload, now)

    def notify_progress(self, progress: PlaybackProgress) -> None:
        """Tell what newly counts as heard."""
        for part in progress.started:
            if not part.is_clip:
                self._responses.get_or_create(part.response_id).mark_item_heard(part.item_id)
                self._outbox.notify(
                    PlaybackStarted(part.response_id, part.item_id, part.content_index)
                )
        for part in progress.finished:
            if part.is_clip:
                whole = samples_to_ms(self._clips[part].samples)
                self._notify_clip_finished(part, whole, whole)
            else:
                self._outbox.notify(
                    PlaybackFinished(part.response_id, part.item_id, part.content_index)
                )

    def clips_cut(self, heard: list[PlaybackPosition]) -> None:
        """Audio of the application's was cut, perhaps behind its end."""
        for each in heard:
            self._notify_clip_finished(
                each.part, samples_to_ms(each.estimated_samples), samples_to_ms(each.sent_samples)
            )

    def _notify_clip_finished(self, part: PartKey, heard_ms: int, sent_ms: int) -> None:
        self._outbox.notify(ClipFinished(self._clips.pop(part).name, heard_ms, sent_ms))


def _pieces(chunk: AudioChunk) -> Iterator[AudioChunk]:
    size = _LONGEST_SAMPLES // 3 * 4
    for at in range(0, len(chunk.payload), size):
        left = chunk.samples - at // 4 * 3
        yield AudioChunk(chunk.part, chunk.payload[at : at + size], min(left, _LONGEST_SAMPLES))

"""The audio to the caller with its marks, and what echoes show of what was heard.

Audio of the model and clips of the application go the same way, in the order in which they are
played.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ..config.start_delay_history import StartDelayHistory
from ..errors import FaultKind
from ..machine.actions import Peer, SendPing
from ..machine.outbox import Outbox
from ..machine.units import FRAME_SAMPLES, samples_to_ms
from ..notifications import ClipFinished, PlaybackFinished, PlaybackStarted
from ..protocols.twilio import Clear, Mark, Media
from ..responses.responses import Responses
from ..values.playback_position import AudioSource, Clip, PartKey, PlaybackPosition
from .framing import AudioChunk, part_key, split
from .playout import PlaybackProgress, Playout
from .speech_order import HeldSpeech, SpeechOrder

__all__ = ["QUEUE_FULL", "Downlink"]

_MAX_MEDIA_SAMPLES: Final = 48 * FRAME_SAMPLES
"""Samples of one message: 960 ms, whose base64 has no padding. Deltas are shorter as a rule; a
longer one is cut, since echoes between its pieces show how it is played."""

QUEUE_FULL: Final = (
    "ten minutes of audio are queued, or too many pieces of it; this audio was dropped"
)
"""The message of the fault for audio that does not fit."""


class Downlink:
    """What is sent on the stream that `start_stream` names, and what is known to have been heard.
    `history` holds the start delays that earlier calls have shown."""

    def __init__(self, outbox: Outbox, responses: Responses, history: StartDelayHistory) -> None:
        self._outbox = outbox
        self._responses = responses
        self._clips: dict[Clip, None] = {}
        self._clip_count = 0
        self._ping_count = 0
        self._playout = Playout(history)
        self.order = SpeechOrder()
        self.stream_sid = ""

    def start_stream(self, stream_sid: str, now: int) -> None:
        """Start a stream, on which nothing has been played."""
        self.end_stream(now)
        self.stream_sid = stream_sid
        self._playout.restart()

    def end_stream(self, now: int) -> None:
        """Finish the clips: nothing more is heard."""
        self.finish_clips(self.positions(now))
        self.order.drop_clips()

    # What is heard.

    def positions(self, now: int) -> list[PlaybackPosition]:
        """See `Playout.positions`; what is held follows, of which nothing was sent."""
        positions = self._playout.positions(now)
        if self.order.has_held:
            known = {each.source for each in positions}
            positions += [
                PlaybackPosition(source, 0, 0, 0, is_complete=False)
                for source in dict.fromkeys(self._held_sources())
                if source not in known
            ]
        return positions

    def _held_sources(self) -> Iterator[AudioSource]:
        for held in self.order.held:
            if isinstance(held, HeldSpeech):
                yield from (part_key(each) for each in held.events)
            else:
                yield held.clip

    def is_playing(self, now: int) -> bool:
        """Whether audio may still be audible, or queued at Twilio."""
        return self._playout.is_playing(now)

    def is_heard(self, speech: str | Clip, now: int) -> bool:
        """Whether all that was received of a response, by its id, or of a clip was heard, though
        more of it may come."""
        if any(_speech_of(each) == speech for each in self._held_sources()):
            return False
        return all(
            each.estimated_samples == each.sent_samples
            for each in self._playout.positions(now)
            if _speech_of(each.source) == speech
        )

    @property
    def silent_at_ns(self) -> int | None:
        """When, at the latest, all that was sent must have been played (ns); `None`: all of it was
        confirmed as heard."""
        return self._playout.silent_at_ns

    @property
    def start_delay_history(self) -> StartDelayHistory:
        """The start delays that this call has shown."""
        return self._playout.start_delay_history

    def heard_ms(self, now: int) -> int:
        """How much was heard of what plays now: of the response, or of the clip. If all has been
        played, and only its last marks are missing, that of the last."""
        positions = self._playout.positions(now)
        if not positions:
            return 0
        unfinished = (each for each in positions if each.estimated_samples < each.sent_samples)
        playing = next(unfinished, positions[-1])
        if isinstance(playing.source, Clip):
            return samples_to_ms(playing.estimated_samples)
        response_id = playing.source.response_id
        record = self._responses.get(response_id)
        unheard = sum(
            each.sent_samples - each.estimated_samples
            for each in positions
            if isinstance(each.source, PartKey) and each.source.response_id == response_id
        )
        return 0 if record is None else samples_to_ms(record.sent_samples - unheard)

    # To Twilio.

    def has_capacity(self, samples: int, now: int) -> bool:
        """Whether Twilio's queue can take `samples` more."""
        return self._playout.has_capacity(samples, now)

    def play(self, chunk: AudioChunk, now: int) -> None:
        """Send audio, and a mark behind it where one is due."""
        if not self._playout.has_capacity(chunk.samples, now):
            self._outbox.notify_fault(Peer.REALTIME, FaultKind.OVERFLOW, QUEUE_FULL)
            return
        # The first frame of a burst goes alone: its echo shows the start delay soonest.
        alone = chunk.samples > FRAME_SAMPLES and self._playout.starts_burst(now)
        for each in split(chunk, FRAME_SAMPLES) if alone else (chunk,):
            for piece in _pieces(each):
                self._send(piece, now)

    def _send(self, chunk: AudioChunk, now: int) -> None:
        source = chunk.source
        if isinstance(source, PartKey):
            record = self._responses.get(source.response_id)
            if record is not None:
                record.sent_samples += chunk.samples
        self._outbox.send_to_twilio(Media(self.stream_sid, chunk.payload))
        self._notify_progress(self._playout.audio_sent(source, chunk.samples, now))
        if self._playout.is_mark_due(now):
            self._send_mark(now)

    def end_part(self, part: PartKey, rest: Iterable[AudioChunk], now: int) -> int:
        """Send the last audio of a part, with a mark behind it. Returns how many samples of it were
        sent; 0 where that is not known, since it was interrupted or heard already."""
        self._play_rest(rest, now)
        sent_samples = self._playout.sent_samples(part)
        self._notify_progress(self._playout.source_completed(part))
        return sent_samples

    def end_response(self, response_id: str, rest: Iterable[AudioChunk], now: int) -> None:
        """Send the last audio of a response, with a mark behind it."""
        self._play_rest(rest, now)
        self._notify_progress(self._playout.response_completed(response_id))

    def _play_rest(self, rest: Iterable[AudioChunk], now: int) -> None:
        for chunk in rest:
            self.play(chunk, now)
        if self._playout.is_final_mark_due():
            self._send_mark(now)

    def drop_held(self) -> None:
        """Drop what is held behind the response that is being spoken; it has no turn any more."""
        self.order.drop_all()

    def clear(self, now: int) -> None:
        """Empty Twilio's queue: what was not heard by now never will be."""
        self._outbox.send_to_twilio(Clear(self.stream_sid))
        self._playout.clear(now)

    def forget(self) -> None:
        """Forget all that was sent, since it was played to its end, whatever its marks did."""
        self._playout.forget()

    @property
    def is_round_trip_measured(self) -> bool:
        """Whether so many round trips were measured that others hardly change the estimate."""
        return self._playout.round_trip.is_measured

    def measure_round_trip(self, now: int) -> None:
        """Send a ping, and a probe mark with it where that measures the round trip."""
        self._ping_count += 1
        payload = b"round-trip-%d" % self._ping_count
        # The mark goes first, since what follows another message may have to wait for it.
        is_probe_due = self._playout.is_probe_due()
        if is_probe_due:
            self._send_mark(now)
        self._outbox.add(SendPing(Peer.TWILIO, payload))
        self._playout.round_trip.ping_sent(payload, now, is_behind_mark=is_probe_due)

    def _send_mark(self, now: int) -> None:
        self._outbox.send_to_twilio(Mark(self.stream_sid, self._playout.next_mark(now)))

    # Clips.

    def add_clip(self, name: str, samples: int) -> Clip:
        """Return a new clip, whose audio is then played."""
        self._clip_count += 1
        clip = Clip(self._clip_count, name, samples)
        self._clips[clip] = None
        return clip

    def end_clip(self, clip: Clip, now: int) -> None:
        """Send a mark behind the audio of a clip, which is complete."""
        self._play_rest((), now)
        self._notify_progress(self._playout.source_completed(clip))

    def is_clip_unfinished(self, clip: Clip) -> bool:
        """Whether a clip is not known to have been heard to its end."""
        return clip in self._clips

    @property
    def clip_samples(self) -> int:
        """How much audio of clips was sent and is not known to have been heard."""
        return sum(clip.samples for clip in self._clips)

    def finish_clips(self, positions: Iterable[PlaybackPosition]) -> None:
        """Notify that the clips among `positions` were cut, or heard to their end."""
        for each in positions:
            if isinstance(each.source, Clip):
                heard_ms = samples_to_ms(each.estimated_samples)
                self._finish_clip(each.source, heard_ms, samples_to_ms(each.sent_samples))

    def _finish_clip(self, clip: Clip, heard_ms: int, sent_ms: int) -> None:
        del self._clips[clip]
        self._outbox.notify(ClipFinished(clip.name, heard_ms, sent_ms))

    # From Twilio.

    def mark_echoed(self, name: str, now: int) -> bool:
        """Take a mark that came back. `False`: it was never sent, or came back before."""
        progress = self._playout.mark_echoed(name, now)
        if progress is None:
            return False
        self._notify_progress(progress)
        return True

    def pong(self, payload: bytes, now: int) -> None:
        """Take a pong."""
        self._playout.round_trip.pong(payload, now)

    def _notify_progress(self, progress: PlaybackProgress) -> None:
        self.start_playback(each for each in progress.started if isinstance(each, PartKey))
        self.finish_playback(progress.finished)

    def start_playback(self, parts: Iterable[PartKey]) -> None:
        """Notify that some of parts was heard."""
        for part in parts:
            record = self._responses.get(part.response_id)
            if record is not None:
                record.mark_item_heard(part.item_id)
            self._outbox.notify(PlaybackStarted(part.response_id, part.item_id, part.content_index))

    def finish_playback(self, sources: Iterable[AudioSource]) -> None:
        """Notify that sources were heard to their end."""
        for source in sources:
            if isinstance(source, Clip):
                whole_ms = samples_to_ms(source.samples)
                self._finish_clip(source, whole_ms, whole_ms)
            else:
                self._outbox.notify(
                    PlaybackFinished(source.response_id, source.item_id, source.content_index)
                )


def _speech_of(source: AudioSource) -> str | Clip:
    return source if isinstance(source, Clip) else source.response_id


def _pieces(chunk: AudioChunk) -> Iterator[AudioChunk]:
    size = _MAX_MEDIA_SAMPLES // 3 * 4
    for at in range(0, len(chunk.payload), size):
        left = chunk.samples - at // 4 * 3
        payload = chunk.payload[at : at + size]
        yield AudioChunk(chunk.source, payload, min(left, _MAX_MEDIA_SAMPLES))

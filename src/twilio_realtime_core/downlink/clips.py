"""Clips of the application: greetings and keys in their turn, hold audio in between.

Hold audio yields to the agent: it is sent only while nothing else plays, so that a `clear` at the
agent's first sound cuts nothing else.
"""

from base64 import b64encode
from typing import Final

from attrs import frozen

from ..errors import LocalProtocolError
from ..machine.outbox import Outbox
from ..machine.reasons import Reason
from ..notifications import ClipFinished
from ..responses.responses import Responses
from ..values.playback_position import Clip
from .downlink import Downlink
from .framing import AudioChunk
from .marks import MARK_INTERVAL_SAMPLES

__all__ = ["MAX_CLIP_SAMPLES", "ClipPlayer"]

MAX_CLIP_SAMPLES: Final = 60 * 8000
"""Audio of clips that may be queued: a minute. It is sent at once, and a driver gives up a peer for
which more than a MiB is queued."""


@frozen
class _HoldAudio:
    """Hold audio that is queued until nothing plays. `earlier_responses` are those of which the
    caller heard something, or is to, when it was queued: any other is the agent's next words, for
    which it fills the time."""

    audio: bytes
    name: str
    earlier_responses: frozenset[str]


class ClipPlayer:
    """The clips that the application plays to the caller."""

    def __init__(self, outbox: Outbox, downlink: Downlink, responses: Responses) -> None:
        self._outbox = outbox
        self._downlink = downlink
        self._responses = responses
        self._playing_hold: Clip | None = None
        self._queued_hold: _HoldAudio | None = None

    @property
    def is_hold_queued(self) -> bool:
        """Whether hold audio is queued until nothing plays."""
        return self._queued_hold is not None

    @property
    def is_hold_playing(self) -> bool:
        """Whether hold audio plays, and so nothing else."""
        clip = self._playing_hold
        return clip is not None and self._downlink.is_clip_unfinished(clip)

    def check_playable(self, samples: int, now: int) -> None:
        """Raise `LocalProtocolError` if a clip of so many samples cannot be played."""
        obstacle = self._obstacle(samples, now)
        if obstacle is not None:
            raise LocalProtocolError(obstacle)

    def is_playable(self, samples: int, now: int) -> bool:
        """Whether a clip of so many samples can be played."""
        return self._obstacle(samples, now) is None

    def _obstacle(self, samples: int, now: int) -> str | None:
        if not self._downlink.stream_sid:
            return "there is no stream to play on yet: wait for CallStarted"
        if self._downlink.clip_samples + samples > MAX_CLIP_SAMPLES:
            return "more than a minute of clips would be queued: play the rest after ClipFinished"
        if not self._downlink.has_capacity(samples, now):
            return "ten minutes of audio are queued, which is all Twilio takes"
        return None

    def play(self, audio: bytes, name: str, now: int) -> Clip:
        """Play a clip behind all that plays, and behind the end of the response that is being
        spoken; hold audio ends. Returns the clip."""
        self._stop_hold(now)
        clip = self._downlink.add_clip(name, len(audio))
        if self._downlink.order.is_occupied(now):
            self._outbox.explain(Reason.CLIP_BEHIND_SPEECH)
            self._downlink.order.hold_clip(clip, audio)
        else:
            self.play_held(clip, audio, now)
        return clip

    def queue_hold(self, audio: bytes, name: str, now: int) -> None:
        """Play hold audio as soon as nothing else plays; earlier hold audio ends."""
        self.drop_queued_hold()
        self._stop_hold(now)
        spoken = frozenset(
            each.id for each in self._responses if each.is_audible and each.last_part is not None
        )
        self._queued_hold = _HoldAudio(audio, name, spoken)
        self.start_hold_if_silent(now)

    def start_hold_if_silent(self, now: int) -> None:
        """Start queued hold audio, if nothing plays and no part is still incomplete."""
        hold = self._queued_hold
        if hold is None or self._downlink.is_playing(now):
            return
        if all(each.is_complete for each in self._downlink.positions(now)):
            self._queued_hold = None
            clip = self._playing_hold = self._downlink.add_clip(hold.name, len(hold.audio))
            self.play_held(clip, hold.audio, now)

    def agent_speaks(self, response_id: str, now: int) -> None:
        """Stop hold audio, which has filled the time until the agent speaks."""
        self._stop_hold(now)
        hold = self._queued_hold
        if hold is not None and response_id not in hold.earlier_responses:
            self.drop_queued_hold()

    def play_held(self, clip: Clip, audio: bytes, now: int) -> None:
        """Send a clip."""
        for at in range(0, len(audio), MARK_INTERVAL_SAMPLES):
            piece = audio[at : at + MARK_INTERVAL_SAMPLES]
            self._downlink.play(AudioChunk(clip, b64encode(piece).decode(), len(piece)), now)
        self._downlink.end_clip(clip, now)

    def _stop_hold(self, now: int) -> None:
        """Stop hold audio where it still plays. Nothing else can be in Twilio's queue."""
        clip, self._playing_hold = self._playing_hold, None
        if clip is None:
            return
        positions = [each for each in self._downlink.positions(now) if each.source == clip]
        if positions:
            self._downlink.clear(now)
            self._downlink.finish_clips(positions)

    def drop_queued_hold(self) -> None:
        """Drop queued hold audio; none of it is heard."""
        hold, self._queued_hold = self._queued_hold, None
        if hold is not None:
            self._outbox.notify(ClipFinished(hold.name, heard_ms=0, sent_ms=0))

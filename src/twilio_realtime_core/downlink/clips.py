"""Audio of the application's own: greetings and keys in their turn, hold sound in between.

Hold sound yields to the agent: it is sent only while nothing else plays, so that a `clear` at the
agent's first sound cuts nothing else.
"""

from base64 import b64encode
from typing import Final

from attrs import frozen

from ..errors import LocalProtocolError
from ..machine.outbox import Outbox
from ..notifications import ClipFinished
from ..responses.responses import Responses
from ..values.playback_position import PartKey
from .downlink import Downlink
from .framing import AudioChunk
from .playout import CHECKPOINT_SAMPLES

__all__ = ["MAX_CLIP_SAMPLES", "ClipPlayer"]

MAX_CLIP_SAMPLES: Final = 60 * 8000
"""Audio of one's own that may wait to be heard: a minute. It is sent at once, and a driver gives up
a peer for which more than a MiB waits."""


@frozen
class _HoldClip:
    """Hold sound that waits until nothing plays. `known` are the responses that were to be heard
    when it was asked for: any other is the agent's next words, for which it was to fill the time.
    """

    audio: bytes
    name: str
    earlier_responses: frozenset[str]


class ClipPlayer:
    """What the application plays on a line."""

    def __init__(self, outbox: Outbox, line: Downlink, responses: Responses) -> None:
        self._outbox = outbox
        self._downlink = line
        self._responses = responses
        self._playing_hold: PartKey | None = None
        self._queued_hold: _HoldClip | None = None

    @property
    def is_hold_queued(self) -> bool:
        """Whether hold sound waits until nothing plays."""
        return self._queued_hold is not None

    @property
    def is_hold_playing(self) -> bool:
        """Whether hold sound plays, and so nothing else."""
        return self._playing_hold is not None and self._downlink.is_playing(self._playing_hold)

    def check_playable(self, samples: int, now: int) -> None:
        """Raise `LocalProtocolError` if so much audio cannot be played."""
        if not self._downlink.stream_sid:
            raise LocalProtocolError("there is no stream to play on yet: wait for CallStarted")
        if not samples:
            raise LocalProtocolError("there is no audio to play")
        if self._downlink.clip_samples + samples > MAX_CLIP_SAMPLES:
            raise LocalProtocolError(
                "more than a minute of your audio would wait: play the rest when OwnAudioFinished "
                "comes"
            )
        if not self._downlink.playout.has_capacity(samples, now):
            raise LocalProtocolError("ten minutes of audio wait to be played, as much as there can")

    def play(self, audio: bytes, name: str, now: int) -> None:
        """Play audio behind all that plays; hold sound ends."""
        self._stop_hold(now)
        self._play(audio, name, now)

    def queue_hold(self, audio: bytes, name: str, now: int) -> None:
        """Play hold sound as soon as nothing else plays; one before it ends."""
        self.drop_queued_hold()
        self._stop_hold(now)
        known = frozenset(each.id for each in self._responses if each.is_audible)
        self._queued_hold = _HoldClip(audio, name, known)
        self.start_hold_if_silent(now)

    def start_hold_if_silent(self, now: int) -> None:
        """If hold sound waits, and nothing plays any more nor is in the middle of a word, begin."""
        hold, playout = self._queued_hold, self._downlink.playout
        if hold is None or playout.is_playing(now):
            return
        if all(each.is_complete for each in playout.positions(now)):
            self._queued_hold = None
            self._playing_hold = self._play(hold.audio, hold.name, now)

    def agent_speaks(self, response_id: str, now: int) -> None:
        """The agent speaks: hold sound has filled the time until then."""
        self._stop_hold(now)
        if self._queued_hold is not None and response_id not in self._queued_hold.earlier_responses:
            self.drop_queued_hold()

    def _play(self, audio: bytes, name: str, now: int) -> PartKey:
        line = self._downlink
        part = line.add_clip(name, len(audio))
        for at in range(0, len(audio), CHECKPOINT_SAMPLES):
            piece = audio[at : at + CHECKPOINT_SAMPLES]
            line.play(AudioChunk(part, b64encode(piece).decode(), len(piece)), now)
        line.flush_part([], now)
        line.notify_progress(line.playout.part_completed(part))
        return part

    def _stop_hold(self, now: int) -> None:
        """Stop hold sound, where it still plays. Nothing else can be in Twilio's queue."""
        part, self._playing_hold = self._playing_hold, None
        if part is None:
            return
        heard = [each for each in self._downlink.playout.positions(now) if each.part == part]
        if heard:
            self._downlink.clear()
            self._downlink.clips_cut(heard)

    def drop_queued_hold(self) -> None:
        """Hold sound that waits is not to be heard."""
        hold, self._queued_hold = self._queued_hold, None
        if hold is not None:
            self._outbox.notify(ClipFinished(hold.name, heard_ms=0, sent_ms=0))

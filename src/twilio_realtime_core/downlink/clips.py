"""Audio of the application's own: greetings and keys in their turn, hold sound in between.

Hold sound yields to the agent: it is sent only while nothing else plays, so that a `clear` at the
agent's first sound cuts nothing else.
"""

from base64 import b64encode
from typing import Final

from attrs import frozen

from ..errors import LocalProtocolError
from ..machine.outbox import Outbox
from ..notifications import OwnAudioFinished
from ..responses.responses import Responses
from ..values.playback_position import Part
from .downlink import Line
from .framing import Chunk
from .playout import CHECKPOINT_SAMPLES

__all__ = ["MAX_OWN_SAMPLES", "OwnAudio"]

MAX_OWN_SAMPLES: Final = 60 * 8000
"""Audio of one's own that may wait to be heard: a minute. It is sent at once, and a driver gives up
a peer for which more than a MiB waits."""


@frozen
class _Hold:
    """Hold sound that waits until nothing plays. `known` are the responses that were to be heard
    when it was asked for: any other is the agent's next words, for which it was to fill the time.
    """

    audio: bytes
    name: str
    known: frozenset[str]


class OwnAudio:
    """What the application plays on a line."""

    def __init__(self, outbox: Outbox, line: Line, responses: Responses) -> None:
        self._outbox = outbox
        self._line = line
        self._responses = responses
        self._holding: Part | None = None
        self._waiting: _Hold | None = None

    @property
    def waits(self) -> bool:
        """Whether hold sound waits until nothing plays."""
        return self._waiting is not None

    @property
    def holds(self) -> bool:
        """Whether hold sound plays, and so nothing else."""
        return self._holding is not None and self._line.is_playing(self._holding)

    def check(self, samples: int, now: int) -> None:
        """Raise `LocalProtocolError` if so much audio cannot be played."""
        if not self._line.stream_sid:
            raise LocalProtocolError("there is no stream to play on yet: wait for CallStarted")
        if not samples:
            raise LocalProtocolError("there is no audio to play")
        if self._line.own_samples + samples > MAX_OWN_SAMPLES:
            raise LocalProtocolError(
                "more than a minute of your audio would wait: play the rest when OwnAudioFinished "
                "comes"
            )
        if not self._line.playout.room(samples, now):
            raise LocalProtocolError("ten minutes of audio wait to be played, as much as there can")

    def play(self, audio: bytes, name: str, now: int) -> None:
        """Play audio behind all that plays; hold sound ends."""
        self._end_holding(now)
        self._play(audio, name, now)

    def hold(self, audio: bytes, name: str, now: int) -> None:
        """Play hold sound as soon as nothing else plays; one before it ends."""
        self.drop_waiting()
        self._end_holding(now)
        known = frozenset(each.id for each in self._responses if each.audible)
        self._waiting = _Hold(audio, name, known)
        self.begin_hold(now)

    def begin_hold(self, now: int) -> None:
        """If hold sound waits, and nothing plays any more nor is in the middle of a word, begin."""
        hold, playout = self._waiting, self._line.playout
        if hold is None or playout.playing(now):
            return
        if all(each.complete for each in playout.heard(now)):
            self._waiting = None
            self._holding = self._play(hold.audio, hold.name, now)

    def yield_to(self, response_id: str, now: int) -> None:
        """The agent speaks: hold sound has filled the time until then."""
        self._end_holding(now)
        if self._waiting is not None and response_id not in self._waiting.known:
            self.drop_waiting()

    def _play(self, audio: bytes, name: str, now: int) -> Part:
        line = self._line
        part = line.own(name, len(audio))
        for at in range(0, len(audio), CHECKPOINT_SAMPLES):
            piece = audio[at : at + CHECKPOINT_SAMPLES]
            line.play(Chunk(part, b64encode(piece).decode(), len(piece)), now)
        line.play_rest([], now)
        line.report(line.playout.completed(part))
        return part

    def _end_holding(self, now: int) -> None:
        """Stop hold sound, where it still plays. Nothing else can be in Twilio's queue."""
        part, self._holding = self._holding, None
        if part is None:
            return
        heard = [each for each in self._line.playout.heard(now) if each.part == part]
        if heard:
            self._line.clear()
            self._line.own_ended(heard)

    def drop_waiting(self) -> None:
        """Hold sound that waits is not to be heard."""
        hold, self._waiting = self._waiting, None
        if hold is not None:
            self._outbox.notify(OwnAudioFinished(hold.name, heard_ms=0, sent_ms=0))

"""The caller's part as data: what a person at the phone does, and at which cue.

A script is a sequence of cues, taken one after the other. A cue is first waited for when what the
one before it asked for is done: words take as long as they take to say.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from attrs import Attribute, define, field, frozen

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.units import FRAME_SAMPLES, SAMPLE_NS, SECOND

from ..audio import silence
from .player import Player

__all__ = [
    "SPEECH_LIMIT",
    "Act",
    "After",
    "At",
    "Cue",
    "HangUp",
    "Mute",
    "Press",
    "Say",
    "Script",
    "Unmute",
    "Voice",
    "WhenHeard",
    "WhenQuiet",
]

SPEECH_LIMIT: Final = 10 * 60 * SECOND // SAMPLE_NS
"""Bytes that a caller can have to say at a time: ten minutes, as much as can wait to be heard."""


def _check_key(press: "Press", attribute: "Attribute[str]", digit: str) -> None:
    del press, attribute
    if len(digit) != 1 or digit not in "0123456789*#ABCD":
        raise LocalProtocolError("no key of a telephone")


def _check_length(say: "Say", attribute: "Attribute[bytes]", audio: bytes) -> None:
    del say, attribute
    if len(audio) > SPEECH_LIMIT:
        raise LocalProtocolError(f"more than {SPEECH_LIMIT} bytes to say")


# What the caller does.


@frozen
class Say:
    """Speak: µ-law audio, in frames of 20 ms from the next one on; at most `SPEECH_LIMIT`."""

    audio: bytes = field(repr=False, validator=_check_length)


@frozen
class Press:
    """Press a key: one of `0123456789*#ABCD` (`LocalProtocolError`: no such key)."""

    digit: str = field(validator=_check_key)


@frozen
class Mute:
    """Mute the phone: it sends silence, and what is said meanwhile is lost."""


@frozen
class Unmute:
    """The opposite."""


@frozen
class HangUp:
    """End the call."""


Act: TypeAlias = Say | Press | Mute | Unmute | HangUp


# When.


@frozen
class At:
    """`ns` after the stream began, or as soon as the act before is done."""

    ns: int
    act: Act


@frozen
class After:
    """`ns` after the act before is done."""

    ns: int
    act: Act


@frozen
class WhenHeard:
    """When the caller has heard `ms` milliseconds of the agent since the act before was done.

    0 stands for the agent's first sound. This is how a caller interrupts.
    """

    ms: int
    act: Act


@frozen
class WhenQuiet:
    """When the agent has been heard since the act before was done, and then was silent for `ns`.

    This is how a caller waits for his turn. A pause of the agent must be shorter.
    """

    ns: int
    act: Act


Cue: TypeAlias = At | After | WhenHeard | WhenQuiet

_BYTES_A_MS = 8
_SILENT_FRAME = silence(FRAME_SAMPLES)


@define(eq=False)
class Voice:
    """What the caller has still to say, cut into frames; with `record`, what he has said."""

    record: bool
    muted: bool = field(init=False, default=False)
    said: bytearray = field(init=False, factory=bytearray)
    _speech: bytearray = field(init=False, factory=bytearray)

    @property
    def remaining(self) -> int:
        """Bytes not yet said."""
        return len(self._speech)

    def say(self, audio: bytes) -> None:
        """Say `audio` after everything else."""
        self._speech += audio

    def next_frame(self) -> bytes:
        """The next 20 ms: silence while muted, when what would have been said is lost."""
        if not self._speech:
            audio = _SILENT_FRAME
        else:
            audio = bytes(self._speech[:FRAME_SAMPLES]).ljust(FRAME_SAMPLES, _SILENT_FRAME[:1])
            del self._speech[:FRAME_SAMPLES]
            if self.muted:
                audio = _SILENT_FRAME
        if self.record:
            self.said += audio
        return audio


@define(eq=False)
class Script:
    """Cues, and how far the call has come in them."""

    cues: Sequence[Cue]
    _taken: int = field(init=False, default=0)
    _began_ns: int = field(init=False, default=0)
    _since_ns: int = field(init=False, default=0)
    _heard: int = field(init=False, default=0)
    _speaking: bool = field(init=False, default=False)

    def begin(self, now: int) -> None:
        """The stream begins at `now` (ns)."""
        self._began_ns = self._since_ns = now

    def due_ns(self, player: Player) -> int | None:
        """When the next cue is due, as things stand (ns); `None`: not foreseen, or none left."""
        if self._speaking or self._taken == len(self.cues):
            return None
        match self.cues[self._taken]:
            case At(ns):
                return max(self._began_ns + ns, self._since_ns)
            case After(ns):
                return self._since_ns + ns
            case WhenHeard(ms):
                return player.when_heard(self._heard + max(1, ms * _BYTES_A_MS))
            case WhenQuiet(ns) if player.total > self._heard:
                return max(player.end_ns, self._since_ns) + ns
            case _:
                return None

    def take(self, now: int, player: Player) -> Cue:
        """The cue that is due. The next is waited for at once, or after `spoken`."""
        cue = self.cues[self._taken]
        self._taken += 1
        self._speaking = isinstance(cue.act, Say) and bool(cue.act.audio)
        self._begin_next(now, player)
        return cue

    def spoken(self, now: int, player: Player) -> None:
        """The caller has said everything he had to say."""
        if self._speaking:
            self._speaking = False
            self._begin_next(now, player)

    def _begin_next(self, now: int, player: Player) -> None:
        self._since_ns = now
        self._heard = player.heard_at(now)

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
    "MAX_SPEECH_BYTES",
    "AfterDelay",
    "AtTime",
    "CallerAct",
    "CallerHangsUp",
    "CallerMutes",
    "CallerPressesKey",
    "CallerSays",
    "CallerScript",
    "CallerUnmutes",
    "CallerVoice",
    "Cue",
    "WhenAgentHeard",
    "WhenAgentQuiet",
]

MAX_SPEECH_BYTES: Final = 10 * 60 * SECOND // SAMPLE_NS
"""Bytes that a caller can have to say at a time: ten minutes, as much as can wait to be heard."""


def _check_key(press: "CallerPressesKey", attribute: "Attribute[str]", digit: str) -> None:
    del press, attribute
    if len(digit) != 1 or digit not in "0123456789*#ABCD":
        raise LocalProtocolError("no key of a telephone")


def _check_length(say: "CallerSays", attribute: "Attribute[bytes]", audio: bytes) -> None:
    del say, attribute
    if len(audio) > MAX_SPEECH_BYTES:
        raise LocalProtocolError(f"more than {MAX_SPEECH_BYTES} bytes to say")


# What the caller does.


@frozen
class CallerSays:
    """Speak: µ-law audio, in frames of 20 ms from the next one on; at most `SPEECH_LIMIT`."""

    audio: bytes = field(repr=False, validator=_check_length)


@frozen
class CallerPressesKey:
    """Press a key: one of `0123456789*#ABCD` (`LocalProtocolError`: no such key)."""

    digit: str = field(validator=_check_key)


@frozen
class CallerMutes:
    """Mute the phone: it sends silence, and what is said meanwhile is lost."""


@frozen
class CallerUnmutes:
    """The opposite."""


@frozen
class CallerHangsUp:
    """End the call."""


CallerAct: TypeAlias = CallerSays | CallerPressesKey | CallerMutes | CallerUnmutes | CallerHangsUp


# When.


@frozen
class AtTime:
    """`ns` after the stream began, or as soon as the act before is done."""

    at_ns: int
    act: CallerAct


@frozen
class AfterDelay:
    """`ns` after the act before is done."""

    delay_ns: int
    act: CallerAct


@frozen
class WhenAgentHeard:
    """When the caller has heard `ms` milliseconds of the agent since the act before was done.

    0 stands for the agent's first sound. This is how a caller interrupts.
    """

    heard_ms: int
    act: CallerAct


@frozen
class WhenAgentQuiet:
    """When the agent has been heard since the act before was done, and then was silent for `ns`.

    This is how a caller waits for his turn. A pause of the agent must be shorter.
    """

    silence_ns: int
    act: CallerAct


Cue: TypeAlias = AtTime | AfterDelay | WhenAgentHeard | WhenAgentQuiet

_BYTES_PER_MS = 8
_SILENT_FRAME = silence(FRAME_SAMPLES)


@define(eq=False)
class CallerVoice:
    """What the caller has still to say, cut into frames; with `record`, what he has said."""

    record_audio: bool
    is_muted: bool = field(init=False, default=False)
    sent_audio: bytearray = field(init=False, factory=bytearray)
    _unsaid_audio: bytearray = field(init=False, factory=bytearray)

    @property
    def remaining_bytes(self) -> int:
        """Bytes not yet said."""
        return len(self._unsaid_audio)

    def enqueue(self, audio: bytes) -> None:
        """Say `audio` after everything else."""
        self._unsaid_audio += audio

    def take_frame(self) -> bytes:
        """The next 20 ms: silence while muted, when what would have been said is lost."""
        if not self._unsaid_audio:
            audio = _SILENT_FRAME
        else:
            audio = bytes(self._unsaid_audio[:FRAME_SAMPLES]).ljust(
                FRAME_SAMPLES, _SILENT_FRAME[:1]
            )
            del self._unsaid_audio[:FRAME_SAMPLES]
            if self.is_muted:
                audio = _SILENT_FRAME
        if self.record_audio:
            self.sent_audio += audio
        return audio


@define(eq=False)
class CallerScript:
    """Cues, and how far the call has come in them."""

    cues: Sequence[Cue]
    _next_index: int = field(init=False, default=0)
    _stream_start_ns: int = field(init=False, default=0)
    _last_act_ns: int = field(init=False, default=0)
    _heard_bytes: int = field(init=False, default=0)
    _is_speaking: bool = field(init=False, default=False)

    def start(self, now: int) -> None:
        """The stream begins at `now` (ns)."""
        self._stream_start_ns = self._last_act_ns = now

    def due_ns(self, player: Player) -> int | None:
        """When the next cue is due, as things stand (ns); `None`: not foreseen, or none left."""
        if self._is_speaking or self._next_index == len(self.cues):
            return None
        match self.cues[self._next_index]:
            case AtTime(ns):
                return max(self._stream_start_ns + ns, self._last_act_ns)
            case AfterDelay(ns):
                return self._last_act_ns + ns
            case WhenAgentHeard(ms):
                return player.heard_at_ns(self._heard_bytes + max(1, ms * _BYTES_PER_MS))
            case WhenAgentQuiet(ns) if player.total_bytes > self._heard_bytes:
                return max(player.end_ns, self._last_act_ns) + ns
            case _:
                return None

    def take_cue(self, now: int, player: Player) -> Cue:
        """The cue that is due. The next is waited for at once, or after `spoken`."""
        cue = self.cues[self._next_index]
        self._next_index += 1
        self._is_speaking = isinstance(cue.act, CallerSays) and bool(cue.act.audio)
        self._await_next(now, player)
        return cue

    def finish_speech(self, now: int, player: Player) -> None:
        """The caller has said everything he had to say."""
        if self._is_speaking:
            self._is_speaking = False
            self._await_next(now, player)

    def _await_next(self, now: int, player: Player) -> None:
        self._last_act_ns = now
        self._heard_bytes = player.heard_bytes_at(now)

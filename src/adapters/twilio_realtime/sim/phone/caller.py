"""The caller as data: what a person at the phone does, and when.

A script is a sequence of cues. The caller starts to wait for a cue when the act of the cue before
it is done; speech takes as long as its audio.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from attrs import Attribute, define, field, frozen

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.units import SAMPLE_NS, SECOND

from ..audio import silence
from .player import Player

__all__ = [
    "FRAME_MS_VALUES",
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
    "check_frame_ms",
]

MAX_SPEECH_BYTES: Final = 10 * 60 * SECOND // SAMPLE_NS
"""The most bytes that the caller can have left to say: ten minutes, as much as Twilio queues in the
other direction."""


def _check_key(act: "CallerPressesKey", attribute: "Attribute[str]", digit: str) -> None:
    del act, attribute
    if len(digit) != 1 or digit not in "0123456789*#ABCD":
        raise LocalProtocolError("the key must be one of 0123456789*#ABCD")


def _check_length(act: "CallerSays", attribute: "Attribute[bytes]", audio: bytes) -> None:
    del act, attribute
    if len(audio) > MAX_SPEECH_BYTES:
        raise LocalProtocolError(f"speech must not be longer than {MAX_SPEECH_BYTES} bytes")


# Acts.


@frozen
class CallerSays:
    """The caller speaks: µ-law audio, from the next frame on.

    Raises `LocalProtocolError` for more than `MAX_SPEECH_BYTES`.
    """

    audio: bytes = field(repr=False, validator=_check_length)


@frozen
class CallerPressesKey:
    """The caller presses a key, one of `0123456789*#ABCD` (`LocalProtocolError`: no such key)."""

    digit: str = field(validator=_check_key)


@frozen
class CallerMutes:
    """The caller mutes the phone: it sends silence, and what they say meanwhile is lost."""


@frozen
class CallerUnmutes:
    """The caller unmutes the phone."""


@frozen
class CallerHangsUp:
    """The caller ends the call."""


CallerAct: TypeAlias = CallerSays | CallerPressesKey | CallerMutes | CallerUnmutes | CallerHangsUp


# Cues.


@frozen
class AtTime:
    """Act `at_ns` after the stream started, or as soon as the act before is done."""

    at_ns: int
    act: CallerAct


@frozen
class AfterDelay:
    """Act `delay_ns` after the act before is done."""

    delay_ns: int
    act: CallerAct


@frozen
class WhenAgentHeard:
    """Act when the caller has heard `heard_ms` of the agent since the act before was done.

    0 stands for the agent's first byte. Use it to interrupt.
    """

    heard_ms: int
    act: CallerAct


@frozen
class WhenAgentQuiet:
    """Act when the agent has been heard since the act before was done, and then was silent for
    `silence_ns`.

    Use it to take turns; pauses within the agent's speech must be shorter.
    """

    silence_ns: int
    act: CallerAct


Cue: TypeAlias = AtTime | AfterDelay | WhenAgentHeard | WhenAgentQuiet

_BYTES_PER_MS = 8

FRAME_MS_VALUES: Final = (20, 40, 60, 80, 100)
"""How long the frames of a simulated phone may last (ms). Those of Twilio last 20 ms."""


def check_frame_ms(frame_ms: int) -> None:
    """Raise `ValueError` for another duration of frames than `FRAME_MS_VALUES` has."""
    if frame_ms not in FRAME_MS_VALUES:
        raise ValueError(f"frame_ms must be one of {FRAME_MS_VALUES} ms, not {frame_ms!r}")


@define(eq=False)
class CallerVoice:
    """The audio that the caller has left to say, cut into frames of `frame_ms`. With `record_audio`
    it keeps what was sent."""

    record_audio: bool
    frame_ms: int = FRAME_MS_VALUES[0]
    is_muted: bool = field(init=False, default=False)
    """Whether the phone sends silence."""
    sent_audio: bytearray = field(init=False, factory=bytearray)
    """The audio of every frame so far, if it is recorded."""
    _unsaid_audio: bytearray = field(init=False, factory=bytearray)
    _frame_samples: int = field(init=False)
    silent_frame: bytes = field(init=False)
    """The audio of a frame in which nothing is said."""

    def __attrs_post_init__(self) -> None:
        self._frame_samples = self.frame_ms * _BYTES_PER_MS
        self.silent_frame = silence(self._frame_samples)

    @property
    def remaining_bytes(self) -> int:
        """How many bytes are left to say."""
        return len(self._unsaid_audio)

    def enqueue(self, audio: bytes) -> None:
        """Say `audio` after everything else."""
        self._unsaid_audio += audio

    def take_frame(self) -> bytes:
        """Remove and return the audio of the next frame. A muted caller sends silence instead."""
        size = self._frame_samples
        if not self._unsaid_audio:
            audio = self.silent_frame
        else:
            audio = bytes(self._unsaid_audio[:size]).ljust(size, self.silent_frame[:1])
            del self._unsaid_audio[:size]
            if self.is_muted:
                audio = self.silent_frame
        if self.record_audio:
            self.sent_audio += audio
        return audio

    def take_silence(self, frames: int) -> None:
        """Remove so many frames, in which nothing is said."""
        if self.record_audio:
            self.sent_audio += self.silent_frame * frames

    def return_silence(self, frames: int) -> None:
        """Take back the last frames, which were silence."""
        if self.record_audio and frames:
            del self.sent_audio[-frames * self._frame_samples :]


@define(eq=False)
class CallerScript:
    """The cues of a call, and how many of them have been taken."""

    cues: Sequence[Cue]
    _next_index: int = field(init=False, default=0)
    _stream_start_ns: int = field(init=False, default=0)
    _last_act_ns: int = field(init=False, default=0)
    _heard_bytes: int = field(init=False, default=0)
    _is_speaking: bool = field(init=False, default=False)

    def start(self, now: int) -> None:
        """Start the script with the stream, at `now` (ns)."""
        self._stream_start_ns = self._last_act_ns = now

    def due_ns(self, player: Player) -> int | None:
        """Return when the next cue is due as things stand (ns); `None` if that cannot be foreseen
        or no cue is left."""
        if self._is_speaking or self._next_index == len(self.cues):
            return None
        match self.cues[self._next_index]:
            case AtTime(at_ns):
                return max(self._stream_start_ns + at_ns, self._last_act_ns)
            case AfterDelay(delay_ns):
                return self._last_act_ns + delay_ns
            case WhenAgentHeard(heard_ms):
                return player.heard_at_ns(self._heard_bytes + max(1, heard_ms * _BYTES_PER_MS))
            case WhenAgentQuiet(silence_ns) if player.total_bytes > self._heard_bytes:
                return max(player.end_ns, self._last_act_ns) + silence_ns
            case _:
                return None

    def take_cue(self, now: int, player: Player) -> Cue:
        """Remove and return the cue that is due. The next one is awaited from `now` on, or from
        `finish_speech` if this one speaks."""
        cue = self.cues[self._next_index]
        self._next_index += 1
        self._is_speaking = isinstance(cue.act, CallerSays) and bool(cue.act.audio)
        self._await_next(now, player)
        return cue

    def finish_speech(self, now: int, player: Player) -> None:
        """Note that the caller has said everything they had to say."""
        if self._is_speaking:
            self._is_speaking = False
            self._await_next(now, player)

    def _await_next(self, now: int, player: Player) -> None:
        self._last_act_ns = now
        self._heard_bytes = player.heard_bytes_at(now)

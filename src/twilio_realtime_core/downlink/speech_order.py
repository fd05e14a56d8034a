"""The order of sound: whole responses and clips, one after the other.

The server generates out-of-band responses beside the one of the conversation, and their events
alternate. The caller hears one sentence at a time: while a response is being spoken, what others
say and the clips of the application are held here, and go to the caller when it has ended.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from attrs import define, field

from ..machine.units import SECOND
from ..protocols.realtime import OutputAudioDeltaEvent, OutputAudioDoneEvent
from ..responses.responses import ResponseRecord
from ..values.playback_position import Clip, PartKey
from .framing import part_key

__all__ = ["MAX_HELD_EVENTS", "STALL_NS", "HeldClip", "HeldSpeech", "SpeechOrder"]

STALL_NS: Final = 5 * SECOND
"""How long others are held for a response of which no more audio is received: then they are played,
and the rest of it follows them."""

MAX_HELD_EVENTS: Final = 8192
"""Events held, of all responses: an event has 50 to 400 ms of audio, so these are the ten minutes
that Twilio's queue takes. What is beyond is dropped."""

HeldEvent: TypeAlias = OutputAudioDeltaEvent | OutputAudioDoneEvent


@define(eq=False)
class HeldSpeech:
    """The audio of a response that is held, in the order in which it was received."""

    record: ResponseRecord
    events: list[HeldEvent] = field(factory=list[HeldEvent])


@define(eq=False)
class HeldClip:
    """A clip that is held."""

    clip: Clip
    audio: bytes = field(repr=False)


@define(eq=False)
class SpeechOrder:
    """What is being spoken, and what is held behind it."""

    speaker: ResponseRecord | None = field(init=False, default=None)
    """The response whose audio goes to the caller as it is received."""
    spoke_at_ns: int = field(init=False, default=0)
    """When audio of it was received last."""
    _held: list[HeldSpeech | HeldClip] = field(init=False, factory=list[HeldSpeech | HeldClip])
    _event_count: int = field(init=False, default=0)

    @property
    def has_held(self) -> bool:
        """Whether anything is held."""
        return bool(self._held)

    @property
    def held(self) -> tuple[HeldSpeech | HeldClip, ...]:
        """What is held, in the order in which it will be played."""
        return tuple(self._held)

    @property
    def held_parts(self) -> Iterator[PartKey]:
        """The content parts of which audio is held."""
        for each in self._held:
            if isinstance(each, HeldSpeech):
                yield from dict.fromkeys(map(part_key, each.events))

    def is_occupied(self, now: int) -> bool:
        """Whether a response is being spoken, or something held, so that a clip has to be held."""
        return self.has_held or self._is_spoken_at(now)

    def _is_spoken_at(self, now: int) -> bool:
        """Whether a response is being spoken, which has neither ended nor stalled."""
        speaker = self.speaker
        return speaker is not None and speaker.may_be_heard and now < self.stalls_at_ns

    @property
    def is_speaker_unfinished(self) -> bool:
        """Whether more audio of the response that is being spoken may come, stalled or not."""
        return self.speaker is not None and self.speaker.may_be_heard

    @property
    def stalls_at_ns(self) -> int:
        """When the response that is being spoken counts as stalled, if no more of it comes (ns)."""
        return self.spoke_at_ns + STALL_NS

    def claim(self, record: ResponseRecord, now: int) -> bool:
        """Let a response speak of which audio was received. `False`: another one is being spoken,
        or something is held before it."""
        if record is self.speaker and not self.is_held(record):
            self.spoke_at_ns = now
            return True
        if self.is_occupied(now):
            return False
        self.speaker, self.spoke_at_ns = record, now
        return True

    def is_held(self, record: ResponseRecord) -> bool:
        """Whether audio of a response is held."""
        return any(isinstance(each, HeldSpeech) and each.record is record for each in self._held)

    def hold_speech(self, record: ResponseRecord, event: HeldEvent) -> bool:
        """Hold an event of a response. `False`: too many are held."""
        if self._event_count >= MAX_HELD_EVENTS:
            return False
        self._event_count += 1
        for each in self._held:
            if isinstance(each, HeldSpeech) and each.record is record:
                each.events.append(event)
                return True
        self._held.append(HeldSpeech(record, [event]))
        return True

    def hold_clip(self, clip: Clip, audio: bytes) -> None:
        """Hold a clip."""
        self._held.append(HeldClip(clip, audio))

    def take_next(self, now: int) -> HeldSpeech | HeldClip | None:
        """Remove and return what is to be played next, unless a response is being spoken. A
        response that is taken is the one being spoken."""
        if not self._held or self._is_spoken_at(now):
            return None
        taken = self._held.pop(0)
        self.speaker = None
        if isinstance(taken, HeldSpeech):
            self._event_count -= len(taken.events)
            self.speaker, self.spoke_at_ns = taken.record, now
        return taken

    def drop_clips(self) -> None:
        """Drop the clips that are held."""
        self._held = [each for each in self._held if isinstance(each, HeldSpeech)]

    def drop_all(self) -> None:
        """Drop all that is held: nothing of it is played."""
        self.speaker = None
        self._held.clear()
        self._event_count = 0

"""The expected queue of audio for the caller: what is due now, and what is held meanwhile."""

from collections import deque
from collections.abc import Iterator
from itertools import chain

from attrs import define, field

from ..limits import SPEECH_STALL_NS
from ..units import FRAME_SAMPLES
from .playback import ExpectedClip, PartId, SourceId
from .requests import ExpectedRequests
from .responses import ExpectedResponses

__all__ = ["ExpectedAudioQueue"]


@define(eq=False)
class _ExpectedAudio:
    """Audio of a part that was received and may be heard; `sent_samples` counts what was sent."""

    part: PartId
    response_id: str
    audio: bytes
    sent_samples: int = 0

    @property
    def unsent_samples(self) -> int:
        """Samples that were not sent."""
        return len(self.audio) - self.sent_samples


@define(eq=False)
class _HeldSpeech:
    """Audio of a response that is held until another one has been said."""

    response_id: str
    audio: deque[_ExpectedAudio] = field(factory=deque[_ExpectedAudio])


@define(eq=False)
class ExpectedAudioQueue:
    """The audio that was not sent: of the responses that may be heard, and of clips."""

    _requests: ExpectedRequests
    _responses: ExpectedResponses
    due: deque[_ExpectedAudio | ExpectedClip] = field(
        init=False, factory=deque[_ExpectedAudio | ExpectedClip]
    )
    """What is to be sent now, in its order."""
    held: list[_HeldSpeech | ExpectedClip] = field(
        init=False, factory=list[_HeldSpeech | ExpectedClip]
    )
    """What is to be sent once the speaker has ended."""
    hold: ExpectedClip | None = field(init=False, default=None)
    """The hold audio that is queued until nothing else plays, or is being sent."""
    _speaker: str | None = field(init=False, default=None)
    """The response that is being said: no other audio goes between what it says."""
    _spoke_ns: int = field(init=False, default=0)
    """When audio of it was received."""

    # Queries.

    def source_of(self, audio: bytes) -> SourceId | None:
        """Return what audio is of that is sent; `None` if it is not the next of anything."""
        held = self._held_in_order() if self._requests.may_suppress else ()
        for each in chain(self.due, held):
            if each.audio.startswith(audio, each.sent_samples):
                return each if isinstance(each, ExpectedClip) else each.part
            if isinstance(each, ExpectedClip):
                break
            if each.unsent_samples >= FRAME_SAMPLES and not self._may_be_dropped(each):
                break
        hold = self.hold
        if hold is not None and hold.audio.startswith(audio, hold.sent_samples):
            return hold
        return None

    def _held_in_order(self) -> Iterator[_ExpectedAudio | ExpectedClip]:
        for each in self.held:
            yield from (each,) if isinstance(each, ExpectedClip) else each.audio

    def _is_due(self, source: SourceId) -> bool:
        return any(source in (each, getattr(each, "part", None)) for each in self.due)

    def held_parts(self) -> list[PartId]:
        """Return the parts of which audio is held."""
        held = (each.audio for each in self.held if isinstance(each, _HeldSpeech))
        return list(dict.fromkeys(audio.part for each in held for audio in each))

    def is_spoken(self, now: int) -> bool:
        """Whether a response is being said, which has neither ended nor stalled."""
        speaker = None if self._speaker is None else self._responses.find(self._speaker)
        is_speaking = speaker is not None and speaker.may_be_heard
        return is_speaking and now < self._spoke_ns + SPEECH_STALL_NS

    def stalls_at_ns(self) -> int | None:
        """Return when what is held is to be sent, whatever the speaker does; `None` for nothing."""
        return self._spoke_ns + SPEECH_STALL_NS if self.held else None

    def unsent_samples(self, part: PartId | None = None) -> int:
        """Return the samples that were received, may be heard and were not sent: of a part, or of
        all."""
        queued = (each for each in self.due if isinstance(each, _ExpectedAudio))
        return sum(each.unsent_samples for each in queued if part in (None, each.part))

    @property
    def has_due_clip(self) -> bool:
        """Whether a clip is to be sent now."""
        return any(isinstance(each, ExpectedClip) for each in self.due)

    @property
    def is_hold_playing(self) -> bool:
        """Whether only hold audio plays."""
        return self.hold is not None and self.hold.sent_samples > 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be sent but hold audio."""
        return not self.due and not self.held

    # What is added and sent.

    def add_clip(self, clip: ExpectedClip, now: int) -> None:
        """Add a clip; hold audio replaces what is queued of it, or plays."""
        if clip.is_hold:
            self.hold = clip
        elif self.held or self.is_spoken(now):
            self.held.append(clip)
        else:
            self.due.append(clip)

    def add_audio(self, part: PartId, response_id: str, audio: bytes, now: int) -> None:
        """Add audio of a response."""
        received = _ExpectedAudio(part, response_id, audio)
        held = [each for each in self.held if isinstance(each, _HeldSpeech)]
        of_response = next((each for each in held if each.response_id == response_id), None)
        if of_response is not None:
            of_response.audio.append(received)
        elif response_id != self._speaker and (self.held or self.is_spoken(now)):
            self.held.append(_HeldSpeech(response_id, deque([received])))
        else:
            self._speaker, self._spoke_ns = response_id, now
            self._append_due(received)

    def _append_due(self, received: _ExpectedAudio) -> None:
        last = self.due[-1] if self.due else None
        if isinstance(last, _ExpectedAudio) and (last.part, last.response_id) == (
            received.part,
            received.response_id,
        ):
            last.audio, last.sent_samples = last.audio[last.sent_samples :] + received.audio, 0
        else:
            self.due.append(received)

    def release(self, now: int) -> None:
        """Let what is held be sent, as far as nobody is speaking."""
        while self.held and not self.is_spoken(now):
            released = self.held.pop(0)
            self._speaker = None
            if isinstance(released, ExpectedClip):
                self.due.append(released)
            else:
                self._speaker, self._spoke_ns = released.response_id, now
                for each in released.audio:
                    self._append_due(each)

    def send(self, source: SourceId, samples: int, now: int) -> None:
        """Send samples of what they were found to be of."""
        for _ in tuple(self.held) if self._requests.may_suppress else ():
            if self._is_due(source):
                break
            self.drop_unsent()
            self._speaker = None  # it may be another response that was given up
            self.release(now)
        if isinstance(source, ExpectedClip):
            source.sent_samples += samples
            if source.is_sent and not source.is_hold:
                self.due.remove(source)
            return
        for each in list(self.due):
            if isinstance(each, _ExpectedAudio) and each.part == source:
                each.sent_samples += samples
                if not each.unsent_samples:
                    self.due.remove(each)
                return

    # What is dropped.

    def clear(self) -> None:
        """Drop all that is said or would be, and hold audio that plays; the rest of a frame is
        dropped."""
        self.due.clear()
        self.held.clear()
        self._speaker = None
        self.end_hold()

    def end_hold(self) -> None:
        """Drop the hold audio that plays; what is queued remains."""
        if self.is_hold_playing:
            self.hold = None

    def drop_clips(self) -> None:
        """Drop all clips but hold audio."""
        self.due = deque(each for each in self.due if not isinstance(each, ExpectedClip))
        self.held = [each for each in self.held if not isinstance(each, ExpectedClip)]

    def drop_unsent(self) -> None:
        """Drop what may be dropped and was not sent immediately."""
        for each in [each for each in self.due if isinstance(each, _ExpectedAudio)]:
            if each.unsent_samples >= FRAME_SAMPLES and self._may_be_dropped(each):
                self._responses.get_or_create(each.response_id).is_interrupted = True
                self.due.remove(each)

    def _may_be_dropped(self, audio: _ExpectedAudio) -> bool:
        """Whether audio of which nothing was sent need not be: where the server has left open
        whether its response answers the request that was interrupted."""
        return self._requests.is_ambiguous and not audio.sent_samples

    def drop_overflow(self, *, keeps_rest: bool) -> None:
        """Drop what found no room; the start of the next frame is kept of the audio that was
        received last (`keeps_rest`)."""
        self.drop_clips()
        last = self.due[-1] if self.due else None
        self.due.clear()
        if isinstance(last, _ExpectedAudio) and keeps_rest:
            last.sent_samples = len(last.audio) - last.unsent_samples % FRAME_SAMPLES
            if last.unsent_samples:
                self.due.append(last)

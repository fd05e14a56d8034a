"""What was said in a call, with the words that were not heard."""

from collections.abc import Sequence
from enum import Enum, unique
from typing import Final

from attrs import define, field, frozen

from twilio_realtime_core.machine.actions import Notify
from twilio_realtime_core.machine.units import samples_to_ms
from twilio_realtime_core.notifications import Interrupted, InterruptedItem
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.values.playback_position import PartKey

from .playback import Playback, part_of
from .reader import ShownStep
from .turns import CallerSpeech

__all__ = ["MAX_WORD_CHARACTERS", "Speaker", "TranscriptEntry", "Transcripts", "shorten"]

MAX_WORD_CHARACTERS: Final = 4_000
"""The most characters of a piece of speech that are shown: four minutes of fast speech. Only a text
that is no speech is longer."""


@unique
class Speaker(Enum):
    """Who speaks."""

    CALLER = "caller"
    AGENT = "agent"


@frozen
class TranscriptEntry:
    """Something that was said, or was to be: when it starts (ns), and its words.

    `heard` and `unheard` are the words of the agent that the caller did and did not hear; `None`:
    nothing was transcribed. `heard_ms` of `sent_ms` of it were heard. `is_cut`: it was interrupted,
    or the call ended; `is_text`: it was written, not spoken.
    """

    at_ns: int
    end_ns: int
    speaker: Speaker
    heard: str | None = field(repr=False)
    unheard: str = field(default="", repr=False)
    heard_ms: int | None = None
    sent_ms: int | None = None
    is_cut: bool = False
    is_text: bool = False
    item_id: str = ""


@define
class _AgentPart:
    at_ns: int
    pieces: list[str] = field(factory=list[str])
    text: str | None = None
    is_text: bool = False
    interrupted: InterruptedItem | None = None

    def words(self) -> str | None:
        if self.text is not None:
            return self.text
        return "".join(self.pieces) if self.pieces else None


@define(eq=False)
class Transcripts:
    """Takes steps in order."""

    _parts: dict[PartKey, _AgentPart] = field(init=False, factory=dict[PartKey, _AgentPart])
    _caller_words: dict[str, str] = field(init=False, factory=dict[str, str])

    def add_step(self, step: ShownStep) -> None:
        """Take a step."""
        self._take_event(step)
        for action in step.actions:
            match action:
                case Notify(Interrupted(items=items)):
                    for item in items:
                        self._interrupt(item)
                case _:
                    pass

    def _take_event(self, step: ShownStep) -> None:
        match step.event:
            case realtime.OutputTranscriptDeltaEvent(response_id, item_id, delta, index):
                self._part(step.at_ns, response_id, item_id, index).pieces.append(delta)
            case realtime.OutputTranscriptDoneEvent(response_id, item_id, text, index):
                self._part(step.at_ns, response_id, item_id, index).text = text
            case realtime.OutputTextDeltaEvent(response_id, item_id, delta, index):
                part = self._part(step.at_ns, response_id, item_id, index)
                part.pieces.append(delta)
                part.is_text = True
            case realtime.OutputTextDoneEvent(response_id, item_id, text, index):
                part = self._part(step.at_ns, response_id, item_id, index)
                part.text, part.is_text = text, True
            case realtime.OutputAudioDeltaEvent(response_id, item_id, _, index):
                self._part(step.at_ns, response_id, item_id, index)
            case realtime.InputTranscriptCompletedEvent(item_id, transcript):
                self._caller_words[item_id] = transcript
            case realtime.InputTranscriptDeltaEvent(item_id, delta):
                self._caller_words[item_id] = self._caller_words.get(item_id, "") + (delta or "")
            case _:
                pass

    def _part(self, at_ns: int, response_id: str, item_id: str, index: int) -> _AgentPart:
        key = part_of(response_id, item_id, index)
        return self._parts.setdefault(key, _AgentPart(at_ns))

    def _interrupt(self, item: InterruptedItem) -> None:
        for key, part in self._parts.items():
            is_it = (key.item_id, key.content_index) == (item.item_id, item.content_index)
            if is_it and key.response_id == item.response_id and part.interrupted is None:
                part.interrupted = item

    def finish(self, speech: Sequence[CallerSpeech], playback: Playback) -> list[TranscriptEntry]:
        """Return what was said, in order."""
        entries = [
            TranscriptEntry(
                *(each.start_ns, each.end_ns, Speaker.CALLER),
                self._caller_words.get(each.item_id or ""),
                item_id=each.item_id or "",
            )
            for each in speech
        ]
        first_heard = {each.source: each.start_ns for each in reversed(playback.heard)}
        last_heard = {each.source: each.end_ns for each in playback.heard}
        for key, part in self._parts.items():
            at_ns = first_heard.get(key, part.at_ns)
            entries.append(_agent_entry(key, part, playback, at_ns, last_heard.get(key, at_ns)))
        return sorted(entries, key=lambda each: each.at_ns)


def _agent_entry(
    key: PartKey, part: _AgentPart, playback: Playback, at_ns: int, end_ns: int
) -> TranscriptEntry:
    words = part.words()
    if part.is_text:
        return TranscriptEntry(
            at_ns, end_ns, Speaker.AGENT, words, is_text=True, item_id=key.item_id
        )
    heard = playback.heard_samples(key)
    sent = max(playback.sent_samples(key), playback.generated_samples(key))
    heard_ms, sent_ms = samples_to_ms(heard), samples_to_ms(sent)
    is_cut = part.interrupted is not None or heard < sent
    heard_words, unheard = words, ""
    if part.interrupted is not None:
        heard_ms = part.interrupted.heard_ms
    if is_cut and words is not None:
        known = part.interrupted.heard if part.interrupted is not None else None
        length = len(known) if known is not None else _proportional(words, heard, sent)
        heard_words, unheard = words[:length], words[length:]
    return TranscriptEntry(
        *(at_ns, end_ns, Speaker.AGENT, heard_words, unheard, heard_ms, sent_ms, is_cut),
        item_id=key.item_id,
    )


def _proportional(words: str, heard: int, sent: int) -> int:
    """Return how many characters were heard, in proportion to the audio and in whole words."""
    limit = len(words) * heard // sent if sent else 0
    return limit if limit >= len(words) else words.rfind(" ", 0, limit + 1) + 1


def shorten(text: str, limit: int = MAX_WORD_CHARACTERS) -> str:
    """Shorten a text that is too long to be shown, and say by how much."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters are in the recording)"

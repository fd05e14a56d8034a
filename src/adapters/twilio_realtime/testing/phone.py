"""The phone of a simulated call: it tracks which items it plays, and interrupts at a position."""

from collections.abc import Hashable
from typing import Final

from attrs import define, field

from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.units import SAMPLE_NS

from ..sim.phone.twilio_peer import TwilioPeer
from ..sim.phone.wire_messages import WireMedia, decode_server_message
from ..sim.world.silence import SilentFrame

__all__ = ["BYTES_PER_MS", "ItemTrackingPhone"]

BYTES_PER_MS: Final = 1_000_000 // SAMPLE_NS

_FOREVER_NS: Final = 1 << 62


@define
class _GeneratedItem:
    """The audio that the model has generated of an item, and how much of it has arrived at the
    phone."""

    item_id: str
    audio: bytearray
    arrived_bytes: int = 0


@define
class _QueuedAudio:
    """A stretch of the phone's audio: its item (`None`: not the model's), and its first and end
    positions among all bytes that are ever played."""

    item_id: str | None
    first: int
    end: int


@define
class _PlannedInterruption:
    """Speech of the caller that starts once so many bytes have been heard."""

    heard_bytes: int
    audio: bytes
    words: str


@define(eq=False, kw_only=True)
class ItemTrackingPhone(TwilioPeer):
    """A phone and its caller, which knows which items were heard. Times are those of its clock
    (ns)."""

    utterances: list[tuple[int, str]] = field(init=False, factory=list[tuple[int, str]])
    """What the caller has said: when it started, and the words."""
    _generated: list[_GeneratedItem] = field(init=False, factory=list[_GeneratedItem])
    _queue: list[_QueuedAudio] = field(init=False, factory=list[_QueuedAudio])
    _interruptions: list[_PlannedInterruption] = field(
        init=False, factory=list[_PlannedInterruption]
    )
    _turn_words: str = field(init=False, default="")

    # What the caller does.

    def speak(self, audio: bytes, words: str, now: int) -> list[Action]:
        """Say `words`, whose sound is `audio`."""
        self._start_utterance(words, now)
        return self.say(audio, now)

    def interrupt_after(self, ms: int, audio: bytes, words: str, now: int) -> list[Action]:
        """Say `words` once `ms` more of the agent have been heard; 0 is its next sound."""
        heard_bytes = self.heard_bytes_at(now) + max(1, ms * BYTES_PER_MS)
        self._interruptions.append(_PlannedInterruption(heard_bytes, audio, words))
        return []

    def take_turn_words(self) -> str:
        """Return the words of the turn that has started, and forget them: those said last."""
        words, self._turn_words = self._turn_words, ""
        return words

    @property
    def is_speaking(self) -> bool:
        """Whether the caller has more to say."""
        return bool(self._voice.remaining_bytes)

    @property
    def has_stream_started(self) -> bool:
        """Whether the stream has started."""
        return self.deadline is not None or self.is_over

    def silent_since_ns(self, now: int) -> int | None:
        """Return since when the agent is not heard; `None` if it still is, or will be."""
        return self._player.end_ns if self._player.end_ns <= now else None

    # What was heard.

    def add_generated_audio(self, item_id: str, audio: bytes) -> None:
        """Add audio that the model has generated of an item."""
        for item in self._generated:
            if item.item_id == item_id:
                item.audio += audio
                return
        self._generated.append(_GeneratedItem(item_id, bytearray(audio)))

    def generated_audio(self, item_id: str) -> bytes:
        """Return the audio that the model has generated of an item."""
        return b"".join(item.audio for item in self._generated if item.item_id == item_id)

    def heard_items(self, now: int) -> dict[str, tuple[int, int]]:
        """Return for each item, in the order of hearing, when its first byte started to be heard
        (ns), and how many bytes have been heard."""
        heard, total = dict[str, tuple[int, int]](), self.heard_bytes_at(now)
        for queued in self._queue:
            if queued.item_id is not None and queued.first < total:
                start = self._byte_start_ns(queued.first)
                start, before = heard.get(queued.item_id, (start, 0))
                heard[queued.item_id] = start, before + min(queued.end, total) - queued.first
        return heard

    def _byte_start_ns(self, byte: int) -> int:
        end_ns = self._player.heard_at_ns(byte + 1)
        return 0 if end_ns is None else end_ns - SAMPLE_NS

    # The contract of `MessageMachine`, where it differs from `TwilioPeer`.

    @property
    def deadline(self) -> int | None:
        """See `TwilioPeer.deadline`; or when the caller interrupts."""
        deadline = super().deadline
        if deadline is None or not self._interruptions:
            return deadline
        due = [self._player.heard_at_ns(each.heard_bytes) for each in self._interruptions]
        return min([deadline, *(due_ns for due_ns in due if due_ns is not None)])

    def take_silent_frames(self, until_ns: int) -> list[SilentFrame]:
        """See `TwilioPeer.take_silent_frames`; none while an interruption is planned."""
        return [] if self._interruptions else super().take_silent_frames(until_ns)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """See `TwilioPeer.receive_text`."""
        actions = super().receive_text(peer, text, now)
        total, tracked = self.heard_bytes_at(_FOREVER_NS), self._queue[-1].end if self._queue else 0
        message, _ = decode_server_message(text, self.stream_sid)
        match message:
            case WireMedia(audio) if total > tracked:
                self._queue.append(_QueuedAudio(self._claim_item(audio), tracked, total))
            case _ if total < tracked:  # cleared
                self._queue = [each for each in self._queue if each.first < total]
                if self._queue:
                    self._queue[-1].end = total
            case _:
                pass
        return actions

    def _run_due(self, now: int) -> list[Action]:
        """Start interruptions first: a frame that is due may be the first of them."""
        for each in list(self._interruptions):
            due_ns = self._player.heard_at_ns(each.heard_bytes)
            if due_ns is not None and due_ns <= now:
                self._interruptions.remove(each)
                self._start_utterance(each.words, now)
                self._voice.enqueue(each.audio)
        return super()._run_due(now)

    def _start_utterance(self, words: str, now: int) -> None:
        self.utterances.append((now, words))
        self._turn_words = words

    def _claim_item(self, audio: bytes) -> str | None:
        """Return the item that the audio of a message belongs to, and count it as arrived: audio
        that has not arrived yet comes before audio that arrives again."""
        for item in self._generated:
            at = item.audio.find(audio, item.arrived_bytes)
            if at >= 0:
                item.arrived_bytes = at + len(audio)
                return item.item_id
        return next((item.item_id for item in self._generated if audio in item.audio), None)

"""The caller's phone: it knows what it has played of which item, and when the caller interrupts."""

from collections.abc import Hashable
from typing import Final

from attrs import define, field

from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.units import SAMPLE_NS

from ..sim.phone.twilio_peer import TwilioPeer
from ..sim.phone.wire_messages import WireMedia, decode_server_message

__all__ = ["BYTES_A_MS", "Handset"]

BYTES_A_MS: Final = 1_000_000 // SAMPLE_NS

_FOREVER: Final = 1 << 62


@define
class _Made:
    """Audio of an item as the model has made it, and how much of it has come to the phone."""

    item_id: str
    audio: bytearray
    arrived: int = 0


@define
class _Queued:
    """A stretch of what the phone plays: of which item (`None`: not the model's), and its place
    among all bytes that are ever played."""

    item_id: str | None
    first: int
    end: int


@define
class _Interruption:
    """What the caller says once he has heard so many bytes."""

    heard: int
    audio: bytes
    words: str


@define(eq=False, kw_only=True)
class Handset(TwilioPeer):
    """A phone, and the caller who holds it. Times are those of its own clock (ns)."""

    lines: list[tuple[int, str]] = field(init=False, factory=list[tuple[int, str]])
    """What the caller has said, and when he began."""
    _made: list[_Made] = field(init=False, factory=list[_Made])
    _queue: list[_Queued] = field(init=False, factory=list[_Queued])
    _interruptions: list[_Interruption] = field(init=False, factory=list[_Interruption])
    _turn: str = field(init=False, default="")

    # What the caller does.

    def speak(self, audio: bytes, words: str, now: int) -> list[Action]:
        """Say `words`, which sound like `audio`."""
        self._begin_to_say(words, now)
        return self.say(audio, now)

    def interrupt_after(self, ms: int, audio: bytes, words: str, now: int) -> list[Action]:
        """Say it once `ms` more of the agent have been heard; 0 is its next sound."""
        heard = self.heard_bytes_at(now) + max(1, ms * BYTES_A_MS)
        self._interruptions.append(_Interruption(heard, audio, words))
        return []

    def take_turn(self) -> str:
        """The words of a turn that has begun: those said last, once."""
        words, self._turn = self._turn, ""
        return words

    @property
    def speaking(self) -> bool:
        """Whether the caller has not said everything yet."""
        return bool(self._voice.remaining_bytes)

    @property
    def streaming(self) -> bool:
        """Whether the stream has begun."""
        return self.deadline is not None or self.is_over

    def quiet_since(self, now: int) -> int | None:
        """When the agent was last heard; `None`: it still is, or will be."""
        return self._player.end_ns if self._player.end_ns <= now else None

    # What was heard.

    def made(self, item_id: str, audio: bytes) -> None:
        """The model has made more of an item."""
        for made in self._made:
            if made.item_id == item_id:
                made.audio += audio
                return
        self._made.append(_Made(item_id, bytearray(audio)))

    def audio_of(self, item_id: str) -> bytes:
        """What the model has made of an item."""
        return b"".join(made.audio for made in self._made if made.item_id == item_id)

    def heard_items(self, now: int) -> dict[str, tuple[int, int]]:
        """By item, in the order of hearing: when its first byte began to be heard (ns), and how
        many bytes have been heard by now."""
        heard, total = dict[str, tuple[int, int]](), self.heard_bytes_at(now)
        for queued in self._queue:
            if queued.item_id is not None and queued.first < total:
                began, before = heard.get(queued.item_id, (self._when(queued.first), 0))
                heard[queued.item_id] = began, before + min(queued.end, total) - queued.first
        return heard

    def _when(self, byte: int) -> int:
        when = self._player.heard_at_ns(byte + 1)
        return 0 if when is None else when - SAMPLE_NS

    # The contract of `MessageMachine`, as far as it differs.

    @property
    def deadline(self) -> int | None:
        """As of any phone, or when the caller interrupts."""
        deadline = super().deadline
        if deadline is None or not self._interruptions:
            return deadline
        due = [self._player.heard_at_ns(each.heard) for each in self._interruptions]
        return min([deadline, *(when for when in due if when is not None)])

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """As of any phone."""
        actions = super().receive_text(peer, text, now)
        queued, known = self.heard_bytes_at(_FOREVER), self._queue[-1].end if self._queue else 0
        message, _ = decode_server_message(text, self.stream_sid)
        match message:
            case WireMedia(audio) if queued > known:
                self._queue.append(_Queued(self._item_of(audio), known, queued))
            case _ if queued < known:
                self._queue = [each for each in self._queue if each.first < queued]
                if self._queue:
                    self._queue[-1].end = queued
            case _:
                pass
        return actions

    def _catch_up(self, now: int) -> list[Action]:
        """Interruptions come first, since all else that is due may be a frame of them."""
        for each in list(self._interruptions):
            when = self._player.heard_at_ns(each.heard)
            if when is not None and when <= now:
                self._interruptions.remove(each)
                self._begin_to_say(each.words, now)
                self._voice.enqueue(each.audio)
        return super()._run_due(now)

    def _begin_to_say(self, words: str, now: int) -> None:
        self.lines.append((now, words))
        self._turn = words

    def _item_of(self, audio: bytes) -> str | None:
        """Which item a message holds audio of: one that has not come so far, or comes again."""
        for made in self._made:
            at = made.audio.find(audio, made.arrived)
            if at >= 0:
                made.arrived = at + len(audio)
                return made.item_id
        return next((made.item_id for made in self._made if audio in made.audio), None)

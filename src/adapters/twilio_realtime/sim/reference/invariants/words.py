"""The invariant of the words that count as heard."""

import re
from typing import Final

from attrs import define

from twilio_realtime_core.notifications import Interrupted, InterruptedItem

from ..expected.call import ExpectedCall
from ..expected.playback import PartId
from ..received import (
    ReceivedItem,
    ReceivedItemAdded,
    ReceivedItemDeleted,
    ReceivedItemDone,
    ReceivedItemTruncated,
    ReceivedSession,
    ReceivedTextDelta,
    ReceivedTextEnd,
    ReceivedTranscriptDelta,
    ReceivedTranscriptEnd,
)
from ..step_record import Invariant, StepRecord

__all__ = ["HeardWords"]

_FIRST_PACE: Final = 10
"""Units of speech a second of an agent who has completed nothing yet: 125 words a minute."""

_MAX_PACE: Final = 20
"""Units of speech a second of the fastest voice."""

_ONE_CHARACTER: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SYLLABLE: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _count_units(text: str) -> int:
    """The length of a text in units: 1 for a letter, 5 for a digit, 3 for a syllable of Chinese,
    Japanese or Korean; a word has one more, and at least 5."""
    apart = _ONE_CHARACTER.sub(lambda found: f" {found[0]} ", text)
    units = 0
    for word in apart.split():
        weights = [5 if c.isdecimal() else 3 if _SYLLABLE.match(c) else 1 for c in word]
        is_syllables = all(map(_SYLLABLE.match, word))
        units += sum(weights) if is_syllables else max(5, 1 + sum(weights))
    return units


@define
class _Words:
    """The words of a part that were received. `is_whole`: all of them at once. `repeatable` are
    those at the end that the item had first, and that pieces may repeat; `is_settled`: the item was
    done, so pieces that do not are stale."""

    text: str = ""
    is_whole: bool = False
    repeatable: str = ""
    is_settled: bool = False

    def add_piece(self, piece: str) -> None:
        """Add a piece."""
        repeatable = self.repeatable
        if self.is_whole:
            return
        if repeatable.startswith(piece):
            self.repeatable = repeatable.removeprefix(piece)
        elif piece.startswith(repeatable):
            self.repeatable = ""
            self.text += piece.removeprefix(repeatable)
        elif not self.is_settled:
            self.repeatable = ""
            self.text += piece


class HeardWords(Invariant):
    """Words that count as heard are the beginning of those received, of which they are no larger a
    share than the audio heard is of the audio received, and no more than can be said in that time.

    At the usual speed of a voice 20 units can be said in a second; while more of the part was to
    come, 10 before the agent has completed anything.
    """

    number = 18
    name = "Heard words"
    inputs = (
        ReceivedItemAdded,
        ReceivedItemDeleted,
        ReceivedItemDone,
        ReceivedItemTruncated,
        ReceivedSession,
        ReceivedTranscriptDelta,
        ReceivedTranscriptEnd,
        ReceivedTextDelta,
        ReceivedTextEnd,
    )
    outputs = (Interrupted,)

    def __init__(self, call: ExpectedCall) -> None:
        self._links = call.links
        self._words: dict[PartId, _Words] = {}
        self._done: set[str] = set()
        """Items that are complete."""
        self._deleted: set[str] = set()
        """Items that were deleted, of which more words may follow."""
        self._cut: set[str] = set()
        """Items that were interrupted or truncated, of which the server has no words any more."""
        self._has_completed = False
        """Something was said to its end in this call."""
        self._speed: float = 1
        """The speed of the agent's voice."""

    def check_input(self, step: StepRecord) -> str | None:
        """Note words."""
        match step.event:
            case ReceivedTranscriptDelta() | ReceivedTextDelta() as event:
                self._get_or_create((event.item_id, event.content_index)).add_piece(event.text)
            case ReceivedTranscriptEnd() | ReceivedTextEnd() as event if event.text:
                self._words[event.item_id, event.content_index] = _Words(event.text, is_whole=True)
            case ReceivedItemAdded(item):
                self._drop_words_before(item.id)
                self._note_item(item, is_done=False)
            case ReceivedItemDone(item) if item.id not in self._deleted:
                self._note_item(item, is_done=True)
            case ReceivedSession({"audio": {"output": {"speed": int() | float() as speed}}}):
                self._speed = speed
            case ReceivedItemTruncated(item_id):
                self._cut.add(item_id)
            case ReceivedItemDeleted(item_id):
                self._done.discard(item_id)
                self._deleted.add(item_id)
            case _:
                pass
        return None

    def _drop_words_before(self, item_id: str) -> None:
        """Drop the words of an item that was deleted, since another one has its id."""
        if item_id in self._deleted:
            self._deleted.remove(item_id)
            self._cut.discard(item_id)
            self._words = {part: it for part, it in self._words.items() if part[0] != item_id}

    def _note_item(self, item: ReceivedItem, *, is_done: bool) -> None:
        for index, part in enumerate(item.parts):
            words, text = self._get_or_create((item.id, index)), part.get("transcript")
            known = words.text.strip()
            said = str(text).strip()
            has_all = item.status == "completed" and item.id not in self._cut
            is_same = known == said if has_all and said else known.startswith(said)
            is_stale = is_done and not words.is_whole and not is_same
            if isinstance(text, str) and text and not known:
                is_settled = is_done or item.status in ("completed", "incomplete")
                self._words[item.id, index] = _Words(
                    text,
                    repeatable=text,
                    is_settled=is_settled and item.fields.get("role") != "user",
                )
            elif isinstance(text, str) and text and is_stale:
                words.text, words.is_whole = text, True
        if is_done and item.status != "incomplete":
            self._done.add(item.id)
            self._has_completed = True

    def _get_or_create(self, part: PartId) -> _Words:
        return self._words.setdefault(part, _Words())

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an interruption."""
        items = value.items if isinstance(value, Interrupted) else ()
        self._cut.update(each.item_id for each in items)
        return next(filter(None, map(self._check_item, items)), None)

    def _check_item(self, item: InterruptedItem) -> str | None:
        words = self._words.get((item.item_id, item.content_index))
        if words is None or item.heard is None:
            return None
        heard_ms = min(item.heard_ms, item.sent_ms)
        most_characters = len(words.text) * heard_ms // item.sent_ms if item.sent_ms else 0
        most_units = _count_units(words.text) * heard_ms // item.sent_ms if item.sent_ms else 0
        is_generated = item.item_id in self._done
        is_fast = is_generated or self._has_completed
        pace = (_MAX_PACE if is_fast else _FIRST_PACE) * self._speed
        units = _count_units(item.heard)
        if not words.text.startswith(item.heard):
            return "words count as heard that are not the beginning of those received"
        if len(item.heard) > most_characters:
            return "a larger share of the words counts as heard than of the audio"
        if units > most_units:
            return "a larger share of the speech counts as heard than of the audio"
        if units * 1000 > pace * item.heard_ms:
            return "more words count as heard than the agent can have said"
        return None

"""The transcript of a content part, and how much of it was heard.

The words are received ahead of their audio, in any number of pieces, and nothing shows where in the
audio a word is. So the words that were heard are estimated, in whole words, and rather too few than
too many, by two rules:

- In proportion: of the words received when the part was cut, the share of the audio received then
  that was heard, both of their characters and of their units (see `speaking_pace`): digits take
  longer to say than letters. Later words belong to audio that was not heard.
- By pace: while more of the part was to come, the words received may belong to audio that was not
  received yet, and it is not known how much. So no more words count as heard than the agent says in
  that time. Of a part that is whole, no more than the fastest voice says.
"""

from typing import Final

from attrs import define, field

from ..values.items import AudioPart, ContentPart, TextPart
from .speaking_pace import WORD, SpeechPace, count_text_units, count_units

__all__ = ["MAX_CHARACTERS", "Transcript"]

MAX_CHARACTERS: Final = 100_000
"""The longest transcript that is kept: an hour of fast speech has 60,000 characters."""


@define
class Transcript:
    """The words of a content part, spoken or written."""

    is_spoken: bool
    text: str | None = field(default=None, repr=False)
    """The words received so far; `None`: none."""
    is_whole: bool = False
    """Whether all words were received at once: then pieces of them that come later are stale."""
    is_partial: bool = False
    """Whether only pieces of the words were received, and more may be to come."""
    audio_ms: int | None = None
    """How much audio the part has, once all of it was received; `None` before."""
    heard_ms: int | None = None
    """How much audio was heard; `None`: the part was not cut."""
    _next_character: int = 0
    """Where in the text the next piece begins: at its end, or where pieces repeat what the item
    said before them."""
    _is_item_done: bool = False
    """Whether the item was done when its words were taken, so that more pieces are stale."""
    _sent_ms: int | None = None
    _characters_at_cut: int = 0
    _pace_at_cut: SpeechPace | None = None

    def append(self, delta: str) -> None:
        """Append a piece of the transcript. One that repeats words of the item is not appended, nor
        one that does not continue those of an item that is done."""
        known, start = self.text or "", self._next_character
        if self.is_whole or len(known) >= MAX_CHARACTERS:
            return
        self.is_partial = True
        said_by_item = known[start:]
        if said_by_item.startswith(delta):
            self.text, self._next_character = known, start + len(delta)
        elif delta.startswith(said_by_item):
            self._append_at(start, delta)
        elif not self._is_item_done:
            self._append_at(len(known), delta)

    def _append_at(self, start: int, delta: str) -> None:
        self.text = ((self.text or "")[:start] + delta)[:MAX_CHARACTERS]
        self._next_character = len(self.text)

    def complete(self, text: str) -> None:
        """Set the whole transcript; an empty one does not replace the words received so far."""
        if text or self.text is None:
            self.text = text[:MAX_CHARACTERS]
            self.is_whole = bool(text)
            self.is_partial = False

    def update_from_item(
        self,
        text: str | None,
        *,
        is_done: bool = False,
        is_callers: bool = False,
        has_all: bool = False,
    ) -> None:
        """Set the transcript of the item. Words that were received are kept if the item may lag
        behind; that of an item that is done (`is_done`) is whole, and replaces other words. It does
        not replace the same words with more behind them, unless the item has all (`has_all`): it
        was not cut short. The item of the caller (`is_callers`) is done before its words are
        transcribed, so pieces may continue those that it has."""
        if text is None:
            return
        known = self.text
        if not known:
            self.text, self._next_character = text[:MAX_CHARACTERS], 0
            self._is_item_done = is_done and not is_callers
        elif is_done and not (self.is_whole or _has_words(known, text, has_all=has_all)):
            self.complete(text)

    def cut(self, heard_ms: int, sent_ms: int, pace: SpeechPace | None = None) -> None:
        """Cut the part: of `sent_ms` of its audio, which is all that was received, `heard_ms` were
        heard, and no more will be. `pace` is the fastest at which they can have been said; `None`:
        it is not limited."""
        self.heard_ms, self._sent_ms, self._pace_at_cut = heard_ms, sent_ms, pace
        self._characters_at_cut = len(self.text or "")

    def truncate(self, audio_end_ms: int) -> None:
        """Note that the server has discarded the audio after `audio_end_ms`.

        If we have not cut the part, the proportion is unknown, and so are the words that were
        heard.
        """
        if self.heard_ms is None or audio_end_ms < self.heard_ms:
            self.heard_ms = audio_end_ms

    @property
    def heard_text(self) -> str | None:
        """The beginning of the text that was heard; `None`: the part was not cut, or it is
        unknown."""
        text, heard_ms, sent_ms, pace = self.text, self.heard_ms, self._sent_ms, self._pace_at_cut
        if text is None or heard_ms is None or sent_ms is None:
            return None
        received = min(self._characters_at_cut or len(text), len(text))
        share_ms = min(heard_ms, sent_ms)
        limit = received * share_ms // sent_ms if sent_ms else 0
        units = count_text_units(text[:received]) * share_ms // sent_ms if sent_ms else 0
        if pace is not None:
            units = min(units, pace.units_in(heard_ms))
        limit = min(limit, _count_characters(text[:received], units))
        if limit == len(text):
            return text
        ends = (word.end() for word in WORD.finditer(text))
        return text[: max((end for end in ends if end <= limit), default=0)]

    def split_at_cut(self) -> tuple[str | None, str | None]:
        """Return the words that were heard, and the rest. All words of a part that was not cut
        count as heard."""
        text, heard = self.text, self.text if self._sent_ms is None else self.heard_text
        return heard, None if text is None or heard is None else text[len(heard) :]

    def to_part(self, described: ContentPart | None = None) -> ContentPart:
        """Return the part with this transcript; `described` is the part of the item, if it has
        it."""
        match described:
            case AudioPart() | None if self.is_spoken:
                return AudioPart(self.text, self.heard_text, self.heard_ms)
            case TextPart() if self.is_spoken and self.heard_ms is None:
                return described  # created from the words: later ones are of what it replaces
            case TextPart(text=text) if (self.text or "").startswith(text):
                if self.is_spoken:  # restored as what was heard of it
                    return AudioPart(self.text, self.heard_text, self.heard_ms)
                return TextPart(self.text or "")
            case None:
                return TextPart(self.text or "")
            case _:
                return described


def _has_words(known: str, text: str, *, has_all: bool) -> bool:
    """Whether the words that are known are those of an item. Unless it has all, more may follow."""
    known, text = known.strip(), text.strip()
    return known == text if has_all and text else known.startswith(text)


def _count_characters(text: str, units: int) -> int:
    """Return how many characters the words have that so many units hold."""
    end = 0
    for word in WORD.finditer(text):
        units -= count_units(word.group())
        if units < 0:
            return end
        end = word.end()
    return len(text)

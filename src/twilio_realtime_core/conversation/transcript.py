"""The transcript of a content part, and how much of it was heard.

The words are received ahead of their audio, in any number of pieces, and nothing shows where in the
audio a word is. So the words that were heard are estimated in proportion to the audio, in whole
words, and rather too few than too many. The proportion is that of the words received when the part
was cut: later words belong to audio that was not heard.
"""

import re
from typing import Final

from attrs import define, field

from ..values.items import AudioPart, ContentPart, TextPart

__all__ = ["MAX_CHARACTERS", "Transcript"]

MAX_CHARACTERS: Final = 100_000
"""The longest transcript that is kept: an hour of fast speech has 60,000 characters."""

_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""A word, which ends at a space. Chinese and Japanese have no spaces: there each character counts
as a word."""


@define
class Transcript:
    """The words of a content part, spoken or written."""

    is_spoken: bool
    text: str | None = field(default=None, repr=False)
    """The words received so far; `None`: none."""
    heard_ms: int | None = None
    """How much audio was heard; `None`: the part was not cut."""
    _sent_ms: int | None = None
    _characters_at_cut: int = 0

    def append(self, delta: str) -> None:
        """Append a piece of the transcript."""
        if self.text is None or len(self.text) < MAX_CHARACTERS:
            self.text = ((self.text or "") + delta)[:MAX_CHARACTERS]

    def complete(self, text: str) -> None:
        """Set the whole transcript; an empty one does not replace the words received so far."""
        if text or self.text is None:
            self.text = text[:MAX_CHARACTERS]

    def update_from_item(self, text: str | None) -> None:
        """Set the transcript of the item, unless words were received: the item may lag behind."""
        if text is not None and not self.text:
            self.text = text[:MAX_CHARACTERS]

    def cut(self, heard_ms: int, sent_ms: int) -> None:
        """Cut the part: of `sent_ms` of its audio, which is all that was received, `heard_ms` were
        heard, and no more will be."""
        self.heard_ms, self._sent_ms = heard_ms, sent_ms
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
        text, heard_ms, sent_ms = self.text, self.heard_ms, self._sent_ms
        if text is None or heard_ms is None or sent_ms is None:
            return None
        received = min(self._characters_at_cut or len(text), len(text))
        limit = received * min(heard_ms, sent_ms) // sent_ms if sent_ms else 0
        if limit == len(text):
            return text
        ends = (word.end() for word in _WORD.finditer(text))
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
            case TextPart(text="") | None:
                return TextPart(self.text or "")
            case _:
                return described

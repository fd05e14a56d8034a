"""What is said in one content part, as it comes, and how much of it was heard.

Words come ahead of their sound, and in any number of pieces; nobody tells where in the sound a word
lies. So what was heard is told in proportion to the audio, in whole words, and rather too little
than too much. The proportion is taken of the words known when the part was cut: those that come
later belong to sound that nobody heard.
"""

import re
from typing import Final

from attrs import define, field

from ..values.items import AudioPart, ContentPart, TextPart

__all__ = ["MAX_CHARACTERS", "Transcript"]

MAX_CHARACTERS: Final = 100_000
"""Characters of a part that are kept: an hour of fast speech has 60,000."""

_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""A word ends at a space. Chinese and Japanese write none: there each character counts as one."""


@define
class Transcript:
    """The words of one content part; `spoken`, or written. `text` is `None` until there are any."""

    is_spoken: bool
    text: str | None = field(default=None, repr=False)
    heard_ms: int | None = None
    """How much audio was heard; `None`: the part was not cut."""
    _sent_ms: int | None = None
    _characters_at_cut: int = 0

    def append(self, delta: str) -> None:
        """More words."""
        if self.text is None or len(self.text) < MAX_CHARACTERS:
            self.text = ((self.text or "") + delta)[:MAX_CHARACTERS]

    def complete(self, text: str) -> None:
        """All the words. None at all do not take away those that are known."""
        if text or self.text is None:
            self.text = text[:MAX_CHARACTERS]

    def update_from_item(self, text: str | None) -> None:
        """The words as an item has them. It may lag behind, so those that came count more."""
        if text is not None and not self.text:
            self.text = text[:MAX_CHARACTERS]

    def cut(self, heard_ms: int, sent_ms: int) -> None:
        """The caller has heard `heard_ms` of the audio, and will hear no more. `sent_ms` is all
        that had come."""
        self.heard_ms, self._sent_ms = heard_ms, sent_ms
        self._characters_at_cut = len(self.text or "")

    def truncate(self, audio_end_ms: int) -> None:
        """The server has forgotten the audio after `audio_end_ms`. Where that was not cut here, the
        proportion is unknown, and so is what was heard."""
        if self.heard_ms is None or audio_end_ms < self.heard_ms:
            self.heard_ms = audio_end_ms

    @property
    def heard_text(self) -> str | None:
        """The beginning that was heard; `None` where the part was not cut, or nothing is known."""
        text, heard_ms, sent_ms = self.text, self.heard_ms, self._sent_ms
        if text is None or heard_ms is None or sent_ms is None:
            return None
        known = min(self._characters_at_cut or len(text), len(text))
        limit = known * min(heard_ms, sent_ms) // sent_ms if sent_ms else 0
        if limit == len(text):
            return text
        ends = (word.end() for word in _WORD.finditer(text))
        return text[: max((end for end in ends if end <= limit), default=0)]

    def split_at_cut(self) -> tuple[str | None, str | None]:
        """The words heard and those not, which together are all; all count as heard of a part that
        was not cut."""
        text, heard = self.text, self.text if self._sent_ms is None else self.heard_text
        return heard, None if text is None or heard is None else text[len(heard) :]

    def to_part(self, described: ContentPart | None = None) -> ContentPart:
        """The part with these words; `known` is what its item says of it, if it does."""
        match described:
            case AudioPart() | None if self.is_spoken:
                return AudioPart(self.text, self.heard_text, self.heard_ms)
            case TextPart(text="") | None:
                return TextPart(self.text or "")
            case _:
                return described

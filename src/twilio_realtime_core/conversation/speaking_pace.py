"""How much the agent can have said in a given time: the pace of its speech, as a call shows it.

The length of a text is counted in units, which follow the time that it takes to say: a letter is
one, a digit five (it is a word), a character of Chinese, Japanese or Korean three; a word has one
more, and at least five. At 150 words a minute, an ordinary pace, that is 12 units a second.
"""

import re
from typing import Final

from attrs import define, frozen

__all__ = ["SpeakingPace", "SpeechPace", "count_text_units", "count_units"]

WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""A word, which ends at a space. Chinese and Japanese have no spaces: there each character counts
as a word."""

_DIGIT: Final = re.compile(r"\d")
_SYLLABLE: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_DIGIT_UNITS: Final = 5
_SYLLABLE_UNITS: Final = 3
_MIN_WORD_UNITS: Final = 5

_FIRST_UNITS: Final = 50
_FIRST_MS: Final = 5_000
"""What is taken for granted before a call has shown anything: five seconds at 10 units a second, a
slow pace of 125 words a minute, since rather too few words are to count as heard."""

_MAX_UNITS_A_SECOND: Final = 20
"""250 words a minute: no voice of the model is faster for long."""


def count_units(word: str) -> int:
    """Return the length of a word, as `WORD` matches it, in units."""
    syllables, digits = len(_SYLLABLE.findall(word)), len(_DIGIT.findall(word))
    if syllables == len(word):
        return syllables * _SYLLABLE_UNITS
    others = len(word) - syllables - digits
    units = 1 + others + syllables * _SYLLABLE_UNITS + digits * _DIGIT_UNITS
    return max(_MIN_WORD_UNITS, units)


def count_text_units(text: str) -> int:
    """Return the length of a text in units."""
    return sum(count_units(word.group()) for word in WORD.finditer(text))


@frozen
class SpeechPace:
    """A pace of speech: `units` in `ms`."""

    units: int
    ms: int

    def units_in(self, duration_ms: int) -> int:
        """Return the most units that are said in a duration."""
        return self.units * duration_ms // self.ms


@define
class SpeakingPace:
    """The pace of the agent in one call, by what it has said so far."""

    _units: int = _FIRST_UNITS
    _ms: int = _FIRST_MS
    """At the usual speed."""
    speed: float = 1.0
    """The speed of the voice that the session is configured with."""

    @property
    def current(self) -> SpeechPace:
        """The pace by now."""
        most_units = self._ms * _MAX_UNITS_A_SECOND // 1000
        return SpeechPace(min(self._units, most_units), round(self._ms / self.speed))

    @property
    def fastest(self) -> SpeechPace:
        """The pace that no voice of the model exceeds for long."""
        return SpeechPace(_MAX_UNITS_A_SECOND, round(1000 / self.speed))

    def learn(self, text: str, duration_ms: int) -> None:
        """Learn from a text that took so long to say."""
        self._units += count_text_units(text)
        self._ms += round(duration_ms * self.speed)

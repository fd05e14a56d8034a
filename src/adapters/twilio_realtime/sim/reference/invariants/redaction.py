"""How a notification may show the words of a peer: on one line, shortened, without secrets."""

import re
from typing import Final

from ..limits import MAX_SHOWN_CHARACTERS

__all__ = ["may_quote", "may_show"]

_HIDDEN: Final = "[hidden]"
_CUT: Final = "…"

_SUSPECT: Final = re.compile(
    r"(?i)\d[\d ().-]{6,}\d"  # a phone number, or something like one
    r"|\b(?:sk|ek|pk|rk|sess)[-_]|\bbearer\b"  # keys and tokens of OpenAI
    r"|\b(?:ac|sk)[0-9a-f]{32}\b"  # accounts and keys of Twilio
)
"""Words that may be a secret: they may be hidden."""

_SECRET: Final = re.compile(r"\bsk-\w{8}|\bAC[0-9a-f]{32}\b|\+\d{8}")
"""Words that certainly are one: they have to be hidden."""


def may_show(shown: str | None, words: str | None) -> bool:
    """Whether `shown` is how a notification may show words of a peer."""
    if shown is None or words is None:
        return shown is words
    if _SECRET.search(shown):
        return False
    line = " ".join("".join(each if each.isprintable() else " " for each in words).split())
    if len(words) <= MAX_SHOWN_CHARACTERS and not _SUSPECT.search(line):
        return shown == line
    pattern = ".+".join(map(re.escape, shown.removesuffix(_CUT).split(_HIDDEN)))
    return re.match(pattern, line) is not None


def may_quote(message: str, words: str) -> bool:
    """Whether a message may end with words of a peer, after other words and a colon."""
    parts = message.split(": ")
    return any(may_show(": ".join(parts[start:]), words) for start in range(len(parts)))

"""What happens in a world: one call of a machine after another."""

import json
from typing import Final, cast

from attrs import frozen

__all__ = ["Step"]

_SHOWN: Final = 160
"""Characters of a value in the text of a step."""

_MESSAGE: Final = 240
"""Characters of a message: a kind, and four ids of a server."""

_WORDS: Final = 40
"""Characters of a string within a message."""

_TELLING: Final = frozenset(
    {
        *("type", "event", "id", "name", "status", "reason", "code", "message"),
        *("streamSid", "response_id", "item_id", "previous_item_id", "call_id", "event_id"),
        *("audio_start_ms", "audio_end_ms", "digit", "timestamp", "transcript", "arguments"),
    }
)
"""Fields that say what a message is about, also in an object within it."""

_DETAILS: Final = frozenset({"audio", "content", "usage", "tools", "turn_detection"})
"""Objects that tell nothing of that: what is said, and how a session is set up."""


@frozen
class Step:
    """One call of a machine: when (ns), which, its method, what it was told, what it asked for.

    As text, a message in JSON has its kind, its ids, and what else tells most.
    """

    when: int
    machine: str
    method: str
    arguments: tuple[object, ...]
    outputs: tuple[object, ...]

    def __str__(self) -> str:
        told = ", ".join(map(_show, self.arguments))
        lines = [f"{self.when / 1e6:12.3f} ms  {self.machine}.{self.method}({told})"]
        return "\n".join([*lines, *(f"{'':18}-> {_show(output)}" for output in self.outputs)])


def _show(value: object) -> str:
    match value:
        case bytes():
            return f"<{len(value)} bytes>"
        case str() if telling := _telling_of(value):
            return _cut(json.dumps(telling, separators=(",", ":"), ensure_ascii=False), _MESSAGE)
        case _:
            return _cut(repr(value), _SHOWN)


def _telling_of(text: str) -> object:
    """What tells most of a message; nothing of what is none."""
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict):
        # Only that of another event tells something: an error names the one that it is about.
        fields = cast("dict[str, object]", message)
        return _pick({name: value for name, value in fields.items() if name != "event_id"})
    return _pick(message)


def _pick(value: object) -> object:
    """Of an object or a list, what tells, if anything; nothing of any other value."""
    match value:
        case dict():
            fields = cast("dict[str, object]", value)
            picked = {n: _plain(v) if n in _TELLING else _pick(v) for n, v in fields.items()}
            return {n: v for n, v in picked.items() if n in _TELLING or (v and n not in _DETAILS)}
        case list():
            return [each for each in map(_pick, cast("list[object]", value)) if each]
        case _:
            return None


def _plain(value: object) -> object:
    """A field that tells, as a whole unless it is long."""
    if isinstance(value, str):
        return _cut(value, _WORDS)
    picked = _pick(value)
    return value if picked is None else picked


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"

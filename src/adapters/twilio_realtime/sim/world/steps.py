"""What happens in a world: one call of a machine after another."""

import json
from typing import Final, cast

from attrs import frozen

__all__ = ["Step"]

_MAX_VALUE_CHARACTERS: Final = 160
"""Characters of a value in the text of a step."""

_MAX_MESSAGE_CHARACTERS: Final = 240
"""Characters of a message: a kind, and four ids of a server."""

_MAX_STRING_CHARACTERS: Final = 40
"""Characters of a string within a message."""

_SHOWN_FIELDS: Final = frozenset(
    {
        *("type", "event", "id", "name", "status", "reason", "code", "message"),
        *("streamSid", "response_id", "item_id", "previous_item_id", "call_id", "event_id"),
        *("audio_start_ms", "audio_end_ms", "digit", "timestamp", "transcript", "arguments"),
    }
)
"""Fields that say what a message is about, also in an object within it."""

_HIDDEN_OBJECTS: Final = frozenset({"audio", "content", "usage", "tools", "turn_detection"})
"""Objects that tell nothing of that: what is said, and how a session is set up."""


@frozen
class Step:
    """One call of a machine: when (ns), which, its method, what it was told, what it asked for.

    As text, a message in JSON has its kind, its ids, and what else tells most.
    """

    at_ns: int
    machine: str
    method: str
    arguments: tuple[object, ...]
    outputs: tuple[object, ...]

    def __str__(self) -> str:
        told = ", ".join(map(_format_value, self.arguments))
        lines = [f"{self.at_ns / 1e6:12.3f} ms  {self.machine}.{self.method}({told})"]
        return "\n".join(
            [*lines, *(f"{'':18}-> {_format_value(output)}" for output in self.outputs)]
        )


def _format_value(value: object) -> str:
    match value:
        case bytes():
            return f"<{len(value)} bytes>"
        case str() if telling := _summarise(value):
            return _shorten(
                json.dumps(telling, separators=(",", ":"), ensure_ascii=False),
                _MAX_MESSAGE_CHARACTERS,
            )
        case _:
            return _shorten(repr(value), _MAX_VALUE_CHARACTERS)


def _summarise(text: str) -> object:
    """What tells most of a message; nothing of what is none."""
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict):
        # Only that of another event tells something: an error names the one that it is about.
        fields = cast("dict[str, object]", message)
        return _shown_part({name: value for name, value in fields.items() if name != "event_id"})
    return _shown_part(message)


def _shown_part(value: object) -> object:
    """Of an object or a list, what tells, if anything; nothing of any other value."""
    match value:
        case dict():
            fields = cast("dict[str, object]", value)
            picked = {
                n: _format_field(v) if n in _SHOWN_FIELDS else _shown_part(v)
                for n, v in fields.items()
            }
            return {
                n: v
                for n, v in picked.items()
                if n in _SHOWN_FIELDS or (v and n not in _HIDDEN_OBJECTS)
            }
        case list():
            return [each for each in map(_shown_part, cast("list[object]", value)) if each]
        case _:
            return None


def _format_field(value: object) -> object:
    """A field that tells, as a whole unless it is long."""
    if isinstance(value, str):
        return _shorten(value, _MAX_STRING_CHARACTERS)
    picked = _shown_part(value)
    return value if picked is None else picked


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"

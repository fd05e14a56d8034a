"""Steps of a world, and how they read as text."""

import json
from typing import Final, cast

from attrs import frozen

__all__ = ["Step"]

_MAX_VALUE_CHARACTERS: Final = 160
"""The most characters of a value in the text of a step."""

_MAX_MESSAGE_CHARACTERS: Final = 240
"""The most characters of a message: a kind, and four ids of a server."""

_MAX_STRING_CHARACTERS: Final = 40
"""The most characters of a string within a message."""

_SHOWN_FIELDS: Final = frozenset(
    {
        *("type", "event", "id", "name", "status", "reason", "code", "message"),
        *("streamSid", "response_id", "item_id", "previous_item_id", "call_id", "event_id"),
        *("audio_start_ms", "audio_end_ms", "digit", "timestamp", "transcript", "arguments"),
    }
)
"""Fields that are shown, also in nested objects: the kind of a message, and what it refers to."""

_HIDDEN_OBJECTS: Final = frozenset({"audio", "content", "usage", "tools", "turn_detection"})
"""Objects that are not searched for shown fields: contents, and settings of sessions."""


@frozen
class Step:
    """One call of a machine: the time (ns), the machine's name, the method, its arguments, and the
    actions that it returned.

    As text, a JSON message is reduced to its kind, its ids and its other short fields.
    """

    at_ns: int
    machine: str
    method: str
    arguments: tuple[object, ...]
    outputs: tuple[object, ...]

    def __str__(self) -> str:
        arguments = ", ".join(map(_format_value, self.arguments))
        lines = [f"{self.at_ns / 1e6:12.3f} ms  {self.machine}.{self.method}({arguments})"]
        return "\n".join(
            [*lines, *(f"{'':18}-> {_format_value(output)}" for output in self.outputs)]
        )


def _format_value(value: object) -> str:
    match value:
        case bytes():
            return f"<{len(value)} bytes>"
        case str() if summary := _summarise(value):
            return _shorten(
                json.dumps(summary, separators=(",", ":"), ensure_ascii=False),
                _MAX_MESSAGE_CHARACTERS,
            )
        case _:
            return _shorten(repr(value), _MAX_VALUE_CHARACTERS)


def _summarise(text: str) -> object:
    """Return the shown fields of a message; `None` if the text is no message."""
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(message, dict):
        # Its own event id is of no use; that within an error names the event that caused it.
        fields = cast("dict[str, object]", message)
        return _shown_part({name: value for name, value in fields.items() if name != "event_id"})
    return _shown_part(message)


def _shown_part(value: object) -> object:
    """Return the shown fields of an object, or of the objects of a list; `None` for any other
    value."""
    match value:
        case dict():
            fields = cast("dict[str, object]", value)
            shown = {
                n: _format_field(v) if n in _SHOWN_FIELDS else _shown_part(v)
                for n, v in fields.items()
            }
            return {
                n: v
                for n, v in shown.items()
                if n in _SHOWN_FIELDS or (v and n not in _HIDDEN_OBJECTS)
            }
        case list():
            return [each for each in map(_shown_part, cast("list[object]", value)) if each]
        case _:
            return None


def _format_field(value: object) -> object:
    """Return the value of a shown field, shortened if it is a long string."""
    if isinstance(value, str):
        return _shorten(value, _MAX_STRING_CHARACTERS)
    shown = _shown_part(value)
    return value if shown is None else shown


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"

"""JSON text and base64 as the judges read them, with the standard library alone.

The core reads and writes messages with another library, so that neither shares the mistakes of the
other. The messages themselves are in `received` and `sent`.
"""

import json
from binascii import a2b_base64
from collections.abc import Mapping
from functools import lru_cache
from math import isinf
from typing import Any, Final, NoReturn, TypeGuard, cast

__all__ = [
    "WrongField",
    "count_samples",
    "decode_audio",
    "is_list",
    "is_object",
    "read_number",
    "read_object",
    "read_text",
    "read_whole_number",
    "require_object",
    "require_text",
    "require_whole_number",
    "to_json",
]


class WrongField(Exception):  # noqa: N818 - the message is wrong, not the program
    """A field that a message needs is missing, or a field has the wrong type."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_float(digits: str) -> float:
    value = float(digits)
    if isinf(value):
        raise ValueError("a number is out of range")
    return value


_read_value: Final = json.JSONDecoder(
    parse_float=_read_float, parse_constant=_refuse_constant
).raw_decode

_SPACE: Final = " \t\n\r"
"""White space of JSON (RFC 8259, section 2)."""


def read_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is; `None` for any other text.

    JSON text is Unicode, so a lone surrogate is not JSON (RFC 8259, section 8).
    """
    text = text.strip(_SPACE)
    try:
        value, end = _read_value(text)
        if not text.isascii() or "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    is_object = isinstance(value, dict) and end == len(text)
    return cast(dict[str, Any], value) if is_object else None


def to_json(value: object) -> Any:
    """Return a value as the JSON that a peer reads: lists for tuples, objects for mappings."""
    return json.loads(json.dumps(value, default=_as_plain), parse_constant=lambda _: None)


def _as_plain(value: Any) -> object:
    return dict(cast(Mapping[str, Any], value)) if isinstance(value, Mapping) else str(value)


@lru_cache(32)  # most frames are silence
def count_samples(payload: str) -> int | None:
    """Return the samples of a base64 payload; `None` if it is not base64, or is empty."""
    audio = decode_audio(payload)
    return None if audio is None else len(audio)


@lru_cache(32)  # the same audio is judged and then applied, and most frames are silence
def decode_audio(payload: str) -> bytes | None:
    """Return the audio of a base64 payload; `None` if it is not base64, or is empty: the standard
    alphabet with padding, without line breaks (RFC 4648, section 4)."""
    if len(payload) % 4:
        return None  # which the standard library takes if all that is too much is padding
    try:
        return a2b_base64(payload, strict_mode=True) or None
    except ValueError:
        return None


# Fields. What is missing may be missing unless it is required; what is there has its type.


def require_text(fields: Mapping[str, Any], name: str) -> str:
    """Return a text. Raises `WrongField` if it is missing, or not a text."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise WrongField(name)
    return value


def read_text(fields: Mapping[str, Any], name: str, default: str | None = None) -> str | None:
    """Return a text, or `None` for null. Raises `WrongField` if it is of another type."""
    value = fields.get(name, default)
    if value is not None and not isinstance(value, str):
        raise WrongField(name)
    return value


def require_object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object. Raises `WrongField` if it is missing, or not an object."""
    value = fields.get(name)
    if not isinstance(value, dict):
        raise WrongField(name)
    return cast(dict[str, Any], value)


def require_whole_number(fields: Mapping[str, Any], name: str) -> int:
    """Return a whole number. Raises `WrongField` if it is missing, or not a whole number of at
    least 0."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WrongField(name)
    return value


def read_whole_number(fields: Mapping[str, Any], name: str, default: int) -> int:
    """Return a whole number. Raises `WrongField` if it is of another type."""
    return require_whole_number(fields, name) if name in fields else default


def read_number(fields: Mapping[str, Any], name: str) -> float | None:
    """Return a number, or `None` for null. Raises `WrongField` if it is of another type."""
    value = fields.get(name)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise WrongField(name)
    return value


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value is a JSON array."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a JSON object."""
    return isinstance(value, dict)

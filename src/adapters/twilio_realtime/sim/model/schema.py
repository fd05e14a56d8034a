"""Checks of JSON against what a field may hold, with the error texts of the Realtime API.

A check takes a value and its dotted path and returns `None` or an `ErrorBody`. The functions below
build checks out of checks, so that a whole event is one table. Codes and texts: the API reference's
`error` event, and the errors that clients have reported.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeGuard

from attrs import frozen

__all__ = [
    "ErrorBody",
    "FieldCheck",
    "JsonObject",
    "any_value",
    "array",
    "boolean",
    "decimal",
    "either",
    "enum",
    "free_form",
    "integer",
    "is_object",
    "list_values",
    "missing_parameter",
    "nullable",
    "record",
    "string",
    "string_map",
    "tagged",
]

JsonObject: TypeAlias = dict[str, Any]

MAX_NESTING = 64
"""How deep a free-form value may nest. No tool's schema comes near it, and any answer that echoes
the value can be encoded."""


@frozen
class ErrorBody:
    """The body of an `error` event, without the client's `event_id`."""

    code: str | None
    message: str
    param: str | None = None
    type: str = "invalid_request_error"


FieldCheck: TypeAlias = Callable[[Any, str], ErrorBody | None]
"""Checks a value at a dotted path."""


def any_value(value: object, path: str) -> None:
    """Accept any value."""


def free_form(value: object, path: str) -> ErrorBody | None:
    """Accept any JSON that does not nest too deep."""
    layer, depth = [value], 0
    while layer:
        depth += 1
        if depth > MAX_NESTING:
            return ErrorBody("invalid_value", f"Invalid '{path}': nested too deeply.", path)
        layer = [inner for outer in layer for inner in _inner_values(outer)]
    return None


def string(longest: int | None = None) -> FieldCheck:
    """Return a check for strings of at most `longest` characters."""

    def check(value: object, path: str) -> ErrorBody | None:
        if not isinstance(value, str):
            return _wrong_type(path, "a string", value)
        if longest is not None and len(value) > longest:
            message = (
                f"Invalid '{path}': string too long. Expected a string with maximum length "
                f"{longest}, but got a string with length {len(value)} instead."
            )
            return ErrorBody("string_above_max_length", message, path)
        return None

    return check


def integer(low: int | None = None, high: int | None = None) -> FieldCheck:
    """Return a check for integers from `low` to `high`."""

    def check(value: object, path: str) -> ErrorBody | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return _wrong_type(path, "an integer", value)
        return _out_of_range("integer", value, path, low, high)

    return check


def decimal(low: float, high: float) -> FieldCheck:
    """Return a check for numbers from `low` to `high`."""

    def check(value: object, path: str) -> ErrorBody | None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return _wrong_type(path, "a decimal", value)
        return _out_of_range("decimal", value, path, low, high)

    return check


def boolean(value: object, path: str) -> ErrorBody | None:
    """Accept `true` and `false`."""
    return None if isinstance(value, bool) else _wrong_type(path, "a boolean", value)


def enum(*values: str) -> FieldCheck:
    """Return a check for one of some strings."""

    def check(value: object, path: str) -> ErrorBody | None:
        if not isinstance(value, str):
            return _wrong_type(path, f"one of {list_values(values)}", value)
        if value not in values:
            message = f"Invalid value: '{value}'. Supported values are: {list_values(values)}."
            return ErrorBody("invalid_value", message, path)
        return None

    return check


def nullable(inner: FieldCheck) -> FieldCheck:
    """Return a check for `null` and what `inner` accepts."""
    return lambda value, path: None if value is None else inner(value, path)


def either(kinds: Mapping[type[Any], FieldCheck], expected: str) -> FieldCheck:
    """Return a check for values that are checked by their JSON type; `expected` names the types."""

    def check(value: object, path: str) -> ErrorBody | None:
        inner = kinds.get(type(value))
        return _wrong_type(path, expected, value) if inner is None else inner(value, path)

    return check


def array(inner: FieldCheck) -> FieldCheck:
    """Return a check for lists of values that `inner` accepts."""

    def check(value: object, path: str) -> ErrorBody | None:
        if not _is_array(value):
            return _wrong_type(path, "an array", value)
        return _first_error(inner(entry, f"{path}[{at}]") for at, entry in enumerate(value))

    return check


def record(fields: Mapping[str, FieldCheck], *required: str) -> FieldCheck:
    """Return a check for objects with only these fields, and all of the required ones."""

    def check(value: object, path: str) -> ErrorBody | None:
        if not is_object(value):
            return _wrong_type(path, "an object", value)
        for name in required:
            if name not in value:
                return missing_parameter(_join_path(path, name))
        for name, entry in value.items():
            inner, at = fields.get(name), _join_path(path, name)
            if inner is None:
                return ErrorBody("unknown_parameter", f"Unknown parameter: '{at}'.", at)
            if refusal := inner(entry, at):
                return refusal
        return None

    return check


def tagged(kinds: Mapping[str, FieldCheck], tag: str = "type") -> FieldCheck:
    """Return a check for objects that are checked by the value of their field `tag`."""
    check_tag = enum(*kinds)

    def check(value: object, path: str) -> ErrorBody | None:
        if not is_object(value):
            return _wrong_type(path, "an object", value)
        at = _join_path(path, tag)
        if tag not in value:
            return missing_parameter(at)
        return check_tag(value[tag], at) or kinds[value[tag]](value, path)

    return check


def string_map(pairs: int, longest_key: int, longest_value: int) -> FieldCheck:
    """Return a check for objects of strings, with limits on their number and lengths."""
    check_key, check_value = string(longest_key), string(longest_value)

    def check(value: object, path: str) -> ErrorBody | None:
        if not is_object(value):
            return _wrong_type(path, "an object", value)
        if len(value) > pairs:
            message = (
                f"Invalid '{path}': too many properties. Expected an object with at most {pairs} "
                f"properties, but got an object with {len(value)} properties instead."
            )
            return ErrorBody("object_above_max_properties", message, path)
        return _first_error(
            check_key(key, path) or check_value(entry, _join_path(path, key))
            for key, entry in value.items()
        )

    return check


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Return whether decoded JSON is an object."""
    return isinstance(value, dict)


def missing_parameter(path: str) -> ErrorBody:
    """Return the error for a required field that is missing."""
    return ErrorBody("missing_required_parameter", f"Missing required parameter: '{path}'.", path)


def list_values(values: tuple[str, ...]) -> str:
    """Return `'a', 'b', and 'c'`, as the API lists what it supports."""
    quoted = [f"'{value}'" for value in values]
    match quoted:
        case [only]:
            return only
        case [first, second]:
            return f"{first} and {second}"
        case _:
            return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


_TYPE_NAMES: dict[type[Any], str] = {
    bool: "a boolean",
    dict: "an object",
    float: "a decimal",
    int: "an integer",
    list: "an array",
    str: "a string",
    type(None): "null",
}


def _wrong_type(path: str, expected: str, value: object) -> ErrorBody:
    got = _TYPE_NAMES[type(value)]
    message = f"Invalid type for '{path}': expected {expected}, but got {got} instead."
    return ErrorBody("invalid_type", message, path)


def _out_of_range(
    kind: str, value: float, path: str, low: float | None, high: float | None
) -> ErrorBody | None:
    if low is not None and value < low:
        side, word, relation, limit = "min", "below minimum", ">=", low
    elif high is not None and value > high:
        side, word, relation, limit = "max", "above maximum", "<=", high
    else:
        return None
    message = (
        f"Invalid '{path}': {kind} {word} value. Expected a value {relation} {limit}, "
        f"but got {value} instead."
    )
    return ErrorBody(f"{kind}_{'below' if side == 'min' else 'above'}_{side}_value", message, path)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _join_path(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _inner_values(value: object) -> list[Any]:
    if is_object(value):
        return list(value.values())
    return value if _is_array(value) else []


def _first_error(refusals: Iterable[ErrorBody | None]) -> ErrorBody | None:
    return next((refusal for refusal in refusals if refusal is not None), None)

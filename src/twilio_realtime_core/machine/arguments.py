"""Checks of arguments: what the program that drives a machine gives to its methods and values.

A wrong argument is misuse. It is refused where it is given, before anything changes, by one
`LocalProtocolError` that names the argument, the type or the range that it must have, its unit, and
the type that was given, or what is wrong with its form. The message never contains the value of a
text, which may be a key.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

import attrs
import msgspec
from attrs import field, frozen
from msgspec import UNSET

from ..errors import LocalProtocolError

__all__ = [
    "BOOLEAN",
    "BYTES",
    "CALLABLE",
    "MAPPING",
    "MAX_MS",
    "MIN_TIMEOUT_MS",
    "NON_EMPTY_TEXT",
    "NULL",
    "TEXT",
    "UNICODE",
    "FieldRule",
    "check_instant",
    "check_json",
    "check_time",
    "instance_of",
    "integer",
    "list_of",
    "milliseconds",
    "number",
    "one_of",
    "text",
    "well_formed",
]

MAX_MS: Final = 2**31 - 1
"""The longest duration that a timer of 32-bit milliseconds holds: 24 days, and a session lasts an
hour. A longer one was meant in another unit."""

MIN_TIMEOUT_MS: Final = 100
"""The shortest time-out of a peer: no network answers sooner. A shorter one was meant in
seconds."""


@frozen
class FieldRule:
    """A rule for the value of an argument or a field; it can be used as an attrs validator. `a | b`
    accepts what either accepts; a field whose default is `UNSET` may be `UNSET`.

    As a validator it raises `LocalProtocolError`, which names the field, the rule and the type that
    was given, and does not contain the value.
    """

    description: str
    """What the value must be, to complete "the field must be …"."""
    accepts: Callable[[Any], bool] = field(repr=False)
    """Whether a value follows the rule."""
    shows_numbers: bool = False
    """Whether the message contains a number that was given: it is no secret, and shows the unit."""
    find_fault: Callable[[Any], str | None] = field(default=lambda _value: None, repr=False)
    """Returns what is wrong with the form of a value of the right type. `None`: nothing, or its
    type is wrong."""

    def __or__(self, other: "FieldRule") -> "FieldRule":
        return FieldRule(
            f"{self.description}, or {other.description}",
            lambda value: self.accepts(value) or other.accepts(value),
            self.shows_numbers or other.shows_numbers,
            lambda value: self.find_fault(value) or other.find_fault(value),
        )

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        """Check a field of an attrs class."""
        is_absent = value is UNSET and attribute.default is UNSET
        if not is_absent and not self.accepts(value):
            self._refuse(f"{type(instance).__name__}.{attribute.name.lstrip('_')}", value)

    def check(self, name: str, value: object) -> None:
        """Check an argument. Raises `LocalProtocolError`, which names it."""
        if not self.accepts(value):
            self._refuse(name, value)

    def _refuse(self, name: str, value: object) -> NoReturn:
        match value:
            case None:
                given = ", not None"
            case type():
                given = f", not the class {value.__name__}"
            case bool() | int() | float() if self.shows_numbers:
                given = f", not {value!r}"
            case _:
                fault = self.find_fault(value)
                given = f", not {type(value).__name__}" if fault is None else f": {fault}"
        raise LocalProtocolError(f"{name} must be {self.description}{given}")


def well_formed(
    description: str, find_fault: Callable[[Any], str | None], *kinds: type[Any]
) -> FieldRule:
    """Return the rule for a value of one of these classes in which `find_fault` finds no fault. A
    truth value is no number, unless `bool` is one of the classes."""

    def has_type(value: object) -> bool:
        return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)

    return FieldRule(
        description,
        lambda value: has_type(value) and find_fault(value) is None,
        find_fault=lambda value: find_fault(value) if has_type(value) else None,
    )


def text(description: str, minimum: int, maximum: int, characters: str = "") -> FieldRule:
    """Return the rule for text of `minimum` to `maximum` characters, both included, that JSON can
    hold; `characters` are those that it may have, as a set of a regular expression has them ("":
    any)."""
    refused = re.compile(f"[^{characters}]") if characters else None

    def find_fault(value: str) -> str | None:
        if not minimum <= len(value) <= maximum:
            return f"it has {len(value)} characters"
        odd = refused.search(value) if refused else None
        return _find_encoding_fault(value) if odd is None else f"it has {odd[0]!a}"

    return well_formed(description, find_fault, str)


def _find_encoding_fault(value: str | float | None) -> str | None:
    """Return why JSON cannot hold a text, a number, a truth value or null."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"it is {value}"
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return "it has lone surrogates"
    except TypeError:
        return f"it is of the class {type(value).__name__}"
    return None


NULL: Final = FieldRule("None", lambda value: value is None)
"""Null, which switches a feature off."""
TEXT: Final = FieldRule("text", lambda value: isinstance(value, str))
"""Any text."""
NON_EMPTY_TEXT: Final = well_formed(
    "text that is not empty",
    lambda value: _find_encoding_fault(value) if value else "it is empty",
    str,
)
"""Any text that JSON can hold but the empty one."""
UNICODE: Final = well_formed("text", _find_encoding_fault, str)
"""Any text that JSON can hold: it has no lone surrogates, and is of no subclass of `str`."""
BYTES: Final = FieldRule("bytes", lambda value: isinstance(value, bytes))
"""Bytes."""
BOOLEAN: Final = FieldRule("True or False", lambda value: isinstance(value, bool))
"""A truth value."""
MAPPING: Final = FieldRule("a mapping", lambda value: isinstance(value, Mapping))
"""An object of the protocol, given as a mapping."""
CALLABLE: Final = FieldRule("callable", callable)
"""A function, or anything else that can be called."""


def instance_of(*kinds: type[Any]) -> FieldRule:
    """Return the rule for an object of one of these classes."""
    return FieldRule(
        " or ".join(kind.__name__ for kind in kinds), lambda value: isinstance(value, kinds)
    )


def number(minimum: float, maximum: float) -> FieldRule:
    """Return the rule for a number from `minimum` to `maximum`, both included."""
    return _in_range(f"{minimum} to {maximum}", minimum, maximum, int, float)


def _in_range(description: str, minimum: float, maximum: float, *kinds: type[Any]) -> FieldRule:
    def find_fault(value: float) -> str | None:
        return None if minimum <= value <= maximum else "it is out of range"

    return well_formed(description, find_fault, *kinds)


def integer(minimum: int, maximum: int) -> FieldRule:
    """Return the rule for a whole number from `minimum` to `maximum`, both included."""
    return _in_range(f"a whole number from {minimum} to {maximum}", minimum, maximum, int)


def milliseconds(minimum: int, maximum: int = MAX_MS) -> FieldRule:
    """Return the rule for a duration in whole milliseconds."""
    in_range = integer(minimum, maximum)
    return FieldRule(f"{minimum} to {maximum} ms (int)", in_range.accepts, shows_numbers=True)


def one_of(*values: str) -> FieldRule:
    """Return the rule for one of these strings."""
    return well_formed(
        " or ".join(map(repr, values)),
        lambda value: _find_encoding_fault(value) if value in values else "it is another text",
        str,
    )


def list_of(item_rule: FieldRule, min_length: int = 0) -> FieldRule:
    """Return the rule for a list or tuple whose items all follow `item_rule`."""

    def find_fault(items: Sequence[Any]) -> str | None:
        if len(items) < min_length:
            return f"it has {len(items)}"
        wrong = (index for index, item in enumerate(items) if not item_rule.accepts(item))
        return next((f"item {index} is not" for index in wrong), None)

    length = f"at least {min_length}" if min_length else "any number"
    description = f"a list or tuple, {length}, each {item_rule.description}"
    return well_formed(description, find_fault, list, tuple)


_JSON_VALUE: Final = well_formed(
    "JSON data", _find_encoding_fault, str, int, float, bool, type(None)
)


def check_json(name: str, value: object) -> None:
    """Check that a value is JSON data: objects and lists of text, finite numbers, truth values and
    null. What an encoder would write as one of them, such as bytes or a date, is none.

    Raises `LocalProtocolError`, which names the place in the value.
    """
    try:
        _check_json(name, value)
    except RecursionError:
        raise LocalProtocolError(f"{name} must be JSON data: it is nested too deeply") from None


def _check_json(name: str, value: Any) -> None:
    match value:
        case dict():
            for key, each in cast("dict[object, object]", value).items():
                UNICODE.check(f"each name in {name}", key)
                _check_json(f"{name}.{key}", each)
        case list() | tuple():
            for index, each in enumerate(cast(Sequence[object], value)):
                _check_json(f"{name}[{index}]", each)
        case _:
            _JSON_VALUE.check(name, value)


_INSTANT: Final = FieldRule(
    "an instant of a monotonic clock in whole nanoseconds (int), such as time.monotonic_ns()",
    lambda value: isinstance(value, int) and not isinstance(value, bool),
    shows_numbers=True,
)


def check_instant(now: object) -> None:
    """Raise `LocalProtocolError` unless `now` is an instant, in whole ns."""
    _INSTANT.check("now", now)


def check_time(now: int, last_ns: int | None) -> None:
    """Raise `LocalProtocolError` unless `now` can be the time of an input: an instant that is not
    before `last_ns`, that of the input before it; `None`: `start` was not called."""
    check_instant(now)
    if last_ns is None:
        raise LocalProtocolError("start() must be called before anything else: it is not started")
    if now < last_ns:
        raise LocalProtocolError(f"time runs backwards, from {last_ns} to {now} ns")

"""Checks of arguments: what the program that drives a machine gives to its methods and values.

A wrong argument is misuse. It is refused where it is given, before anything changes, by one
`LocalProtocolError` that names the argument, the type or the range that it must have, its unit, and
the type that was given. The message never contains the value of a text, which may be a key.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, cast

import attrs
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
    "FieldRule",
    "check_instant",
    "check_time",
    "instance_of",
    "integer",
    "list_of",
    "milliseconds",
    "number",
    "one_of",
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
    accepts what either accepts; an absent field (`UNSET`) is always accepted.

    As a validator it raises `LocalProtocolError`, which names the field, the rule and the type that
    was given, and does not contain the value.
    """

    description: str
    """What the value must be, to complete "the field must be …"."""
    accepts: Callable[[Any], bool] = field(repr=False)
    """Whether a value follows the rule."""
    shows_numbers: bool = False
    """Whether the message contains a number that was given: it is no secret, and shows the unit."""

    def __or__(self, other: "FieldRule") -> "FieldRule":
        return FieldRule(
            f"{self.description}, or {other.description}",
            lambda value: self.accepts(value) or other.accepts(value),
            self.shows_numbers or other.shows_numbers,
        )

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        """Check a field of an attrs class."""
        if value is not UNSET and not self.accepts(value):
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
            case int() if not isinstance(value, bool):
                given = ""  # out of range
            case _:
                given = f", not {type(value).__name__}"
        raise LocalProtocolError(f"{name} must be {self.description}{given}")


NULL: Final = FieldRule("None", lambda value: value is None)
"""Null, which switches a feature off."""
TEXT: Final = FieldRule("text", lambda value: isinstance(value, str))
"""Any text."""
NON_EMPTY_TEXT: Final = FieldRule(
    "text that is not empty", lambda value: isinstance(value, str) and value != ""
)
"""Any text but the empty one."""
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

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and minimum <= value <= maximum
        )

    return FieldRule(f"{minimum} to {maximum}", accepts)


def integer(minimum: int, maximum: int) -> FieldRule:
    """Return the rule for a whole number from `minimum` to `maximum`, both included."""
    in_range = number(minimum, maximum)
    return FieldRule(
        f"a whole number from {in_range.description}",
        lambda value: isinstance(value, int) and in_range.accepts(value),
    )


def milliseconds(minimum: int, maximum: int = MAX_MS) -> FieldRule:
    """Return the rule for a duration in whole milliseconds."""
    in_range = integer(minimum, maximum)
    return FieldRule(f"{minimum} to {maximum} ms (int)", in_range.accepts, shows_numbers=True)


def one_of(*values: str) -> FieldRule:
    """Return the rule for one of these strings."""
    return FieldRule(" or ".join(map(repr, values)), lambda value: value in values)


def list_of(item_rule: FieldRule, min_length: int = 0) -> FieldRule:
    """Return the rule for a list or tuple whose items all follow `item_rule`."""

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(cast(Sequence[Any], value)) >= min_length
            and all(item_rule.accepts(item) for item in cast(Sequence[Any], value))
        )

    length = f"at least {min_length}" if min_length else "any number"
    return FieldRule(f"a list or tuple, {length}, each {item_rule.description}", accepts)


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

"""What a field of a session may hold: absent, null, or a value within its documented range.

Absent is not null. An absent field is left to the server, or as it is; null is a value, and where
the protocol has it, it switches something off (OpenAI API reference, "Realtime", `session.update`:
only the fields present are changed).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import attrs
from attrs import field, frozen
from msgspec import UNSET, UnsetType

from ..errors import LocalProtocolError

__all__ = [
    "FLAG",
    "MAPPING",
    "NAME",
    "NULL",
    "TEXT",
    "UNSET",
    "Allowed",
    "ProtocolObject",
    "UnsetType",
    "a",
    "as_mapping",
    "number",
    "one_of",
    "present",
    "several",
    "whole",
]


@frozen
class Allowed:
    """What a field may hold; an attrs validator. `a | b` allows either. Absent always is.

    Raises `LocalProtocolError` that says field and range, and not what was given.
    """

    what: str
    holds: Callable[[Any], bool] = field(repr=False)

    def __or__(self, other: "Allowed") -> "Allowed":
        return Allowed(
            f"{self.what}, or {other.what}", lambda value: self.holds(value) or other.holds(value)
        )

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        """Check a field of an attrs class."""
        if value is not UNSET and not self.holds(value):
            raise LocalProtocolError(
                f"{type(instance).__name__}.{attribute.name} must be {self.what}"
            )


NULL: Final = Allowed("None", lambda value: value is None)
TEXT: Final = Allowed("text", lambda value: isinstance(value, str))
NAME: Final = Allowed(
    "text that is not empty", lambda value: isinstance(value, str) and value != ""
)
FLAG: Final = Allowed("True or False", lambda value: isinstance(value, bool))
MAPPING: Final = Allowed("a mapping", lambda value: isinstance(value, Mapping))


def a(*kinds: type["ProtocolObject"]) -> Allowed:
    """An object of one of these classes."""
    return Allowed(
        " or ".join(kind.__name__ for kind in kinds), lambda value: isinstance(value, kinds)
    )


def number(lowest: float, highest: float) -> Allowed:
    """A number in a range, both ends in it."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and lowest <= value <= highest
        )

    return Allowed(f"{lowest} to {highest}", holds)


def whole(lowest: int, highest: int) -> Allowed:
    """A whole number in a range, both ends in it."""
    within = number(lowest, highest)
    return Allowed(
        f"a whole number from {within.what}",
        lambda value: isinstance(value, int) and within.holds(value),
    )


def one_of(*values: str) -> Allowed:
    """One of these words."""
    return Allowed(" or ".join(map(repr, values)), lambda value: value in values)


def several(each: Allowed, at_least: int = 0) -> Allowed:
    """A list or tuple."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(cast(Sequence[Any], value)) >= at_least
            and all(each.holds(one) for one in cast(Sequence[Any], value))
        )

    number_of = f"at least {at_least}" if at_least else "any number"
    return Allowed(f"a list or tuple, {number_of}, each {each.what}", holds)


class ProtocolObject:
    """A frozen attrs class whose fields are those of an object of the protocol."""

    __slots__ = ()
    __attrs_attrs__: ClassVar[tuple[Any, ...]]
    type: ClassVar[str | None] = None
    """The object's own `type`, where it has one."""

    def to_json(self) -> dict[str, Any]:
        """The object as plain data; absent fields are left out."""
        named = {} if self.type is None else {"type": self.type}
        given = {each.name: getattr(self, each.name) for each in self.__attrs_attrs__}
        return {**named, **present(given)}


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not absent, as plain data."""
    return {name: _plain(value) for name, value in fields.items() if value is not UNSET}


def _plain(value: Any) -> Any:
    match value:
        case ProtocolObject():
            return value.to_json()
        case list() | tuple():
            return [_plain(each) for each in cast(Sequence[Any], value)]
        case _:
            return value


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A value if it is a mapping, else an empty one: what is no object has no fields."""
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}

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
    "BOOLEAN",
    "MAPPING",
    "NON_EMPTY_TEXT",
    "NULL",
    "TEXT",
    "UNSET",
    "FieldRule",
    "ProtocolObject",
    "UnsetType",
    "as_mapping",
    "instance_of",
    "integer",
    "list_of",
    "number",
    "one_of",
    "present_fields",
]


@frozen
class FieldRule:
    """What a field may hold; an attrs validator. `a | b` allows either. Absent always is.

    Raises `LocalProtocolError` that says field and range, and not what was given.
    """

    description: str
    accepts: Callable[[Any], bool] = field(repr=False)

    def __or__(self, other: "FieldRule") -> "FieldRule":
        return FieldRule(
            f"{self.description}, or {other.description}",
            lambda value: self.accepts(value) or other.accepts(value),
        )

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        """Check a field of an attrs class."""
        if value is not UNSET and not self.accepts(value):
            raise LocalProtocolError(
                f"{type(instance).__name__}.{attribute.name} must be {self.description}"
            )


NULL: Final = FieldRule("None", lambda value: value is None)
TEXT: Final = FieldRule("text", lambda value: isinstance(value, str))
NON_EMPTY_TEXT: Final = FieldRule(
    "text that is not empty", lambda value: isinstance(value, str) and value != ""
)
BOOLEAN: Final = FieldRule("True or False", lambda value: isinstance(value, bool))
MAPPING: Final = FieldRule("a mapping", lambda value: isinstance(value, Mapping))


def instance_of(*kinds: type["ProtocolObject"]) -> FieldRule:
    """An object of one of these classes."""
    return FieldRule(
        " or ".join(kind.__name__ for kind in kinds), lambda value: isinstance(value, kinds)
    )


def number(minimum: float, maximum: float) -> FieldRule:
    """A number in a range, both ends in it."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and minimum <= value <= maximum
        )

    return FieldRule(f"{minimum} to {maximum}", holds)


def integer(minimum: int, maximum: int) -> FieldRule:
    """A whole number in a range, both ends in it."""
    within = number(minimum, maximum)
    return FieldRule(
        f"a whole number from {within.description}",
        lambda value: isinstance(value, int) and within.accepts(value),
    )


def one_of(*values: str) -> FieldRule:
    """One of these words."""
    return FieldRule(" or ".join(map(repr, values)), lambda value: value in values)


def list_of(item_rule: FieldRule, min_length: int = 0) -> FieldRule:
    """A list or tuple."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(cast(Sequence[Any], value)) >= min_length
            and all(item_rule.accepts(one) for one in cast(Sequence[Any], value))
        )

    number_of = f"at least {min_length}" if min_length else "any number"
    return FieldRule(f"a list or tuple, {number_of}, each {item_rule.description}", holds)


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
        return {**named, **present_fields(given)}


def present_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not absent, as plain data."""
    return {name: _to_json(value) for name, value in fields.items() if value is not UNSET}


def _to_json(value: Any) -> Any:
    match value:
        case ProtocolObject():
            return value.to_json()
        case list() | tuple():
            return [_to_json(each) for each in cast(Sequence[Any], value)]
        case _:
            return value


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A value if it is a mapping, else an empty one: what is no object has no fields."""
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}

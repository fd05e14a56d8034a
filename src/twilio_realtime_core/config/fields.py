"""The values that a field of a session can have: absent, null, or a value in its documented range.

Absent is not null. The server keeps what it has for an absent field. Null is a value, which
switches a feature off; only some fields accept it (OpenAI API reference, "Realtime",
`session.update`: only the fields present are changed,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update).
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
    """A rule for the value of a field, used as an attrs validator. `a | b` accepts what either
    accepts; an absent field is always accepted.

    As a validator it raises `LocalProtocolError`, which names the field and the rule, and does not
    contain the value.
    """

    description: str
    """What the value must be, to complete "the field must be …"."""
    accepts: Callable[[Any], bool] = field(repr=False)
    """Whether a value follows the rule."""

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
"""Null, which switches a feature off."""
TEXT: Final = FieldRule("text", lambda value: isinstance(value, str))
"""Any text."""
NON_EMPTY_TEXT: Final = FieldRule(
    "text that is not empty", lambda value: isinstance(value, str) and value != ""
)
"""Any text but the empty one."""
BOOLEAN: Final = FieldRule("True or False", lambda value: isinstance(value, bool))
"""A truth value."""
MAPPING: Final = FieldRule("a mapping", lambda value: isinstance(value, Mapping))
"""An object of the protocol, given as a mapping."""


def instance_of(*kinds: type["ProtocolObject"]) -> FieldRule:
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


class ProtocolObject:
    """The base of frozen attrs classes whose fields are those of an object of the protocol."""

    __slots__ = ()
    __attrs_attrs__: ClassVar[tuple[Any, ...]]
    type: ClassVar[str | None] = None
    """The object's `type` in the protocol; `None`: it has no such field."""

    def to_json(self) -> dict[str, Any]:
        """Return the object as JSON data, without its absent fields."""
        tag = {} if self.type is None else {"type": self.type}
        fields = {each.name: getattr(self, each.name) for each in self.__attrs_attrs__}
        return {**tag, **present_fields(fields)}


def present_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not absent, as JSON data."""
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
    """Return `value` if it is a mapping, else an empty mapping."""
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}

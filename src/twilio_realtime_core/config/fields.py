"""The values that a field of a session can have: absent, null, or a value in its documented range.
The rules for the values are those of `machine.arguments`.

Absent is not null. The server keeps what it has for an absent field. Null is a value, which
switches a feature off; only some fields accept it (OpenAI API reference, "Realtime",
`session.update`: only the fields present are changed,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from attrs import evolve
from msgspec import UNSET, UnsetType

from ..machine.arguments import (
    BOOLEAN,
    BYTES,
    MAPPING,
    NON_EMPTY_TEXT,
    NULL,
    UNICODE,
    FieldRule,
    instance_of,
    integer,
    list_of,
    number,
    one_of,
    well_formed,
)

__all__ = [
    "ABSENT",
    "AUDIO",
    "BOOLEAN",
    "MAPPING",
    "NON_EMPTY_TEXT",
    "NON_NEGATIVE",
    "NULL",
    "UNICODE",
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
    "read_object",
    "well_formed",
]

AUDIO: Final = evolve(BYTES, description="bytes of µ-law audio")
"""The audio of a clip: G.711 µ-law, 8 kHz, one byte a sample."""
NON_NEGATIVE: Final = well_formed(
    "a number of 0 or more",
    lambda value: None if 0 <= value < math.inf else "it is out of range",
    int,
    float,
)
"""Any finite number that is not negative."""
ABSENT: Final = FieldRule("UNSET", lambda value: value is UNSET)
"""No value, for a field whose default is a value: the server keeps what it has."""

_OBJECT: Final = MAPPING | NULL


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


def read_object(fields: Mapping[str, Any], name: str, owner: str) -> Mapping[str, Any]:
    """Return the object in a field of what the application gives; absent or null has no fields.

    Raises `LocalProtocolError`, which names `owner`, if the field has another value.
    """
    value = fields.get(name)
    _OBJECT.check(f"{owner}.{name}", value)
    return cast(Mapping[str, Any], value or {})


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a mapping, else an empty mapping."""
    # What was decoded is a `dict`, which is recognised at once; an abstract class takes a call.
    return cast(Mapping[str, Any], value) if isinstance(value, (dict, Mapping)) else {}

"""What a field of a session may hold: absent, null, or within its range."""

from typing import Any, Final

import pytest
from attrs import field, frozen

from twilio_realtime_core.config.fields import (
    BOOLEAN,
    MAPPING,
    NON_EMPTY_TEXT,
    NULL,
    UNICODE,
    UNSET,
    FieldRule,
    ProtocolObject,
    UnsetType,
    as_mapping,
    instance_of,
    integer,
    list_of,
    number,
    one_of,
    present_fields,
    read_object,
)
from twilio_realtime_core.config.session import SessionConfig, Transcription
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.arguments import TEXT, text


class Text(str):
    """Text of another class."""

    __slots__ = ()


LONE: Final = "\ud800"
"""Half of a surrogate pair, which JSON cannot hold."""


@frozen
class Inner(ProtocolObject):
    type = "inner"
    size: int | UnsetType | None = field(default=UNSET, validator=integer(1, 9) | NULL)


@frozen
class Outer(ProtocolObject):
    inner: Any = field(default=UNSET, validator=instance_of(Inner) | MAPPING)


RANGES: list[tuple[FieldRule, list[Any], list[Any]]] = [
    (NULL, [None], [0, "", UNSET]),
    (TEXT, ["", "x", LONE, Text("x")], [None, 1, b"x"]),
    (UNICODE, ["", "x"], [None, 1, b"x", LONE, Text("x")]),
    (NON_EMPTY_TEXT, ["x"], ["", None, 1, LONE, Text("x")]),
    (BOOLEAN, [True, False], [None, 0, 1, "true"]),
    (MAPPING, [{}, {"x": 1}], [None, [], "x"]),
    (number(0.25, 1.5), [0.25, 1, 1.5], [0.24, 1.51, float("nan"), True, "1", None]),
    (integer(1, 4096), [1, 4096], [0, 4097, 1.0, True, "1", None]),
    (one_of("auto", "off"), ["auto", "off"], ["", "aut", Text("off"), None, ["auto"], {}]),
    (list_of(TEXT), [[], ["x"], ("x", "")], [None, "xy", [1], {"x": 1}]),
    (list_of(TEXT, min_length=1), [["x"]], [[], ()]),
    (instance_of(Inner, Outer), [Inner(), Outer()], [Inner, {}, None]),
    (text("x", 1, 3, "a-z"), ["a", "abc"], ["", "abcd", "A", Text("a"), 1, None]),
    (text("x", 0, 2), ["", "A "], ["abc", LONE]),
    (NULL | TEXT | BOOLEAN, [None, "x", True], [1, {}]),
]


@pytest.mark.parametrize(("allowed", "good", "bad"), RANGES)
def test_a_range_holds_what_is_in_it(allowed: FieldRule, good: list[Any], bad: list[Any]) -> None:
    assert [bool(allowed.accepts(each)) for each in good] == [True] * len(good)
    assert [bool(allowed.accepts(each)) for each in bad] == [False] * len(bad)


@pytest.mark.parametrize(
    ("allowed", "what"),
    [
        (number(0.25, 1.5), "0.25 to 1.5"),
        (integer(1, 9) | NULL, "a whole number from 1 to 9, or None"),
        (one_of("a", "b"), "'a' or 'b'"),
        (list_of(NON_EMPTY_TEXT), "a list or tuple, any number, each text that is not empty"),
        (list_of(BOOLEAN, 2), "a list or tuple, at least 2, each True or False"),
        (instance_of(Inner, Outer) | MAPPING, "Inner or Outer, or a mapping"),
    ],
)
def test_a_range_has_a_readable_repr(allowed: FieldRule, what: str) -> None:
    assert allowed.description == what


def test_a_value_out_of_range_is_misuse_without_the_value() -> None:
    with pytest.raises(LocalProtocolError) as raised:
        Inner(size=4711)
    assert str(raised.value) == (
        "Inner.size must be a whole number from 1 to 9, or None: it is out of range"
    )


@pytest.mark.parametrize(
    ("allowed", "value", "fault"),
    [
        (NON_EMPTY_TEXT, "", ": it is empty"),
        (NON_EMPTY_TEXT, 5, ", not int"),
        (one_of("a", "b") | NULL, "c", ": it is another text"),
        (one_of("a", "b") | NULL, 5, ", not int"),
        (text("text", 1, 3), "a" * 4, ": it has 4 characters"),
        (text("text", 1, 3, "a-z") | MAPPING, "a b", ": it has ' '"),
        (MAPPING | text("text", 1, 3, "a-z"), "ä", r": it has '\xe4'"),
        (number(0, 1), 1.5, ": it is out of range"),
        (number(0, 1), True, ", not bool"),
        (integer(0, 1), 0.5, ", not float"),
        (list_of(TEXT, 2), ["a"], ": it has 1"),
        (list_of(TEXT), ["a", 5], ": item 1 is not"),
        (list_of(TEXT), "ab", ", not str"),
    ],
)
def test_the_type_is_named_only_where_it_is_wrong(
    allowed: FieldRule, value: object, fault: str
) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        allowed.check("x", value)
    assert str(raised.value) == f"x must be {allowed.description}{fault}"


def test_only_a_field_that_is_absent_by_default_can_be_absent() -> None:
    assert Inner(UNSET).size is UNSET
    with pytest.raises(LocalProtocolError, match=r"model must be text .*, not UnsetType"):
        Transcription(UNSET)  # type: ignore[arg-type]
    assert SessionConfig(turn_detection=UNSET).turn_detection is UNSET


@pytest.mark.parametrize("value", [0, 5, "", "x", []])
def test_a_field_that_is_no_object_is_not_read(value: object) -> None:
    assert read_object({}, "audio", "session") == {}
    assert read_object({"audio": None}, "audio", "session") == {}
    assert read_object({"audio": {"x": 1}}, "audio", "session") == {"x": 1}
    with pytest.raises(LocalProtocolError, match=r"session\.audio must be a mapping, or None, not"):
        read_object({"audio": value}, "audio", "session")


def test_absent_is_left_out_and_null_is_null() -> None:
    assert Inner().to_json() == {"type": "inner"}
    assert Inner(size=None).to_json() == {"type": "inner", "size": None}


def test_an_object_without_a_type_has_none() -> None:
    assert Outer().to_json() == {}


def test_objects_become_plain_data_and_mappings_stay() -> None:
    assert present_fields({"x": [Outer(Inner(3)), {"y": 1}], "z": (Inner(),), "w": UNSET}) == {
        "x": [{"inner": {"type": "inner", "size": 3}}, {"y": 1}],
        "z": [{"type": "inner"}],
    }


@pytest.mark.parametrize("value", [None, [], "x", 1, [("x", 1)]])
def test_a_value_that_is_no_object_has_no_fields(value: object) -> None:
    assert as_mapping(value) == {}


def test_an_object_is_returned_as_a_mapping() -> None:
    assert as_mapping({"x": 1}) == {"x": 1}

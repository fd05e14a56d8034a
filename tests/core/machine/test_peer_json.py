import pytest
from msgspec import Struct

from twilio_realtime_core.machine.peer_json import decode_json


class Point(Struct):
    """A type that JSON is decoded into."""

    x: int


def test_json_of_the_type_is_decoded() -> None:
    assert decode_json(b'{"x": 1, "y": 2}', Point) == Point(1)
    assert decode_json('{"x": 1}', dict) == {"x": 1}


@pytest.mark.parametrize(
    "content",
    ["", "no JSON", "[]", '{"x": "1"}', b'{"x": "\xff"}', '{"\ud800": 1}', '{"y":' * 9999],
)
def test_anything_else_is_none(content: str | bytes) -> None:
    assert decode_json(content, Point) is None

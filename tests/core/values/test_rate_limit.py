"""The limits of an account."""

from typing import Any

import pytest
from hypothesis import given
from openai.types.realtime.rate_limits_updated_event import RateLimit as ServerRateLimit

from session_settings import json_values
from twilio_realtime_core.values.rate_limit import RateLimit, rate_limits_from_json


def test_limits_are_read_as_the_api_has_them() -> None:
    wire = {"name": "tokens", "limit": 40_000, "remaining": 39_000, "reset_seconds": 1.5}
    assert rate_limits_from_json([wire]) == (RateLimit("tokens", 40_000, 39_000, 1.5),)
    assert ServerRateLimit.model_validate(wire, strict=True).to_dict() == wire


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (None, ()),
        ({"name": "tokens"}, ()),
        ([None, "x"], ()),
        ([dict[str, object]()], (RateLimit(),)),
        (
            [{"name": 1, "limit": True, "remaining": 1.5, "reset_seconds": True}],
            (RateLimit(),),
        ),
        ([{"reset_seconds": 2}], (RateLimit(reset_seconds=2),)),
        ([{"reset_seconds": "2"}], (RateLimit(),)),
    ],
)
def test_what_is_missing_or_of_another_type_is_none(data: Any, read: Any) -> None:
    assert rate_limits_from_json(data) == read


@given(json_values)
def test_any_data_is_read(data: Any) -> None:
    assert isinstance(rate_limits_from_json(data), tuple)

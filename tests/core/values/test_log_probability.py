"""The probabilities of the tokens of a transcript."""

from typing import Any

import pytest
from hypothesis import given

from session_settings import json_values
from twilio_realtime_core.values.log_probability import TokenLogprob, logprobs_from_json


def test_tokens_are_read_with_their_probability() -> None:
    data = [
        {"token": "Yes", "logprob": -0.25, "bytes": [89, 101, 115]},
        {"token": ".", "logprob": 0},
    ]
    assert logprobs_from_json(data) == (TokenLogprob("Yes", -0.25), TokenLogprob(".", 0.0))


def test_words_are_not_in_the_repr() -> None:
    assert "secret" not in repr(TokenLogprob("secret", -1.0))


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (None, None),
        ("x", None),
        ({"token": "a", "logprob": -1}, None),
        ([], ()),
        ([None, {}, {"token": 1, "logprob": -1}, {"token": "a", "logprob": True}], ()),
        ([{"token": "a", "logprob": "-1"}, {"token": "b", "logprob": -1}], (("b", -1.0),)),
    ],
)
def test_what_is_no_token_is_left_out(data: Any, read: Any) -> None:
    expected = None if read is None else tuple(TokenLogprob(*each) for each in read)
    assert logprobs_from_json(data) == expected


@given(json_values)
def test_any_data_is_read(data: Any) -> None:
    assert (logprobs_from_json(data) is None) is not isinstance(data, list)

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import RealtimeResponseUsage

from twilio_realtime_core.values.usage import Tokens, Usage

TRACES = Path(__file__).parents[1] / "traces"


def usages(trace: str) -> list[Any]:
    """The `usage` of each `response.done` of a recorded session."""
    lines = (TRACES / f"{trace}.jsonl").read_text("utf-8").splitlines()
    events = [json.loads(line)["event"] for line in lines]
    return [event["response"]["usage"] for event in events if event["type"] == "response.done"]


def test_usage_of_a_spoken_turn_is_counted_by_modality() -> None:
    (data,) = usages("realtime_audio_in_server_vad_turn")
    RealtimeResponseUsage.model_validate(data)
    assert Usage.from_json(data) == Usage(
        input=Tokens(41, text=14, audio=27),
        cached=Tokens(),
        output=Tokens(164, text=28, audio=136),
    )


def test_usages_of_a_call_add_up() -> None:
    requested, answered = map(Usage.from_json, usages("realtime_tool_call_round"))
    assert requested is not None
    assert answered is not None
    assert requested + answered == Usage(
        input=Tokens(63 + 103, text=63 + 103),
        cached=Tokens(64, text=64),
        output=Tokens(22 + 13, text=22 + 13),
    )


def test_every_modality_and_reasoning_is_counted() -> None:
    data = {
        "total_tokens": 130,
        "input_tokens": 100,
        "output_tokens": 30,
        "input_token_details": {
            "text_tokens": 50,
            "audio_tokens": 30,
            "image_tokens": 20,
            "cached_tokens": 60,
            "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 21, "image_tokens": 29},
        },
        "output_token_details": {"text_tokens": 12, "audio_tokens": 18, "reasoning_tokens": 7},
    }
    assert Usage.from_json(data) == Usage(
        input=Tokens(100, text=50, audio=30, image=20),
        cached=Tokens(60, text=10, audio=21, image=29),
        output=Tokens(30, text=12, audio=18),
        reasoning=7,
    )


@pytest.mark.parametrize("data", [None, 7, "usage", [1], True])
def test_data_that_is_no_usage_is_none(data: Any) -> None:
    """S70."""
    assert Usage.from_json(data) is None


@pytest.mark.parametrize("wrong", [None, -1, 1.5, "3", True, [], {}])
def test_a_wrong_number_counts_as_0(wrong: Any) -> None:
    data = {"input_tokens": wrong, "output_tokens": 3, "output_token_details": wrong}
    assert Usage.from_json(data) == Usage(output=Tokens(3))


def test_missing_details_count_as_0() -> None:
    assert Usage.from_json({}) == Usage()
    assert Usage.from_json({"input_tokens": 5}) == Usage(input=Tokens(5))


counts = st.integers(0, 10**6)
tokens = st.builds(Tokens, counts, counts, counts, counts)
whole_usages = st.builds(Usage, tokens, tokens, tokens, counts)


@given(st.lists(whole_usages, max_size=5))
@settings(max_examples=30)
def test_the_order_of_responses_does_not_matter_to_their_sum(parts: list[Usage]) -> None:
    total = sum(parts, Usage())
    assert total == sum(reversed(parts), Usage())
    assert total.input.total == sum(part.input.total for part in parts)
    assert total.cached.audio == sum(part.cached.audio for part in parts)
    assert total.output.text == sum(part.output.text for part in parts)
    assert total.reasoning == sum(part.reasoning for part in parts)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "input_tokens",
                    "input_token_details",
                    "cached_tokens",
                    "cached_tokens_details",
                    "x",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(anything)
@settings(max_examples=50)
def test_no_data_of_a_server_raises(data: Any) -> None:
    usage = Usage.from_json(data)
    assert (usage is None) == (not isinstance(data, dict))
    if usage is not None:
        assert usage.input.total >= 0
        assert usage.cached.total >= 0

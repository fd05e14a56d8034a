"""The policies for connections to the model that fail."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core import (
    CallConfig,
    LocalProtocolError,
    RealtimeLink,
    ReconnectPolicy,
    SessionLossPolicy,
)
from twilio_realtime_core.values.items import Message, Role


@pytest.mark.parametrize(("attempt", "longest_ms"), [(1, 250), (2, 500), (5, 4000), (99, 4000)])
def test_the_delay_doubles_up_to_the_longest(attempt: int, longest_ms: int) -> None:
    delay_ms = ReconnectPolicy().delay_ms(attempt, "MZ1")
    assert longest_ms / 2 <= delay_ms <= longest_ms


@given(st.integers(1, 10_000), st.text(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_delay_is_never_out_of_range(attempt: int, key: str, first: int, more: int) -> None:
    policy = ReconnectPolicy(initial_delay_ms=first, max_delay_ms=first + more)
    assert 0 <= policy.delay_ms(attempt, key) <= first + more


def test_calls_do_not_come_back_together() -> None:
    delays = {ReconnectPolicy().delay_ms(5, f"MZ{number}") for number in range(100)}
    assert len(delays) > 50


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"initial_delay_ms": 5000}, "must not be more than max_delay_ms"),
        ({"timeout_ms": 1}, "timeout_ms"),
        ({"rotate_before_ms": -1}, "rotate_before_ms"),
    ],
)
def test_a_policy_out_of_range_is_misuse(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(LocalProtocolError, match=match):
        ReconnectPolicy(**fields)


def test_clips_stay_out_of_what_is_printed() -> None:
    assert "<3 samples>" in repr(SessionLossPolicy(goodbye_clip=b"abc"))
    assert "<2 samples>" in repr(CallConfig(waiting_clip=b"ab"))
    with pytest.raises(LocalProtocolError, match="goodbye_clip"):
        SessionLossPolicy(goodbye_clip="words")  # type: ignore[arg-type]


def test_items_to_resume_are_checked() -> None:
    with pytest.raises(LocalProtocolError, match=r"resume\[1\]"):
        CallConfig(resume=[Message("a", Role.USER), "b"])  # type: ignore[list-item]


def test_items_to_resume_have_different_ids() -> None:
    one, two = Message("a", Role.USER), Message("b", Role.USER)
    with pytest.raises(LocalProtocolError, match=r"CallConfig\.resume\[2\] has the id of an earli"):
        CallConfig(resume=[one, two, one])


def test_a_later_connection_has_a_name() -> None:
    assert str(RealtimeLink(2)) == "realtime-2"

"""Policies of interruption are values that say when they make sense."""

from typing import Any

import pytest

from twilio_realtime_core import CallConfig, LocalProtocolError, SessionConfig
from twilio_realtime_core.config.interruption_policy import (
    IMMEDIATE,
    InterruptionLimit,
    InterruptionPolicy,
    disable_server_interruption,
)
from twilio_realtime_core.config.session import ServerVad, SessionUpdate

NEVER = InterruptionPolicy(allowed=False)


def test_times_below_zero_are_misuse() -> None:
    with pytest.raises(LocalProtocolError, match="after_speech_ms must be 0 to 2147483647 ms"):
        InterruptionPolicy(after_speech_ms=-1)
    with pytest.raises(LocalProtocolError, match="after_heard_ms must be 0 to 2147483647 ms"):
        InterruptionPolicy(after_heard_ms=-1)


@pytest.mark.parametrize(("count", "per_ms"), [(0, 1), (1, 0)])
def test_a_limit_that_limits_nothing_is_misuse(count: int, per_ms: int) -> None:
    with pytest.raises(LocalProtocolError, match=r"InterruptionLimit.* 1 "):
        InterruptionLimit(count, per_ms)


def test_only_the_default_policy_interrupts_immediately() -> None:
    assert InterruptionPolicy() == IMMEDIATE
    assert IMMEDIATE.interrupts_immediately
    assert not InterruptionPolicy(after_speech_ms=1).interrupts_immediately


def detection(session: Any) -> Any:
    return session["audio"]["input"]["turn_detection"]


def test_a_session_without_turn_detection_disables_server_interruption() -> None:
    owned = disable_server_interruption(SessionUpdate().to_update_event().session, is_initial=True)
    assert detection(owned) == {"type": "server_vad", "interrupt_response": False}


def test_the_rest_of_turn_detection_is_kept() -> None:
    asked = (
        SessionConfig(turn_detection=ServerVad(silence_duration_ms=300)).to_update_event().session
    )
    assert detection(disable_server_interruption(asked, is_initial=True)) == {
        "type": "server_vad",
        "silence_duration_ms": 300,
        "interrupt_response": False,
    }


def test_a_session_with_turn_detection_off_is_unchanged() -> None:
    manual = SessionConfig(turn_detection=None).to_update_event().session
    assert disable_server_interruption(manual, is_initial=True) == manual


def test_a_later_update_without_turn_detection_is_unchanged() -> None:
    later = SessionUpdate(instructions="Be brief.").to_update_event().session
    assert disable_server_interruption(later, is_initial=False) == later


@pytest.mark.parametrize("given", [{"type": "server_vad", "interrupt_response": True}])
def test_interruption_by_the_server_contradicts_another_policy(given: Any) -> None:
    with pytest.raises(LocalProtocolError, match="interrupt_response"):
        CallConfig(session=SessionConfig(turn_detection=given), interruption=NEVER)
    CallConfig(session=SessionConfig(turn_detection=given))


def test_turn_detection_that_is_no_object_is_misuse() -> None:
    session = {"audio": {"input": {"turn_detection": 5}}}
    with pytest.raises(LocalProtocolError, match=r"turn_detection must be a mapping, not int"):
        disable_server_interruption(session, is_initial=False)

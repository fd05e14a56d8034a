"""The configuration of a call: the URL of its session, and its time-outs."""

from typing import Any

import pytest

from twilio_realtime_core.config.call import CallConfig, session_url
from twilio_realtime_core.errors import LocalProtocolError

LONGEST_MS = 2**31 - 1


# The URL.


@pytest.mark.parametrize(
    ("url", "model", "whole"),
    [
        ("wss://api.openai.com/v1/realtime", "gpt-realtime-2.1", "?model=gpt-realtime-2.1"),
        ("ws://localhost:8080", "a/b c&d", "?model=a%2Fb%20c%26d"),
        ("wss://api.openai.com/v1/realtime?call_id=rtc_1", "gpt-realtime-2.1", ""),
    ],
)
def test_s53_the_model_is_added_to_a_url_without_query(url: str, model: str, whole: str) -> None:
    """S53."""
    assert session_url(url, model) == url + whole


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://token.example", "m"),
        ("token.example", "m"),
        ("wss://", "m"),
        ("wss://[token", "m"),
        ("", "m"),
        ("wss://token.example", "\ud800"),
    ],
)
def test_a_wrong_url_is_misuse_and_is_not_shown(url: str, model: str) -> None:
    with pytest.raises(LocalProtocolError, match="ws:// or wss://") as raised:
        session_url(url, model)
    assert "token" not in str(raised.value)


@pytest.mark.parametrize("url", ["https://api.example/v1", "wss://", "api.example"])
def test_a_call_config_checks_its_url(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="wss://"):
        CallConfig(url=url)


# Time-outs.


def test_s17_the_inactivity_timeout_is_750_ms_by_default() -> None:
    """S17."""
    assert CallConfig().inactivity_timeout_ms == 750
    assert CallConfig(inactivity_timeout_ms=None).inactivity_timeout_ms is None
    assert CallConfig(inactivity_timeout_ms=20).inactivity_timeout_ms == 20


def test_audio_of_the_agent_is_notified_only_if_configured() -> None:
    assert CallConfig().notify_agent_audio is False
    assert CallConfig(notify_agent_audio=True).notify_agent_audio is True


@pytest.mark.parametrize(
    "name",
    ["inactivity_timeout_ms", "start_timeout_ms", "session_timeout_ms", "closing_timeout_ms"],
)
@pytest.mark.parametrize("value", [15, 0, -1, LONGEST_MS + 1, 15.0, True, "15"])
def test_s17_a_time_out_of_range_is_misuse(name: str, value: object) -> None:
    """S17: and the same for every other time-out. 15 was meant in seconds, 15 * 10**9 in ns."""
    given: dict[str, Any] = {name: value}
    shown = "str" if isinstance(value, str) else repr(value)
    with pytest.raises(
        LocalProtocolError,
        match=rf"^CallConfig\.{name} must be (100|20) to 2147483647 ms \(int\).*, not {shown}$",
    ):
        CallConfig(**given)


@pytest.mark.parametrize("value", [-1, LONGEST_MS + 1])
def test_the_configure_timeout_may_be_0(value: int) -> None:
    assert CallConfig(configure_timeout_ms=0).configure_timeout_ms == 0
    with pytest.raises(LocalProtocolError, match="configure_timeout_ms must be 0 to"):
        CallConfig(configure_timeout_ms=value)


def test_the_longest_time_is_that_of_a_32_bit_timer() -> None:
    times: dict[str, Any] = {"start_timeout_ms": LONGEST_MS, "configure_timeout_ms": 2_000}
    assert CallConfig(**times).start_timeout_ms == LONGEST_MS

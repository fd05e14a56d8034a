"""How a call is to be: where its session is, and how long it waits for what."""

from typing import Any

import pytest

from twilio_realtime_core.config.call import CallConfig, session_url
from twilio_realtime_core.errors import LocalProtocolError

LONGEST_MS = 2**31 - 1


# Where the session is.


@pytest.mark.parametrize(
    ("url", "model", "whole"),
    [
        ("wss://api.openai.com/v1/realtime", "gpt-realtime", "?model=gpt-realtime"),
        ("ws://localhost:8080", "a/b c&d", "?model=a%2Fb%20c%26d"),
        ("wss://api.openai.com/v1/realtime?call_id=rtc_1", "gpt-realtime", ""),
    ],
)
def test_s53_the_model_is_in_the_query_unless_the_url_has_its_own(
    url: str, model: str, whole: str
) -> None:
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
def test_what_is_no_websocket_url_is_misuse_and_is_not_shown(url: str, model: str) -> None:
    with pytest.raises(LocalProtocolError, match="ws:// or wss://") as raised:
        session_url(url, model)
    assert "token" not in str(raised.value)


@pytest.mark.parametrize("url", ["https://api.example/v1", "wss://", "api.example"])
def test_a_call_is_not_configured_with_what_is_no_url(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="wss://"):
        CallConfig(url=url)


# How long a call waits.


def test_s17_silence_fills_a_gap_after_750_ms_unless_told_otherwise() -> None:
    """S17."""
    assert CallConfig().inactivity_timeout_ms == 750
    assert CallConfig(inactivity_timeout_ms=None).inactivity_timeout_ms is None
    assert CallConfig(inactivity_timeout_ms=1).inactivity_timeout_ms == 1


def test_the_agent_s_audio_is_told_only_where_it_is_asked_for() -> None:
    assert CallConfig().notify_agent_audio is False
    assert CallConfig(notify_agent_audio=True).notify_agent_audio is True


@pytest.mark.parametrize(
    "name",
    ["inactivity_timeout_ms", "start_timeout_ms", "session_timeout_ms", "closing_timeout_ms"],
)
@pytest.mark.parametrize("value", [0, -1, LONGEST_MS + 1])
def test_s17_a_time_out_of_range_is_misuse(name: str, value: int) -> None:
    """S17: and the same for every other time-out."""
    given: dict[str, Any] = {name: value}
    with pytest.raises(
        LocalProtocolError, match=rf"CallConfig\.{name} must be 1 to 2147483647 ms, not "
    ):
        CallConfig(**given)


@pytest.mark.parametrize("value", [-1, LONGEST_MS + 1])
def test_a_call_may_not_wait_for_its_configuration_but_not_less_than_that(value: int) -> None:
    assert CallConfig(configure_timeout_ms=0).configure_timeout_ms == 0
    with pytest.raises(LocalProtocolError, match="configure_timeout_ms must be 0 to"):
        CallConfig(configure_timeout_ms=value)


def test_the_longest_time_is_that_of_a_32_bit_timer_in_ms() -> None:
    times: dict[str, Any] = {"start_timeout_ms": LONGEST_MS, "configure_timeout_ms": 2_000}
    assert CallConfig(**times).start_timeout_ms == LONGEST_MS

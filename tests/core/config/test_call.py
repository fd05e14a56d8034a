"""The configuration of a call: the URL of its session, and its time-outs."""

from collections.abc import Callable
from typing import Any

import pytest

from twilio_realtime_core import Configure, Peer
from twilio_realtime_core.config.call import CallConfig, session_url
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.transport.handshake import parse_url

LONGEST_MS = 2**31 - 1


# The URL.


@pytest.mark.parametrize(
    ("url", "model", "whole"),
    [
        ("wss://api.openai.com/v1/realtime", "gpt-realtime-2.1", "?model=gpt-realtime-2.1"),
        ("ws://localhost:8080", "a/b c&d", "?model=a%2Fb%20c%26d"),
        ("wss://h/?x", "m", ""),
        ("wss://api.openai.com/v1/realtime?call_id=rtc_1", "gpt-realtime-2.1", ""),
    ],
)
def test_s53_the_model_is_added_to_a_url_without_query(url: str, model: str, whole: str) -> None:
    """S53."""
    assert session_url(url, model) == url + whole


def test_an_empty_query_gets_the_model() -> None:
    assert session_url("wss://h?", "m") == "wss://h?model=m"


WRONG_URLS = [
    ("https://token.example", "it has another scheme, or none"),
    ("token.example", "it has another scheme, or none"),
    ("", "it has another scheme, or none"),
    ("wss://", "it has no host"),
    ("wss://:443/token", "it has no host"),
    ("wss://[token", "its host is not valid"),
    ("wss://token:99999/", "its port is not a number from 1 to 65535"),
    ("wss://h:token/", "its port is not a number from 1 to 65535"),
    ("wss://token:0/", "its port is not a number from 1 to 65535"),
    ("wss://user:token@h/", "it has user information"),
    ("wss://h#token", "it has a fragment"),
    ("wss://h#", "it has a fragment"),
    ("wss://h/ token", "it has a character that a URL cannot have"),
    (" wss://token", "it has a character that a URL cannot have"),
    ("wss://h/\r\nX: token", "it has a character that a URL cannot have"),
    ("wss://é.example/token", "it has a character that a URL cannot have"),
]


@pytest.mark.parametrize(("url", "fault"), WRONG_URLS)
def test_a_wrong_url_is_misuse_where_it_is_given(url: str, fault: str) -> None:
    rule = "must be a ws:// or wss:// URL"
    refusals: list[tuple[str, Callable[[], object]]] = [
        (f"CallConfig.url {rule}: {fault}", lambda: CallConfig(url=url)),
        (f"Configure.url {rule}, or None: {fault}", lambda: Configure(url=url)),
        (f"the URL {rule}: {fault}", lambda: session_url(url, "m")),
        (f"the URL {rule}: {fault}", lambda: parse_url(url)),
    ]
    for message, give in refusals:
        with pytest.raises(LocalProtocolError) as raised:
            give()
        assert str(raised.value) == message  # without the URL, which may contain a token


@pytest.mark.parametrize("url", ["wss://h", "ws://h:1?", "WSS://[::1]:65535/a?b=%20", "ws://h/?"])
def test_a_url_that_is_accepted_can_be_opened(url: str) -> None:
    config = CallConfig(url=url)
    assert parse_url(session_url(config.url, config.model)).host
    assert Configure(url=url).url == url


@pytest.mark.parametrize("create", [CallConfig, Configure])
def test_a_model_that_no_url_can_hold_is_misuse(create: Callable[..., object]) -> None:
    with pytest.raises(LocalProtocolError, match=r"\.model must be text that .*: it has lone surr"):
        create(model="\ud800")
    with pytest.raises(LocalProtocolError, match=r"\.model must be text that .*: it is empty"):
        create(model="")


def test_peers_that_are_none_are_named_by_their_type() -> None:
    wrong: Any = frozenset({Peer.TWILIO, "twilio"})
    with pytest.raises(LocalProtocolError, match="must be a frozenset of Peer: it holds str"):
        CallConfig(raw_messages=wrong)


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

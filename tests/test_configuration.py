"""Sessions in the phone's audio format, whatever is asked for beside it."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import SessionUpdateEvent

from calling import PCMU, SESSION
from twilio_realtime_core.configuration import (
    CallConfig,
    SessionConfig,
    check_sendable,
    format_fault,
    interrupts_by_itself,
    pin_event,
    pin_session,
    session_url,
)
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.realtime import (
    ClientEvent,
    CommitAudio,
    CreateItem,
    CreateResponse,
    OtherClientEvent,
    UpdateSession,
)

PCM = {"type": "audio/pcm", "rate": 24000}
VAD = {"type": "server_vad", "silence_duration_ms": 500}


def formats(session: Mapping[str, Any]) -> list[Any]:
    return [session["audio"][way]["format"] for way in ("input", "output")]


# The session.update of a configuration.


def test_s16_no_configuration_names_the_phone_s_format_both_ways_and_nothing_else() -> None:
    assert SessionConfig().update("e") == UpdateSession(
        {"type": "realtime", "audio": {"input": {"format": PCMU}, "output": {"format": PCMU}}}, "e"
    )


def test_every_field_stands_where_the_api_has_it() -> None:
    config = SessionConfig(
        instructions="be brief",
        voice="marin",
        turn_detection=VAD,
        transcription={"model": "whisper-1"},
        tools=({"type": "function", "name": "f"},),
        more={"tracing": None, "max_output_tokens": 100},
    )
    event = config.update("e")
    SessionUpdateEvent.model_validate_json(event.encode())
    assert json.loads(event.encode()) == {
        "type": "session.update",
        "event_id": "e",
        "session": {
            "type": "realtime",
            "instructions": "be brief",
            "tools": [{"type": "function", "name": "f"}],
            "tracing": None,
            "max_output_tokens": 100,
            "audio": {
                "input": {
                    "format": PCMU,
                    "turn_detection": VAD,
                    "transcription": {"model": "whisper-1"},
                },
                "output": {"format": PCMU, "voice": "marin"},
            },
        },
    }


def test_s16_nested_audio_settings_are_kept_beside_ours() -> None:
    more = {
        "audio": {
            "input": {"noise_reduction": {"type": "near_field"}, "turn_detection": None},
            "output": {"speed": 1.1, "format": PCMU},
        }
    }
    session = SessionConfig(more=more, voice="cedar").update("e").session
    assert session["audio"] == {
        "input": {
            "noise_reduction": {"type": "near_field"},
            "turn_detection": None,
            "format": PCMU,
        },
        "output": {"speed": 1.1, "voice": "cedar", "format": PCMU},
    }


def test_a_field_of_its_own_name_wins_over_more() -> None:
    more = {"type": "transcription", "instructions": "long", "audio": {"output": {"voice": "a"}}}
    session = SessionConfig(instructions="brief", voice="b", more=more).update("e").session
    assert session["type"] == "realtime"
    assert session["instructions"] == "brief"
    assert session["audio"]["output"]["voice"] == "b"


@pytest.mark.parametrize("way", ["input", "output"])
@pytest.mark.parametrize("format_", [PCM, {"rate": 8000, **PCMU}, "g711_ulaw"])
def test_s16_a_configuration_in_another_format_cannot_be_made(way: str, format_: Any) -> None:
    with pytest.raises(LocalProtocolError, match=rf"session\.audio\.{way}\.format must be"):
        SessionConfig(more={"audio": {way: {"format": format_}}})


@pytest.mark.parametrize(
    "fields",
    [{"instructions": b"\xff".decode(errors="surrogateescape")}, {"more": {"x": object()}}],
)
def test_a_configuration_that_is_no_json_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"session\.update is no JSON"):
        SessionConfig(**fields)


def test_what_may_hold_keys_or_business_stays_out_of_repr() -> None:
    shown = repr(SessionConfig(instructions="secret", more={"prompt": "secret"}))
    assert "secret" not in shown


# What the application sends.


def test_a_session_keeps_all_but_the_format() -> None:
    output = {"voice": "a"}
    session = MappingProxyType({"audio": {"output": output}, "include": []})
    pinned = pin_session(session)
    assert pinned == {
        "type": "realtime",
        "include": [],
        "audio": {"input": {"format": PCMU}, "output": {"voice": "a", "format": PCMU}},
    }
    assert output == {"voice": "a"}


@pytest.mark.parametrize("audio", [None, "x", [], {"input": None, "output": 3}])
def test_audio_settings_that_are_none_become_the_format(audio: Any) -> None:
    assert formats(pin_session({"audio": audio})) == [PCMU, PCMU]


def test_an_update_of_the_application_is_pinned_and_keeps_its_id() -> None:
    event = pin_event(UpdateSession({"type": "realtime", "instructions": "x"}, "e"))
    assert isinstance(event, UpdateSession)
    assert (event.event_id, event.session["instructions"]) == ("e", "x")
    assert formats(event.session) == [PCMU, PCMU]


def test_an_update_to_another_format_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match=r"session\.audio\.output\.format"):
        pin_event(UpdateSession({"audio": {"output": {"format": PCM}}}))


@pytest.mark.parametrize(
    "response",
    [
        None,
        {},
        {"instructions": "x"},
        {"audio": {}},
        {"audio": {"output": {"voice": "cedar"}}},
        {"audio": {"output": {"format": PCMU}}},
        {"audio": None},
    ],
)
def test_a_response_that_names_no_other_format_stays_as_it_is(response: Any) -> None:
    event = CreateResponse(response, "e")
    assert pin_event(event) == event


def test_a_response_that_leaves_the_format_open_gets_the_phone_s() -> None:
    event = pin_event(CreateResponse({"audio": {"x": 1, "output": {"format": None, "voice": "a"}}}))
    assert event == CreateResponse({"audio": {"x": 1, "output": {"format": PCMU, "voice": "a"}}})


def test_a_response_in_another_format_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match=r"response\.audio\.output\.format must be"):
        pin_event(CreateResponse({"audio": {"output": {"format": PCM}}}))


@pytest.mark.parametrize(
    "type_", ["session.update", "response.create", "input_audio_buffer.append"]
)
@pytest.mark.parametrize("named", ["", "harmless"])
def test_a_raw_event_cannot_hide_a_format_or_audio(type_: str, named: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"{type_} must be given as its own class"):
        pin_event(OtherClientEvent(named or type_, {"type": type_}))


@pytest.mark.parametrize(
    "event", [CommitAudio("e"), OtherClientEvent("session.new", {"type": "session.new"})]
)
def test_other_events_stay_as_they_are(event: ClientEvent) -> None:
    assert pin_event(event) is event


@pytest.mark.parametrize("item", [{"x": object()}, {"x": {1, object()}}, {"x": "\ud800"}])
def test_an_event_that_is_no_json_cannot_be_sent(item: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"conversation\.item\.create is no JSON"):
        check_sendable(CreateItem(item))


def test_an_event_that_holds_itself_cannot_be_sent() -> None:
    item: dict[str, Any] = {}
    item["item"] = item
    with pytest.raises(LocalProtocolError, match="is no JSON"):
        check_sendable(CreateItem(item))


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


# What the server answers.


def test_a_session_in_our_format_has_no_fault() -> None:
    assert format_fault(SESSION) is None


@pytest.mark.parametrize("way", ["input", "output"])
def test_another_format_is_told_in_plain_words(way: str) -> None:
    audio = {**SESSION["audio"], way: {"format": PCM}}
    assert format_fault({"audio": audio}) == (
        f"session.updated says 'audio/pcm' for audio.{way}, where 'audio/pcmu' was asked for: "
        "the call would be noise"
    )


@pytest.mark.parametrize(
    "session",
    [{}, {"audio": 1}, {"audio": {"input": []}}, {"audio": {"input": {"format": {"type": 1}}}}],
)
def test_a_session_without_a_format_has_a_fault(session: dict[str, Any]) -> None:
    assert "names no format for audio.input" in (format_fault(session) or "")


def test_the_words_for_a_fault_stay_short() -> None:
    session = {"audio": {"input": {"format": {"type": "x" * 10_000}}}}
    assert len(format_fault(session) or "") < 200


@pytest.mark.parametrize(
    ("detection", "interrupts"),
    [
        ({"type": "server_vad"}, True),
        ({"type": "semantic_vad", "interrupt_response": True}, True),
        ({"type": "server_vad", "interrupt_response": None}, True),
        ({"type": "server_vad", "interrupt_response": False}, False),
        (None, False),
        ("odd", True),
    ],
)
def test_the_server_interrupts_unless_told_not_to(detection: Any, *, interrupts: bool) -> None:
    assert interrupts_by_itself({"audio": {"input": {"turn_detection": detection}}}) is interrupts


def test_a_server_that_says_nothing_of_turns_does_not_interrupt() -> None:
    assert not interrupts_by_itself({})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(["audio", "input", "output", "format", "type", "rate"])
            | st.text(max_size=3),
            each,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["audio", "type", "x"]), json_values))
def test_any_session_is_pinned_or_refused(session: dict[str, Any]) -> None:
    try:
        pinned = pin_session(session)
    except LocalProtocolError:
        return
    assert formats(pinned) == [PCMU, PCMU]
    assert format_fault(pinned) is None


@given(json_values)
def test_any_session_of_the_server_is_judged(audio: Any) -> None:
    session = {"audio": audio}
    fault = format_fault(session)
    assert fault is None or fault.startswith("session.updated ")
    assert interrupts_by_itself(session) in (True, False)


@pytest.mark.parametrize("url", ["https://api.example/v1", "wss://", "api.example"])
def test_a_call_is_not_configured_with_what_is_no_url(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="wss://"):
        CallConfig(url=url)

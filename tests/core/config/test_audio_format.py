"""Events as they may be sent: with the audio formats of a phone."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calling import PCMU, SESSION
from session_settings import json_values
from twilio_realtime_core.config.audio_format import (
    enforce_event_format,
    enforce_session_format,
    find_format_fault,
)
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols.realtime import (
    ClientEvent,
    CommitAudio,
    CreateResponse,
    RawClientEvent,
    UpdateSession,
)

PCM = {"type": "audio/pcm", "rate": 24000}


def formats(session: Mapping[str, Any]) -> list[Any]:
    return [session["audio"][way]["format"] for way in ("input", "output")]


# Updates and responses of the application.


def test_a_session_keeps_all_but_the_format() -> None:
    output = {"voice": "a"}
    session = MappingProxyType({"audio": {"output": output}, "include": []})
    pinned = enforce_session_format(session)
    assert pinned == {
        "type": "realtime",
        "include": [],
        "audio": {"input": {"format": PCMU}, "output": {"voice": "a", "format": PCMU}},
    }
    assert output == {"voice": "a"}


@pytest.mark.parametrize("audio", [None, {}, {"input": None, "output": {}}])
def test_audio_settings_that_are_none_become_the_format(audio: Any) -> None:
    assert formats(enforce_session_format({"audio": audio})) == [PCMU, PCMU]


@pytest.mark.parametrize("audio", ["x", [], 5, {"input": None, "output": 3}])
def test_audio_settings_that_are_no_object_are_misuse(audio: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"^session\.audio.* must be a mapping, or None"):
        enforce_session_format({"audio": audio})


def test_an_update_of_the_application_is_pinned() -> None:
    event = enforce_event_format(UpdateSession({"type": "realtime", "instructions": "x"}, "e"))
    assert isinstance(event, UpdateSession)
    assert (event.event_id, event.session["instructions"]) == ("e", "x")
    assert formats(event.session) == [PCMU, PCMU]


def test_an_update_to_another_format_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match=r"session\.audio\.output\.format"):
        enforce_event_format(UpdateSession({"audio": {"output": {"format": PCM}}}))


@pytest.mark.parametrize("name", ["input_audio_format", "output_audio_format"])
@pytest.mark.parametrize("value", ["pcm16", "g711_ulaw", None])
def test_s16_a_format_by_its_beta_name_is_misuse(name: str, value: Any) -> None:
    """S16."""
    with pytest.raises(LocalProtocolError, match=rf"session\.{name} must be left out"):
        enforce_session_format({name: value})
    with pytest.raises(LocalProtocolError, match=rf"response\.{name} must be left out"):
        enforce_event_format(CreateResponse({name: value}))


@pytest.mark.parametrize("way", ["input", "output"])
@pytest.mark.parametrize("format_", [PCM, {"rate": 8000, **PCMU}, "g711_ulaw", {}])
def test_s16_a_session_in_another_format_is_misuse(way: str, format_: Any) -> None:
    """S16."""
    with pytest.raises(LocalProtocolError, match=rf"session\.audio\.{way}\.format must be"):
        enforce_session_format({"audio": {way: {"format": format_}}})


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
def test_a_response_without_another_format_is_unchanged(response: Any) -> None:
    event = CreateResponse(response, "e")
    assert enforce_event_format(event) == event


def test_a_response_without_a_format_gets_the_phone_s() -> None:
    event = enforce_event_format(
        CreateResponse({"audio": {"x": 1, "output": {"format": None, "voice": "a"}}})
    )
    assert event == CreateResponse({"audio": {"x": 1, "output": {"format": PCMU, "voice": "a"}}})


def test_a_response_in_another_format_is_misuse() -> None:
    with pytest.raises(LocalProtocolError, match=r"response\.audio\.output\.format must be"):
        enforce_event_format(CreateResponse({"audio": {"output": {"format": PCM}}}))


@pytest.mark.parametrize(
    "type_", ["session.update", "response.create", "input_audio_buffer.append"]
)
@pytest.mark.parametrize("named", ["", "harmless"])
def test_a_raw_event_cannot_hide_a_format_or_audio(type_: str, named: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"{type_} must be given as its own class"):
        enforce_event_format(RawClientEvent(named or type_, {"type": type_}))


@pytest.mark.parametrize(
    "event", [CommitAudio("e"), RawClientEvent("session.new", {"type": "session.new"})]
)
def test_other_events_stay_as_they_are(event: ClientEvent) -> None:
    assert enforce_event_format(event) is event


# What the server answers.


def test_a_session_in_our_format_has_no_fault() -> None:
    assert find_format_fault(SESSION) is None


@pytest.mark.parametrize("way", ["input", "output"])
def test_another_format_is_described_in_plain_words(way: str) -> None:
    audio = {**SESSION["audio"], way: {"format": PCM}}
    assert find_format_fault({"audio": audio}) == (
        f"session.updated names 'audio/pcm' for audio.{way}, not 'audio/pcmu': "
        "the call would be noise"
    )


@pytest.mark.parametrize(
    "session",
    [{}, {"audio": 1}, {"audio": {"input": []}}, {"audio": {"input": {"format": {"type": 1}}}}],
)
def test_a_session_without_a_format_has_a_fault(session: dict[str, Any]) -> None:
    assert "names no format for audio.input" in (find_format_fault(session) or "")


def test_the_description_of_a_fault_is_short() -> None:
    session = {"audio": {"input": {"format": {"type": "x" * 10_000}}}}
    assert len(find_format_fault(session) or "") < 200


@given(st.dictionaries(st.sampled_from(["audio", "type", "x"]), json_values))
def test_any_session_is_pinned_or_refused(session: dict[str, Any]) -> None:
    try:
        pinned = enforce_session_format(session)
    except LocalProtocolError:
        return
    assert formats(pinned) == [PCMU, PCMU]
    assert find_format_fault(pinned) is None


@given(json_values)
def test_any_session_of_the_server_is_checked(audio: Any) -> None:
    session = {"audio": audio}
    fault = find_format_fault(session)
    assert fault is None or fault.startswith("session.updated ")

"""What the session is configured with, and what of it cannot be changed any more."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_settings import json_values
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.session.effective_session import MAX_UPDATES, EffectiveSession


def voiced(voice: Any) -> dict[str, Any]:
    return {"audio": {"output": {"voice": voice}}}


def view(
    first: dict[str, Any] | None = None, told: dict[str, Any] | None = None
) -> EffectiveSession:
    made = EffectiveSession("first", first or {})
    if told is not None:
        made.acknowledge(told)
    return made


# What is in effect.


def speaking_at(speed: object) -> dict[str, Any]:
    return {"audio": {"output": {"speed": speed}}}


@pytest.mark.parametrize(
    ("asked", "described", "speed"),
    [
        ({}, {}, 1),
        (speaking_at(0.5), {}, 0.5),
        (speaking_at(0.5), speaking_at(1.2), 1.2),
        ({}, speaking_at("fast"), 1),
        ({}, speaking_at(0), 1),
    ],
)
def test_the_speed_of_the_voice_is_what_the_server_says_or_what_was_asked_for(
    asked: dict[str, Any], described: dict[str, Any], speed: float
) -> None:
    assert view(asked, described).voice_speed == speed


def test_no_configuration_is_in_effect_before_the_first_event() -> None:
    assert view({"instructions": "x"}).config == {}


def test_the_configuration_in_effect_is_the_latest_of_the_server() -> None:
    session = view(told={"instructions": "x", "speed": 1})
    session.submit("e", {"speed": 2})
    assert session.config == {"instructions": "x", "speed": 1}
    session.acknowledge({"instructions": "y", "speed": 2})
    assert session.config == {"instructions": "y", "speed": 2}


def test_an_unrequested_configuration_is_in_effect_too() -> None:
    session = view(told={"x": 1})
    session.acknowledge({"x": 2})
    assert session.config == {"x": 2}


def test_a_refused_update_changes_nothing_and_is_known_once() -> None:
    session = view(told={"tracing": None})
    session.submit("e", {"tracing": "auto"})
    assert session.take_refused("e")
    assert not session.take_refused("e")
    assert session.config == {"tracing": None}
    session.submit("f", {"tracing": {"workflow_name": "x"}})


@pytest.mark.parametrize("event_id", [None, "other", ""])
def test_an_error_that_names_no_update_refuses_none(event_id: str | None) -> None:
    session = view(told={})
    session.submit("e", {})
    assert not session.take_refused(event_id)
    assert session.take_refused("e")


# Updates without an answer.


def test_updates_are_answered_in_order() -> None:
    session = view({"tracing": "auto"})
    session.submit("e", {"tracing": "auto"})
    session.set_initial("first", {"tracing": None})
    session.acknowledge({"tracing": None})
    assert not session.take_refused("first")
    assert session.take_refused("e")


def test_two_updates_without_an_answer_cannot_have_the_same_id() -> None:
    session = view()
    session.submit("e", {})
    for event_id in ("first", "e"):
        with pytest.raises(LocalProtocolError, match="no answer yet; give each a different id"):
            session.submit(event_id, {})
    session.acknowledge({})
    session.acknowledge({})
    session.submit("e", {})


def test_one_update_too_many_is_misuse_until_another_is_answered() -> None:
    session = view()
    for number in range(1, MAX_UPDATES):
        session.submit(str(number), {})
    with pytest.raises(LocalProtocolError, match="wait for SessionReady"):
        session.submit("more", {})
    session.acknowledge({})
    session.submit("more", {})


# What is fixed.


def test_the_model_is_fixed() -> None:
    session = view(told={"model": "gpt-realtime-2.1"})
    session.submit("same", {"model": "gpt-realtime-2.1"})
    with pytest.raises(LocalProtocolError, match=r"session\.model is that of the call"):
        session.submit("other", {"model": "gpt-realtime-2"})


def test_an_unknown_model_is_left_to_the_server() -> None:
    view().submit("e", {"model": "gpt-realtime-2"})


@pytest.mark.parametrize("tracing", ["auto", {"workflow_name": "x"}])
def test_tracing_is_fixed_once_it_is_on(tracing: Any) -> None:
    session = view(told={"tracing": tracing})
    session.submit("same", {"tracing": tracing})
    session.submit("without", {"instructions": "x"})
    for other in ("off", {"workflow_name": "y"}, {}):
        with pytest.raises(LocalProtocolError, match=r"session\.tracing is fixed once it is on"):
            session.submit("other", {"tracing": other})


def test_s51_tracing_can_be_switched_off_and_then_on_again() -> None:
    """S51."""
    session = view(told={"tracing": "auto"})
    session.submit("off", {"tracing": None})
    session.submit("on", {"tracing": {"workflow_name": "x"}})


def test_nulls_of_the_server_are_no_difference() -> None:
    told = {"workflow_name": "x", "group_id": None, "metadata": None}
    view(told={"tracing": told}).submit("e", {"tracing": {"workflow_name": "x"}})


def test_submitted_updates_count_as_accepted() -> None:
    session = view({"tracing": "auto"})
    with pytest.raises(LocalProtocolError, match=r"session\.tracing"):
        session.submit("e", {"tracing": {}})


def test_the_voice_is_fixed_once_the_agent_has_spoken() -> None:
    session = view(told=voiced("marin"))
    session.submit("before", voiced("cedar"))
    session.mark_agent_spoke()
    for same in (voiced("cedar"), voiced(None), {"audio": None}, {}):
        session.submit(str(same), same)
    for other in ("marin", {"id": "voice_1"}):
        with pytest.raises(
            LocalProtocolError, match=r"session\.audio\.output\.voice is fixed once"
        ):
            session.submit("after", voiced(other))


def test_an_update_of_other_audio_leaves_the_voice() -> None:
    session = view(voiced("marin"))
    session.submit("e", {"audio": {"input": {"transcription": None}, "output": {"speed": 1}}})
    session.mark_agent_spoke()
    session.submit("f", voiced("marin"))


def test_an_update_that_is_misuse_changes_nothing() -> None:
    session = view(told={"model": "m"})
    with pytest.raises(LocalProtocolError):
        session.submit("e", {"model": "n", "tracing": "auto"})
    assert not session.take_refused("e")
    session.submit("f", {"tracing": {}})


# Who cancels.


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
def test_the_server_interrupts_unless_configured_otherwise(
    detection: Any, *, interrupts: bool
) -> None:
    described = view(told={"audio": {"input": {"turn_detection": detection}}})
    assert described.server_interrupts is interrupts


@pytest.mark.parametrize("told", [{}, {"audio": {}}, {"audio": {"input": {"format": {}}}}])
@pytest.mark.parametrize(
    ("asked", "detects", "responds", "interrupts"),
    [
        ({}, True, True, True),
        (None, False, False, False),
        ({"create_response": False}, True, False, True),
        ({"interrupt_response": False}, True, True, False),
    ],
)
def test_turn_detection_that_the_server_leaves_out_is_as_it_was_asked_for(
    told: dict[str, Any], asked: Any, *, detects: bool, responds: bool, interrupts: bool
) -> None:
    session = view({"audio": {"input": {"turn_detection": asked}}}, told)
    assert session.detects_turns is detects
    assert session.server_responds is responds
    assert session.server_interrupts is interrupts


def test_turn_detection_that_nobody_mentions_is_on() -> None:
    assert view({}, {}).detects_turns


def test_s61_the_latest_configuration_decides_who_cancels() -> None:
    """S61."""
    session = view()
    assert session.server_interrupts
    detection = {"type": "server_vad", "interrupt_response": False}
    session.acknowledge({"audio": {"input": {"turn_detection": detection}}})
    assert not session.server_interrupts
    on = {"turn_detection": {**detection, "interrupt_response": True}}
    session.submit("e", {"audio": {"input": on}})
    assert not session.server_interrupts
    session.acknowledge({"audio": {"input": on}})
    assert session.server_interrupts


sessions = st.dictionaries(st.sampled_from(["audio", "model", "tracing", "x"]), json_values)


@given(sessions, st.lists(sessions, max_size=3))
def test_any_update_is_accepted_or_misuse(
    told: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    session = view(told=told)
    session.mark_agent_spoke()
    assert session.server_interrupts in (True, False)
    for number, update in enumerate(asked):
        try:
            session.submit(str(number), update)
        except LocalProtocolError:
            assert not session.take_refused(str(number))
        else:
            assert session.take_refused(str(number))
    assert session.config == told

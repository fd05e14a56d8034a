"""Fields of a configuration are set by text, with errors that name the field and its type."""

from typing import Any

import pytest

from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.config_settings import apply_settings, parse_setting
from twilio_realtime_core import (
    CallConfig,
    InterruptionLimit,
    InterruptionPolicy,
    ReconnectPolicy,
    SemanticVad,
    ServerVad,
    SessionConfig,
    StartDelayHistory,
)

SEMANTIC = CallConfig(session=SessionConfig(turn_detection=SemanticVad()))


def configure(*texts: str, config: CallConfig | None = None) -> CallConfig:
    return apply_settings(config or CallConfig(), [parse_setting(each) for each in texts])


@pytest.mark.parametrize(
    ("texts", "fields"),
    [
        ("notify_agent_audio=true", {"notify_agent_audio": True}),
        ("idle_timeout_ms=none", {"idle_timeout_ms": None}),
        ("model = gpt-x", {"model": "gpt-x"}),
        ("max_call_ms=5000 max_call_ms=6000", {"max_call_ms": 6000}),
        (
            "interruption.after_speech_ms=300 interruption.protect_first=TRUE",
            {"interruption": InterruptionPolicy(after_speech_ms=300, protect_first=True)},
        ),
        (
            "interruption.limit.count=3 interruption.limit.per_ms=1000",
            {"interruption": InterruptionPolicy(limit=InterruptionLimit(3, 1000))},
        ),
        ("reconnect=none", {"reconnect": None}),
        ("reconnect.max_attempts=2", {"reconnect": ReconnectPolicy(max_attempts=2)}),
        (
            "start_delay_history.start_delays_ns=[1,2]",
            {"start_delay_history": StartDelayHistory((1, 2))},
        ),
    ],
)
def test_fields_are_set(texts: str, fields: dict[str, Any]) -> None:
    assert configure(*(texts.split() if " = " not in texts else [texts])) == CallConfig(**fields)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("eagerness=low", SemanticVad(eagerness="low")),
        ("threshold=0.7", ServerVad(threshold=0.7)),
    ],
)
def test_the_class_of_a_field_follows_from_its_fields(text: str, value: object) -> None:
    changed = configure(f"session.turn_detection.{text}", config=SEMANTIC)
    assert changed.session.turn_detection == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("server_vad", ServerVad()), ('{"type":"new"}', {"type": "new"}), ("none", None)],
)
def test_a_field_of_several_classes_is_set_as_a_whole(text: str, value: object) -> None:
    changed = configure(f"session.turn_detection={text}", config=SEMANTIC)
    assert changed.session.turn_detection == value


@pytest.mark.parametrize("value", ["inf", 7])
def test_a_field_of_several_types_takes_each(value: object) -> None:
    assert configure(f"session.max_output_tokens={value}").session.max_output_tokens == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a setting is FIELD=VALUE, such as interruption.after_speech_ms=300"),
        ("model", "a setting is FIELD=VALUE"),
        ("=300", "a setting is FIELD=VALUE"),
        ("a b=1", "a setting is FIELD=VALUE"),
        (
            "interruption.after_speech_ms=soon",
            "interruption.after_speech_ms must be a whole number of milliseconds (int)",
        ),
        (
            "interruption.after_speech_ms=0.3",
            "interruption.after_speech_ms must be a whole number of milliseconds (int)",
        ),
        (
            "interruption.after_speech_ms=-5",
            "InterruptionPolicy.after_speech_ms must be 0 to 2147483647 ms (int), not -5",
        ),
        ("idle_timeout_ms=1", "CallConfig.idle_timeout_ms must be 100 to"),
        ("idle_timeout_ms=x", "must be a whole number of milliseconds (int) or none"),
        ("notify_agent_audio=yes", "notify_agent_audio must be true or false"),
        ("interruption.after_speach_ms=1", "did you mean after_speech_ms?"),
        ("interruption.q=1", "interruption (InterruptionPolicy) has no field q: its fields are"),
        ("nonsense=1", "CallConfig has no field nonsense"),
        ("model.size=1", "model has no fields: set it as a whole"),
        ("interruption=1", "interruption must be set by its fields (interruption.FIELD=VALUE)"),
        ("interruption.limit.count=3", "has no value yet: set per_ms as well"),
        ("waiting_clip=x", "waiting_clip cannot be set as text"),
        ("raw_messages=x", "raw_messages cannot be set as text"),
        ("session.turn_detection=x", "must be server_vad or semantic_vad or an object in JSON"),
        ("session.turn_detection.threshold=nan", "threshold must be a number"),
        ("session.turn_detection.eagerness=x", "eagerness must be 'low' or 'medium'"),
        ("session.tools={}", "session.tools must be a list in JSON"),
        ("session.tools=[", "session.tools must be a list in JSON"),
        ("resume=[5]", "resume"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        configure(text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_field_is_set_as_a_whole_or_in_part() -> None:
    for texts in (["reconnect=none", "reconnect.max_attempts=1"], ["reconnect.x=1", "reconnect=1"]):
        with pytest.raises(UsageError, match="as a whole and in part"):
            configure(*texts)


def test_a_text_that_is_refused_is_not_shown() -> None:
    with pytest.raises(UsageError) as refused:
        configure("url=https://name:secret@host/?key=secret")
    assert "secret" not in str(refused.value)

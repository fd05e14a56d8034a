"""The configuration of a session: typed, in range, and in the phone's audio format."""

import json
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import RealtimeSessionCreateRequest, SessionUpdateEvent

from calling import PCMU
from session_settings import fields, session_configs
from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.config.session import (
    NoiseReduction,
    Prompt,
    RetentionRatio,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    Tracing,
    Transcription,
)
from twilio_realtime_core.config.tools import ChooseFunction, FunctionTool, McpTool
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols.realtime import UpdateSession

PCM = {"type": "audio/pcm", "rate": 24000}


pytestmark = pytest.mark.filterwarnings("ignore:.*stored prompts:DeprecationWarning")


def with_null(name: str) -> SessionConfig:
    null: dict[str, Any] = {name: None}
    return SessionConfig(**null)


# Absent, null, and a value.


def test_s16_an_empty_update_names_only_the_audio_format() -> None:
    """S16."""
    assert SessionUpdate().to_update_event("e") == UpdateSession(
        {"type": "realtime", "audio": {"input": {"format": PCMU}, "output": {"format": PCMU}}}, "e"
    )
    assert SessionUpdate().to_update_event().event_id is None


def test_a_session_begins_with_semantic_vad_and_caller_transcripts() -> None:
    assert SessionConfig().to_update_event("e") == UpdateSession(
        {
            "type": "realtime",
            "audio": {
                "input": {
                    "format": PCMU,
                    "turn_detection": {"type": "semantic_vad"},
                    "transcription": {"model": "gpt-realtime-whisper"},
                },
                "output": {"format": PCMU},
            },
        },
        "e",
    )


def test_none_switches_each_default_off_and_unset_leaves_it_to_the_server() -> None:
    off = SessionConfig(turn_detection=None, transcription=None).to_update_event().session
    assert off["audio"]["input"] == {"format": PCMU, "turn_detection": None, "transcription": None}
    unset = SessionConfig(turn_detection=UNSET, transcription=UNSET).to_update_event()
    assert unset == SessionUpdate().to_update_event()


def test_a_default_yields_to_a_field_of_extra_fields() -> None:
    extra = {"audio": {"input": {"turn_detection": {"type": "server_vad"}, "transcription": None}}}
    session = SessionConfig(extra_fields=extra).to_update_event().session
    assert session["audio"]["input"] == {"format": PCMU, **extra["audio"]["input"]}
    given_ = SessionConfig(turn_detection=ServerVad(threshold=0.7), extra_fields=extra)
    detection = given_.to_update_event().session["audio"]["input"]["turn_detection"]
    assert detection == {"type": "server_vad", "threshold": 0.7}


def test_the_strength_of_noise_reduction_is_sent() -> None:
    def sent(config: NoiseReduction) -> Any:
        session = SessionUpdate(noise_reduction=config).to_update_event().session
        return session["audio"]["input"]["noise_reduction"]

    assert sent(NoiseReduction("far_field", strength=0.5)) == {"type": "far_field", "strength": 0.5}
    assert sent(NoiseReduction("near_field")) == {"type": "near_field"}


def test_a_stored_prompt_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="prompts down on 2026-11-30") as warned:
        SessionConfig(prompt=Prompt("pmpt_1"))
    assert warned[0].filename == __file__


def test_every_field_stands_where_the_api_has_it() -> None:
    config = SessionConfig(
        instructions="be brief",
        voice="marin",
        turn_detection=ServerVad(threshold=0.6, silence_duration_ms=400, idle_timeout_ms=None),
        transcription=Transcription("gpt-realtime-whisper", language="en"),
        tools=[FunctionTool("f"), McpTool("m", server_url="https://m.example"), {"type": "new"}],
        tool_choice=ChooseFunction("f"),
        parallel_tool_calls=True,
        output_modalities=["audio"],
        speed=1.1,
        noise_reduction="near_field",
        reasoning_effort="low",
        max_output_tokens=100,
        truncation=RetentionRatio(0.8, post_instructions=5000),
        tracing=Tracing(workflow_name="calls"),
        prompt=Prompt("pmpt_1", version="2", variables={"name": "x"}),
        include=["item.input_audio_transcription.logprobs"],
        extra_fields={"new": 1},
    )
    assert json.loads(config.to_update_event("e").encode()) == {
        "type": "session.update",
        "event_id": "e",
        "session": {
            "type": "realtime",
            "instructions": "be brief",
            "tools": [
                {"type": "function", "name": "f"},
                {"type": "mcp", "server_label": "m", "server_url": "https://m.example"},
                {"type": "new"},
            ],
            "tool_choice": {"type": "function", "name": "f"},
            "parallel_tool_calls": True,
            "output_modalities": ["audio"],
            "reasoning": {"effort": "low"},
            "max_output_tokens": 100,
            "truncation": {
                "type": "retention_ratio",
                "retention_ratio": 0.8,
                "token_limits": {"post_instructions": 5000},
            },
            "tracing": {"workflow_name": "calls"},
            "prompt": {"id": "pmpt_1", "version": "2", "variables": {"name": "x"}},
            "include": ["item.input_audio_transcription.logprobs"],
            "new": 1,
            "audio": {
                "input": {
                    "format": PCMU,
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.6,
                        "silence_duration_ms": 400,
                        "idle_timeout_ms": None,
                    },
                    "transcription": {"model": "gpt-realtime-whisper", "language": "en"},
                    "noise_reduction": {"type": "near_field"},
                },
                "output": {"format": PCMU, "voice": "marin", "speed": 1.1},
            },
        },
    }


@pytest.mark.parametrize("name", ["turn_detection", "transcription", "noise_reduction"])
def test_null_switches_a_part_of_the_input_off(name: str) -> None:
    null: dict[str, Any] = {name: None}
    session = SessionUpdate(**null).to_update_event().session
    assert session["audio"]["input"] == {"format": PCMU, name: None}


@pytest.mark.parametrize("name", ["tracing", "prompt", "include"])
def test_s51_null_is_sent_where_the_protocol_has_it(name: str) -> None:
    """S51: tracing, and the others that have null."""
    session = with_null(name).to_update_event().session
    assert session[name] is None


@pytest.mark.parametrize(
    "name",
    sorted(
        fields.keys()
        - {"turn_detection", "transcription", "noise_reduction", "tracing", "prompt", "include"}
    ),
)
def test_null_is_misuse_where_the_protocol_has_none(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=rf"SessionConfig\.{name} must be"):
        with_null(name)


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
def test_semantic_turn_detection_and_who_interrupts(eagerness: Any) -> None:
    detection = SemanticVad(eagerness, create_response=True, interrupt_response=False)
    session = SessionConfig(turn_detection=detection).to_update_event().session
    assert session["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": eagerness,
        "create_response": True,
        "interrupt_response": False,
    }


def test_a_ratio_without_a_limit_names_none() -> None:
    session = SessionConfig(truncation=RetentionRatio(1)).to_update_event().session
    assert session["truncation"] == {"type": "retention_ratio", "retention_ratio": 1}


def test_a_configuration_is_changed_by_making_another_of_it() -> None:
    config = attrs.evolve(SessionConfig(voice="marin", speed=1.5), speed=1)
    assert config == SessionConfig(voice="marin", speed=1)


# Out of range.


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"speed": 0.2}, r"speed must be 0\.25 to 1\.5"),
        ({"speed": 2}, r"speed must be 0\.25 to 1\.5"),
        (
            {"max_output_tokens": 0},
            "max_output_tokens must be a whole number from 1 to 4096, or 'i",
        ),
        ({"max_output_tokens": 4097}, "max_output_tokens"),
        ({"max_output_tokens": "infinite"}, "max_output_tokens"),
        ({"output_modalities": ["audio", "text"]}, r"output_modalities must be \['audio'\] or"),
        ({"output_modalities": []}, "output_modalities"),
        ({"output_modalities": "audio"}, "output_modalities"),
        ({"voice": ""}, "voice"),
        ({"noise_reduction": "far"}, "noise_reduction must be 'near_field' or 'far_field', or"),
        ({"reasoning_effort": "most"}, "reasoning_effort must be 'none' or 'minimal' or 'low'"),
        ({"truncation": "off"}, "truncation must be 'auto' or 'disabled'"),
        ({"tracing": "on"}, "tracing must be 'auto'"),
        ({"tool_choice": "all"}, "tool_choice must be 'none' or 'auto' or 'required'"),
        ({"include": ["all"]}, "include"),
        ({"tools": ["f"]}, "tools must be a list or tuple"),
        ({"turn_detection": "server_vad"}, "turn_detection must be ServerVad or SemanticVad"),
        ({"extra_fields": None}, "extra_fields must be a mapping"),
        ({"extra_fields": UNSET}, "extra_fields must be a mapping, not UnsetType"),
        (
            {"extra_fields": {"audio": 5}},
            r"extra_fields\.audio must be a mapping, or None, not int",
        ),
        ({"extra_fields": {"audio": {"input": 5}}}, r"extra_fields\.audio\.input must be a map"),
        ({"extra_fields": {"audio": {"output": 5}}}, r"extra_fields\.audio\.output must be a m"),
        (
            {"extra_fields": {"reasoning": 5}, "reasoning_effort": "low"},
            r"extra_fields\.reasoning must be a mapping, or None, not",
        ),
    ],
)
def test_a_value_out_of_its_range_is_misuse(config: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"SessionConfig.{message}"):
        SessionConfig(**config)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (ServerVad, {"threshold": 1.1}, "threshold must be 0 to 1"),
        (ServerVad, {"prefix_padding_ms": -1}, "prefix_padding_ms must be a whole number from 0"),
        (ServerVad, {"silence_duration_ms": 0.5}, "silence_duration_ms must be a whole number"),
        (ServerVad, {"idle_timeout_ms": 4999}, "idle_timeout_ms must be .* 5000 to 30000, or None"),
        (ServerVad, {"interrupt_response": None}, "interrupt_response must be True or False"),
        (SemanticVad, {"eagerness": "eager"}, "eagerness must be 'low' or"),
        (NoiseReduction, {"microphone": "far"}, "microphone must be 'near_field' or 'far_field'"),
        (NoiseReduction, {"microphone": "far_field", "strength": -1}, "strength must be a number"),
        (Transcription, {"model": ""}, "model must be text"),
        (Transcription, {"model": "m", "languages": []}, "languages must be .* at least 1"),
        (Transcription, {"model": "m", "delay": "none"}, "delay must be 'minimal' or"),
        (RetentionRatio, {"retention_ratio": -0.1}, "retention_ratio must be 0 to 1"),
        (RetentionRatio, {"retention_ratio": 1, "post_instructions": -1}, "post_instructions must"),
        (Tracing, {"metadata": "x"}, "metadata must be a mapping"),
        (Prompt, {"id": None}, "id must be text"),
    ],
)
def test_a_part_out_of_its_range_is_misuse(
    kind: type[Any], config: dict[str, Any], message: str
) -> None:
    with pytest.raises(LocalProtocolError, match=f"{kind.__name__}.{message}"):
        kind(**config)


# What this version does not know.


def test_a_mapping_for_a_typed_value_is_sent_unchanged() -> None:
    config = SessionConfig(
        turn_detection={"type": "new_vad", "x": 1},
        transcription={"model": "m", "x": 2},
        noise_reduction={"type": "near_field", "gain": 0.5},
        voice={"id": "voice_1"},
        truncation={"type": "new", "x": 3},
        tracing={"x": 4},
        prompt={"id": "p", "x": 5},
        tool_choice={"type": "new"},
    )
    session = config.to_update_event().session
    assert session["audio"]["input"] == {
        "format": PCMU,
        "turn_detection": {"type": "new_vad", "x": 1},
        "transcription": {"model": "m", "x": 2},
        "noise_reduction": {"type": "near_field", "gain": 0.5},
    }
    assert session["audio"]["output"]["voice"] == {"id": "voice_1"}
    assert session["truncation"] == {"type": "new", "x": 3}
    assert session["tracing"] == {"x": 4}
    assert session["prompt"] == {"id": "p", "x": 5}
    assert session["tool_choice"] == {"type": "new"}


def test_s16_nested_audio_settings_are_kept() -> None:
    """S16."""
    more = {
        "audio": {
            "input": {"new": {"type": "x"}, "turn_detection": None},
            "output": {"speed": 1.1, "format": PCMU},
            "new": 1,
        },
        "reasoning": {"effort": "high", "new": 2},
    }
    session = (
        SessionUpdate(extra_fields=more, voice="cedar", reasoning_effort="low")
        .to_update_event("e")
        .session
    )
    assert session["audio"] == {
        "input": {"new": {"type": "x"}, "turn_detection": None, "format": PCMU},
        "output": {"speed": 1.1, "voice": "cedar", "format": PCMU},
        "new": 1,
    }
    assert session["reasoning"] == {"effort": "low", "new": 2}
    assert (
        SessionConfig(extra_fields=more).to_update_event().session["reasoning"] == more["reasoning"]
    )


def test_a_named_field_replaces_one_of_the_extra_fields() -> None:
    more = {"type": "transcription", "instructions": "long", "audio": {"output": {"voice": "a"}}}
    session = (
        SessionConfig(instructions="brief", voice="b", extra_fields=more)
        .to_update_event("e")
        .session
    )
    assert session["type"] == "realtime"
    assert session["instructions"] == "brief"
    assert session["audio"]["output"]["voice"] == "b"


@pytest.mark.parametrize("way", ["input", "output"])
@pytest.mark.parametrize("format_", [PCM, {"rate": 8000, **PCMU}, "g711_ulaw"])
def test_s16_a_configuration_in_another_format_cannot_be_made(way: str, format_: Any) -> None:
    """S16: an explicit other format is refused, not overridden."""
    with pytest.raises(LocalProtocolError, match=rf"session\.audio\.{way}\.format must be"):
        SessionConfig(extra_fields={"audio": {way: {"format": format_}}})


def test_s16_a_configuration_with_a_beta_format_cannot_be_made() -> None:
    """S16: nor with the name of µ-law in the beta API, which this API refuses."""
    with pytest.raises(LocalProtocolError, match=r"the beta's name of audio\.input"):
        SessionConfig(extra_fields={"input_audio_format": "g711_ulaw"})


def test_the_model_is_no_part_of_it() -> None:
    with pytest.raises(LocalProtocolError, match=r"named by CallConfig\.model"):
        SessionConfig(extra_fields={"model": "gpt-realtime-2.1"})


@pytest.mark.parametrize(
    "config",
    [
        {"extra_fields": {"x": object()}},
        {"tools": [FunctionTool("f", parameters={"x": object()})]},
    ],
)
def test_a_configuration_that_is_no_json_cannot_be_made(config: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"session\.update\.session\..* must be "):
        SessionConfig(**config)


@pytest.mark.parametrize("modalities", [["audio", "text"], [], ("video",)])
def test_other_modalities_are_misuse_with_the_fault_named(modalities: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"\['text'\]: it holds something else"):
        SessionConfig(output_modalities=modalities)


def test_instructions_that_are_no_unicode_are_misuse() -> None:
    with pytest.raises(LocalProtocolError, match=r"SessionConfig\.instructions must be text: "):
        SessionConfig(instructions=b"\xff".decode(errors="surrogateescape"))


def test_private_settings_are_not_in_the_repr() -> None:
    config = SessionConfig(
        instructions="secret",
        tools=[McpTool("m", server_url="https://secret")],
        prompt={"id": "p", "variables": {"x": "secret"}},
        tracing={"group_id": "secret"},
        transcription={"model": "m", "prompt": "secret"},
        extra_fields={"x": "secret"},
    )
    parts = (
        Transcription("m", prompt="secret", keywords=["secret"]),
        Tracing(group_id="secret", metadata={"x": "secret"}),
        Prompt("p", variables={"x": "secret"}),
    )
    assert "secret" not in repr((config, parts))


@given(session_configs)
@settings(max_examples=150)
def test_every_configuration_is_one_of_the_api(config: SessionConfig) -> None:
    event = config.to_update_event("e")
    body = json.loads(event.encode())
    if config.reasoning_effort == "none":  # which models of 2.x take, and the types do not name
        del body["session"]["reasoning"]
    SessionUpdateEvent.model_validate(body)
    session = RealtimeSessionCreateRequest.model_validate(body["session"], strict=True)
    assert session.audio is not None
    for side in (session.audio.input, session.audio.output):
        assert side is not None
        assert side.format is not None
        assert side.format.to_dict() == PCMU


@given(st.sets(st.sampled_from(sorted(fields))), st.data())
def test_only_the_fields_that_are_given_are_sent(names: set[str], data: st.DataObject) -> None:
    given_ = {name: data.draw(fields[name]) for name in sorted(names)}
    session = SessionUpdate(**given_).to_update_event().session
    heard = session["audio"]["input"].keys() | session["audio"]["output"].keys()
    sent = session.keys() | heard | ({"reasoning_effort"} if "reasoning" in session else set())
    assert sent - {"type", "audio", "format", "reasoning"} == names

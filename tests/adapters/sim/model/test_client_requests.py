"""How the simulated server decodes client events, and refuses invalid ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.model.client_requests import (
    ClientRequest,
    InvalidClientRequest,
    decode_audio,
    decode_client_request,
)
from twilio_realtime.sim.model.schema import ErrorBody


def refusal(event: Any) -> ErrorBody:
    read = decode_client_request(json.dumps(event))
    assert isinstance(read, InvalidClientRequest)
    return read.error


def code_and_path(event: Any) -> tuple[str | None, str | None]:
    refused = refusal(event)
    return refused.code, refused.param


def update(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def listen(**fields: Any) -> dict[str, Any]:
    return update(audio={"input": fields})


def respond(**fields: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": fields}


def create(**item: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item}


@pytest.mark.parametrize(
    "text",
    ["", "nope", "{", '{"type": "response.create"} x', "[" * 100_000, '"\ud800"', "NaN", "1e999"],
    ids=range(8),
)
def test_invalid_json_is_refused(text: str) -> None:
    read = decode_client_request(text)
    assert isinstance(read, InvalidClientRequest)
    assert read.error.code == "invalid_json"
    assert read.error.message.startswith("Invalid event: failed to parse JSON value.")
    assert (read.error.param, read.type, read.event_id) == (None, None, None)


@pytest.mark.parametrize("event", [[], 1, "x", None, {}, {"event_id": "a"}])
def test_an_event_is_an_object_with_a_type(event: Any) -> None:
    assert refusal(event).code == "invalid_event"


def test_a_missing_type_is_reported() -> None:
    assert refusal({}).message == "The 'type' field is missing."


@pytest.mark.parametrize("type_", ["nope", "output_audio_buffer.clear", 7, None, ["x"], {"a": 1}])
def test_an_unknown_type_is_refused_with_the_supported_ones(type_: Any) -> None:
    refused = refusal({"type": type_})
    assert (refused.code, refused.param) == ("invalid_value", "type")
    assert "Supported values are: 'session.update', " in refused.message
    assert refused.message.endswith(", and 'response.cancel'.")


def test_a_refused_event_keeps_its_id() -> None:
    read = decode_client_request(json.dumps({"type": "nope", "event_id": "mine"}))
    assert isinstance(read, InvalidClientRequest)
    assert (read.type, read.event_id) == ("nope", "mine")


@pytest.mark.parametrize(
    ("event", "code", "path"),
    [
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        (
            {"type": "session.update", "session": {}},
            "missing_required_parameter",
            "session.type",
        ),
        ({"type": "session.update", "session": []}, "invalid_type", "session"),
        (
            {"type": "session.update", "session": {"type": "transcription"}},
            "invalid_value",
            "session.type",
        ),
        (update(bogus_field=1), "unknown_parameter", "session.bogus_field"),
        (update(instructions=5), "invalid_type", "session.instructions"),
        (update(output_modalities=["smell"]), "invalid_value", "session.output_modalities[0]"),
        (update(output_modalities=["text", "audio"]), "invalid_value", "session.output_modalities"),
        (update(output_modalities="text"), "invalid_type", "session.output_modalities"),
        (update(max_output_tokens=0), "integer_below_min_value", "session.max_output_tokens"),
        (update(max_output_tokens=5000), "integer_above_max_value", "session.max_output_tokens"),
        (update(max_output_tokens="all"), "invalid_value", "session.max_output_tokens"),
        (update(max_output_tokens=True), "invalid_type", "session.max_output_tokens"),
        (update(parallel_tool_calls=1), "invalid_type", "session.parallel_tool_calls"),
        (update(tool_choice="some"), "invalid_value", "session.tool_choice"),
        (update(tool_choice={"type": "function"}), "missing_required_parameter", None),
        (update(tools=[{"type": "function"}]), "missing_required_parameter", None),
        (update(tools=[{"name": "f"}]), "missing_required_parameter", "session.tools[0].type"),
        (update(tools=[7]), "invalid_type", "session.tools[0]"),
        (update(tracing=5), "invalid_type", "session.tracing"),
        (
            listen(format={"type": "audio/pcm", "rate": 16000}),
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            listen(format={"type": "audio/pcmu", "rate": 8000}),
            "unknown_parameter",
            "session.audio.input.format.rate",
        ),
        (listen(format={"type": "audio/mp3"}), "invalid_value", "session.audio.input.format.type"),
        (listen(format={"type": 3}), "invalid_type", "session.audio.input.format.type"),
        (
            listen(turn_detection={"type": "server_vad", "threshold": 2}),
            "decimal_above_max_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            listen(turn_detection={"type": "server_vad", "threshold": "x"}),
            "invalid_type",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            listen(turn_detection={"type": "server_vad", "idle_timeout_ms": 4999}),
            "integer_below_min_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            listen(turn_detection={"type": "semantic_vad", "idle_timeout_ms": 5000}),
            "unknown_parameter",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (respond(conversation="other"), "invalid_value", "response.conversation"),
        (respond(metadata=3), "invalid_type", "response.metadata"),
        (respond(metadata={"a": 3}), "invalid_type", "response.metadata.a"),
        (respond(metadata={"k" * 65: ""}), "string_above_max_length", "response.metadata"),
        (respond(metadata={"k": "v" * 513}), "string_above_max_length", "response.metadata.k"),
        (
            respond(metadata={str(key): "" for key in range(17)}),
            "object_above_max_properties",
            "response.metadata",
        ),
        (create(type="message"), "missing_required_parameter", "item.role"),
        (create(type="message", role="user"), "missing_required_parameter", "item.content"),
        (create(type="message", role="judge", content=[]), "invalid_value", "item.role"),
        (
            create(
                type="message",
                role="assistant",
                content=[{"type": "output_audio", "audio": "AAAA"}],
            ),
            "invalid_value",
            "item.content[0].type",
        ),
        (create(type="function_call_output", call_id="c"), "missing_required_parameter", None),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0},
            "missing_required_parameter",
            "audio_end_ms",
        ),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "i",
                "content_index": 0,
                "audio_end_ms": 1.5,
            },
            "invalid_type",
            "audio_end_ms",
        ),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.commit", "x": 1}, "unknown_parameter", "x"),
        ({"type": "response.cancel", "event_id": 5}, "invalid_type", "event_id"),
        ({"type": "response.cancel", "event_id": "e" * 513}, "string_above_max_length", "event_id"),
        ({"type": "session.input_audio_buffer.append", "audio": ""}, "invalid_event", None),
    ],
)
def test_a_bad_field_is_refused_with_its_path(event: Any, code: str, path: str | None) -> None:
    refused = refusal(event)
    assert refused.code == code
    assert path is None or refused.param == path


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (update(bogus=1), "Unknown parameter: 'session.bogus'."),
        (
            {"type": "session.update", "session": {}},
            "Missing required parameter: 'session.type'.",
        ),
        (update(tracing="on"), "Invalid value: 'on'. Supported values are: 'auto'."),
        (update(output_modalities=["x"]), "Supported values are: 'text' and 'audio'."),
        (
            update(tool_choice="some"),
            "Invalid value: 'some'. Supported values are: 'none', 'auto', and 'required'.",
        ),
        (
            update(instructions=None),
            "Invalid type for 'session.instructions': expected a string, but got null instead.",
        ),
        (
            listen(format={"type": "audio/pcm", "rate": 16000}),
            "Expected a value >= 24000, but got 16000 instead.",
        ),
    ],
)
def test_errors_have_the_texts_of_the_api(event: Any, message: str) -> None:
    assert refusal(event).message.endswith(message)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.close"},
        {"type": "response.create", "event_id": "mine"},
        {"type": "response.create", "response": None},
        {"type": "response.cancel", "response_id": "resp_1"},
        {"type": "input_audio_buffer.append", "audio": ""},
        respond(metadata={"a": "b"}, conversation="none", instructions="x", input=[]),
        respond(input=[{"type": "item_reference", "id": "item_1"}], max_output_tokens="inf"),
        respond(audio={"output": {"voice": {"id": "voice_1"}, "format": {"type": "audio/pcmu"}}}),
        update(tools=[{"type": "function", "name": "f", "parameters": {"a": [1, {"b": None}]}}]),
        update(tracing=None, truncation="auto", prompt=None, include=None, reasoning={}),
        listen(turn_detection=None, noise_reduction=None, transcription=None),
        create(type="mcp_approval_response", approval_request_id="a", approve=True),
    ],
)
def test_valid_events_are_decoded_unchanged(event: dict[str, Any]) -> None:
    read = decode_client_request(json.dumps(event))
    assert read == ClientRequest(event["type"], event, event.get("event_id"))


def test_free_form_values_have_a_maximum_depth() -> None:
    deep: Any = {}
    for _ in range(100):
        deep = {"a": [deep]}
    tool = {"type": "function", "name": "f", "parameters": deep}
    assert code_and_path(update(tools=[tool])) == ("invalid_value", "session.tools[0].parameters")


def test_only_base64_audio_is_decoded() -> None:
    assert decode_audio("/38=") == b"\xff\x7f"
    assert decode_audio("") == b""
    for bad in ("/38", "/38=\n", "_38=", "ä", "/3 8=", "\ud800"):
        refused = decode_audio(bad)
        assert isinstance(refused, ErrorBody)
        assert (refused.code, refused.param) == ("invalid_value", "audio")


def test_audio_of_one_append_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twilio_realtime.sim.model.client_requests.MAX_APPEND_BYTES", 2)
    refused = decode_audio("AAAA")
    assert isinstance(refused, ErrorBody)
    assert refused.code == "string_above_max_length"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.one_of(st.text(), JSON.map(json.dumps)))
def test_decoding_any_text_does_not_raise(text: str) -> None:
    assert isinstance(decode_client_request(text), InvalidClientRequest)

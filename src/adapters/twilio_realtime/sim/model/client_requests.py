"""The client events of the Realtime API: tables of what each may hold, and decoding them.

Source: API reference, client events (session, items, `response.create`); for the errors, the
`error` events that clients have reported.
"""

import binascii
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from attrs import define, frozen

from ..audio import silence
from .schema import (
    ErrorBody,
    FieldCheck,
    JsonObject,
    any_value,
    array,
    boolean,
    decimal,
    either,
    enum,
    free_form,
    integer,
    is_object,
    list_values,
    nullable,
    record,
    string,
    string_map,
    tagged,
)

__all__ = [
    "ClientRequest",
    "InvalidClientRequest",
    "count_silence",
    "decode_audio",
    "decode_client_request",
]

MAX_APPEND_BYTES: Final = 15 * 1024 * 1024
"""The most bytes of audio in one append (API reference, `input_audio_buffer.append`)."""


@define
class ClientRequest:
    """A valid client event: `body` is the JSON object, checked against its table. (A value: do not
    change it.)"""

    type: str
    body: JsonObject
    event_id: str | None


@frozen
class InvalidClientRequest:
    """A client event that is refused; `type` is its type if it has one."""

    type: str | None
    error: ErrorBody
    event_id: str | None


_SUPPORTED_TYPES: Final = (
    "session.update",
    "session.close",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "session.input_audio_buffer.append",
    "conversation.item.create",
    "conversation.item.truncate",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "response.create",
    "response.cancel",
)


class _Append(msgspec.Struct, forbid_unknown_fields=True):
    """An `input_audio_buffer.append` as most are: valid, and without an `event_id`."""

    type: Literal["input_audio_buffer.append"]
    audio: str


_APPEND: Final = "input_audio_buffer.append"
_APPEND_PREFIX: Final = f'{{"type":"{_APPEND}",'
_decode_append = msgspec.json.Decoder(_Append).decode


def decode_client_request(text: str) -> ClientRequest | InvalidClientRequest:
    """Decode one message of the client. Never raises."""
    if text.startswith(_APPEND_PREFIX):  # fifty times a second
        is_cached = len(text) <= _MAX_CACHED_APPEND_CHARACTERS
        return _decode_short_append(text) if is_cached else _decode_append_event(text)
    return _decode_any(text)


@lru_cache(16)
def count_silence(text: str) -> int:
    """Return how many samples of silence in µ-law an append has; 0 for any other event."""
    request = _decode_append_event(text) if text.startswith(_APPEND_PREFIX) else None
    if not isinstance(request, ClientRequest) or request.event_id is not None:
        return 0
    audio = decode_audio(request.body["audio"])
    is_silence = isinstance(audio, bytes) and audio == silence(len(audio))
    return len(audio) if is_silence and isinstance(audio, bytes) else 0


def _decode_append_event(text: str) -> ClientRequest | InvalidClientRequest:
    try:
        return ClientRequest(_APPEND, {"type": _APPEND, "audio": _decode_append(text).audio}, None)
    except (ValueError, RecursionError):
        return _decode_any(text)  # the tables find what is wrong with it


def _decode_any(text: str) -> ClientRequest | InvalidClientRequest:
    try:
        body: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return InvalidClientRequest(
            None, ErrorBody("invalid_json", "Invalid event: failed to parse JSON value."), None
        )
    if not is_object(body):
        return InvalidClientRequest(
            None, ErrorBody("invalid_event", "The event is not an object."), None
        )
    sent_id, type_ = body.get("event_id"), body.get("type")
    event_id = sent_id if isinstance(sent_id, str) else None
    if refusal := _check_type(body) or _EVENTS[body["type"]](body, ""):
        return InvalidClientRequest(type_ if isinstance(type_, str) else None, refusal, event_id)
    return ClientRequest(body["type"], body, event_id)


_MAX_CACHED_CHARACTERS: Final = 1_068
"""The longest audio whose decoding is cached (characters): a phone's frame of 100 ms, which is
silence most of the time."""

_MAX_CACHED_APPEND_CHARACTERS: Final = _MAX_CACHED_CHARACTERS + 64
"""The longest append whose decoding is cached (characters)."""


def decode_audio(audio: str) -> bytes | ErrorBody:
    """Return the bytes of base64 audio. Only the alphabet of RFC 4648, section 4, is accepted."""
    return _decode_cached(audio) if len(audio) <= _MAX_CACHED_CHARACTERS else _decode_base64(audio)


def _decode_base64(audio: str) -> bytes | ErrorBody:
    try:
        decoded = binascii.a2b_base64(audio, strict_mode=True)
    except ValueError:
        message = "Invalid 'audio': expected base64-encoded audio bytes."
        return ErrorBody("invalid_value", message, "audio")
    if len(decoded) > MAX_APPEND_BYTES:
        message = f"Invalid 'audio': more than {MAX_APPEND_BYTES} bytes of audio in one event."
        return ErrorBody("string_above_max_length", message, "audio")
    return decoded


_decode_cached = lru_cache(64)(_decode_base64)
_decode_short_append = lru_cache(64)(_decode_append_event)


def _check_type(event: JsonObject) -> ErrorBody | None:
    if "type" not in event:
        return ErrorBody("invalid_event", "The 'type' field is missing.")
    type_ = event["type"]
    if isinstance(type_, str) and type_ in _EVENTS:
        return None
    message = (
        f"Invalid value: {_quoted(type_)}. Supported values are: {list_values(_SUPPORTED_TYPES)}."
    )
    return ErrorBody("invalid_value", message, "type")


def _quoted(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else msgspec.json.encode(value).decode()[:64]


# What fields may hold, from small to large. Every event may carry `type` and `event_id`.

_TEXT: Final = string()
_FORMAT: Final = tagged(
    {
        "audio/pcm": record({"type": _TEXT, "rate": integer(24000, 24000)}),
        "audio/pcmu": record({"type": _TEXT}),
        "audio/pcma": record({"type": _TEXT}),
    }
)
_VOICE: Final = either({str: string(), dict: record({"id": _TEXT}, "id")}, "a string or an object")
_SHARED_VAD: Final[dict[str, FieldCheck]] = {
    "type": _TEXT,
    "create_response": boolean,
    "interrupt_response": boolean,
}
_TURN_DETECTION: Final = tagged(
    {
        "server_vad": record(
            {
                **_SHARED_VAD,
                "threshold": decimal(0, 1),
                "prefix_padding_ms": integer(0, 60_000),
                "silence_duration_ms": integer(0, 60_000),
                "idle_timeout_ms": nullable(integer(5000, 30_000)),
            }
        ),
        "semantic_vad": record({**_SHARED_VAD, "eagerness": enum("low", "medium", "high", "auto")}),
    }
)
_TRANSCRIPTION: Final = record(
    {
        "model": _TEXT,
        "language": nullable(_TEXT),
        "languages": array(_TEXT),
        "keywords": array(_TEXT),
        "prompt": nullable(_TEXT),
        "delay": enum("minimal", "low", "medium", "high", "xhigh"),
    },
    "model",
)
_TOOL_FILTER: Final = record({"tool_names": array(_TEXT), "read_only": boolean})
_ALLOWED_TOOLS: Final = either({list: array(_TEXT), dict: _TOOL_FILTER}, "an array or an object")
_APPROVAL: Final = either(
    {
        str: enum("always", "never"),
        dict: record({"always": _TOOL_FILTER, "never": _TOOL_FILTER}),
    },
    "a string or an object",
)
_TOOL: Final = tagged(
    {
        "function": record(
            {"type": _TEXT, "name": _TEXT, "description": _TEXT, "parameters": free_form}, "name"
        ),
        "mcp": record(
            {
                "type": _TEXT,
                "server_label": _TEXT,
                "server_url": _TEXT,
                "connector_id": _TEXT,
                "tunnel_id": _TEXT,
                "server_description": _TEXT,
                "authorization": _TEXT,
                "headers": nullable(string_map(64, 512, 16_384)),
                "allowed_tools": nullable(_ALLOWED_TOOLS),
                "require_approval": nullable(_APPROVAL),
                "defer_loading": boolean,
            },
            "server_label",
        ),
    }
)
_TOOL_CHOICE: Final = either(
    {
        str: enum("none", "auto", "required"),
        dict: tagged(
            {
                "function": record({"type": _TEXT, "name": _TEXT}, "name"),
                "mcp": record(
                    {"type": _TEXT, "server_label": _TEXT, "name": nullable(_TEXT)}, "server_label"
                ),
            }
        ),
    },
    "a string or an object",
)
_TRUNCATION: Final = either(
    {
        str: enum("auto", "disabled"),
        dict: tagged(
            {
                "retention_ratio": record(
                    {
                        "type": _TEXT,
                        "retention_ratio": decimal(0, 1),
                        "token_limits": record({"post_instructions": integer(0)}),
                    },
                    "retention_ratio",
                )
            }
        ),
    },
    "a string or an object",
)
_TRACING: Final = either(
    {
        str: enum("auto"),
        dict: record({"workflow_name": _TEXT, "group_id": _TEXT, "metadata": free_form}),
    },
    "a string or an object",
)
_PROMPT: Final = record(
    {"id": _TEXT, "version": nullable(_TEXT), "variables": nullable(free_form)}, "id"
)


def _modalities(value: object, path: str) -> ErrorBody | None:
    if refusal := array(enum("text", "audio"))(value, path):
        return refusal
    if value in (["text"], ["audio"]):
        return None
    message = "Invalid modalities. Supported combinations are: ['text'] and ['audio']."
    return ErrorBody("invalid_value", message, path)


_SHARED_SETTINGS: Final[dict[str, FieldCheck]] = {
    "output_modalities": _modalities,
    "instructions": _TEXT,
    "tools": array(_TOOL),
    "tool_choice": _TOOL_CHOICE,
    "parallel_tool_calls": boolean,
    "reasoning": record({"effort": enum("none", "minimal", "low", "medium", "high", "xhigh")}),
    "max_output_tokens": either(
        {str: enum("inf"), int: integer(1, 4096)}, "an integer or the string 'inf'"
    ),
    "prompt": nullable(_PROMPT),
}
_SESSION: Final = record(
    {
        **_SHARED_SETTINGS,
        "type": enum("realtime"),
        "model": _TEXT,
        "audio": record(
            {
                "input": record(
                    {
                        "format": _FORMAT,
                        "transcription": nullable(_TRANSCRIPTION),
                        "noise_reduction": nullable(
                            record(
                                {
                                    "type": enum("near_field", "far_field"),
                                    "strength": decimal(0, 1000),
                                },
                                "type",
                            )
                        ),
                        "turn_detection": nullable(_TURN_DETECTION),
                    }
                ),
                "output": record({"format": _FORMAT, "voice": _VOICE, "speed": decimal(0.25, 1.5)}),
            }
        ),
        "include": nullable(array(enum("item.input_audio_transcription.logprobs"))),
        "truncation": _TRUNCATION,
        "tracing": nullable(_TRACING),
    },
    "type",
)


def _part(name: str, field: str) -> dict[str, FieldCheck]:
    return {name: record({"type": _TEXT, field: _TEXT}, field)}


_USER_PARTS: Final = tagged(
    {
        **_part("input_text", "text"),
        "input_audio": record(
            {"type": _TEXT, "audio": _TEXT, "transcript": nullable(_TEXT)}, "audio"
        ),
        "input_image": record(
            {"type": _TEXT, "image_url": _TEXT, "detail": enum("auto", "low", "high")}, "image_url"
        ),
    }
)


def _message(part: FieldCheck) -> FieldCheck:
    return record({**_ANY_ITEM, "role": _TEXT, "content": array(part)}, "content")


_ANY_ITEM: Final[dict[str, FieldCheck]] = {
    "type": _TEXT,
    "id": _TEXT,
    "object": _TEXT,
    "status": enum("completed", "incomplete", "in_progress"),
}
_ITEM_KINDS: Final[dict[str, FieldCheck]] = {
    "message": tagged(
        {
            "system": _message(tagged(_part("input_text", "text"))),
            "user": _message(_USER_PARTS),
            # Clients cannot create audio here (API reference, `conversation.item.create`).
            "assistant": _message(tagged(_part("output_text", "text"))),
        },
        "role",
    ),
    "function_call": record(
        {**_ANY_ITEM, "name": _TEXT, "call_id": _TEXT, "arguments": _TEXT}, "name", "arguments"
    ),
    "function_call_output": record(
        {**_ANY_ITEM, "call_id": _TEXT, "output": _TEXT}, "call_id", "output"
    ),
    "mcp_approval_response": record(
        {
            **_ANY_ITEM,
            "approval_request_id": _TEXT,
            "approve": boolean,
            "reason": nullable(_TEXT),
        },
        "approval_request_id",
        "approve",
    ),
}
_REFERENCE: Final = record({"type": _TEXT, "id": _TEXT}, "id")
_RESPONSE: Final = record(
    {
        **_SHARED_SETTINGS,
        "audio": record({"output": record({"format": _FORMAT, "voice": _VOICE})}),
        "conversation": enum("auto", "none"),
        "metadata": nullable(string_map(16, 64, 512)),
        "input": array(tagged({**_ITEM_KINDS, "item_reference": _REFERENCE})),
    }
)


def _event(fields: dict[str, FieldCheck] | None = None, *required: str) -> FieldCheck:
    return record({"type": any_value, "event_id": string(512), **(fields or {})}, *required)


def _translation_only(event: object, path: str) -> ErrorBody:
    message = "'session.input_audio_buffer.append' belongs to translation sessions."
    return ErrorBody("invalid_event", message, path or None)


_ITEM_ID: Final[dict[str, FieldCheck]] = {"item_id": _TEXT}
_EVENTS: Final[dict[str, FieldCheck]] = {
    "session.update": _event({"session": _SESSION}, "session"),
    "session.close": _event(),
    "input_audio_buffer.append": _event({"audio": _TEXT}, "audio"),
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "session.input_audio_buffer.append": _translation_only,
    "conversation.item.create": _event(
        {"previous_item_id": nullable(_TEXT), "item": tagged(_ITEM_KINDS)}, "item"
    ),
    "conversation.item.truncate": _event(
        {**_ITEM_ID, "content_index": integer(0), "audio_end_ms": integer(0)},
        "item_id",
        "content_index",
        "audio_end_ms",
    ),
    "conversation.item.delete": _event(_ITEM_ID, "item_id"),
    "conversation.item.retrieve": _event(_ITEM_ID, "item_id"),
    "response.create": _event({"response": nullable(_RESPONSE)}),
    "response.cancel": _event({"response_id": nullable(_TEXT)}),
}

"""The settings of a session, from those of the Agents SDK. Audio formats are those of a phone."""

from collections.abc import Mapping
from typing import Any, Final, cast

from agents.exceptions import UserError
from agents.realtime.config import RealtimeSessionModelSettings
from agents.tool import FunctionTool

__all__ = ["session_fields"]

_SNAKE_CASE: Final = {
    "createResponse": "create_response",
    "interruptResponse": "interrupt_response",
    "prefixPaddingMs": "prefix_padding_ms",
    "silenceDurationMs": "silence_duration_ms",
    "idleTimeoutMs": "idle_timeout_ms",
    "modelVersion": "model_version",
}
"""The keys of turn detection that the SDK also takes in the form of its JavaScript sibling."""

_TOOL_CHOICES: Final = ("auto", "none", "required")


def session_fields(settings: RealtimeSessionModelSettings) -> dict[str, Any]:
    """Return the arguments of a `SessionConfig`, or of a `SessionUpdate`, for settings of the SDK.

    What the settings leave out is left out. Audio formats are left out too: they are always G.711
    µ-law. Raises `UserError` for a tool that is not a function.
    """
    given = cast("Mapping[str, Any]", settings)
    audio = _mapping(given.get("audio"))
    audio_in, audio_out = _mapping(audio.get("input")), _mapping(audio.get("output"))
    fields: dict[str, Any] = {
        "tools": [
            *map(_tool_json, _enabled(given.get("tools"))),
            *map(_handoff_json, _enabled(given.get("handoffs"))),
        ]
    }
    for name in ("instructions", "parallel_tool_calls", "max_output_tokens", "tracing", "prompt"):
        if given.get(name) is not None:
            fields[name] = given[name]
    if isinstance(fields.get("instructions"), str):  # such as a template that was rendered
        fields["instructions"] = str.__str__(fields["instructions"])
    voice = audio_out.get("voice") or given.get("voice")
    speed = audio_out.get("speed", given.get("speed"))
    modalities = given.get("output_modalities") or given.get("modalities")
    fields |= {
        name: value
        for name, value in (("voice", voice), ("speed", speed), ("output_modalities", modalities))
        if value is not None
    }
    for name, older_name in (
        ("turn_detection", "turn_detection"),
        ("transcription", "input_audio_transcription"),
        ("noise_reduction", "input_audio_noise_reduction"),
    ):
        if name in audio_in:
            fields[name] = audio_in[name]
        elif older_name in given:
            fields[name] = given[older_name]
    if isinstance(fields.get("turn_detection"), Mapping):
        fields["turn_detection"] = _snake_case(fields["turn_detection"])
    if given.get("reasoning") is not None:
        fields["extra_fields"] = {"reasoning": given["reasoning"]}
    if given.get("tool_choice") is not None:
        fields["tool_choice"] = _tool_choice(given["tool_choice"])
    return fields


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _enabled(tools: Any) -> list[Any]:
    """Return the tools that are not switched off; the session has asked those that decide."""
    return [each for each in tools or () if getattr(each, "is_enabled", True) is not False]


def _tool_json(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, FunctionTool):
        name = getattr(tool, "name", type(tool).__name__)
        raise UserError(f"the tool {name} cannot be used in a call: only function tools can")
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.params_json_schema,
    }


def _handoff_json(handoff: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "name": handoff.tool_name,
        "description": handoff.tool_description,
        "parameters": handoff.input_json_schema,
    }


def _snake_case(detection: Mapping[str, Any]) -> dict[str, Any]:
    named = {_SNAKE_CASE.get(name, name): value for name, value in detection.items()}
    return {**named, **{name: value for name, value in detection.items() if name in named}}


def _tool_choice(choice: Any) -> Any:
    is_function = isinstance(choice, str) and choice not in _TOOL_CHOICES
    return {"type": "function", "name": choice} if is_function else choice

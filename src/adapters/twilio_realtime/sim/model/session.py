"""The session of the simulated server: its settings, and the effect of updates."""

from collections.abc import Mapping
from typing import Any, Final, cast

from .audio_formats import AudioFormat, format_from_wire
from .schema import ErrorBody, JsonObject
from .vad import VadSettings

__all__ = ["RealtimeSession", "is_reasoning_model"]

_SERVER_VAD: Final[JsonObject] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
"""As in `session.created` of `gpt-realtime`; the API reference says 500 ms of silence."""

_SEMANTIC_VAD: Final[JsonObject] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_REASONING: Final[JsonObject] = {"reasoning": {"effort": "low"}, "parallel_tool_calls": True}
"""Settings that only reasoning models have."""
_TURN_DETECTION: Final = {"server_vad": _SERVER_VAD, "semantic_vad": _SEMANTIC_VAD}


def is_reasoning_model(model: str) -> bool:
    """Return whether a model reasons: `gpt-realtime-2` and later."""
    return model.startswith("gpt-realtime-2") and not model.startswith("gpt-realtime-2025")


class RealtimeSession:
    """The session. `wire` is the session as the server sends it, in the server's order of keys.
    Updates replace the object and never change it, so it can be put into an event as it is."""

    def __init__(self, model: str) -> None:
        self.wire: JsonObject = {
            "type": "realtime",
            "object": "realtime.session",
            "id": "",
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "You are a helpful assistant on the telephone. Be brief and kind.",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "expires_at": 0,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": _SERVER_VAD,
                },
                "output": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "voice": "alloy",
                    "speed": 1.0,
                },
            },
            "include": None,
            **(_REASONING if is_reasoning_model(model) else {}),
        }

    @property
    def is_reasoning(self) -> bool:
        """Whether the model reasons, and its messages have phases."""
        return is_reasoning_model(self.wire["model"])

    @property
    def is_including_logprobs(self) -> bool:
        """Whether transcripts have the probabilities of their tokens."""
        return bool(self.wire["include"])

    @property
    def input_format(self) -> AudioFormat:
        """The format of the client's audio."""
        return format_from_wire(self._input["format"])

    @property
    def turn_detection(self) -> VadSettings | None:
        """The settings of voice activity detection; `None` if the client commits turns."""
        return VadSettings.from_wire(self._vad) if self._vad else None

    @property
    def is_creating_responses(self) -> bool:
        """Whether the end of a turn creates a response."""
        return bool(self._vad.get("create_response"))

    @property
    def is_interrupting_responses(self) -> bool:
        """Whether the start of a turn cancels the active response."""
        return bool(self._vad.get("interrupt_response"))

    @property
    def idle_timeout_ms(self) -> int | None:
        """How long the caller may be silent after a response."""
        return cast("int | None", self._vad.get("idle_timeout_ms"))

    @property
    def transcription_model(self) -> str | None:
        """The model that transcribes the caller, if one does."""
        transcription: JsonObject | None = self._input["transcription"]
        return None if transcription is None else str(transcription["model"])

    def open(self, session_id: str, expires_at: int) -> None:
        """Start the session, which ends at `expires_at` (unix seconds)."""
        self.wire = {**self.wire, "id": session_id, "expires_at": expires_at}

    def update(self, changes: Mapping[str, Any], *, has_agent_audio: bool) -> ErrorBody | None:
        """Apply the fields of a validated `session.update`, all or none; return why it is refused,
        if it is.

        Once the conversation holds audio of the assistant (`has_agent_audio`) the voice is fixed.
        The model is always fixed, and so is tracing once it is on (API reference,
        `session.update`).
        """
        output = changes.get("audio", {}).get("output", {})
        if has_agent_audio and output.get("voice", self._voice) != self._voice:
            message = "Cannot update a conversation's voice if assistant audio is present."
            return ErrorBody("cannot_update_voice", message, "session.audio.output.voice")
        if changes.get("model", self.wire["model"]) != self.wire["model"]:
            return _cannot_change("model")
        if self.wire["tracing"] and changes.get("tracing", self.wire["tracing"]) not in (
            None,
            self.wire["tracing"],
        ):
            return _cannot_change("tracing")
        self.wire = _merge(self.wire, changes)
        return None

    @property
    def _input(self) -> JsonObject:
        return cast(JsonObject, self.wire["audio"]["input"])

    @property
    def _vad(self) -> JsonObject:
        """The settings of turn detection; empty if it is off."""
        return cast(JsonObject, self._input["turn_detection"] or {})

    @property
    def _voice(self) -> object:
        return self.wire["audio"]["output"]["voice"]


def _cannot_change(field: str) -> ErrorBody:
    path = f"session.{field}"
    return ErrorBody("invalid_value", f"'{path}' cannot be changed.", path)


def _merge(old: JsonObject, changes: Mapping[str, Any]) -> JsonObject:
    """Return the settings with only the given fields changed; `audio`, and its two directions, are
    merged in turn."""
    merged = dict(old)
    for name, value in changes.items():
        merged[name] = value if value is None else _complete_field(name, old.get(name), value)
    return merged


def _complete_field(name: str, old: Any, value: Any) -> Any:
    """Return the value of a field, completed by what the server adds."""
    match name:
        case "audio" | "input" | "output":
            return _merge(old, value)
        case "turn_detection":
            return _merge_turn_detection(old, value)
        case "noise_reduction":
            kept: JsonObject = old or {}
            return {**kept, **value}
        case "transcription":
            return {"model": None, "language": None, "prompt": None, **value}
        case "format" if value["type"] == "audio/pcm":
            return {"type": "audio/pcm", "rate": 24000}
        case "tools":
            return [_order_tool_fields(tool) for tool in value]
        case _:
            return value


def _merge_turn_detection(old: JsonObject | None, changes: JsonObject) -> JsonObject:
    same_kind = old is not None and old["type"] == changes["type"]
    return {**(old if old and same_kind else _TURN_DETECTION[changes["type"]]), **changes}


def _order_tool_fields(tool: JsonObject) -> JsonObject:
    order = ("type", "name", "description", "parameters")
    first = {name: tool[name] for name in order if name in tool}
    return {**first, **tool}

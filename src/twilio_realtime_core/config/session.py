"""The configuration of a session, typed: every field that `session.update` documents.

Source: OpenAI API reference, "Realtime", `session.update`. A field that stands at `UNSET` is left
out, so the server keeps what it has; `None` is null, and only where the protocol has it. In place
of a typed value a plain mapping is sent as it is, with whatever fields this version does not know.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from ..errors import LocalProtocolError
from ..protocols.realtime import UpdateSession
from .audio_format import check_encodable, enforce_session_format
from .fields import (
    BOOLEAN,
    MAPPING,
    NON_EMPTY_TEXT,
    NULL,
    TEXT,
    UNSET,
    FieldRule,
    ProtocolObject,
    UnsetType,
    as_mapping,
    instance_of,
    integer,
    list_of,
    number,
    one_of,
    present_fields,
)
from .tools import TOOL, TOOL_CHOICE, Tool, ToolChoice

__all__ = [
    "Prompt",
    "RetentionRatio",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "Tracing",
    "Transcription",
]

_Effort: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"]

_EFFORT: Final = one_of(*get_args(_Effort))
_COUNT: Final = integer(0, 2**31 - 1)
"""Milliseconds or tokens: what a 32-bit integer holds, since the documentation names no highest."""


@frozen
class ServerVad(ProtocolObject):
    """Turns are detected by loudness. What is left out is the server's default, in brackets.

    `threshold` (0.5): 0 to 1, louder is higher. `prefix_padding_ms` (300): audio kept from before
    the speech. `silence_duration_ms` (200 or 500, by model): how long it must be quiet for the
    turn to end. `idle_timeout_ms` (none): after so long without a word the model speaks first;
    5000 to 30000. `create_response` (true): the server answers each turn by itself.
    `interrupt_response` (true): it also cancels its answer when the caller speaks; if false, the
    bridge does. Raises `LocalProtocolError` for a field out of its range.
    """

    type = "server_vad"
    threshold: float | UnsetType = field(default=UNSET, validator=number(0, 1))
    prefix_padding_ms: int | UnsetType = field(default=UNSET, validator=_COUNT)
    silence_duration_ms: int | UnsetType = field(default=UNSET, validator=_COUNT)
    idle_timeout_ms: int | UnsetType | None = field(
        default=UNSET, validator=integer(5000, 30000) | NULL
    )
    create_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    interrupt_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)


@frozen
class SemanticVad(ProtocolObject):
    """Turns are detected by what is said: the server waits where a sentence is not at its end.

    `eagerness` ("auto", which is "medium"): "low", "medium" and "high" wait 8, 4 and 2 seconds at
    the most. The others are as in `ServerVad`. Raises `LocalProtocolError` as it does.
    """

    type = "semantic_vad"
    eagerness: Literal["low", "medium", "high", "auto"] | UnsetType = field(
        default=UNSET, validator=one_of("low", "medium", "high", "auto")
    )
    create_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    interrupt_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)


@frozen
class Transcription(ProtocolObject):
    """What the caller says is written down (`CallerTranscript`), by a model beside the one that
    answers. `language` and `languages` are ISO 639-1; not every model takes every field."""

    model: str = field(validator=NON_EMPTY_TEXT)
    language: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT)
    languages: Sequence[str] | UnsetType = field(
        default=UNSET, validator=list_of(NON_EMPTY_TEXT, min_length=1)
    )
    keywords: Sequence[str] | UnsetType = field(default=UNSET, validator=list_of(TEXT), repr=False)
    prompt: str | UnsetType = field(default=UNSET, validator=TEXT, repr=False)
    delay: _Effort | UnsetType = field(default=UNSET, validator=_EFFORT)


@frozen
class RetentionRatio(ProtocolObject):
    """When the conversation is too long, this part of it (0 to 1) is kept: cutting more, less often
    leaves more of it in the cache. `post_instructions`: how many tokens are too long."""

    type = "retention_ratio"
    retention_ratio: float = field(validator=number(0, 1))
    post_instructions: int | UnsetType = field(default=UNSET, validator=_COUNT)

    def to_json(self) -> dict[str, Any]:
        """The object as plain data; absent fields are left out."""
        limits = present_fields({"post_instructions": self.post_instructions})
        ratio = {"type": self.type, "retention_ratio": self.retention_ratio}
        return {**ratio, "token_limits": limits} if limits else ratio


@frozen
class Tracing(ProtocolObject):
    """How the session's trace is named in OpenAI's dashboard."""

    workflow_name: str | UnsetType = field(default=UNSET, validator=TEXT)
    group_id: str | UnsetType = field(default=UNSET, validator=TEXT, repr=False)
    metadata: Mapping[str, Any] | UnsetType = field(default=UNSET, validator=MAPPING, repr=False)


@frozen
class Prompt(ProtocolObject):
    """A prompt kept at OpenAI, with its variables filled in."""

    id: str = field(validator=NON_EMPTY_TEXT)
    version: str | UnsetType | None = field(default=UNSET, validator=TEXT | NULL)
    variables: Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=MAPPING | NULL, repr=False
    )


_TURN_DETECTION: Final = instance_of(ServerVad, SemanticVad) | MAPPING | NULL
_TRUNCATION: Final = one_of("auto", "disabled") | instance_of(RetentionRatio) | MAPPING
_LOGPROBS: Final = "item.input_audio_transcription.logprobs"


@frozen
class SessionConfig:
    """How the model behaves. All fields absent: the formats of a phone, the rest is the server's.

    `output_modalities`: ["audio"] (with a transcript) or ["text"], never both. `instructions`: ""
    clears the server's own. `voice`: a name, or `{"id": ...}`; fixed once the agent has spoken.
    `speed`: 0.25 to 1.5. `turn_detection`: `None` leaves the turns to the application.
    `transcription`: `None` is off. `noise_reduction`: the kind of microphone; `None` is off.
    `tools`: all of them; () clears. `reasoning_effort`, `parallel_tool_calls`: reasoning models
    only. `max_output_tokens`: 1 to 4096, or "inf". `truncation`: what happens when the
    conversation is too long. `tracing`: `None` is off; fixed once it is on. `more` holds any other
    field of `session.update`, by its name there; one of ours wins over it, and other fields of
    `audio` and `reasoning` are kept beside ours.

    Raises `LocalProtocolError` for a field out of its range, where `more` names a model (that is
    `CallConfig.model`, and fixed) or another audio format, and where a field is no JSON.
    """

    instructions: str | UnsetType = field(default=UNSET, validator=TEXT, repr=False)
    voice: str | Mapping[str, Any] | UnsetType = field(
        default=UNSET, validator=NON_EMPTY_TEXT | MAPPING
    )
    turn_detection: ServerVad | SemanticVad | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=_TURN_DETECTION
    )
    transcription: Transcription | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=instance_of(Transcription) | MAPPING | NULL, repr=False
    )
    tools: Sequence[Tool] | UnsetType = field(default=UNSET, validator=list_of(TOOL), repr=False)
    tool_choice: ToolChoice | UnsetType = field(default=UNSET, validator=TOOL_CHOICE)
    parallel_tool_calls: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    output_modalities: Sequence[Literal["audio", "text"]] | UnsetType = field(
        default=UNSET,
        validator=FieldRule(
            "['audio'] or ['text']",
            lambda value: isinstance(value, list | tuple) and [*value] in (["audio"], ["text"]),
        ),
    )
    speed: float | UnsetType = field(default=UNSET, validator=number(0.25, 1.5))
    noise_reduction: Literal["near_field", "far_field"] | Mapping[str, Any] | UnsetType | None = (
        field(default=UNSET, validator=one_of("near_field", "far_field") | MAPPING | NULL)
    )
    reasoning_effort: _Effort | UnsetType = field(default=UNSET, validator=_EFFORT)
    max_output_tokens: int | Literal["inf"] | UnsetType = field(
        default=UNSET, validator=integer(1, 4096) | one_of("inf")
    )
    truncation: Literal["auto", "disabled"] | RetentionRatio | Mapping[str, Any] | UnsetType = (
        field(default=UNSET, validator=_TRUNCATION)
    )
    tracing: Literal["auto"] | Tracing | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=one_of("auto") | instance_of(Tracing) | MAPPING | NULL, repr=False
    )
    prompt: Prompt | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=instance_of(Prompt) | MAPPING | NULL, repr=False
    )
    include: Sequence[Literal["item.input_audio_transcription.logprobs"]] | UnsetType | None = (
        field(default=UNSET, validator=list_of(one_of(_LOGPROBS)) | NULL)
    )
    extra_fields: Mapping[str, Any] = field(factory=dict[str, Any], validator=MAPPING, repr=False)

    def __attrs_post_init__(self) -> None:
        if "model" in self.extra_fields:
            raise LocalProtocolError(
                "SessionConfig.more must not hold 'model': it is named by CallConfig.model when "
                "the session is opened, and cannot be changed in it"
            )
        check_encodable(self.to_update_event())

    def to_update_event(self, event_id: str | None = None) -> UpdateSession:
        """The `session.update` that makes it so."""
        session = {
            **self.extra_fields,
            "type": "realtime",
            **present_fields(self._top_level_fields()),
        }
        if self.reasoning_effort is not UNSET:
            session["reasoning"] = {
                **as_mapping(self.extra_fields.get("reasoning")),
                "effort": self.reasoning_effort,
            }
        audio = as_mapping(self.extra_fields.get("audio"))
        session["audio"] = {
            **audio,
            "input": {
                **as_mapping(audio.get("input")),
                **present_fields(self._audio_input_fields()),
            },
            "output": {
                **as_mapping(audio.get("output")),
                **present_fields({"voice": self.voice, "speed": self.speed}),
            },
        }
        return UpdateSession(enforce_session_format(session), event_id)

    def _top_level_fields(self) -> dict[str, Any]:
        return {
            "output_modalities": self.output_modalities,
            "instructions": self.instructions,
            "include": self.include,
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "max_output_tokens": self.max_output_tokens,
            "truncation": self.truncation,
            "tracing": self.tracing,
            "prompt": self.prompt,
        }

    def _audio_input_fields(self) -> dict[str, Any]:
        kind = self.noise_reduction
        return {
            "turn_detection": self.turn_detection,
            "transcription": self.transcription,
            "noise_reduction": {"type": kind} if isinstance(kind, str) else kind,
        }

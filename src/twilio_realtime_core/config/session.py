"""The configuration of a Realtime session: every field that `session.update` documents.

`SessionConfig` is what a session begins with, and `SessionUpdate` what changes in it later. A field
at `UNSET` is left out, so the server keeps what it has, at first its default. `None` is null, which
only some fields accept. In place of a typed value a plain mapping can be given; it is sent as it
is, including fields that this version does not know.

Source: OpenAI API reference, "Realtime", `session.update`,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update. The
server's defaults are stated under the fields.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args
from warnings import warn

import attrs
from attrs import field, frozen

from ..errors import LocalProtocolError
from ..protocols.realtime import UpdateSession, check_encodable
from ..values.identifiers import check_tool_names
from .audio_format import enforce_session_format
from .fields import (
    ABSENT,
    BOOLEAN,
    MAPPING,
    NON_EMPTY_TEXT,
    NON_NEGATIVE,
    NULL,
    UNICODE,
    UNSET,
    ProtocolObject,
    UnsetType,
    instance_of,
    integer,
    list_of,
    number,
    one_of,
    present_fields,
    read_object,
    well_formed,
)
from .tools import TOOL, TOOL_CHOICE, Tool, ToolChoice

__all__ = [
    "DEFAULT_TRANSCRIPTION_MODEL",
    "NoiseReduction",
    "Prompt",
    "RetentionRatio",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "SessionUpdate",
    "Tracing",
    "Transcription",
]

DEFAULT_TRANSCRIPTION_MODEL: Final = "gpt-realtime-whisper"
"""The model that transcribes the caller by default. It transcribes while the caller speaks."""

_Delay: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"]
_Effort: TypeAlias = Literal["none"] | _Delay

_DELAY: Final = one_of(*get_args(_Delay))
_EFFORT: Final = one_of("none", *get_args(_Delay))
_COUNT: Final = integer(0, 2**31 - 1)
"""Milliseconds or tokens: what a 32-bit integer holds, since the API documents no maximum."""


@frozen
class ServerVad(ProtocolObject):
    """Turn detection by loudness.

    Raises `LocalProtocolError` for a field out of its range.
    """

    type = "server_vad"
    threshold: float | UnsetType = field(default=UNSET, validator=number(0, 1))
    """How loud speech must be, 0 to 1. Default: 0.5."""
    prefix_padding_ms: int | UnsetType = field(default=UNSET, validator=_COUNT)
    """How much audio before the detected start of speech is included. Default: 300."""
    silence_duration_ms: int | UnsetType = field(default=UNSET, validator=_COUNT)
    """How long the caller must be silent for their turn to end. Default: 200 or 500, by model."""
    idle_timeout_ms: int | UnsetType | None = field(
        default=UNSET, validator=integer(5000, 30000) | NULL
    )
    """How long both sides are silent before the model speaks by itself, 5000 to 30000. Default, and
    `None`: it never does."""
    create_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    """Whether the server responds to each turn by itself. Default: true."""
    interrupt_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    """Whether the server cancels its response when the caller speaks; if not, the bridge does.
    Default: true."""


@frozen
class SemanticVad(ProtocolObject):
    """Turn detection by meaning: the server waits longer while a sentence is unfinished.

    Raises `LocalProtocolError` for a field out of its range.
    """

    type = "semantic_vad"
    eagerness: Literal["low", "medium", "high", "auto"] | UnsetType = field(
        default=UNSET, validator=one_of("low", "medium", "high", "auto")
    )
    """How soon the server ends a turn: "low", "medium" and "high" wait at most 8, 4 and 2 seconds.
    Default: "auto", which is "medium"."""
    create_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    """Whether the server responds to each turn by itself. Default: true."""
    interrupt_response: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    """Whether the server cancels its response when the caller speaks; if not, the bridge does.
    Default: true."""


@frozen
class Transcription(ProtocolObject):
    """Transcription of what the caller says, by a separate model (`CallerTranscript`).

    Not every model accepts every field. Raises `LocalProtocolError` for a field out of its range.
    """

    model: str = field(validator=NON_EMPTY_TEXT)
    """The transcription model, such as "gpt-realtime-whisper" or "gpt-transcribe". OpenAI shuts
    "whisper-1" and those that begin with "gpt-4o" down on 2027-02-26
    (https://developers.openai.com/api/docs/deprecations, read 2026-11-30)."""
    language: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT)
    """The caller's language, in ISO 639-1, such as "en"."""
    languages: Sequence[str] | UnsetType = field(
        default=UNSET, validator=list_of(NON_EMPTY_TEXT, min_length=1)
    )
    """Languages that the caller may speak, in ISO 639-1; "gpt-transcribe" and
    "gpt-live-transcribe" only."""
    keywords: Sequence[str] | UnsetType = field(
        default=UNSET, validator=list_of(UNICODE), repr=False
    )
    """Words and phrases to expect; "gpt-transcribe" and "gpt-live-transcribe" only."""
    prompt: str | UnsetType = field(default=UNSET, validator=UNICODE, repr=False)
    """Text that guides the transcription model; not for "gpt-realtime-whisper"."""
    delay: _Delay | UnsetType = field(default=UNSET, validator=_DELAY)
    """How long the transcription model waits before it sends text: longer is more accurate;
    "gpt-realtime-whisper" only."""


@frozen
class NoiseReduction(ProtocolObject):
    """Noise reduction of the caller's audio, before turn detection and the model hear it.

    Raises `LocalProtocolError` for a field out of its range.
    """

    microphone: Literal["near_field", "far_field"] = field(
        validator=one_of("near_field", "far_field")
    )
    """The kind of microphone: `type` in the protocol."""
    strength: float | UnsetType = field(default=UNSET, validator=NON_NEGATIVE)
    """How much noise is suppressed; the API documents no maximum. Default: 1 when noise reduction
    is switched on, and unchanged afterwards."""

    def to_json(self) -> dict[str, Any]:
        """Return the object as JSON data, without its absent fields."""
        return {"type": self.microphone, **present_fields({"strength": self.strength})}


@frozen
class RetentionRatio(ProtocolObject):
    """Truncation that keeps a fraction of a conversation that is too long.

    A lower fraction truncates less often, which leaves more of the conversation in the server's
    cache. Raises `LocalProtocolError` for a field out of its range.
    """

    type = "retention_ratio"
    retention_ratio: float = field(validator=number(0, 1))
    """The fraction that is kept, 0 to 1."""
    post_instructions: int | UnsetType = field(default=UNSET, validator=_COUNT)
    """The most tokens of the conversation after the instructions. Default: the model's limit."""

    def to_json(self) -> dict[str, Any]:
        """Return the object as JSON data, without its absent fields."""
        limits = present_fields({"post_instructions": self.post_instructions})
        ratio = {"type": self.type, "retention_ratio": self.retention_ratio}
        return {**ratio, "token_limits": limits} if limits else ratio


@frozen
class Tracing(ProtocolObject):
    """The labels of the session's trace in OpenAI's dashboard.

    Raises `LocalProtocolError` for a field of the wrong type.
    """

    workflow_name: str | UnsetType = field(default=UNSET, validator=UNICODE)
    """The name of the workflow to which the trace belongs."""
    group_id: str | UnsetType = field(default=UNSET, validator=UNICODE, repr=False)
    """An id by which traces are grouped."""
    metadata: Mapping[str, Any] | UnsetType = field(default=UNSET, validator=MAPPING, repr=False)
    """Further data by which traces are filtered."""


@frozen
class Prompt(ProtocolObject):
    """A reference to a prompt that is stored at OpenAI. OpenAI shut stored prompts down on
    2026-11-30 (https://developers.openai.com/api/docs/deprecations, read 2026-11-30).

    Raises `LocalProtocolError` for a field of the wrong type.
    """

    id: str = field(validator=NON_EMPTY_TEXT)
    """The id of the prompt."""
    version: str | UnsetType | None = field(default=UNSET, validator=UNICODE | NULL)
    """The version of the prompt."""
    variables: Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=MAPPING | NULL, repr=False
    )
    """The values of the prompt's variables, by name."""


_MODALITIES: Final = well_formed(
    "['audio'] or ['text']",
    lambda value: None if [*value] in (["audio"], ["text"]) else "it holds something else",
    list,
    tuple,
)
_TURN_DETECTION: Final = instance_of(ServerVad, SemanticVad) | MAPPING | NULL
_TRANSCRIPTION: Final = instance_of(Transcription) | MAPPING | NULL
_NOISE_REDUCTION: Final = (
    one_of("near_field", "far_field") | instance_of(NoiseReduction) | MAPPING | NULL
)
_TRUNCATION: Final = one_of("auto", "disabled") | instance_of(RetentionRatio) | MAPPING
_LOGPROBS: Final = "item.input_audio_transcription.logprobs"


@frozen
class SessionUpdate:
    """Changes of a session's configuration. A field that is left out keeps its value; at first it
    has the server's default, which is stated under it.

    The audio formats are always G.711 µ-law, that of a phone call.

    Raises `LocalProtocolError` for a field out of its range, if `extra_fields` has a model or
    another audio format, if the name of a function is one that the server would refuse, and if a
    field cannot be encoded as JSON. Warns (`DeprecationWarning`) of `prompt`.
    """

    instructions: str | UnsetType = field(default=UNSET, validator=UNICODE, repr=False)
    """The system instructions of the model. Default: a prompt of OpenAI's; "" clears it."""
    voice: str | Mapping[str, Any] | UnsetType = field(
        default=UNSET, validator=NON_EMPTY_TEXT | MAPPING
    )
    """The agent's voice: a name, or `{"id": ...}`. It is fixed once the agent has spoken. Default:
    by model."""
    turn_detection: ServerVad | SemanticVad | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=_TURN_DETECTION
    )
    """How the server detects the caller's turns. `None`: it does not, and the application ends
    them. Default: `ServerVad()`."""
    transcription: Transcription | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=_TRANSCRIPTION, repr=False
    )
    """How the caller's speech is transcribed. Default, and `None`: it is not."""
    tools: Sequence[Tool] | UnsetType = field(default=UNSET, validator=list_of(TOOL), repr=False)
    """All tools of the model. Default: none; () removes them."""
    tool_choice: ToolChoice | UnsetType = field(default=UNSET, validator=TOOL_CHOICE)
    """Whether the model can or must use a tool, and which. Default: "auto"."""
    parallel_tool_calls: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    """Whether the model may call several tools in one response; reasoning models only."""
    output_modalities: Sequence[Literal["audio", "text"]] | UnsetType = field(
        default=UNSET,
        validator=_MODALITIES,
    )
    """["audio"], with a transcript, or ["text"]; never both. Default: ["audio"]."""
    speed: float | UnsetType = field(default=UNSET, validator=number(0.25, 1.5))
    """How fast the agent speaks, 0.25 to 1.5. It can change between turns only. Default: 1."""
    noise_reduction: (
        Literal["near_field", "far_field"] | NoiseReduction | Mapping[str, Any] | UnsetType | None
    ) = field(default=UNSET, validator=_NOISE_REDUCTION)
    """The kind of microphone for which noise is reduced, and how much. Default, and `None`: it is
    not."""
    reasoning_effort: _Effort | UnsetType = field(default=UNSET, validator=_EFFORT)
    """How much the model reasons before it responds; reasoning models only. Default: "low"."""
    max_output_tokens: int | Literal["inf"] | UnsetType = field(
        default=UNSET, validator=integer(1, 4096) | one_of("inf")
    )
    """The most tokens of a response, 1 to 4096, or "inf". Default: "inf"."""
    truncation: Literal["auto", "disabled"] | RetentionRatio | Mapping[str, Any] | UnsetType = (
        field(default=UNSET, validator=_TRUNCATION)
    )
    """How the server truncates a conversation that is too long. Default: "auto"."""
    tracing: Literal["auto"] | Tracing | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=one_of("auto") | instance_of(Tracing) | MAPPING | NULL, repr=False
    )
    """Whether and under which labels OpenAI traces the session. It is fixed once it is on. Default,
    and `None`: off."""
    prompt: Prompt | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=instance_of(Prompt) | MAPPING | NULL, repr=False
    )
    """A prompt that is stored at OpenAI, which has shut them down on 2026-11-30: give
    `instructions`. Default, and `None`: none."""
    include: Sequence[Literal["item.input_audio_transcription.logprobs"]] | UnsetType | None = (
        field(default=UNSET, validator=list_of(one_of(_LOGPROBS)) | NULL)
    )
    """Additional fields for the server's events: the log probabilities of transcripts. Default, and
    `None`: none."""
    extra_fields: Mapping[str, Any] = field(factory=dict[str, Any], validator=MAPPING, repr=False)
    """Other fields of `session.update`, by their names there. The typed fields take precedence; of
    `audio` and `reasoning` the fields of both are sent."""

    def __attrs_post_init__(self) -> None:
        if "model" in self.extra_fields:
            raise LocalProtocolError(
                f"{type(self).__name__}.extra_fields must not hold 'model': it is named by "
                "CallConfig.model when the session is opened, and cannot be changed in it"
            )
        update = self.to_update_event()
        check_encodable(update)
        check_tool_names(update.session, "session")
        if self.prompt is not UNSET and self.prompt is not None:
            warn(
                f"{type(self).__name__}.prompt: OpenAI shut stored prompts down on 2026-11-30; "
                "give instructions instead",
                DeprecationWarning,
                stacklevel=3,
            )

    def to_update_event(self, event_id: str | None = None) -> UpdateSession:
        """Return the `session.update` that makes these changes."""
        extra, owner = self.extra_fields, f"{type(self).__name__}.extra_fields"
        session = {**extra, "type": "realtime", **present_fields(self._top_level_fields())}
        if self.reasoning_effort is not UNSET:
            reasoning = read_object(extra, "reasoning", owner)
            session["reasoning"] = {**reasoning, "effort": self.reasoning_effort}
        audio = read_object(extra, "audio", owner)
        session["audio"] = {
            **audio,
            "input": self._audio_input(read_object(audio, "input", f"{owner}.audio")),
            "output": {
                **read_object(audio, "output", f"{owner}.audio"),
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

    def _audio_input(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        kind = self.noise_reduction
        return {
            **extra,
            **present_fields(
                {
                    "turn_detection": self.turn_detection,
                    "transcription": self.transcription,
                    "noise_reduction": {"type": kind} if isinstance(kind, str) else kind,
                }
            ),
        }


@frozen
class SessionConfig(SessionUpdate):
    """The configuration that a Realtime session begins with. A field that is left out has the
    server's default, but for two: the caller's turns are detected by meaning, and what the caller
    says is transcribed. `UNSET` leaves these to the server, and `None` switches them off.

    To change some fields of a session, send a `SessionUpdate`: a `SessionConfig` sets both again.

    Raises `LocalProtocolError`, and warns, as `SessionUpdate` does.
    """

    turn_detection: ServerVad | SemanticVad | Mapping[str, Any] | UnsetType | None = field(
        default=SemanticVad(), validator=_TURN_DETECTION | ABSENT
    )
    """How the server detects the caller's turns. `None`: it does not, and the application ends
    them. Default: `SemanticVad()`; `UNSET`: the server's own, `ServerVad()`."""
    transcription: Transcription | Mapping[str, Any] | UnsetType | None = field(
        default=Transcription(DEFAULT_TRANSCRIPTION_MODEL),
        validator=_TRANSCRIPTION | ABSENT,
        repr=False,
    )
    """How the caller's speech is transcribed. `None`: it is not. Default: by
    "gpt-realtime-whisper"; `UNSET`: the server's own, none."""

    def _audio_input(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of `audio.input`; a default yields to one of `extra_fields`."""
        fields = super()._audio_input(extra)
        defaults = attrs.fields_dict(SessionConfig)
        for name in ("turn_detection", "transcription"):
            if name in extra and getattr(self, name) == defaults[name].default:
                fields[name] = extra[name]
        return fields

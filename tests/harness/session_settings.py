"""Strategies for everything that a session can be configured with."""

from typing import Any

from hypothesis import strategies as st

from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.config.session import (
    NoiseReduction,
    Prompt,
    RetentionRatio,
    SemanticVad,
    ServerVad,
    SessionConfig,
    Tracing,
    Transcription,
)
from twilio_realtime_core.config.tools import (
    ApprovalFilter,
    ChooseFunction,
    ChooseMcp,
    FunctionTool,
    McpTool,
    ToolFilter,
)

words = st.text("ab é", max_size=4)
names = st.text("ab-", min_size=1, max_size=4)
counts = st.integers(0, 2**31 - 1)
fractions = st.floats(0, 1)
schemas = st.fixed_dictionaries({"type": st.just("object"), "title": names})
delays = st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of values, or no value."""
    return st.just(UNSET) | values


def builds(kind: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of objects of a class, each field given or not; names with an underscore
    are required."""
    required = {name[1:]: fields.pop(name) for name in [*fields] if name.startswith("_")}
    return st.builds(kind, **required, **{name: optional(each) for name, each in fields.items()})


function_tools = builds(FunctionTool, _name=names, description=words, parameters=schemas)
tool_filters = builds(ToolFilter, tool_names=st.lists(names, max_size=2), read_only=st.booleans())
approvals = (
    st.sampled_from(["always", "never"])
    | builds(ApprovalFilter, always=tool_filters, never=tool_filters)
    | st.none()
)
connectors = st.sampled_from(["connector_gmail", "connector_dropbox", "connector_sharepoint"])
places: st.SearchStrategy[dict[str, Any]] = (
    st.just({"server_url": "https://mcp.example"})
    | st.fixed_dictionaries({"connector_id": connectors})
    | st.fixed_dictionaries({"tunnel_id": names})
)


@st.composite
def mcp_servers(draw: st.DrawFn) -> McpTool:
    """An MCP server at one place, with any of the other fields given or not."""
    others: dict[str, st.SearchStrategy[Any]] = {
        "authorization": words,
        "headers": st.none() | st.dictionaries(names, words, max_size=2),
        "server_description": words,
        "allowed_tools": st.lists(names, max_size=2) | tool_filters | st.none(),
        "require_approval": approvals,
        "allowed_callers": st.none() | st.just(["direct"]) | st.just(("programmatic",)),
        "defer_loading": st.booleans(),
    }
    given: dict[str, Any] = draw(st.fixed_dictionaries({"server_label": names}, optional=others))
    return McpTool(**draw(places), **given)


mcp_tools = mcp_servers()
tool_choices = (
    st.sampled_from(["none", "auto", "required"])
    | builds(ChooseFunction, _name=names)
    | builds(ChooseMcp, _server_label=names, name=names)
)

server_vads = builds(
    ServerVad,
    threshold=fractions,
    prefix_padding_ms=counts,
    silence_duration_ms=counts,
    idle_timeout_ms=st.none() | st.integers(5000, 30000),
    create_response=st.booleans(),
    interrupt_response=st.booleans(),
)
semantic_vads = builds(
    SemanticVad,
    eagerness=st.sampled_from(["low", "medium", "high", "auto"]),
    create_response=st.booleans(),
    interrupt_response=st.booleans(),
)
transcriptions = builds(
    Transcription,
    _model=names,
    language=names,
    languages=st.lists(names, min_size=1, max_size=2),
    keywords=st.lists(words, max_size=2),
    prompt=words,
    delay=delays,
)
noises = st.sampled_from(["near_field", "far_field"])
noise_reductions = builds(NoiseReduction, _microphone=noises, strength=fractions)
ratios = builds(RetentionRatio, _retention_ratio=fractions, post_instructions=counts)
tracings = builds(
    Tracing, workflow_name=words, group_id=words, metadata=st.dictionaries(names, words, max_size=2)
)
prompts = builds(
    Prompt,
    _id=names,
    version=st.none() | words,
    variables=st.none() | st.dictionaries(names, words, max_size=2),
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "instructions": words,
    "voice": names | st.fixed_dictionaries({"id": names}),
    "turn_detection": st.none() | server_vads | semantic_vads,
    "transcription": st.none() | transcriptions,
    "tools": st.lists(function_tools | mcp_tools, max_size=2),
    "tool_choice": tool_choices,
    "parallel_tool_calls": st.booleans(),
    "output_modalities": st.sampled_from([["audio"], ("text",)]),
    "speed": st.floats(0.25, 1.5),
    "noise_reduction": st.none() | noises | noise_reductions,
    "reasoning_effort": st.just("none") | delays,
    "max_output_tokens": st.just("inf") | st.integers(1, 4096),
    "truncation": st.sampled_from(["auto", "disabled"]) | ratios,
    "tracing": st.none() | st.just("auto") | tracings,
    "prompt": st.none() | prompts,
    "include": st.none() | st.just(["item.input_audio_transcription.logprobs"]),
}
session_configs = builds(SessionConfig, **fields)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(["audio", "input", "output", "format", "type", "rate"])
            | st.text(max_size=3),
            each,
            max_size=4,
        )
    ),
    max_leaves=15,
)
"""Any JSON, with some resemblance to a session."""

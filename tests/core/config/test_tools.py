"""The tools of a session: functions, MCP servers, and which of them the model must choose."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeToolChoiceConfig
from openai.types.realtime.realtime_tools_config_union import RealtimeToolsConfigUnion
from pydantic import TypeAdapter

from session_settings import function_tools, mcp_tools, tool_choices
from twilio_realtime_core.config.tools import (
    TOOL,
    TOOL_CHOICE,
    ApprovalFilter,
    ChooseFunction,
    ChooseMcp,
    FunctionTool,
    McpTool,
    ToolFilter,
)
from twilio_realtime_core.errors import LocalProtocolError

_tool: TypeAdapter[Any] = TypeAdapter(RealtimeToolsConfigUnion)
_choice: TypeAdapter[Any] = TypeAdapter(RealtimeToolChoiceConfig)


def test_a_function_has_a_name_and_the_fields_given() -> None:
    assert FunctionTool("hang_up").to_json() == {"type": "function", "name": "hang_up"}
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    assert FunctionTool("f", "does f", schema).to_json() == {
        "type": "function",
        "name": "f",
        "description": "does f",
        "parameters": schema,
    }


def test_an_mcp_server_has_every_field_of_the_protocol() -> None:
    tool = McpTool(
        "deepwiki",
        server_url="https://mcp.example/mcp",
        authorization="token",
        headers={"X-Key": "k"},
        server_description="wikis",
        allowed_tools=ToolFilter(read_only=True),
        require_approval=ApprovalFilter(
            always=ToolFilter(["write"]), never={"tool_names": ["read"]}
        ),
        allowed_callers=["direct"],
        defer_loading=False,
    )
    assert tool.to_json() == {
        "type": "mcp",
        "server_label": "deepwiki",
        "server_url": "https://mcp.example/mcp",
        "authorization": "token",
        "headers": {"X-Key": "k"},
        "server_description": "wikis",
        "allowed_tools": {"read_only": True},
        "require_approval": {
            "always": {"tool_names": ["write"]},
            "never": {"tool_names": ["read"]},
        },
        "allowed_callers": ["direct"],
        "defer_loading": False,
    }


@pytest.mark.parametrize("approval", ["always", "never", {"always": {"read_only": False}}, None])
def test_the_other_forms_of_approval_are_sent_as_they_are(approval: Any) -> None:
    tool = McpTool("x", connector_id="connector_gmail", require_approval=approval)
    assert tool.to_json()["require_approval"] == approval


@pytest.mark.parametrize(
    "places",
    [
        {},
        {"server_url": "https://x.example", "connector_id": "connector_gmail"},
        {"server_url": "https://x.example", "tunnel_id": "tunnel_1"},
    ],
)
def test_an_mcp_server_has_exactly_one_address(places: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match="exactly one of server_url"):
        McpTool("x", **places)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"server_label": ""}, "McpTool.server_label must be text that is not empty"),
        ({"connector_id": "connector_x"}, "McpTool.connector_id must be 'connector_dropbox' or"),
        ({"headers": "X-Key: k"}, "McpTool.headers must be a mapping, or None"),
        ({"allowed_tools": "read"}, "McpTool.allowed_tools must be a list or tuple"),
        ({"allowed_callers": []}, "McpTool.allowed_callers must be a list or tuple, at least 1"),
        ({"require_approval": "ask"}, "McpTool.require_approval must be 'always' or 'never'"),
        ({"defer_loading": None}, "McpTool.defer_loading must be True or False"),
    ],
)
def test_an_mcp_field_out_of_range_is_misuse(fields: dict[str, Any], message: str) -> None:
    known: dict[str, Any] = {"server_label": "x", "server_url": "https://x.example", **fields}
    with pytest.raises(LocalProtocolError, match=message):
        McpTool(**known)


def test_credentials_of_an_mcp_server_are_not_in_the_repr() -> None:
    tool = McpTool(
        "x", server_url="https://secret", authorization="secret", headers={"X-Key": "secret"}
    )
    assert "secret" not in repr(tool)
    assert "secret" not in repr(McpTool("x", tunnel_id="tunnel_secret"))


def test_a_choice_names_a_function_or_a_server() -> None:
    assert ChooseFunction("f").to_json() == {"type": "function", "name": "f"}
    assert ChooseMcp("x").to_json() == {"type": "mcp", "server_label": "x"}
    assert ChooseMcp("x", "y").to_json() == {"type": "mcp", "server_label": "x", "name": "y"}


@pytest.mark.parametrize("value", ["all", None, FunctionTool("f"), 1])
def test_other_values_are_no_choice(value: Any) -> None:
    assert not TOOL_CHOICE.accepts(value)


@pytest.mark.parametrize("value", ["f", None, ChooseFunction("f")])
def test_other_values_are_no_tool(value: Any) -> None:
    assert not TOOL.accepts(value)


@given(function_tools | mcp_tools)
def test_every_tool_is_one_of_the_api(tool: FunctionTool | McpTool) -> None:
    _tool.validate_python(tool.to_json(), strict=True)


@given(tool_choices)
def test_every_choice_is_one_of_the_api(
    choice: ChooseFunction | ChooseMcp | str,
) -> None:
    _choice.validate_python(choice if isinstance(choice, str) else choice.to_json(), strict=True)


@given(st.text(max_size=5))
def test_a_function_needs_a_name(name: str) -> None:
    if re.fullmatch("[a-zA-Z0-9_-]+", name):
        assert TOOL.accepts(FunctionTool(name))
    else:
        with pytest.raises(LocalProtocolError, match=r"FunctionTool\.name"):
            FunctionTool(name)

"""The tools of a session: functions of the application, and servers of the Model Context Protocol.

A field at `UNSET` is left out. In place of a typed value a plain mapping can be given; it is sent
as it is.

Source: OpenAI API reference, "Realtime", `session.update`, `tools` and `tool_choice`,
https://platform.openai.com/docs/api-reference/realtime-client-events/session/update; the guide for
MCP is https://platform.openai.com/docs/guides/realtime-mcp.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from ..errors import LocalProtocolError
from ..values.identifiers import FUNCTION_NAME
from .fields import (
    BOOLEAN,
    MAPPING,
    NON_EMPTY_TEXT,
    NULL,
    UNICODE,
    UNSET,
    ProtocolObject,
    UnsetType,
    instance_of,
    list_of,
    one_of,
)

__all__ = [
    "TOOL",
    "TOOL_CHOICE",
    "ApprovalFilter",
    "ChooseFunction",
    "ChooseMcp",
    "FunctionTool",
    "McpTool",
    "Tool",
    "ToolChoice",
    "ToolFilter",
]

_Connector: TypeAlias = Literal[
    "connector_dropbox",
    "connector_gmail",
    "connector_googlecalendar",
    "connector_googledrive",
    "connector_microsoftteams",
    "connector_outlookcalendar",
    "connector_outlookemail",
    "connector_sharepoint",
]

_CONNECTORS: Final = one_of(*get_args(_Connector))


@frozen
class FunctionTool(ProtocolObject):
    """A function of the application that the model can call (`FunctionCallRequested`).

    Raises `LocalProtocolError` for a field of the wrong type, and for a name that the server would
    refuse.
    """

    type = "function"
    name: str = field(validator=FUNCTION_NAME)
    """The name of the function: 1 to 64 characters of a-z, A-Z, 0-9, _ and -."""
    description: str | UnsetType = field(default=UNSET, validator=UNICODE, repr=False)
    """When and how the model should call it."""
    parameters: Mapping[str, Any] | UnsetType = field(default=UNSET, validator=MAPPING, repr=False)
    """The JSON schema of its arguments."""


@frozen
class ToolFilter(ProtocolObject):
    """A selection of an MCP server's tools.

    Raises `LocalProtocolError` for a field of the wrong type.
    """

    tool_names: Sequence[str] | UnsetType = field(default=UNSET, validator=list_of(NON_EMPTY_TEXT))
    """The tools with these names."""
    read_only: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    """Whether the selected tools are read-only, by their MCP annotation `readOnlyHint`."""


_TOOL_FILTER: Final = instance_of(ToolFilter) | MAPPING


@frozen
class ApprovalFilter(ProtocolObject):
    """The tools of an MCP server that need the application's approval, and those that do not.

    Raises `LocalProtocolError` for a field of the wrong type.
    """

    always: ToolFilter | Mapping[str, Any] | UnsetType = field(
        default=UNSET, validator=_TOOL_FILTER
    )
    """The tools that need an approval for each call."""
    never: ToolFilter | Mapping[str, Any] | UnsetType = field(default=UNSET, validator=_TOOL_FILTER)
    """The tools that need none."""


_APPROVAL_FILTER: Final = instance_of(ApprovalFilter) | MAPPING


@frozen
class McpTool(ProtocolObject):
    """The tools of an MCP server, which OpenAI's server calls, not the application.

    Exactly one of `server_url`, `connector_id` and `tunnel_id` must be given.

    Raises `LocalProtocolError` for a field out of its range, and where not exactly one of the three
    is given.
    """

    type = "mcp"
    server_label: str = field(validator=NON_EMPTY_TEXT)
    """The name by which events and tool choices refer to the MCP server."""
    server_url: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT, repr=False)
    """The URL of the MCP server."""
    connector_id: _Connector | UnsetType = field(default=UNSET, validator=_CONNECTORS)
    """One of OpenAI's connectors, in place of a URL."""
    tunnel_id: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT, repr=False)
    """The id of a Secure MCP Tunnel, in place of a URL."""
    authorization: str | UnsetType = field(default=UNSET, validator=UNICODE, repr=False)
    """An OAuth access token, which is sent to the MCP server; no `repr` contains it."""
    headers: Mapping[str, str] | UnsetType | None = field(
        default=UNSET, validator=MAPPING | NULL, repr=False
    )
    """HTTP headers, which are sent to the MCP server; no `repr` contains them."""
    server_description: str | UnsetType = field(default=UNSET, validator=UNICODE, repr=False)
    """What the MCP server is for; more context for the model."""
    allowed_tools: Sequence[str] | ToolFilter | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=list_of(NON_EMPTY_TEXT) | _TOOL_FILTER | NULL
    )
    """The tools that the model can use, by name or by a filter."""
    require_approval: (
        Literal["always", "never"] | ApprovalFilter | Mapping[str, Any] | UnsetType | None
    ) = field(default=UNSET, validator=one_of("always", "never") | _APPROVAL_FILTER | NULL)
    """The tools that need the application's approval for each call (`McpApprovalRequested`).
    Default: "always", which is all of them."""
    allowed_callers: Sequence[Literal["direct", "programmatic"]] | UnsetType | None = field(
        default=UNSET, validator=list_of(one_of("direct", "programmatic"), min_length=1) | NULL
    )
    """How the tools may be called: "direct", "programmatic", or both."""
    defer_loading: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)
    """Whether the tools are found by tool search, and not loaded at once."""

    def __attrs_post_init__(self) -> None:
        locations = (self.server_url, self.connector_id, self.tunnel_id)
        if sum(location is not UNSET for location in locations) != 1:
            raise LocalProtocolError(
                "McpTool needs exactly one of server_url, connector_id and tunnel_id"
            )


@frozen
class ChooseFunction(ProtocolObject):
    """The tool choice that makes the model call one function.

    Raises `LocalProtocolError` for a name that the server would refuse.
    """

    type = "function"
    name: str = field(validator=FUNCTION_NAME)
    """The name of the function: 1 to 64 characters of a-z, A-Z, 0-9, _ and -."""


@frozen
class ChooseMcp(ProtocolObject):
    """The tool choice that makes the model use a tool of one MCP server.

    Raises `LocalProtocolError` for an empty name.
    """

    type = "mcp"
    server_label: str = field(validator=NON_EMPTY_TEXT)
    """The label of the MCP server."""
    name: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT)
    """The name of the tool; absent: any of the server's tools."""


Tool: TypeAlias = FunctionTool | McpTool | Mapping[str, Any]
ToolChoice: TypeAlias = (
    Literal["none", "auto", "required"] | ChooseFunction | ChooseMcp | Mapping[str, Any]
)

TOOL: Final = instance_of(FunctionTool, McpTool) | MAPPING
"""The rule for a tool of a session."""
TOOL_CHOICE: Final = (
    one_of("none", "auto", "required") | instance_of(ChooseFunction, ChooseMcp) | MAPPING
)
"""The rule for the tool choice of a session."""

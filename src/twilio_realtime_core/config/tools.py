"""The tools of a session: functions of the application, and servers of the Model Context Protocol.

Source: OpenAI API reference, "Realtime", `session.update`, `tools` and `tool_choice`. A field that
stands at `UNSET` is left out; a plain mapping in place of any of these is sent as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from ..errors import LocalProtocolError
from .fields import (
    BOOLEAN,
    MAPPING,
    NON_EMPTY_TEXT,
    NULL,
    TEXT,
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
    """A function that the model may ask the application to call (`FunctionCallRequested`).

    `description` tells the model when and how to call it; `parameters` is a JSON schema of its
    arguments.
    """

    type = "function"
    name: str = field(validator=NON_EMPTY_TEXT)
    description: str | UnsetType = field(default=UNSET, validator=TEXT, repr=False)
    parameters: Mapping[str, Any] | UnsetType = field(default=UNSET, validator=MAPPING, repr=False)


@frozen
class ToolFilter(ProtocolObject):
    """Tools of an MCP server: by name, or those that only read."""

    tool_names: Sequence[str] | UnsetType = field(default=UNSET, validator=list_of(NON_EMPTY_TEXT))
    read_only: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)


_TOOL_FILTER: Final = instance_of(ToolFilter) | MAPPING


@frozen
class ApprovalFilter(ProtocolObject):
    """Which tools of an MCP server need an approval each time, and which never."""

    always: ToolFilter | Mapping[str, Any] | UnsetType = field(
        default=UNSET, validator=_TOOL_FILTER
    )
    never: ToolFilter | Mapping[str, Any] | UnsetType = field(default=UNSET, validator=_TOOL_FILTER)


_APPROVAL_FILTER: Final = instance_of(ApprovalFilter) | MAPPING


@frozen
class McpTool(ProtocolObject):
    """The tools of an MCP server, called by OpenAI's server and not by the application.

    It is at exactly one of `server_url`, `connector_id` and `tunnel_id`. `authorization` is an
    OAuth access token; it and `headers` are sent to that server, and shown in no `repr`.
    `require_approval`: "always" is the server's default; what needs an approval is asked for by
    `McpApprovalRequested`.

    Raises `LocalProtocolError` for a field out of its range, and where there is not exactly one
    place.
    """

    type = "mcp"
    server_label: str = field(validator=NON_EMPTY_TEXT)
    server_url: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT, repr=False)
    connector_id: _Connector | UnsetType = field(default=UNSET, validator=_CONNECTORS)
    tunnel_id: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT, repr=False)
    authorization: str | UnsetType = field(default=UNSET, validator=TEXT, repr=False)
    headers: Mapping[str, str] | UnsetType | None = field(
        default=UNSET, validator=MAPPING | NULL, repr=False
    )
    server_description: str | UnsetType = field(default=UNSET, validator=TEXT, repr=False)
    allowed_tools: Sequence[str] | ToolFilter | Mapping[str, Any] | UnsetType | None = field(
        default=UNSET, validator=list_of(NON_EMPTY_TEXT) | _TOOL_FILTER | NULL
    )
    require_approval: (
        Literal["always", "never"] | ApprovalFilter | Mapping[str, Any] | UnsetType | None
    ) = field(default=UNSET, validator=one_of("always", "never") | _APPROVAL_FILTER | NULL)
    allowed_callers: Sequence[Literal["direct", "programmatic"]] | UnsetType | None = field(
        default=UNSET, validator=list_of(one_of("direct", "programmatic"), min_length=1) | NULL
    )
    defer_loading: bool | UnsetType = field(default=UNSET, validator=BOOLEAN)

    def __attrs_post_init__(self) -> None:
        places = (self.server_url, self.connector_id, self.tunnel_id)
        if sum(place is not UNSET for place in places) != 1:
            raise LocalProtocolError(
                "McpTool needs exactly one of server_url, connector_id and tunnel_id"
            )


@frozen
class ChooseFunction(ProtocolObject):
    """The model must call this function."""

    type = "function"
    name: str = field(validator=NON_EMPTY_TEXT)


@frozen
class ChooseMcp(ProtocolObject):
    """The model must use a tool of this MCP server: any of them, or the one named."""

    type = "mcp"
    server_label: str = field(validator=NON_EMPTY_TEXT)
    name: str | UnsetType = field(default=UNSET, validator=NON_EMPTY_TEXT)


Tool: TypeAlias = FunctionTool | McpTool | Mapping[str, Any]
ToolChoice: TypeAlias = (
    Literal["none", "auto", "required"] | ChooseFunction | ChooseMcp | Mapping[str, Any]
)

TOOL: Final = instance_of(FunctionTool, McpTool) | MAPPING
TOOL_CHOICE: Final = (
    one_of("none", "auto", "required") | instance_of(ChooseFunction, ChooseMcp) | MAPPING
)

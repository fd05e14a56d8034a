"""The rules that the server has for ids and names, and those that it has given itself.

The server refuses an id or a name that the application invents and that breaks these rules. Ids
that it has given are its own affair, of whatever shape: they are always accepted.

Source: the errors of the Realtime API for `conversation.item.create`, `session.update` and
`response.create`, as reported for `gpt-realtime`, read on 2026-11-30; `event_id` as in the OpenAI
API reference, "Realtime", client events,
https://platform.openai.com/docs/api-reference/realtime-client-events.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..machine.arguments import text, well_formed

__all__ = [
    "CALL_ID",
    "EVENT_ID",
    "FUNCTION_NAME",
    "ITEM_ID",
    "ROOT",
    "GivenNames",
    "check_invented_names",
    "check_tool_names",
    "is_item_id",
]

ROOT: Final = "root"
"""In the place of an item's id: the front of the conversation. No item can have it."""

_MAX_GIVEN: Final = 3 * 2048
"""Odd ids and names that are remembered, wherever the server gives them: as many as a conversation
of 2,048 items has, of which each has three. The oldest is forgotten first."""

_CHARACTERS: Final = "a-zA-Z0-9_-"
_SHOWN_CHARACTERS: Final = "characters of a-z, A-Z, 0-9, _ and -"

_NAME_OF_ITEM: Final = text(f"an id of 1 to 32 {_SHOWN_CHARACTERS}", 1, 32, _CHARACTERS)
ITEM_ID: Final = well_formed(
    f"{_NAME_OF_ITEM.description}, and not 'root'",
    lambda value: "it is 'root'" if value == ROOT else _NAME_OF_ITEM.find_fault(value),
    str,
)
"""The id of an item."""
CALL_ID: Final = text("an id of 1 to 32 characters", 1, 32)
"""The id of a function call."""
FUNCTION_NAME: Final = text(f"a name of 1 to 64 {_SHOWN_CHARACTERS}", 1, 64, _CHARACTERS)
"""The name of a function."""
EVENT_ID: Final = text("text of at most 512 characters", 0, 512)
"""The id of a client event."""


def is_item_id(value: object) -> bool:
    """Whether the server accepts `value` as the id of an item that a client creates."""
    return ITEM_ID.accepts(value)


_RULES: Final = {"id": ITEM_ID, "call_id": CALL_ID, "name": FUNCTION_NAME}
"""The rules for the fields of an item."""


class GivenNames:
    """The ids and names that break the rules, and that the server has given."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def note(self, item_id: str | None, call_id: str | None, name: str | None) -> None:
        """Note the ids and the name of an item of the server; `None`: it does not say. What no item
        can have is no id."""
        if item_id in ("", ROOT):
            item_id = None
        for rule, value in ((ITEM_ID, item_id), (CALL_ID, call_id), (FUNCTION_NAME, name)):
            if value is None or rule.accepts(value) or value in self._names:
                continue
            if len(self._names) >= _MAX_GIVEN:
                del self._names[next(iter(self._names))]
            self._names[value] = None


def check_invented_names(item: Mapping[str, Any], given: GivenNames, path: str) -> None:
    """Check the ids and the name of an item that the application creates.

    Raises `LocalProtocolError` for one that breaks the rules, unless the server has given it.
    """
    if item.get("type") == "item_reference":  # of an item that is there
        return
    for name, rule in _RULES.items():
        value = item.get(name)
        if value is not None and not (isinstance(value, str) and value in given):
            rule.check(f"{path}.{name}", value)


def check_tool_names(fields: Mapping[str, Any], path: str) -> None:
    """Check the names of functions in `tools` and `tool_choice` of a session or a response.

    Raises `LocalProtocolError` for one that breaks the rules.
    """
    tools = fields.get("tools")
    places = [(f"{path}.tool_choice", fields.get("tool_choice"))]
    if isinstance(tools, list | tuple):
        places += [(f"{path}.tools[{index}]", tool) for index, tool in enumerate(tools)]  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    for place, tool in places:
        match tool:
            case {"type": "function", "name": name}:
                FUNCTION_NAME.check(f"{place}.name", name)
            case _:
                pass

"""The reference pages list what the code has, no less and no more; the page for users of
openai-agents-js names tests that exist."""

import ast
import re
import runpy
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from twilio_realtime_core.commands import Command
from twilio_realtime_core.errors import FaultKind
from twilio_realtime_core.notifications import EndReason, Notification
from twilio_realtime_core.protocols.realtime import ClientEvent, RawClientEvent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

ROW = re.compile(r"^\| (`.+) \|$", re.M)
TEST = re.compile(r"\[`(?P<name>test_\w+)`\]\((?P<file>[^)#]+)\)")


def rows(page: str) -> list[list[str]]:
    """The cells of the tables of a page, line by line, without their heads."""
    lines = ROW.findall((DOCS / page).read_text("utf-8"))
    return [[cell.strip() for cell in line.split(" |")] for line in lines]


def signature(kind: type[Any]) -> str:
    """How a value of a class is made."""
    fields = sorted(attrs.fields(kind), key=lambda field: field.kw_only)
    return f"{kind.__name__}({', '.join(map(parameter, fields))})"


def parameter(field: "attrs.Attribute[Any]") -> str:
    default: Any = field.default
    if default is attrs.NOTHING:
        return field.name
    made = getattr(default, "factory", lambda: default)
    return f"{field.name}={made()!r}"


# Commands and notifications.


def test_the_page_has_every_command_and_no_other() -> None:
    commands = [cells[0] for cells in rows("reference/commands.md")]
    assert sorted(commands) == sorted(f"`{signature(kind)}`" for kind in get_args(Command))


def test_the_page_has_the_type_of_every_client_event() -> None:
    shown = {cells[0].strip("`").split("(")[0]: cells[1] for cells in rows("reference/commands.md")}
    typed = {kind for kind in get_args(ClientEvent) if kind is not RawClientEvent}
    assert {name: shown[name] for name in sorted(kind.__name__ for kind in typed)} == {
        kind.__name__: f"`{kind.type}`" for kind in typed
    }


def test_the_page_has_every_notification_and_its_fields() -> None:
    shown = {cells[0].strip("`"): cells[1] for cells in rows("reference/notifications.md")}
    assert shown == {
        kind.__name__: ", ".join(f"`{field.name}`" for field in attrs.fields(kind))
        for kind in get_args(Notification)
    }
    assert len(rows("reference/notifications.md")) == len(shown)


def test_a_signature_is_shown_with_its_defaults() -> None:
    @attrs.frozen
    class Sing:
        song: str
        times: int = 2
        more: dict[str, int] = attrs.field(factory=dict[str, int])

    assert signature(Sing) == "Sing(song, times=2, more={})"


# Ends and faults.


@pytest.mark.parametrize(
    ("page", "kind"),
    [("reference/end-of-call.md", EndReason), ("reference/faults.md", FaultKind)],
)
def test_the_page_has_every_member_with_its_docstring(page: str, kind: type[Enum]) -> None:
    make_states = runpy.run_path(str(DOCS / "tools/make_states.py"))
    shown = {cells[0].strip("`"): cells[1] for cells in rows(page) if cells[0].strip("`").isupper()}
    assert shown == make_states["comments"](kind)
    assert all(cells[2] for cells in rows(page) if len(cells) > 2)


# From openai-agents-js.

PAGE = "how-to/from-openai-agents-js.md"


@pytest.mark.parametrize("cells", rows(PAGE), ids=lambda cells: cells[0].strip("`"))
def test_a_row_names_a_test_that_there_is(cells: list[str]) -> None:
    (test,) = TEST.finditer(cells[-1])
    path = ((DOCS / PAGE).parent / test["file"]).resolve()
    assert path.is_relative_to(ROOT / "tests")
    body = ast.parse(path.read_text("utf-8")).body
    assert test["name"] in {each.name for each in body if isinstance(each, ast.FunctionDef)}


MEMBERS = """
    twilioWebSocket inputAudioInactivityTimeoutMs apiKey model url useInsecureApiKey createWebSocket
    skipOpenEventListeners _tracingConfig connectionState currentModel muted status
    _cancelResponse() _interrupt() _setInputAndOutputAudioFormat() close() connect() emit()
    interrupt() mute() off() on() once() resetHistory() sendAudio() sendEvent()
    sendFunctionCallOutput() sendMessage() updateSessionConfig() addImage() sendMcpResponse()
    requestResponse() * error function_call audio audio_interrupted audio_transcript_delta
    audio_done usage_update item_update item_deleted connection_change turn_started turn_done
    mcp_tool_call_completed mcp_approval_request mcp_tools_listed
"""
"""Constructor options, accessors, methods, and the events of the transport."""


def test_every_member_of_the_transport_has_its_row() -> None:
    shown = [cells[0].strip("`") for cells in rows(PAGE)]
    assert len(set(shown)) == len(shown)
    assert set(MEMBERS.split()) <= set(shown)

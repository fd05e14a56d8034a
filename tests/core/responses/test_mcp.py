from itertools import permutations
from typing import Any

import pytest

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.notifications import (
    McpApprovalRequested,
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
)
from twilio_realtime_core.protocols.realtime import (
    Item,
    ItemAddedEvent,
    ItemDoneEvent,
    McpCallCompletedEvent,
    McpCallFailedEvent,
    McpCallInProgressEvent,
    McpToolsCompletedEvent,
    McpToolsFailedEvent,
    OutputItemDoneEvent,
    ServerEvent,
    UnknownServerEvent,
)
from twilio_realtime_core.responses.mcp import MAX_REMEMBERED, Mcp

TOOLS = [{"name": "look", "input_schema": {"type": "object"}}]
ERROR = {"type": "http_error", "code": 404, "message": "not found"}
LISTING = Item("l", "mcp_list_tools", server_label="docs", tools=TOOLS)
REQUEST = Item("a", "mcp_approval_request", server_label="docs", name="look", arguments="{}")


def call(output: Any = None, error: Any = None) -> Item:
    return Item(
        "c",
        "mcp_call",
        server_label="docs",
        name="look",
        arguments="{}",
        output=output,
        error=error,
    )


def told(*events: ServerEvent, mcp: Mcp | None = None) -> list[object]:
    """What the events lead to, in order."""
    mcp = mcp or Mcp()
    return [notified for notified in map(mcp.receive, events) if notified is not None]


# Tools.

LISTED = McpToolsListed("l", "docs", tuple(TOOLS))


def test_tools_are_told_once_they_are_all_known_in_whatever_order() -> None:
    events: list[ServerEvent] = [
        ItemAddedEvent(LISTING),
        ItemDoneEvent(LISTING),
        McpToolsCompletedEvent("l"),
        ItemDoneEvent(LISTING),
    ]
    for order in permutations(events):
        assert told(*order) == [LISTED]


def test_tools_are_not_told_before_the_server_has_them() -> None:
    assert told(ItemAddedEvent(LISTING), ItemDoneEvent(LISTING)) == []
    assert told(ItemAddedEvent(LISTING), McpToolsCompletedEvent("l")) == []


def test_tools_that_cannot_be_listed_are_told_once() -> None:
    events = (
        ItemAddedEvent(LISTING),
        McpToolsFailedEvent("l"),
        McpToolsFailedEvent("l"),
        ItemDoneEvent(LISTING),
    )
    assert told(*events, McpToolsCompletedEvent("l")) == [McpToolsListed("l", "docs", None)]


def test_tools_that_fail_before_their_item_is_known_have_no_label() -> None:
    assert told(McpToolsFailedEvent("l")) == [McpToolsListed("l", None, None)]


def test_a_list_of_tools_that_is_none_counts_as_empty() -> None:
    item = Item("l", "mcp_list_tools", server_label="docs", tools="look")
    assert told(ItemDoneEvent(item), McpToolsCompletedEvent("l")) == [
        McpToolsListed("l", "docs", ())
    ]


# Approvals.

REQUESTED = McpApprovalRequested("a", "docs", "look", "{}")


def test_an_approval_is_requested_once() -> None:
    assert told(ItemAddedEvent(REQUEST)) == []
    assert told(ItemDoneEvent(REQUEST), OutputItemDoneEvent("r", REQUEST)) == [REQUESTED]
    assert told(OutputItemDoneEvent("r", REQUEST), ItemDoneEvent(REQUEST)) == [REQUESTED]


def test_a_request_without_details_is_told_all_the_same() -> None:
    bare = Item("a", "mcp_approval_request")
    assert told(ItemDoneEvent(bare)) == [McpApprovalRequested("a", None, None, "")]


def test_a_request_is_answered_once() -> None:
    mcp = Mcp()
    mcp.receive(ItemDoneEvent(REQUEST))
    mcp.check_approval("a")
    mcp.mark_answered("a")
    with pytest.raises(LocalProtocolError, match="has its answer"):
        mcp.check_approval("a")
    assert mcp.receive(OutputItemDoneEvent("r", REQUEST)) is None


def test_an_answer_to_no_request_is_misuse_and_names_no_content() -> None:
    with pytest.raises(LocalProtocolError, match="no request") as misuse:
        Mcp().check_approval("secret")
    assert "secret" not in str(misuse.value)


def test_an_answer_that_went_another_way_counts() -> None:
    mcp = Mcp()
    answer = Item("x", "mcp_approval_response", approval_request_id="a", approve=True)
    assert told(ItemDoneEvent(answer), ItemDoneEvent(REQUEST), ItemDoneEvent(answer), mcp=mcp) == [
        REQUESTED
    ]
    with pytest.raises(LocalProtocolError, match="has its answer"):
        mcp.check_approval("a")


def test_an_answer_to_nothing_is_ignored() -> None:
    assert told(ItemDoneEvent(Item("x", "mcp_approval_response"))) == []


# Calls.

STARTED = McpCallStarted("c")
FINISHED = McpCallFinished("c", "docs", "look", "42", None)
FAILED = McpCallFinished("c", "docs", "look", None, ERROR)


def test_a_call_is_told_when_it_begins_and_when_its_item_holds_the_outcome() -> None:
    mcp = Mcp()
    assert told(McpCallInProgressEvent("c"), McpCallInProgressEvent("c"), mcp=mcp) == [STARTED]
    assert told(McpCallCompletedEvent("c"), mcp=mcp) == []
    assert told(ItemDoneEvent(call("42")), OutputItemDoneEvent("r", call("42")), mcp=mcp) == [
        FINISHED
    ]


def test_the_outcome_is_told_once_in_whatever_order() -> None:
    events: list[ServerEvent] = [
        McpCallInProgressEvent("c"),
        McpCallCompletedEvent("c"),
        ItemDoneEvent(call("42")),
        OutputItemDoneEvent("r", call("42")),
    ]
    for order in permutations(events):
        heard = told(*order)
        assert heard in ([STARTED, FINISHED], [FINISHED])


def test_a_call_that_failed_tells_the_error() -> None:
    events = (
        McpCallInProgressEvent("c"),
        McpCallFailedEvent("c"),
        OutputItemDoneEvent("r", call(error=ERROR)),
    )
    assert told(*events) == [STARTED, FAILED]


def test_an_item_that_comes_before_the_call_is_only_the_request() -> None:
    asked = (OutputItemDoneEvent("r", call()), ItemDoneEvent(REQUEST))
    ran = (McpCallInProgressEvent("c"), McpCallCompletedEvent("c"))
    assert told(*asked, *ran) == [REQUESTED, STARTED]
    assert told(*asked, *ran, ItemDoneEvent(call("42"))) == [REQUESTED, STARTED, FINISHED]


def test_a_call_that_says_nothing_is_finished_all_the_same() -> None:
    silent = McpCallFinished("c", "docs", "look", None, None)
    begun, done, completed = (
        McpCallInProgressEvent("c"),
        ItemDoneEvent(call()),
        McpCallCompletedEvent("c"),
    )
    assert told(begun, done, completed) == [STARTED, silent]
    assert told(begun, completed, done, done) == [STARTED, silent]


def test_a_call_that_has_finished_does_not_begin() -> None:
    assert told(ItemDoneEvent(call("42")), McpCallInProgressEvent("c")) == [FINISHED]
    assert told(McpCallFailedEvent("c"), McpCallInProgressEvent("c")) == []


# Everything else.


@pytest.mark.parametrize(
    "event",
    [
        UnknownServerEvent("rate_limits.updated"),
        ItemAddedEvent(Item("i", "message")),
        ItemDoneEvent(Item("i", "message")),
        OutputItemDoneEvent("r", Item("i", "function_call")),
    ],
)
def test_other_events_tell_nothing(event: ServerEvent) -> None:
    assert Mcp().receive(event) is None


def test_the_oldest_is_forgotten_first() -> None:
    mcp = Mcp()
    for number in range(MAX_REMEMBERED + 1):
        mcp.receive(ItemDoneEvent(Item(str(number), "mcp_approval_request")))
    with pytest.raises(LocalProtocolError, match="no request"):
        mcp.check_approval("0")
    mcp.check_approval("1")
    mcp.check_approval(str(MAX_REMEMBERED))

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
    OutputItemAddedEvent,
    OutputItemDoneEvent,
    ServerEvent,
)
from twilio_realtime_core.responses.mcp import MAX_REMEMBERED, Mcp
from twilio_realtime_core.responses.responses import ResponseRecord, Responses

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


class SessionMcp(Mcp):
    """The MCP tools, and the records of the responses, which are all in the conversation."""

    def __init__(self) -> None:
        self.responses = Responses()
        super().__init__(self.responses)

    def receive(self, event: ServerEvent) -> object:
        """Pass an event on to the method for it. Returns what to notify."""
        match event:
            case OutputItemAddedEvent(response_id, item):
                self.output_item(self.responses.get_or_create(response_id), item)
                return None
            case OutputItemDoneEvent(response_id, item):
                self.output_item(self.responses.get_or_create(response_id), item)
                return self.item_done(item)
            case ItemAddedEvent(item=item):
                self.item_added(item)
                return None
            case ItemDoneEvent(item=item):
                return self.item_done(item)
            case McpToolsCompletedEvent(item_id):
                return self.tools_completed(item_id)
            case McpToolsFailedEvent(item_id):
                return self.tools_failed(item_id)
            case McpCallInProgressEvent(item_id):
                return self.call_in_progress(item_id)
            case McpCallCompletedEvent(item_id) | McpCallFailedEvent(item_id):
                return self.call_ended(item_id)
            case _:
                raise AssertionError(f"no event of MCP: {event}")


def notified(*events: ServerEvent, mcp: SessionMcp | None = None) -> list[object]:
    """The notifications that the events lead to, in order."""
    mcp = mcp or SessionMcp()
    return [each for each in map(mcp.receive, events) if each is not None]


# Tools.

LISTED = McpToolsListed("l", "docs", tuple(TOOLS))


def test_tools_are_notified_once_in_any_order_of_events() -> None:
    events: list[ServerEvent] = [
        ItemAddedEvent(LISTING),
        ItemDoneEvent(LISTING),
        McpToolsCompletedEvent("l"),
        ItemDoneEvent(LISTING),
    ]
    for order in permutations(events):
        assert notified(*order) == [LISTED]


def test_tools_are_not_notified_before_the_listing_has_succeeded() -> None:
    assert notified(ItemAddedEvent(LISTING), ItemDoneEvent(LISTING)) == []
    assert notified(ItemAddedEvent(LISTING), McpToolsCompletedEvent("l")) == []


def test_a_failed_listing_is_notified_once() -> None:
    events = (
        ItemAddedEvent(LISTING),
        McpToolsFailedEvent("l"),
        McpToolsFailedEvent("l"),
        ItemDoneEvent(LISTING),
    )
    assert notified(*events, McpToolsCompletedEvent("l")) == [McpToolsListed("l", "docs", None)]


def test_a_listing_that_fails_before_its_item_has_no_label() -> None:
    assert notified(McpToolsFailedEvent("l")) == [McpToolsListed("l", None, None)]


def test_tools_that_are_no_list_count_as_empty() -> None:
    item = Item("l", "mcp_list_tools", server_label="docs", tools="look")
    assert notified(ItemDoneEvent(item), McpToolsCompletedEvent("l")) == [
        McpToolsListed("l", "docs", ())
    ]


# Approvals.

REQUESTED = McpApprovalRequested("a", "docs", "look", "{}")


def test_an_approval_is_requested_once() -> None:
    assert notified(ItemAddedEvent(REQUEST)) == []
    assert notified(ItemDoneEvent(REQUEST), OutputItemDoneEvent("r", REQUEST)) == [REQUESTED]
    assert notified(OutputItemDoneEvent("r", REQUEST), ItemDoneEvent(REQUEST)) == [REQUESTED]


def test_a_request_without_details_is_notified() -> None:
    bare = Item("a", "mcp_approval_request")
    assert notified(ItemDoneEvent(bare)) == [McpApprovalRequested("a", None, None, "")]


def test_a_request_is_answered_once() -> None:
    mcp = SessionMcp()
    mcp.receive(ItemDoneEvent(REQUEST))
    mcp.check_approval("a")
    mcp.mark_answered("a", is_granted=False)
    with pytest.raises(LocalProtocolError, match="has its answer"):
        mcp.check_approval("a")
    assert mcp.receive(OutputItemDoneEvent("r", REQUEST)) is None


def test_an_answer_to_an_unknown_request_is_misuse_without_content() -> None:
    with pytest.raises(LocalProtocolError, match="not that of a request") as misuse:
        SessionMcp().check_approval("secret")
    assert "secret" not in str(misuse.value)


def test_an_answer_by_a_raw_event_counts() -> None:
    mcp = SessionMcp()
    answer = Item("x", "mcp_approval_response", approval_request_id="a", approve=True)
    assert notified(
        ItemDoneEvent(answer), ItemDoneEvent(REQUEST), ItemDoneEvent(answer), mcp=mcp
    ) == [REQUESTED]
    with pytest.raises(LocalProtocolError, match="has its answer"):
        mcp.check_approval("a")


def test_an_answer_to_nothing_is_ignored() -> None:
    assert notified(ItemDoneEvent(Item("x", "mcp_approval_response"))) == []


# Calls.

STARTED = McpCallStarted("c")
FINISHED = McpCallFinished("c", "docs", "look", "42", None)
FAILED = McpCallFinished("c", "docs", "look", None, ERROR)


def test_a_call_is_notified_at_its_start_and_its_outcome() -> None:
    mcp = SessionMcp()
    assert notified(McpCallInProgressEvent("c"), McpCallInProgressEvent("c"), mcp=mcp) == [STARTED]
    assert notified(McpCallCompletedEvent("c"), mcp=mcp) == []
    assert notified(ItemDoneEvent(call("42")), OutputItemDoneEvent("r", call("42")), mcp=mcp) == [
        FINISHED
    ]


def test_the_outcome_is_notified_once_in_any_order_of_events() -> None:
    events: list[ServerEvent] = [
        McpCallInProgressEvent("c"),
        McpCallCompletedEvent("c"),
        ItemDoneEvent(call("42")),
        OutputItemDoneEvent("r", call("42")),
    ]
    for order in permutations(events):
        outcome = notified(*order)
        assert outcome in ([STARTED, FINISHED], [FINISHED])


def test_a_failed_call_is_notified_with_its_error() -> None:
    events = (
        McpCallInProgressEvent("c"),
        McpCallFailedEvent("c"),
        OutputItemDoneEvent("r", call(error=ERROR)),
    )
    assert notified(*events) == [STARTED, FAILED]


def test_an_item_before_the_call_is_only_the_request() -> None:
    requested = (OutputItemDoneEvent("r", call()), ItemDoneEvent(REQUEST))
    called = (McpCallInProgressEvent("c"), McpCallCompletedEvent("c"))
    assert notified(*requested, *called) == [REQUESTED, STARTED]
    assert notified(*requested, *called, ItemDoneEvent(call("42"))) == [
        REQUESTED,
        STARTED,
        FINISHED,
    ]


def test_a_call_without_an_outcome_is_finished() -> None:
    silent = McpCallFinished("c", "docs", "look", None, None)
    started, done, completed = (
        McpCallInProgressEvent("c"),
        ItemDoneEvent(call()),
        McpCallCompletedEvent("c"),
    )
    assert notified(started, done, completed) == [STARTED, silent]
    assert notified(started, completed, done, done) == [STARTED, silent]


def test_a_finished_call_does_not_start() -> None:
    assert notified(ItemDoneEvent(call("42")), McpCallInProgressEvent("c")) == [FINISHED]
    assert notified(McpCallFailedEvent("c"), McpCallInProgressEvent("c")) == []


# Everything else.


@pytest.mark.parametrize(
    "event",
    [
        OutputItemAddedEvent("r", Item("i", "message")),
        ItemAddedEvent(Item("i", "message")),
        ItemDoneEvent(Item("i", "message")),
        OutputItemDoneEvent("r", Item("i", "function_call")),
    ],
)
def test_other_items_notify_nothing(event: ServerEvent) -> None:
    assert SessionMcp().receive(event) is None


def test_answers_have_distinct_item_ids() -> None:
    mcp = SessionMcp()
    for request_id in ("a", "b"):
        mcp.item_done(Item(request_id, "mcp_approval_request"))
    assert [mcp.mark_answered(each, is_granted=False) for each in ("b", "a")] == [
        "mcp-answer-1",
        "mcp-answer-2",
    ]


def test_items_of_mcp_belong_to_the_first_response_with_them() -> None:
    mcp = SessionMcp()
    for response_id in ("r", "s"):
        mcp.receive(OutputItemAddedEvent(response_id, REQUEST))
        mcp.receive(OutputItemDoneEvent(response_id, call("42")))
        mcp.receive(OutputItemDoneEvent(response_id, Item("m", "message")))
    record = mcp.responses.get("r")
    assert record is not None
    assert [mcp.responses.of_item(each) for each in "acm"] == [record, record, None]


def test_an_approval_is_pending_until_it_is_answered() -> None:
    mcp = SessionMcp()
    record = mcp.responses.get_or_create("r")
    assert not mcp.is_approval_pending(record)
    mcp.receive(OutputItemDoneEvent("r", REQUEST))
    assert mcp.is_approval_pending(record)
    assert not mcp.is_approval_pending(ResponseRecord("s"))
    mcp.mark_answered("a", is_granted=False)
    assert not mcp.is_approval_pending(record)


def test_an_approval_of_no_known_response_is_pending_for_none() -> None:
    mcp = SessionMcp()
    mcp.receive(ItemDoneEvent(REQUEST))
    assert not mcp.is_approval_pending(mcp.responses.get_or_create("r"))


def test_the_oldest_is_forgotten_first() -> None:
    mcp = SessionMcp()
    for number in range(MAX_REMEMBERED + 1):
        mcp.receive(ItemDoneEvent(Item(str(number), "mcp_approval_request")))
    with pytest.raises(LocalProtocolError, match="not that of a request"):
        mcp.check_approval("0")
    mcp.check_approval("1")
    mcp.check_approval(str(MAX_REMEMBERED))

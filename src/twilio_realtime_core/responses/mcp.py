"""What the model does with tools of MCP servers (Model Context Protocol): listed, approved, called.

The server runs these tools by itself. What happens is told twice over: by events of their own, and
by items, which come done in the conversation and, those of a response, in the response as well.
Each thing is notified once, when all of it is known.

After a call the model wants a `response.create`, once the call has finished and its response is
done; so the vendor's own example has it, although the guide reads as if the response went on by
itself. A request that is granted wants none, since the call is still to be made.

Source: OpenAI developer guide, "Realtime with tools", "Realtime MCP flow"; the example is that of
openai-ruby, `examples/realtime/mcp_approval.rb`.
"""

from typing import Any, Final, TypeAlias, TypeVar

from attrs import define

from ..errors import LocalProtocolError
from ..notifications import McpApprovalRequested, McpCallFinished, McpCallStarted, McpToolsListed
from ..protocols.realtime import (
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

__all__ = ["MAX_REMEMBERED", "Mcp"]

MAX_REMEMBERED: Final = 1024
"""Calls, listings and requests remembered, of each kind: several for each response of an hour. The
oldest is forgotten first; a request that a thousand others have followed is answered too late."""

McpNotification: TypeAlias = (
    McpToolsListed | McpApprovalRequested | McpCallStarted | McpCallFinished
)

T = TypeVar("T")


@define
class _Listing:
    """`item` is the one that is done and holds the tools. `succeeded`: so its event says."""

    server_label: str | None = None
    item: Item | None = None
    succeeded: bool = False
    is_notified: bool = False


@define
class _Call:
    """`item` is the one that is done and tells how the call went."""

    item: Item | None = None
    started: bool = False
    ended: bool = False
    is_notified: bool = False


class Mcp:
    """The MCP tools of one Realtime session."""

    def __init__(self) -> None:
        self._listings: dict[str, _Listing] = {}
        self._calls: dict[str, _Call] = {}
        self._approvals: dict[str, bool] = {}  # whether answered
        self._response_of: dict[str, str] = {}
        self._answers = 0

    def receive(self, event: ServerEvent) -> McpNotification | None:
        """Take in an event, of whatever type. Returns what to notify."""
        match event:
            case OutputItemAddedEvent(response_id, item):
                self._note_response(response_id, item)
                return None
            case OutputItemDoneEvent(response_id, item):
                self._note_response(response_id, item)
                return self._item_done(item)
            case ItemAddedEvent(item=Item(type="mcp_list_tools") as item):
                self._get_or_create_listing(item.id).server_label = item.server_label
                return None
            case ItemDoneEvent(item=item):
                return self._item_done(item)
            case McpToolsCompletedEvent(item_id=item_id):
                listing = self._get_or_create_listing(item_id)
                listing.succeeded = True
                return _listed(listing)
            case McpToolsFailedEvent(item_id=item_id):
                return _not_listed(item_id, self._get_or_create_listing(item_id))
            case McpCallInProgressEvent(item_id=item_id):
                return _started(item_id, self._get_or_create_call(item_id))
            case McpCallCompletedEvent(item_id=item_id) | McpCallFailedEvent(item_id=item_id):
                call = self._get_or_create_call(item_id)
                call.started = call.ended = True
                return _finished(call)
            case _:
                return None

    def _item_done(self, item: Item) -> McpNotification | None:
        match item:
            case Item(type="mcp_list_tools"):
                listing = self._get_or_create_listing(item.id)
                listing.item = item
                return _listed(listing)
            case Item(type="mcp_call"):
                call = self._get_or_create_call(item.id)
                # Before the call has begun an item without its outcome is only the request.
                if call.started or _outcome_known(item):
                    call.started, call.item = True, item
                return _finished(call)
            case Item(type="mcp_approval_request") if item.id not in self._approvals:
                _remember(self._approvals, item.id, value=False)
                arguments = item.arguments or ""
                return McpApprovalRequested(item.id, item.server_label, item.name, arguments)
            case Item(type="mcp_approval_response", approval_request_id=str(request)):
                if request in self._approvals:  # answered by an event of the application's own
                    self._approvals[request] = True
                return None
            case _:
                return None

    def _get_or_create_listing(self, item_id: str) -> _Listing:
        known = self._listings.get(item_id)
        return known or _remember(self._listings, item_id, _Listing())

    def _get_or_create_call(self, item_id: str) -> _Call:
        known = self._calls.get(item_id)
        return known or _remember(self._calls, item_id, _Call())

    def check_approval(self, approval_request_id: str) -> None:
        """Raise `LocalProtocolError` if a request cannot be answered: unknown, or answered."""
        answered = self._approvals.get(approval_request_id)
        if answered is None:
            raise LocalProtocolError(
                "approval_request_id is that of no request: use that of a McpApprovalRequested"
            )
        if answered:
            raise LocalProtocolError("approval_request_id is that of a request that has its answer")

    def mark_answered(self, approval_request_id: str) -> tuple[str, str]:
        """A request that was announced has its answer, whichever. Returns the id of the answer's
        item, which the client has to choose, and that of the response that has asked."""
        self._approvals[approval_request_id] = True
        self._answers += 1
        return f"mcp-answer-{self._answers}", self.response_of(approval_request_id)

    def response_of(self, item_id: str) -> str:
        """The response that an item is of; empty if that is not known."""
        return self._response_of.get(item_id, "")

    def is_approval_pending(self, response_id: str) -> bool:
        """Whether a response has asked for something that has no answer yet."""
        unanswered = (each for each, answered in self._approvals.items() if not answered)
        return any(self._response_of.get(each) == response_id for each in unanswered)

    def _note_response(self, response_id: str, item: Item) -> None:
        if item.type.startswith("mcp_") and item.id not in self._response_of:
            _remember(self._response_of, item.id, response_id)


def _remember(known: dict[str, T], key: str, value: T) -> T:
    if len(known) >= MAX_REMEMBERED:
        del known[next(iter(known))]
    known[key] = value
    return value


def _listed(listing: _Listing) -> McpToolsListed | None:
    item = listing.item
    if not listing.succeeded or item is None:
        return None
    listing.item = None
    if listing.is_notified:
        return None
    listing.is_notified = True
    well_formed = isinstance(item.tools, list)
    tools: tuple[Any, ...] = tuple(item.tools) if well_formed else ()
    return McpToolsListed(item.id, item.server_label, tools)


def _not_listed(item_id: str, listing: _Listing) -> McpToolsListed | None:
    if listing.is_notified:
        return None
    listing.is_notified = True
    return McpToolsListed(item_id, listing.server_label, tools=None)


def _started(item_id: str, call: _Call) -> McpCallStarted | None:
    if call.started:
        return None
    call.started = True
    return McpCallStarted(item_id)


def _finished(call: _Call) -> McpCallFinished | None:
    item = call.item
    if item is None or not (call.ended or _outcome_known(item)):
        return None
    call.item = None
    if call.is_notified:
        return None
    call.is_notified = True
    return McpCallFinished(item.id, item.server_label, item.name, item.output, item.error)


def _outcome_known(item: Item) -> bool:
    return item.output is not None or item.error is not None

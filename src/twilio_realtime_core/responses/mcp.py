"""The tools of MCP servers (Model Context Protocol) that the model uses: listed, approved, called.

The Realtime server runs these tools by itself. It describes what happens twice: by events of their
own, and by items, which are done in the conversation and, those of a response, in the response as
well. Each thing is notified once, when all of it is known.

After a call the model needs a `response.create`, once the call has finished and its response is
done; so the vendor's example does it, although the guide reads as if the response continued by
itself. An approval that is granted needs none, since the call is still to be made.

Source: OpenAI developer guide, "Realtime with tools", "Realtime MCP flow",
https://platform.openai.com/docs/guides/realtime-mcp; the example is that of openai-ruby,
`examples/realtime/mcp_approval.rb`.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias, TypeVar

from attrs import define

from ..errors import LocalProtocolError
from ..notifications import (
    McpApprovalRequested,
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
)
from ..protocols.realtime import Item
from .responses import ResponseRecord, Responses

__all__ = ["MAX_REMEMBERED", "Mcp", "McpNotification"]

MAX_REMEMBERED: Final = 1024
"""Calls, listings and approval requests remembered, of each kind: several for each response of an
hour. The oldest is forgotten first; an approval request that a thousand others have followed can no
longer be answered."""

McpNotification: TypeAlias = (
    McpToolsListed | McpApprovalRequested | McpCallStarted | McpCallFinished
)

T = TypeVar("T")


@define
class _Listing:
    """`item` is the one that is done and holds the tools; `has_succeeded`: its event says so."""

    server_label: str | None = None
    item: Item | None = None
    has_succeeded: bool = False
    is_notified: bool = False


@define
class _McpCall:
    """`item` is the one that is done and holds the outcome."""

    item: Item | None = None
    has_started: bool = False
    has_ended: bool = False
    is_notified: bool = False

    @property
    def is_at_work(self) -> bool:
        """Whether the call has started, and its end was not received."""
        return self.has_started and not (self.has_ended or self.is_notified)


class Mcp:
    """The MCP tools of one Realtime session. `responses` knows the response of each item."""

    def __init__(self, responses: Responses) -> None:
        self._responses = responses
        self._listings: dict[str, _Listing] = {}
        self._calls: dict[str, _McpCall] = {}
        self._approvals: dict[str, bool] = {}  # whether answered, by id of the request
        self._answer_count = 0
        self._granted: dict[str, bool] = {}
        """The approvals whose calls are still to be made, by id of the request."""
        self._lost: set[str] = set()
        """The requests of a session that is lost: an answer to them has no effect."""

    @property
    def has_open_requests(self) -> bool:
        """Whether a request of the session that is used has no answer yet, or one that was approved
        has not led to its call."""
        return bool(self._granted) or any(True for _ in self._open_requests())

    @property
    def is_at_work(self) -> bool:
        """Whether a tool is at work."""
        return any(each.is_at_work for each in self._calls.values())

    @property
    def is_at_work_for_ended(self) -> bool:
        """Whether a tool is at work whose response is not being generated any more."""
        records = (
            self._responses.of_item(id_) for id_, call in self._calls.items() if call.is_at_work
        )
        return any(record is None or not record.is_generating for record in records)

    def session_lost(self) -> None:
        """Note that no session knows the requests and the calls any more."""
        for each in self._calls.values():
            each.has_ended = True
        self._lost |= set(self._open_requests())
        self._granted.clear()

    def is_lost(self, approval_request_id: str) -> bool:
        """Whether a request is of a session that is lost."""
        return approval_request_id in self._lost

    # From the model. Each method returns what to notify.

    def output_item(self, record: ResponseRecord, item: Item) -> None:
        """Remember which response an item belongs to."""
        if item.type.startswith("mcp_"):
            self._responses.index_item(item.id, record)

    def item_added(self, item: Item) -> None:
        """Take an item that was added to the conversation."""
        if item.type == "mcp_list_tools":
            self._get_or_create_listing(item.id).server_label = item.server_label

    def tools_completed(self, item_id: str) -> McpToolsListed | None:
        """Take a listing of tools that succeeded."""
        listing = self._get_or_create_listing(item_id)
        listing.has_succeeded = True
        return _notify_listed(listing)

    def tools_failed(self, item_id: str) -> McpToolsListed | None:
        """Take a listing of tools that failed."""
        listing = self._get_or_create_listing(item_id)
        if listing.is_notified:
            return None
        listing.is_notified = True
        return McpToolsListed(item_id, listing.server_label, tools=None)

    def call_in_progress(self, item_id: str) -> McpCallStarted | None:
        """Take a call that started."""
        call = self._get_or_create_call(item_id)
        if call.has_started:
            return None
        call.has_started = True
        return McpCallStarted(item_id)

    def call_ended(self, item_id: str) -> McpCallFinished | None:
        """Take a call that completed or failed."""
        call = self._get_or_create_call(item_id)
        call.has_started = call.has_ended = True
        return _notify_finished(call)

    def item_done(self, item: Item) -> McpNotification | None:
        """Take an item that is done, in the conversation or in a response of it."""
        match item:
            case Item(type="mcp_list_tools"):
                listing = self._get_or_create_listing(item.id)
                listing.item = item
                return _notify_listed(listing)
            case Item(type="mcp_call"):
                call = self._get_or_create_call(item.id)
                # Before the call has started, an item without its outcome is only the request.
                if call.has_started or _has_outcome(item):
                    call.has_started, call.item = True, item
                    self._granted.pop(item.approval_request_id or "", None)
                return _notify_finished(call)
            case Item(type="mcp_approval_request") if item.id not in self._approvals:
                _remember(self._approvals, item.id, value=False)
                arguments = item.arguments or ""
                return McpApprovalRequested(item.id, item.server_label, item.name, arguments)
            case Item(type="mcp_approval_response", approval_request_id=str(request_id)):
                if request_id in self._approvals:  # answered by a raw event of the application
                    self._approvals[request_id] = True
                return None
            case _:
                return None

    # From the application.

    def check_approval(self, approval_request_id: str) -> None:
        """Raise `LocalProtocolError` if a request cannot be answered: unknown, or answered."""
        is_answered = self._approvals.get(approval_request_id)
        if is_answered is None:
            raise LocalProtocolError(
                "approval_request_id is not that of a request: use that of a McpApprovalRequested"
            )
        if is_answered:
            raise LocalProtocolError("approval_request_id is that of a request that has its answer")

    def mark_answered(self, approval_request_id: str, *, is_granted: bool) -> str:
        """Note that a request has its answer. Returns an id for the item of the answer, which the
        client has to choose."""
        self._approvals[approval_request_id] = True
        if is_granted and approval_request_id not in self._lost:
            _remember(self._granted, approval_request_id, value=True)
        self._answer_count += 1
        return f"mcp-answer-{self._answer_count}"

    def is_running(self, record: ResponseRecord) -> bool:
        """Whether a tool that a response has called is at work."""
        return any(
            call.is_at_work
            for id_, call in self._calls.items()
            if self._responses.of_item(id_) is record
        )

    def is_approval_pending(self, record: ResponseRecord) -> bool:
        """Whether a response has requested an approval that has no answer yet."""
        return any(self._responses.of_item(id_) is record for id_ in self._open_requests())

    # Inside.

    def _open_requests(self) -> Iterator[str]:
        for id_, is_answered in self._approvals.items():
            if not is_answered and id_ not in self._lost:
                yield id_

    def _get_or_create_listing(self, item_id: str) -> _Listing:
        known = self._listings.get(item_id)
        return known or _remember(self._listings, item_id, _Listing())

    def _get_or_create_call(self, item_id: str) -> _McpCall:
        known = self._calls.get(item_id)
        return known or _remember(self._calls, item_id, _McpCall())


def _remember(known: dict[str, T], key: str, value: T) -> T:
    if len(known) >= MAX_REMEMBERED:
        del known[next(iter(known))]
    known[key] = value
    return value


def _notify_listed(listing: _Listing) -> McpToolsListed | None:
    item = listing.item
    if not listing.has_succeeded or item is None:
        return None
    listing.item = None
    if listing.is_notified:
        return None
    listing.is_notified = True
    is_list = isinstance(item.tools, list)
    tools: tuple[Any, ...] = tuple(item.tools) if is_list else ()
    return McpToolsListed(item.id, item.server_label, tools)


def _notify_finished(call: _McpCall) -> McpCallFinished | None:
    item = call.item
    if item is None or not (call.has_ended or _has_outcome(item)):
        return None
    call.item = None
    if call.is_notified:
        return None
    call.is_notified = True
    return McpCallFinished(item.id, item.server_label, item.name, item.output, item.error)


def _has_outcome(item: Item) -> bool:
    return item.output is not None or item.error is not None

"""What is always true of what the application is told of items, and of tools of MCP servers."""

from typing import Any

from attrs import define

from twilio_realtime_core.conversation.conversation import MAX_ITEMS
from twilio_realtime_core.conversation.item_json import item_from_server
from twilio_realtime_core.conversation.transcript import MAX_CHARACTERS
from twilio_realtime_core.notifications import (
    ItemAdded,
    ItemDeleted,
    ItemUpdated,
    McpApprovalRequested,
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
)
from twilio_realtime_core.protocols import realtime
from twilio_realtime_core.protocols.realtime import Item, ItemDoneEvent, OutputItemDoneEvent
from twilio_realtime_core.values.items import AudioPart, ConversationItem, Message

from .facts import Facts
from .step_record import Invariant, Told

__all__ = ["Items", "Tools"]


class Items(Invariant):
    """An item of the conversation is told when it is added, in its place, and when it is deleted,
    once; that it is complete, and all the words of what is spoken, when the server says so. It is
    told again only if it has changed."""

    number = 14
    inputs = (
        realtime.ItemAddedEvent,
        realtime.ItemDeletedEvent,
        ItemDoneEvent,
        realtime.InputTranscriptCompletedEvent,
        realtime.OutputTranscriptDoneEvent,
    )
    outputs = (ItemAdded, ItemUpdated, ItemDeleted)

    def __init__(self, facts: Facts) -> None:
        self._line = facts.line
        self._told: dict[str, ConversationItem] = {}
        self._order: list[str] = []
        self._due: realtime.ItemAddedEvent | realtime.ItemDeletedEvent | None = None

    def on_input(self, told: Told) -> str | None:
        """What is to be told of an event."""
        event = told.event
        if self._line.live and isinstance(
            event, realtime.ItemAddedEvent | realtime.ItemDeletedEvent
        ):
            item_id = event.item.id if isinstance(event, realtime.ItemAddedEvent) else event.item_id
            known = item_id in self._told
            self._due = event if known is isinstance(event, realtime.ItemDeletedEvent) else None
        return None

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge what is told."""
        match value, self._due:
            case ItemAdded(item, previous), realtime.ItemAddedEvent() as due:
                self._due = None
                if previous != self._place(due) or not _is_described(item, due.item):
                    return "an item was added otherwise than the server has it"
                self._told[item.id] = item
            case ItemDeleted(item_id), realtime.ItemDeletedEvent(due_id) if item_id == due_id:
                self._due = None
                self._order.remove(item_id)
                del self._told[item_id]
            case ItemUpdated(item), _ if self._told.get(item.id, item) != item:
                self._told[item.id] = item
            case _:
                return f"{type(value).__name__} of an item of which that is not so, or told already"
        return None

    def _place(self, added: realtime.ItemAddedEvent) -> str | None:
        """Put an item where it belongs; the item before it."""
        order, previous = self._order, added.previous_item_id
        if len(order) >= MAX_ITEMS:
            del self._told[order.pop(0)]
        place = len(order)
        if previous in (None, "root"):
            place = 0
        elif previous in self._told:
            place = order.index(previous) + 1
        order.insert(place, added.item.id)
        return order[place - 1] if place else None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        if self._due is not None:
            return f"nobody is told: {type(self._due).__name__}"
        if not self._line.live:
            return None
        match told.event:
            case ItemDoneEvent(item) if not getattr(self._told.get(item.id), "is_complete", True):
                return "an item is complete, and nobody is told"
            case realtime.InputTranscriptCompletedEvent(item_id, words):
                return self._judge_words(item_id, 0, words)
            case realtime.OutputTranscriptDoneEvent(_, item_id, words, index):
                return self._judge_words(item_id, index, words)
            case _:
                return None

    def _judge_words(self, item_id: str, index: int, words: str) -> str | None:
        match self._told.get(item_id):
            case Message(parts=parts) if words and index < len(parts):
                part = parts[index]
                if isinstance(part, AudioPart) and part.transcript != words[:MAX_CHARACTERS]:
                    return "all the words of an item are known, and nobody is told"
            case _:
                pass
        return None


def _is_described(item: ConversationItem, by: Item) -> bool:
    """Whether an item is what the server describes; of its words more may be known."""
    match item, item_from_server(by):
        case Message(id_, role, parts, complete), Message() as told:
            enough = len(parts) >= len(told.parts)
            return enough and (id_, role, complete) == (told.id, told.role, told.is_complete)
        case _, told:
            return item == told


@define
class _Tool:
    """A listing, or a call: `item` is the one that is done; `began` and `ended` by its events."""

    label: str | None = None
    item: Item | None = None
    began: bool = False
    ended: bool = False
    told: bool = False


class Tools(Invariant):
    """Of an MCP server it is told once: what tools it has, or that they cannot be listed; that it
    asks for an approval; that a tool is called; and what that has answered. Each as soon as all of
    it is known."""

    number = 14
    inputs = (
        realtime.ItemAddedEvent,
        ItemDoneEvent,
        OutputItemDoneEvent,
        realtime.McpToolsCompletedEvent,
        realtime.McpToolsFailedEvent,
        realtime.McpCallInProgressEvent,
        realtime.McpCallCompletedEvent,
        realtime.McpCallFailedEvent,
    )
    outputs = (McpToolsListed, McpApprovalRequested, McpCallStarted, McpCallFinished)

    def __init__(self, facts: Facts) -> None:
        self._line, self._speech = facts.line, facts.speech
        self._listings: dict[str, _Tool] = {}
        self._calls: dict[str, _Tool] = {}
        self._approvals: set[str] = set()
        self._due: object = None

    def on_input(self, told: Told) -> str | None:
        """What is to be told of an event."""
        if self._line.live:
            self._due = self._due_of(told.event)
        return None

    def _due_of(self, event: object) -> object:
        match event:
            case realtime.ItemAddedEvent(item) if item.type == "mcp_list_tools":
                self._listing(item.id).label = item.server_label
                return None
            case OutputItemDoneEvent(_, item) if self._speech.is_outside(item.id):
                return None
            case ItemDoneEvent(item) | OutputItemDoneEvent(_, item):
                return self._item_done(item)
            case realtime.McpToolsCompletedEvent(id_):
                listing = self._listing(id_)
                listing.ended = True
                return _listed(listing)
            case realtime.McpToolsFailedEvent(id_):
                listing = self._listing(id_)
                return _once(listing, McpToolsListed(id_, listing.label, None))
            case realtime.McpCallInProgressEvent(id_):
                call = self._call(id_)
                new, call.began = not call.began, True
                return McpCallStarted(id_) if new else None
            case realtime.McpCallCompletedEvent(id_) | realtime.McpCallFailedEvent(id_):
                call = self._call(id_)
                call.began = call.ended = True
                return _finished(call)
            case _:
                return None

    def _item_done(self, item: Item) -> object:
        match item.type:
            case "mcp_list_tools":
                listing = self._listing(item.id)
                listing.item = item
                return _listed(listing)
            case "mcp_call":
                call = self._call(item.id)
                if call.began or _has_outcome(item):  # else it is only the request
                    call.began, call.item = True, item
                return _finished(call)
            case "mcp_approval_request" if item.id not in self._approvals:
                self._approvals.add(item.id)
                asked = item.arguments or ""
                return McpApprovalRequested(item.id, item.server_label, item.name, asked)
            case _:
                return None

    def _listing(self, id_: str) -> _Tool:
        return self._listings.setdefault(id_, _Tool())

    def _call(self, id_: str) -> _Tool:
        return self._calls.setdefault(id_, _Tool())

    def on_output(self, value: object, told: Told) -> str | None:
        """Judge what is told."""
        if value != self._due:
            return f"{type(value).__name__} says what is not so, or what was told already"
        self._due = None
        return None

    def after(self, told: Told) -> str | None:
        """Judge the step."""
        due, self._due = self._due, None
        return None if due is None else f"nobody is told: {type(due).__name__}"


def _listed(listing: _Tool) -> object:
    item = listing.item
    if item is None or not listing.ended:
        return None
    tools: tuple[Any, ...] = ()
    match item.tools:
        case [*told]:
            tools = tuple(told)
        case _:
            pass
    return _once(listing, McpToolsListed(item.id, item.server_label, tools))


def _finished(call: _Tool) -> object:
    item = call.item
    if item is None or not (call.ended or _has_outcome(item)):
        return None
    answer = McpCallFinished(item.id, item.server_label, item.name, item.output, item.error)
    return _once(call, answer)


def _has_outcome(item: Item) -> bool:
    return item.output is not None or item.error is not None


def _once(tool: _Tool, value: object) -> object:
    if tool.told:
        return None
    tool.told = True
    return value

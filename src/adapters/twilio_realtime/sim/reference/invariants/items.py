"""The invariants of notifications about items, and about tools of MCP servers."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import define, evolve

from twilio_realtime_core.notifications import (
    ItemAdded,
    ItemDeleted,
    ItemUpdated,
    McpApprovalRequested,
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
)
from twilio_realtime_core.values.items import (
    AudioPart,
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionOutput,
    ImagePart,
    Message,
    Role,
    TextPart,
    UnknownItem,
    UnknownPart,
)

from ..expected.call import ExpectedCall
from ..expected.links import ExpectedLinks
from ..expected.playback import ExpectedClip
from ..limits import MAX_ITEMS, MAX_NESTING, MAX_PARTS, MAX_TRANSCRIPT_CHARACTERS
from ..received import (
    RESPONSE_EVENTS,
    ReceivedCommit,
    ReceivedIdleTimeout,
    ReceivedInputDelta,
    ReceivedInputFailure,
    ReceivedInputTranscript,
    ReceivedItem,
    ReceivedItemAdded,
    ReceivedItemDeleted,
    ReceivedItemDone,
    ReceivedMcpCallEnd,
    ReceivedMcpCallStart,
    ReceivedMcpTools,
    ReceivedMcpToolsFailure,
    ReceivedOfItem,
    ReceivedOther,
    ReceivedOutputItemDone,
    ReceivedResponseEnd,
    ReceivedResponseStart,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedTranscriptEnd,
)
from ..sent import SentItem
from ..step_record import Invariant, StepRecord, kinds_of
from ..wire import is_list, is_object, read_object

__all__ = ["CreatedItems", "ItemNotifications", "McpNotifications", "describe_item"]


class ItemNotifications(Invariant):
    """An item of the conversation is notified when it is added, at its place, when it changes, and
    when it is deleted, each once.

    It changes when the server completes it, when all words of what is spoken are known, and when
    the call ends before all of it was heard.
    """

    number = 14
    name = "Notifications of items"
    inputs = (
        ReceivedItemAdded,
        ReceivedItemDeleted,
        ReceivedItemDone,
        ReceivedInputTranscript,
        ReceivedTranscriptEnd,
    )
    outputs = (ItemAdded, ItemUpdated, ItemDeleted)
    triggers = kinds_of(ExpectedLinks)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._speech = call.links, call.speech
        self._is_over = False
        self._items: dict[str, ConversationItem] = {}
        """The items as they were notified last."""
        self._order: list[str] = []
        self._due: ReceivedItemAdded | ReceivedItemDeleted | None = None
        self._whole: set[tuple[str, int]] = set()
        """Parts whose words were completed by an event of their own, by item id and index."""

    def check_input(self, step: StepRecord) -> str | None:
        """Note what is due for an event."""
        match step.event:
            case ReceivedItemAdded(item) as event if self._links.is_live:
                self._due = None if item.id in self._items else event
            case ReceivedTranscriptEnd(_, item_id, index, words) if words:
                self._whole.add((item_id, index))
            case ReceivedInputTranscript(item_id, words, _, index) if words:
                self._whole.add((item_id, index))
            case ReceivedItemDeleted(item_id) as event if self._links.is_live:
                self._whole = {each for each in self._whole if each[0] != item_id}
                self._due = event if item_id in self._items else None
            case _:
                pass
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        match value, self._due:
            case ItemAdded(item, previous_id), ReceivedItemAdded() as due:
                self._due = None
                if previous_id != self._insert(due) or not _is_as_described(item, due.item):
                    return "an item is added otherwise than the server has it"
                self._items[item.id] = item
            case ItemDeleted(item_id), ReceivedItemDeleted(due_id) if item_id == due_id:
                self._due = None
                self._order.remove(item_id)
                del self._items[item_id]
            case ItemUpdated(item), _ if self._items.get(item.id, item) != item:
                self._items[item.id] = item
            case _:
                return f"{type(value).__name__} follows from no event, or was notified before"
        return None

    def _insert(self, added: ReceivedItemAdded) -> str | None:
        """Insert an item at its place. Returns the item before it."""
        order, previous_id = self._order, added.previous_item_id
        if len(order) >= MAX_ITEMS:
            del self._items[order.pop(0)]
        place = len(order)
        if previous_id in (None, "root"):
            place = 0
        elif previous_id in self._items:
            place = order.index(previous_id) + 1
        order.insert(place, added.item.id)
        return order[place - 1] if place else None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        if self._due is not None:
            is_added = isinstance(self._due, ReceivedItemAdded)
            return f"not notified: {(ItemAdded if is_added else ItemDeleted).__name__}"
        if not self._links.is_live:
            is_over, self._is_over = self._is_over, True
            return None if is_over else self._check_end(step.now)
        match step.event:
            case ReceivedItemDone(item) if not (
                _is_cut(item) or getattr(self._items.get(item.id), "is_complete", True)
            ):
                return "an item is complete, which is not notified"
            case ReceivedItemDone(item):
                return self._check_words_of_item(item)
            case ReceivedInputTranscript(item_id, words, _, index):
                return self._check_words(item_id, index, words)
            case ReceivedTranscriptEnd(_, item_id, index, words):
                return self._check_words(item_id, index, words)
            case _:
                return None

    def _check_end(self, now: int) -> str | None:
        """What is not played when the call ends was not heard."""
        for source in self._speech.playback.unplayed_sources(now):
            if isinstance(source, ExpectedClip):
                continue
            match self._items.get(source[0]):
                case Message(parts=parts) if source[1] < len(parts):
                    part = parts[source[1]]
                    if isinstance(part, AudioPart) and part.heard_ms is None:
                        return "the call ends in mid-speech, and all of it counts as heard"
                case _:
                    pass
        return None

    def _check_words_of_item(self, received: ReceivedItem) -> str | None:
        """The transcript of an item that is done holds, unless its own event has said it all."""
        item, described = self._items.get(received.id), describe_item(received)
        if not isinstance(item, Message) or not isinstance(described, Message):
            return None
        for index, (part, whole) in enumerate(zip(item.parts, described.parts, strict=False)):
            match part, whole:
                case AudioPart(words), AudioPart(str(transcript)) if (
                    transcript and (received.id, index) not in self._whole
                ):
                    kept = transcript[:MAX_TRANSCRIPT_CHARACTERS].strip()
                    if not (words or "").strip().startswith(kept):
                        return "an item is done, and its words are others than the server says"
                case _:
                    pass
        return None

    def _check_words(self, item_id: str, index: int, words: str) -> str | None:
        match self._items.get(item_id):
            case Message(parts=parts) if words and 0 <= index < MAX_PARTS:
                part = parts[index] if index < len(parts) else AudioPart()
                kept = words[:MAX_TRANSCRIPT_CHARACTERS]
                if isinstance(part, AudioPart) and part.transcript != kept:
                    return "all words of an item are known, which is not notified"
            case _:
                pass
        return None


_ROLES: Final[Mapping[str, Role]] = {
    "system": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}

_KEPT_FIELDS: Final = (
    *("role", "status", "content", "call_id", "name", "arguments", "output", "server_label"),
    *("tools", "approval_request_id", "approve", "reason", "error", "phase"),
)
"""Fields that are kept of an item of another type. (OpenAI API reference, "Realtime", conversation
items)"""


def _is_as_described(item: ConversationItem, received: ReceivedItem) -> bool:
    """Whether an item is what the server describes; more of its words may be known."""
    described = describe_item(received)
    match item, described:
        case Message(parts=parts), Message():
            has_parts = len(parts) >= len(described.parts)
            return has_parts and evolve(item, parts=()) == evolve(described, parts=())
        case _:
            return item == described


def _is_cut(item: ReceivedItem) -> bool:
    """Whether an item is a function call of which the model has not written all."""
    return item.type == "function_call" and item.status == "incomplete"


def describe_item(item: ReceivedItem, *, is_complete: bool | None = None) -> ConversationItem:
    """Return the item that the server describes. Without a status it is not complete, unless
    `is_complete` says so."""
    if is_complete is None:
        is_complete = item.status in ("completed", "incomplete")
    role = _ROLES.get(_text_of(item.fields, "role") or "")
    match item.type:
        case "message" if role is not None:
            parts = tuple(map(_describe_part, _list_of(item.fields, "content")))
            return Message(item.id, role, parts, is_complete, _text_of(item.fields, "phase"))
        case "function_call":
            call_id, name, arguments = item.call_id or "", item.name or "", item.arguments or ""
            is_complete = is_complete and not _is_cut(item)
            return FunctionCall(item.id, call_id, name, arguments, is_complete)
        case "function_call_output":
            return FunctionOutput(
                item.id, item.call_id or "", _text_of(item.fields, "output") or ""
            )
        case _:
            data = {name: item.fields[name] for name in _KEPT_FIELDS if name in item.fields}
            if content := list(map(_without_audio, _list_of(data, "content"))):
                data["content"] = content
            else:
                data.pop("content", None)
            return UnknownItem(item.id, item.type, {n: _trim(v) for n, v in data.items()})


def _describe_part(part: object) -> ContentPart:
    if not is_object(part):
        return UnknownPart("")
    match part.get("type"):
        case "input_text" | "output_text":
            return TextPart(_text_of(part, "text") or "")
        case "input_audio" | "output_audio":
            return AudioPart(_text_of(part, "transcript"))
        case "input_image":
            return ImagePart(_text_of(part, "image_url") or "", _text_of(part, "detail"))
        case str(kind):
            return UnknownPart(kind)
        case _:
            return UnknownPart("")


def _text_of(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _list_of(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    return value if is_list(value) else []


def _without_audio(part: Any) -> Any:
    return {n: v for n, v in part.items() if n != "audio"} if is_object(part) else part


def _trim(value: Any, depth: int = 0) -> Any:
    """A value without what is nested deeper than the limit."""
    if depth > MAX_NESTING:
        return None
    if is_object(value):
        return {name: _trim(each, depth + 1) for name, each in value.items()}
    return [_trim(each, depth + 1) for each in value] if is_list(value) else value


_ITEM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_FUNCTION_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_CALL_ID_CHARACTERS: Final = 32


class CreatedItems(Invariant):
    """An item that is created is one that the server accepts: of a type that a client can make,
    without audio, and its ids and name follow the rules of the server, or are the server's."""

    number = 19
    name = "Created items"
    inputs = (
        *RESPONSE_EVENTS,
        ReceivedCommit,
        ReceivedIdleTimeout,
        ReceivedInputDelta,
        ReceivedInputFailure,
        ReceivedInputTranscript,
        ReceivedItemAdded,
        ReceivedItemDeleted,
        ReceivedItemDone,
        ReceivedOfItem,
        ReceivedOther,
        ReceivedSpeechStart,
        ReceivedSpeechStop,
    )
    outputs = (SentItem,)

    def __init__(self, call: ExpectedCall) -> None:
        self._links = call.links
        self._given: set[object] = set()
        """Ids and names of the server."""

    def check_input(self, step: StepRecord) -> str | None:
        """Note what the server gives."""
        event = step.event
        item = getattr(event, "item", None)
        given = [item] if isinstance(item, ReceivedItem) else []
        if isinstance(event, ReceivedResponseStart | ReceivedResponseEnd):
            given.extend(event.output)  # of whose items all else may be lost
        for each in given:
            self._given |= {each.id, each.call_id, each.name}
        for name in ("item_id", "previous_item_id"):
            self._given.add(getattr(event, name, None))
        if isinstance(event, _READ_FOR_NAMES):
            self._given.update(_names_in(str(step.arguments[1])))
        return None

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an item that is sent."""
        item = getattr(value, "item", None)
        if not is_object(item):
            return None
        kind = item.get("type")
        if isinstance(kind, str) and kind.startswith("mcp_") and kind != "mcp_approval_response":
            return "an item is created that only the server makes"
        if any(_is_audio(part) for part in _list_of(item, "content")):
            return "an item is created that has audio"
        checks: tuple[tuple[str, Callable[[str], object]], ...] = (
            ("id", lambda id_: id_ != "root" and _ITEM_ID.fullmatch(id_)),
            ("call_id", lambda id_: 0 < len(id_) <= _MAX_CALL_ID_CHARACTERS),
            ("name", _FUNCTION_NAME.fullmatch),
        )
        for name, accepts in checks:
            given = item.get(name)
            if given is not None and given not in self._given and not accepts(str(given)):
                return f"an item is created with an invented {name} that the server refuses"
        return None


_READ_FOR_NAMES: Final = (
    ReceivedCommit,
    ReceivedItemDone,
    ReceivedOther,
)
"""Events with ids or names that no other judge looks at."""


def _names_in(text: str) -> Iterator[object]:
    """The ids and names that the text of an event gives."""
    event = read_object(text) or {}
    item = event.get("item")
    for fields in (event, item if is_object(item) else {}):
        for name in ("id", "item_id", "previous_item_id", "call_id", "name"):
            value = fields.get(name)
            if isinstance(value, str):
                yield value


def _is_audio(part: Any) -> bool:
    return is_object(part) and part.get("type") in ("input_audio", "output_audio")


@define
class _McpListing:
    """A listing of tools: `item` is the one that is done."""

    label: str | None = None
    item: ReceivedItem | None = None
    is_ended: bool = False
    is_notified: bool = False


@define
class _McpCall:
    """A call of a tool: `item` is the one that is done."""

    item: ReceivedItem | None = None
    is_started: bool = False
    is_ended: bool = False
    is_notified: bool = False


class McpNotifications(Invariant):
    """The tools of an MCP server, its requests for approval, and the start and the outcome of a
    call are each notified once, as soon as all of it is known."""

    number = 14
    name = "Notifications of MCP tools"
    inputs = (
        ReceivedItemAdded,
        ReceivedItemDone,
        ReceivedOutputItemDone,
        ReceivedMcpTools,
        ReceivedMcpToolsFailure,
        ReceivedMcpCallStart,
        ReceivedMcpCallEnd,
    )
    outputs = (McpToolsListed, McpApprovalRequested, McpCallStarted, McpCallFinished)

    def __init__(self, call: ExpectedCall) -> None:
        self._links, self._responses = call.links, call.responses
        self._listings: dict[str, _McpListing] = {}
        self._calls: dict[str, _McpCall] = {}
        self._approvals: set[str] = set()
        self._due: object = None

    def check_input(self, step: StepRecord) -> str | None:
        """Note what is due for an event."""
        if self._links.is_live:
            self._due = self._due_of(step.event)
        return None

    def _due_of(self, event: object) -> object:
        match event:
            case ReceivedItemAdded(item) if item.type == "mcp_list_tools":
                self._get_or_create_listing(item.id).label = item.server_label
                return None
            case ReceivedOutputItemDone(_, item) if self._responses.is_out_of_band(item.id):
                return None
            case ReceivedItemDone(item) | ReceivedOutputItemDone(_, item):
                return self._due_of_item(item)
            case ReceivedMcpTools(id_):
                listing = self._get_or_create_listing(id_)
                listing.is_ended = True
                return _due_of_listing(listing)
            case ReceivedMcpToolsFailure(id_):
                listing = self._get_or_create_listing(id_)
                return _once(listing, McpToolsListed(id_, listing.label, None))
            case ReceivedMcpCallStart(id_):
                call = self._get_or_create_call(id_)
                is_new, call.is_started = not call.is_started, True
                return McpCallStarted(id_) if is_new else None
            case ReceivedMcpCallEnd(id_):
                call = self._get_or_create_call(id_)
                call.is_started = call.is_ended = True
                return _due_of_call(call)
            case _:
                return None

    def _due_of_item(self, item: ReceivedItem) -> object:
        match item.type:
            case "mcp_list_tools":
                listing = self._get_or_create_listing(item.id)
                listing.item = item
                return _due_of_listing(listing)
            case "mcp_call":
                call = self._get_or_create_call(item.id)
                if call.is_started or item.has_outcome:  # else it is only the request
                    call.is_started, call.item = True, item
                return _due_of_call(call)
            case "mcp_approval_request" if item.id not in self._approvals:
                self._approvals.add(item.id)
                arguments = item.arguments or ""
                return McpApprovalRequested(item.id, item.server_label, item.name, arguments)
            case _:
                return None

    def _get_or_create_listing(self, id_: str) -> _McpListing:
        return self._listings.setdefault(id_, _McpListing())

    def _get_or_create_call(self, id_: str) -> _McpCall:
        return self._calls.setdefault(id_, _McpCall())

    def check_output(self, value: object, step: StepRecord) -> str | None:
        """Judge an output."""
        if value != self._due:
            return f"{type(value).__name__} follows from no event, or was notified before"
        self._due = None
        return None

    def check_step(self, step: StepRecord) -> str | None:
        """Judge the state after a step."""
        due, self._due = self._due, None
        return None if due is None else f"not notified: {type(due).__name__}"


def _due_of_listing(listing: _McpListing) -> object:
    item = listing.item
    if item is None or not listing.is_ended:
        return None
    tools = tuple(_list_of(item.fields, "tools"))
    return _once(listing, McpToolsListed(item.id, item.server_label, tools))


def _due_of_call(call: _McpCall) -> object:
    item = call.item
    if item is None or not (call.is_ended or item.has_outcome):
        return None
    output, error = item.fields.get("output"), item.fields.get("error")
    return _once(call, McpCallFinished(item.id, item.server_label, item.name, output, error))


def _once(tool: _McpListing | _McpCall, value: object) -> object:
    if tool.is_notified:
        return None
    tool.is_notified = True
    return value

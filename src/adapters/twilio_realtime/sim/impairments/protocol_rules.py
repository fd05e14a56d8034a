"""Rules that know more of a protocol than one message: events that are repeated later, a stream
that restarts, tools of an MCP server.

Those in `rules` know nothing but texts.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from .rules import DelayedText, Rule, kind_of

__all__ = ["McpToolCall", "Repeat", "StreamRestart"]


def _encode(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


@define(eq=False)
class Repeat(Rule):
    """Deliver a message again, `copies` times, behind a later one: the `trigger_count`th of
    `trigger_kind` (empty: of any kind). With `keep_original` it is delivered in its own place as
    well."""

    trigger_kind: str = field(default="", kw_only=True)
    trigger_count: int = field(default=1, kw_only=True)
    copies: int = field(default=1, kw_only=True)
    keep_original: bool = field(default=True, kw_only=True)
    _held: list[tuple[int, str]] = field(init=False, factory=list[tuple[int, str]], repr=False)

    def process(self, text: str) -> Sequence[DelayedText]:
        """Return what a message becomes, followed by the messages that were held for it."""
        counts = not self.trigger_kind or kind_of(text) == self.trigger_kind
        self._held = [(remaining - counts, held) for remaining, held in self._held]
        due = [held for remaining, held in self._held if remaining <= 0]
        self._held = [each for each in self._held if each[0] > 0]
        return [*super().process(text), *((0, held) for held in due for _ in range(self.copies))]

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver the message if the original is kept, and hold a copy."""
        self._held.append((self.trigger_count, text))
        return ((0, text),) if self.keep_original else ()


@define(eq=False)
class _ToRestartedStream(Rule):
    """Messages from the server to a phone whose stream has restarted. Those for the former stream
    are lost, and the audio queued by it is cleared."""

    restart: "StreamRestart" = field(kw_only=True)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Let the message pass."""
        return ((0, text),)

    def process(self, text: str) -> Sequence[DelayedText]:
        """Return what a message becomes."""
        restart = self.restart
        message = _decode(text)
        if message is None:
            return self.apply(text)
        if not restart.applied_count:
            if kind_of(text) == "mark":
                restart.old_marks.append(_mark_name(message))
            return self.apply(text)
        messages: list[str] = []
        if not restart.is_cleared:
            restart.is_cleared = True
            messages.append(_encode({"event": "clear", "streamSid": restart.old_sid}))
        if message.get("streamSid") == restart.new_sid:
            messages.append(_encode({**message, "streamSid": restart.old_sid}))
        return [(0, each) for each in messages]


@define(eq=False)
class StreamRestart(Rule):
    """Restart the stream: Twilio sends another `start` on the same socket, once, in front of a
    frame of the caller.

    Messages from the phone go through this rule, and those to it through `to_phone`. Echoes of
    marks of the former stream still carry its SID. The rule has to stay active until the end of the
    call.
    """

    kind: str = field(init=False, default="media")
    times: int = field(init=False, default=1)
    old_sid: str = field(init=False, default="")
    new_sid: str = field(init=False, default="")
    old_marks: list[str] = field(init=False, factory=list[str])
    is_cleared: bool = field(init=False, default=False)
    to_phone: Rule = field(init=False)
    _start: dict[str, Any] = field(init=False, factory=dict[str, Any], repr=False)

    def __attrs_post_init__(self) -> None:
        self.to_phone = _ToRestartedStream(restart=self)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Start the other stream, with this message as its first frame."""
        sid: str = json.loads(text)["streamSid"]
        self.old_sid, self.new_sid = sid, sid[:2] + sid[:1:-1]
        details: dict[str, Any] = {**self._start["start"], "streamSid": self.new_sid}
        start = {**self._start, "start": details, "streamSid": self.new_sid}
        return ((0, _encode(start)), *self.pass_through(text))

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """Give the message the SID of the current stream."""
        message: dict[str, Any] = json.loads(text)
        if kind_of(text) == "start":
            self._start = message
        if not self.applied_count or "streamSid" not in message:
            return ((0, text),)
        if kind_of(text) == "mark" and (name := _mark_name(message)) in self.old_marks:
            self.old_marks.remove(name)
            return ((0, text),)
        return ((0, _encode({**message, "streamSid": self.new_sid})),)


def _decode(text: str) -> dict[str, Any] | None:
    """Return a message; `None` if another rule has corrupted it."""
    try:
        return dict(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _mark_name(message: dict[str, Any]) -> str:
    mark: dict[str, Any] = message.get("mark") or {}
    return str(mark.get("name"))


_TOOL_OUTPUT: Final = "found"
"""The output of the MCP server's tool."""


@define(eq=False)
class McpToolCall(Rule):
    """Call a tool of an MCP server as soon as a response of the conversation has started.

    The tool returns an output, fails (`fails`), or needs an approval first (`needs_approval`). The
    server reports it by events, and by items of the response and of the conversation (API
    reference, server events, `response.mcp_call.*`).
    """

    kind: str = field(init=False, default="response.created")
    fails: bool = field(default=False, kw_only=True)
    needs_approval: bool = field(default=False, kw_only=True)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """Deliver `response.created`, followed by the events of the tool call."""
        match _decode(text):
            case {"response": {"id": str(response_id), "conversation_id": str()}}:
                item_id = f"item_mcp_{self.applied_count}_{response_id}"
                make = self._approval_request_events if self.needs_approval else self._call_events
                events = make(item_id, response_id)
            case _:  # out of band, or changed by another rule
                events = []
        return [(0, text), *((0, _encode(event)) for event in events)]

    def _approval_request_events(self, item_id: str, response_id: str) -> list[dict[str, Any]]:
        request = self._make_item(item_id, "mcp_approval_request")
        return _item_events(request, request, response_id)

    def _call_events(self, item_id: str, response_id: str) -> list[dict[str, Any]]:
        item = self._make_item(item_id, "mcp_call")
        error = {"type": "http_error", "code": 500, "message": "no"} if self.fails else None
        done_item = {**item, "output": None if self.fails else _TOOL_OUTPUT, "error": error}
        name = "failed" if self.fails else "completed"
        position = {"item_id": item_id, "output_index": 0}
        added, *done = _item_events(item, done_item, response_id)
        return [
            added,
            {"type": "response.mcp_call.in_progress", **position},
            {"type": f"response.mcp_call.{name}", **position},
            *done,
        ]

    def _make_item(self, item_id: str, type_: str) -> dict[str, Any]:
        call = {"server_label": "docs", "name": "search", "arguments": "{}"}
        return {"id": item_id, "type": type_, "object": "realtime.item", **call}


def _item_events(
    added: dict[str, Any], done: dict[str, Any], response_id: str
) -> list[dict[str, Any]]:
    position = {"response_id": response_id, "output_index": 0}
    return [
        {"type": "response.output_item.added", **position, "item": added},
        {"type": "conversation.item.added", "previous_item_id": None, "item": added},
        {"type": "conversation.item.done", "previous_item_id": None, "item": done},
        {"type": "response.output_item.done", **position, "item": done},
    ]

"""Rules that know more of a protocol than one message: an event that comes again later, a stream
that begins anew, tools of an MCP server.

They stand beside those of `faults`, which know nothing but texts.
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
    """A message comes again, `copies` times, behind another that comes later: the `behind`th of
    `next_kind` (empty: of any kind). `first`: it has come in its own place as well."""

    trigger_kind: str = field(default="", kw_only=True)
    trigger_count: int = field(default=1, kw_only=True)
    copies: int = field(default=1, kw_only=True)
    keep_original: bool = field(default=True, kw_only=True)
    _held: list[tuple[int, str]] = field(init=False, factory=list[tuple[int, str]], repr=False)

    def process(self, text: str) -> Sequence[DelayedText]:
        """As of `Rule`, and what has waited for it."""
        counts = not self.trigger_kind or kind_of(text) == self.trigger_kind
        self._held = [(left - counts, kept) for left, kept in self._held]
        due = [kept for left, kept in self._held if left <= 0]
        self._held = [each for each in self._held if each[0] > 0]
        return [*super().process(text), *((0, kept) for kept in due for _ in range(self.copies))]

    def apply(self, text: str) -> Sequence[DelayedText]:
        """It comes, or waits."""
        self._held.append((self.trigger_count, text))
        return ((0, text),) if self.keep_original else ()


@define(eq=False)
class _ToRestartedStream(Rule):
    """What the server sends to a phone whose stream has begun anew: what is meant for the stream
    before it is lost, and so is what that has queued."""

    restart: "StreamRestart" = field(kw_only=True)

    def apply(self, text: str) -> Sequence[DelayedText]:
        """It is for this stream, or for none."""
        return ((0, text),)

    def process(self, text: str) -> Sequence[DelayedText]:
        """As of `Rule`."""
        restart = self.restart
        message = _decode(text)
        if message is None:
            return self.apply(text)
        if not restart.applied_count:
            if kind_of(text) == "mark":
                restart.old_marks.append(_mark_name(message))
            return self.apply(text)
        before: list[str] = []
        if not restart.is_cleared:
            restart.is_cleared = True
            before.append(_encode({"event": "clear", "streamSid": restart.old_sid}))
        if message.get("streamSid") == restart.new_sid:
            before.append(_encode({**message, "streamSid": restart.old_sid}))
        return [(0, each) for each in before]


@define(eq=False)
class StreamRestart(Rule):
    """Twilio begins another stream on the same socket, with a `start` of its own, in front of a
    frame of the caller; once. Its outgoing messages go through this rule, and those to it through
    `to_phone`. The echoes of marks of the stream before still name that one.

    It has to go on until the end of the call.
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
        """The other stream begins, and this is its first frame."""
        sid: str = json.loads(text)["streamSid"]
        self.old_sid, self.new_sid = sid, sid[:2] + sid[:1:-1]
        about: dict[str, Any] = {**self._start["start"], "streamSid": self.new_sid}
        begin = {**self._start, "start": about, "streamSid": self.new_sid}
        return ((0, _encode(begin)), *self.pass_through(text))

    def pass_through(self, text: str) -> Sequence[DelayedText]:
        """It is of the stream that is going on."""
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
    """A message, unless another rule has corrupted it."""
    try:
        return dict(json.loads(text))
    except ValueError:
        return None


def _mark_name(message: dict[str, Any]) -> str:
    mark: dict[str, Any] = message.get("mark") or {}
    return str(mark.get("name"))


_TOOL_OUTPUT: Final = "found"
"""What the tool of an MCP server has to say."""


@define(eq=False)
class McpToolCall(Rule):
    """The model calls a tool of an MCP server as soon as a response of the conversation has begun:
    the tool tells something, fails, or is to be approved first. The server tells it by events, and
    by items of the response and of the conversation (API reference, server events,
    `response.mcp_call.*`).
    """

    kind: str = field(init=False, default="response.created")
    fails: bool = field(default=False, kw_only=True)
    needs_approval: bool = field(default=False, kw_only=True)
    """Whether it is to be approved."""

    def apply(self, text: str) -> Sequence[DelayedText]:
        """The response begins with the call."""
        match _decode(text):
            case {"response": {"id": str(response_id), "conversation_id": str()}}:
                item_id = f"item_mcp_{self.applied_count}_{response_id}"
                make = self._approval_request_events if self.needs_approval else self._call_events
                events = make(item_id, response_id)
            case _:  # outside the conversation, or another rule was there first
                events = []
        return [(0, text), *((0, _encode(event)) for event in events)]

    def _approval_request_events(self, item_id: str, response_id: str) -> list[dict[str, Any]]:
        request = self._make_item(item_id, "mcp_approval_request")
        return _item_events(request, request, response_id)

    def _call_events(self, item_id: str, response_id: str) -> list[dict[str, Any]]:
        begun = self._make_item(item_id, "mcp_call")
        error = {"type": "http_error", "code": 500, "message": "no"} if self.fails else None
        over = {**begun, "output": None if self.fails else _TOOL_OUTPUT, "error": error}
        name = "failed" if self.fails else "completed"
        about = {"item_id": item_id, "output_index": 0}
        added, *done = _item_events(begun, over, response_id)
        return [
            added,
            {"type": "response.mcp_call.in_progress", **about},
            {"type": f"response.mcp_call.{name}", **about},
            *done,
        ]

    def _make_item(self, item_id: str, type_: str) -> dict[str, Any]:
        named = {"server_label": "docs", "name": "search", "arguments": "{}"}
        return {"id": item_id, "type": type_, "object": "realtime.item", **named}


def _item_events(
    added: dict[str, Any], done: dict[str, Any], response_id: str
) -> list[dict[str, Any]]:
    of = {"response_id": response_id, "output_index": 0}
    return [
        {"type": "response.output_item.added", **of, "item": added},
        {"type": "conversation.item.added", "previous_item_id": None, "item": added},
        {"type": "conversation.item.done", "previous_item_id": None, "item": done},
        {"type": "response.output_item.done", **of, "item": done},
    ]

"""Rules that know more of a protocol than one message: an event that comes again later, a stream
that begins anew, tools of an MCP server.

They stand beside those of `faults`, which know nothing but texts.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from .rules import Passage, Rule, kind_of

__all__ = ["Again", "McpTools", "StreamRestart"]


def _dump(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


@define(eq=False)
class Again(Rule):
    """A message comes again, `copies` times, behind another that comes later: the `behind`th of
    `next_kind` (empty: of any kind). `first`: it has come in its own place as well."""

    next_kind: str = field(default="", kw_only=True)
    behind: int = field(default=1, kw_only=True)
    copies: int = field(default=1, kw_only=True)
    first: bool = field(default=True, kw_only=True)
    _kept: list[tuple[int, str]] = field(init=False, factory=list[tuple[int, str]], repr=False)

    def pass_on(self, text: str) -> Sequence[Passage]:
        """As of `Rule`, and what has waited for it."""
        counts = not self.next_kind or kind_of(text) == self.next_kind
        self._kept = [(left - counts, kept) for left, kept in self._kept]
        due = [kept for left, kept in self._kept if left <= 0]
        self._kept = [each for each in self._kept if each[0] > 0]
        return [*super().pass_on(text), *((0, kept) for kept in due for _ in range(self.copies))]

    def meddle(self, text: str) -> Sequence[Passage]:
        """It comes, or waits."""
        self._kept.append((self.behind, text))
        return ((0, text),) if self.first else ()


@define(eq=False)
class _ToRestarted(Rule):
    """What the server sends to a phone whose stream has begun anew: what is meant for the stream
    before it is lost, and so is what that has queued."""

    restart: "StreamRestart" = field(kw_only=True)

    def meddle(self, text: str) -> Sequence[Passage]:
        """It is for this stream, or for none."""
        return ((0, text),)

    def pass_on(self, text: str) -> Sequence[Passage]:
        """As of `Rule`."""
        restart = self.restart
        message = _read(text)
        if message is None:
            return self.meddle(text)
        if not restart.done:
            if kind_of(text) == "mark":
                restart.old_marks.append(_mark_name(message))
            return self.meddle(text)
        before: list[str] = []
        if not restart.cleared:
            restart.cleared = True
            before.append(_dump({"event": "clear", "streamSid": restart.old_sid}))
        if message.get("streamSid") == restart.new_sid:
            before.append(_dump({**message, "streamSid": restart.old_sid}))
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
    cleared: bool = field(init=False, default=False)
    to_phone: Rule = field(init=False)
    _start: dict[str, Any] = field(init=False, factory=dict[str, Any], repr=False)

    def __attrs_post_init__(self) -> None:
        self.to_phone = _ToRestarted(restart=self)

    def meddle(self, text: str) -> Sequence[Passage]:
        """The other stream begins, and this is its first frame."""
        sid: str = json.loads(text)["streamSid"]
        self.old_sid, self.new_sid = sid, sid[:2] + sid[:1:-1]
        about: dict[str, Any] = {**self._start["start"], "streamSid": self.new_sid}
        begin = {**self._start, "start": about, "streamSid": self.new_sid}
        return ((0, _dump(begin)), *self.other(text))

    def other(self, text: str) -> Sequence[Passage]:
        """It is of the stream that is going on."""
        message: dict[str, Any] = json.loads(text)
        if kind_of(text) == "start":
            self._start = message
        if not self.done or "streamSid" not in message:
            return ((0, text),)
        if kind_of(text) == "mark" and (name := _mark_name(message)) in self.old_marks:
            self.old_marks.remove(name)
            return ((0, text),)
        return ((0, _dump({**message, "streamSid": self.new_sid})),)


def _read(text: str) -> dict[str, Any] | None:
    """A message, unless another rule has corrupted it."""
    try:
        return dict(json.loads(text))
    except ValueError:
        return None


def _mark_name(message: dict[str, Any]) -> str:
    mark: dict[str, Any] = message.get("mark") or {}
    return str(mark.get("name"))


_TOLD: Final = "found"
"""What the tool of an MCP server has to say."""


@define(eq=False)
class McpTools(Rule):
    """The model calls a tool of an MCP server as soon as a response of the conversation has begun:
    the tool tells something, fails, or is to be approved first. The server tells it by events, and
    by items of the response and of the conversation (API reference, server events,
    `response.mcp_call.*`).
    """

    kind: str = field(init=False, default="response.created")
    fails: bool = field(default=False, kw_only=True)
    asks: bool = field(default=False, kw_only=True)
    """Whether it is to be approved."""

    def meddle(self, text: str) -> Sequence[Passage]:
        """The response begins with the call."""
        match _read(text):
            case {"response": {"id": str(response_id), "conversation_id": str()}}:
                item_id = f"item_mcp_{self.done}_{response_id}"
                make = self._request if self.asks else self._call
                events = make(item_id, response_id)
            case _:  # outside the conversation, or another rule was there first
                events = []
        return [(0, text), *((0, _dump(event)) for event in events)]

    def _request(self, item_id: str, response_id: str) -> list[dict[str, Any]]:
        request = self._item(item_id, "mcp_approval_request")
        return _items(request, request, response_id)

    def _call(self, item_id: str, response_id: str) -> list[dict[str, Any]]:
        begun = self._item(item_id, "mcp_call")
        error = {"type": "http_error", "code": 500, "message": "no"} if self.fails else None
        over = {**begun, "output": None if self.fails else _TOLD, "error": error}
        name = "failed" if self.fails else "completed"
        about = {"item_id": item_id, "output_index": 0}
        added, *done = _items(begun, over, response_id)
        return [
            added,
            {"type": "response.mcp_call.in_progress", **about},
            {"type": f"response.mcp_call.{name}", **about},
            *done,
        ]

    def _item(self, item_id: str, type_: str) -> dict[str, Any]:
        named = {"server_label": "docs", "name": "search", "arguments": "{}"}
        return {"id": item_id, "type": type_, "object": "realtime.item", **named}


def _items(begun: dict[str, Any], over: dict[str, Any], response_id: str) -> list[dict[str, Any]]:
    of = {"response_id": response_id, "output_index": 0}
    return [
        {"type": "response.output_item.added", **of, "item": begun},
        {"type": "conversation.item.added", "previous_item_id": None, "item": begun},
        {"type": "conversation.item.done", "previous_item_id": None, "item": over},
        {"type": "response.output_item.done", **of, "item": over},
    ]

"""Client events as plain data: what a command asks for, and whether an event is that."""

import json
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final, TypeGuard, cast

from twilio_realtime_core.commands import AnswerApproval, SendFunctionOutput, SendMessage
from twilio_realtime_core.machine.actions import Encodable
from twilio_realtime_core.values.items import ImagePart, TextPart

__all__ = ["answer", "message", "output", "plain", "same"]

_ADDED: Final = {"event_id", "id", "detail"}
"""What a bridge may add: ids to know answers by, and what the server would take for granted."""


def plain(event: Encodable) -> dict[str, Any]:
    """An event as the server reads it."""
    return cast(dict[str, Any], json.loads(event.encode()))


def same(sent: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether an event says what was given. A `session.update` may say more besides: it pins
    formats, and may repeat what is in effect."""
    return _same(sent, given, may_grow=given.get("type") == "session.update")


def _same(sent: Any, given: Any, *, may_grow: bool) -> bool:
    if _is_list(sent) and _is_list(given):
        return all(_same(*pair, may_grow=may_grow) for pair in zip_longest(sent, given))
    if isinstance(sent, dict) and isinstance(given, dict):
        told, asked = cast(dict[str, Any], sent), cast(dict[str, Any], given)
        return (may_grow or told.keys() - asked.keys() <= _ADDED) and all(
            name in told and _same(told[name], value, may_grow=may_grow)
            for name, value in asked.items()
        )
    return bool(sent == given)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def message(command: SendMessage) -> dict[str, Any]:
    """What makes the message."""
    content = [_content(each) for each in command.content]
    item = {"type": "message", "role": "user", "content": content}
    more = cast(dict[str, Any], json.loads(json.dumps(dict(command.extra_fields))))
    return {**more, **_create(item)}


def _content(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "input_image", "image_url": part.image_url, **detail}


def output(command: SendFunctionOutput) -> dict[str, Any]:
    """What answers the call."""
    kind = "function_call_output"
    return _create({"type": kind, "call_id": command.call_id, "output": command.output})


def answer(command: AnswerApproval) -> dict[str, Any]:
    """What answers the request for an approval."""
    item = {
        "type": "mcp_approval_response",
        "approval_request_id": command.approval_request_id,
        "approve": command.approve,
    }
    return _create(item if command.reason is None else {**item, "reason": command.reason})


def _create(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item}

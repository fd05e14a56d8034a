"""The client events that commands ask for, as plain JSON data."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final, cast

import attrs

from twilio_realtime_core.commands import AnswerApproval, SendFunctionOutput, SendMessage
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClearInputAudio,
    ClearOutputAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    RawClientEvent,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
)
from twilio_realtime_core.values.items import ImagePart, TextPart

from ..wire import is_list, is_object, to_json

__all__ = ["event_of", "is_out_of_band", "matches", "output_event"]

_TYPES: Final[Mapping[type, str]] = {
    AppendAudio: "input_audio_buffer.append",
    UpdateSession: "session.update",
    CommitAudio: "input_audio_buffer.commit",
    ClearInputAudio: "input_audio_buffer.clear",
    ClearOutputAudio: "output_audio_buffer.clear",
    CreateItem: "conversation.item.create",
    RetrieveItem: "conversation.item.retrieve",
    TruncateItem: "conversation.item.truncate",
    DeleteItem: "conversation.item.delete",
    CreateResponse: "response.create",
    CancelResponse: "response.cancel",
}
"""OpenAI API reference, "Realtime", client events,
https://platform.openai.com/docs/api-reference/realtime-client-events."""

_ADDED: Final = {"event_id", "id", "detail"}
"""Fields that a bridge may add: ids by which it knows answers, and what the server would take for
granted."""


def event_of(command: object) -> dict[str, Any]:
    """Return the client event that a command asks for."""
    match command:
        case SendMessage():
            return _message_event(command)
        case SendFunctionOutput():
            return output_event(command)
        case AnswerApproval():
            return _approval_event(command)
        case RawClientEvent(body=body):
            event: dict[str, Any] = to_json(body)
            return event
        case _:
            fields = attrs.asdict(cast(Any, command), recurse=False)
            extra: dict[str, Any] = fields.pop("extra_fields", None) or {}
            given = {name: value for name, value in fields.items() if value is not None}
            given.pop("waits_for_caller", None)  # for the bridge alone
            typed: dict[str, Any] = to_json({**extra, "type": _TYPES[type(command)], **given})
            return typed


def _message_event(command: SendMessage) -> dict[str, Any]:
    content = [_content_part(each) for each in command.content]
    item = {"type": "message", "role": "user", "content": content}
    return {**to_json(command.extra_fields), **_create_event(item)}


def _content_part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "input_image", "image_url": part.image_url, **detail}


def output_event(command: SendFunctionOutput) -> dict[str, Any]:
    """Return the event that answers a function call."""
    kind = "function_call_output"
    return _create_event({"type": kind, "call_id": command.call_id, "output": command.output})


def _approval_event(command: AnswerApproval) -> dict[str, Any]:
    item = {
        "type": "mcp_approval_response",
        "approval_request_id": command.approval_request_id,
        "approve": command.approve,
    }
    return _create_event(item if command.reason is None else {**item, "reason": command.reason})


def _create_event(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item}


def is_out_of_band(event: Mapping[str, Any]) -> bool:
    """Whether a request is for a response outside the conversation."""
    match event:
        case {"response": {"conversation": "none"}}:
            return True
        case _:
            return False


def matches(sent: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether an event that was sent has all that was given. A `session.update` may have more: it
    pins formats, and may repeat what is in effect."""
    return _matches(sent, given, may_add=given.get("type") == "session.update")


def _matches(sent: object, given: object, *, may_add: bool) -> bool:
    if is_list(sent) and is_list(given):
        return all(_matches(*pair, may_add=may_add) for pair in zip_longest(sent, given))
    if is_object(sent) and is_object(given):
        has_only_known = may_add or sent.keys() - given.keys() <= _ADDED
        return has_only_known and all(
            name in sent and _matches(sent[name], value, may_add=may_add)
            for name, value in given.items()
        )
    return sent == given

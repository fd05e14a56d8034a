"""Client events that edit the conversation of a simulated session: create, truncate, delete and
retrieve items."""

from typing import Final

from .client_requests import decode_audio
from .connection import RealtimeConnection
from .conversation import StoredItem
from .schema import ErrorBody, JsonObject

__all__ = ["edit_conversation"]

_FIELD_ORDER: Final = ("id", "type", "status", "role", "name", "call_id", "arguments", "output")
"""The server's order of an item's fields."""

_TYPES_WITHOUT_STATUS: Final = ("function_call_output", "mcp_approval_response")


def edit_conversation(connection: RealtimeConnection, body: JsonObject) -> ErrorBody | None:
    """Carry out a validated `conversation.item.…` event. Return why it is refused, if it is; then
    nothing has changed."""
    match body["type"]:
        case "conversation.item.create":
            return _create(connection, body["item"], body.get("previous_item_id"))
        case "conversation.item.truncate":
            return _truncate(connection, body["item_id"], body["content_index"], body)
        case "conversation.item.delete":
            return _delete(connection, body["item_id"])
        case _:
            return _retrieve(connection, body["item_id"])


def _create(
    connection: RealtimeConnection, given: JsonObject, previous_id: str | None
) -> ErrorBody | None:
    memory = connection.conversation
    previous = None
    if previous_id not in (None, "root"):
        previous = memory.find(str(previous_id))
        if previous is None:
            return _no_such_item("creating", "item_create_invalid_item_id", str(previous_id))
    if "id" in given and memory.find(given["id"]):
        message = f"Error creating item: the item with id '{given['id']}' already exists."
        return ErrorBody("item_create_duplicate_item_id", message, "item.id")
    if given["type"] == "function_call_output" and not memory.has_call(given["call_id"]):
        message = f"Tool call ID '{given['call_id']}' not found in conversation."
        return ErrorBody("invalid_value", message, "item.call_id")
    item = _make_item(connection, given)
    if isinstance(item, ErrorBody):
        return item
    if previous_id is None:
        memory.append(item)
    else:
        memory.insert_after(previous, item)
    connection.send_item_added(item)
    return None


def _make_item(connection: RealtimeConnection, given: JsonObject) -> StoredItem | ErrorBody:
    """Make the item as the server stores it: with an id, complete, its audio apart from its
    text."""
    whole = {
        **given,
        "id": given.get("id") or connection.writer.new_id("item"),
        "status": "completed",
    }
    if given["type"] == "function_call":
        whole.setdefault("call_id", connection.writer.new_call_id())
    hidden = ("object", "content", *(("status",) if given["type"] in _TYPES_WITHOUT_STATUS else ()))
    names = [*_FIELD_ORDER, *(name for name in whole if name not in _FIELD_ORDER)]
    fields = {name: whole[name] for name in names if name in whole and name not in hidden}
    if "content" not in given:
        return StoredItem(fields)
    format_ = connection.session.input_format
    item = StoredItem(fields, content=[], audio_bytes_per_ms=format_.bytes_per_ms)
    content: list[JsonObject] = []
    for part in given["content"]:
        if part["type"] == "input_audio":
            audio = decode_audio(part["audio"])
            if isinstance(audio, ErrorBody):
                return audio
            item.audio += audio
            content.append({"type": "input_audio", "transcript": part.get("transcript")})
        else:
            content.append(part)
    item.content = content
    return item


def _truncate(
    connection: RealtimeConnection, item_id: str, content_index: int, body: JsonObject
) -> ErrorBody | None:
    item, audio_end_ms = connection.conversation.find(item_id), body["audio_end_ms"]
    if item is None:
        return _no_such_item("truncating", "item_truncate_invalid_item_id", item_id)
    if not item.is_spoken or not item.generated_ms or content_index:
        message = "Only model output audio messages can be truncated"
        return ErrorBody("unsupported_content_type", message)
    if audio_end_ms > item.remaining_ms:
        message = f"Audio content of {item.remaining_ms}ms is already shorter than {audio_end_ms}ms"
        return ErrorBody("invalid_value", message, "audio_end_ms")
    item.truncate(audio_end_ms)
    connection.send_new(
        "conversation.item.truncated",
        item_id=item_id,
        content_index=content_index,
        audio_end_ms=audio_end_ms,
    )
    return None


def _delete(connection: RealtimeConnection, item_id: str) -> ErrorBody | None:
    item = connection.conversation.find(item_id)
    if item is None:
        return _no_such_item("deleting", "item_delete_invalid_item_id", item_id)
    item.is_deleted = True
    connection.send_new("conversation.item.deleted", item_id=item_id)
    return None


def _retrieve(connection: RealtimeConnection, item_id: str) -> ErrorBody | None:
    item = connection.conversation.find(item_id)
    if item is None:
        return _no_such_item("retrieving", "item_retrieve_invalid_item_id", item_id)
    connection.send_new("conversation.item.retrieved", item=item.to_wire(with_audio=True))
    return None


def _no_such_item(operation: str, code: str, item_id: str) -> ErrorBody:
    message = f"Error {operation} item: the item with id '{item_id}' does not exist."
    return ErrorBody(code, message)

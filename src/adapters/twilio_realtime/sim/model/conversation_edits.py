"""What a client may do to the conversation of a simulated session: create, truncate, delete and
retrieve items."""

from typing import Final

from .client_requests import decode_audio
from .connection import RealtimeConnection
from .conversation import ConversationItem
from .schema import JsonObject, Refusal

__all__ = ["edit_conversation"]

_ORDER: Final = ("id", "type", "status", "role", "name", "call_id", "arguments", "output")
"""The server's order of an item's fields."""

_WITHOUT_STATUS: Final = ("function_call_output", "mcp_approval_response")


def edit_conversation(connection: RealtimeConnection, body: JsonObject) -> Refusal | None:
    """Carry out a checked `conversation.item.…` event, or say why not; then nothing changed."""
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
) -> Refusal | None:
    memory = connection.memory
    previous = None
    if previous_id not in (None, "root"):
        previous = memory.find(str(previous_id))
        if previous is None:
            return _no_such_item("creating", "item_create_invalid_item_id", str(previous_id))
    if "id" in given and memory.find(given["id"]):
        message = f"Error creating item: the item with id '{given['id']}' already exists."
        return Refusal("item_create_duplicate_item_id", message, "item.id")
    if given["type"] == "function_call_output" and not memory.has_call(given["call_id"]):
        message = f"Tool call ID '{given['call_id']}' not found in conversation."
        return Refusal("invalid_value", message, "item.call_id")
    item = _item_of(connection, given)
    if isinstance(item, Refusal):
        return item
    if previous_id is None:
        memory.append(item)
    else:
        memory.insert_after(previous, item)
    connection.tell_of(item)
    return None


def _item_of(connection: RealtimeConnection, given: JsonObject) -> ConversationItem | Refusal:
    """The item as the server keeps it: with an id, complete, its audio apart from its text."""
    whole = {**given, "id": given.get("id") or connection.writer.id("item"), "status": "completed"}
    if given["type"] == "function_call":
        whole.setdefault("call_id", connection.writer.call_id())
    hidden = ("object", "content", *(("status",) if given["type"] in _WITHOUT_STATUS else ()))
    names = [*_ORDER, *(name for name in whole if name not in _ORDER)]
    fields = {name: whole[name] for name in names if name in whole and name not in hidden}
    if "content" not in given:
        return ConversationItem(fields)
    format_ = connection.session.input_format
    item = ConversationItem(fields, content=[], audio_bytes_per_ms=format_.bytes_per_ms)
    content: list[JsonObject] = []
    for part in given["content"]:
        if part["type"] == "input_audio":
            audio = decode_audio(part["audio"])
            if isinstance(audio, Refusal):
                return audio
            item.audio += audio
            content.append({"type": "input_audio", "transcript": part.get("transcript")})
        else:
            content.append(part)
    item.content = content
    return item


def _truncate(
    connection: RealtimeConnection, item_id: str, content_index: int, body: JsonObject
) -> Refusal | None:
    item, audio_end_ms = connection.memory.find(item_id), body["audio_end_ms"]
    if item is None:
        return _no_such_item("truncating", "item_truncate_invalid_item_id", item_id)
    if not item.spoken or not item.generated_ms or content_index:
        message = "Only model output audio messages can be truncated"
        return Refusal("unsupported_content_type", message)
    if audio_end_ms > item.remaining_ms:
        message = f"Audio content of {item.remaining_ms}ms is already shorter than {audio_end_ms}ms"
        return Refusal("invalid_value", message, "audio_end_ms")
    item.truncate(audio_end_ms)
    connection.tell(
        "conversation.item.truncated",
        item_id=item_id,
        content_index=content_index,
        audio_end_ms=audio_end_ms,
    )
    return None


def _delete(connection: RealtimeConnection, item_id: str) -> Refusal | None:
    item = connection.memory.find(item_id)
    if item is None:
        return _no_such_item("deleting", "item_delete_invalid_item_id", item_id)
    item.deleted = True
    connection.tell("conversation.item.deleted", item_id=item_id)
    return None


def _retrieve(connection: RealtimeConnection, item_id: str) -> Refusal | None:
    item = connection.memory.find(item_id)
    if item is None:
        return _no_such_item("retrieving", "item_retrieve_invalid_item_id", item_id)
    connection.tell("conversation.item.retrieved", item=item.wire(with_audio=True))
    return None


def _no_such_item(doing: str, code: str, item_id: str) -> Refusal:
    message = f"Error {doing} item: the item with id '{item_id}' does not exist."
    return Refusal(code, message)

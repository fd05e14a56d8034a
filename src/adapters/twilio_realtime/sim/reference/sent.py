"""The messages to Twilio and to the Realtime server, as those read them: from their JSON text.

A message with a field that its documentation does not list has no effect, since Twilio warns of it
(31951) and the Realtime server refuses it (`unknown_parameter`); such a message is a `SentOther`.

Sources: Twilio documentation, "Media Streams - WebSocket Messages", "Send WebSocket messages to
Twilio", https://www.twilio.com/docs/voice/media-streams/websocket-messages; OpenAI API reference,
"Realtime", client events, https://platform.openai.com/docs/api-reference/realtime-client-events.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from attrs import define

from twilio_realtime_core.machine.actions import Encodable, Peer

from .received import Fields
from .wire import (
    WrongField,
    read_object,
    read_text,
    require_object,
    require_text,
    require_whole_number,
)

__all__ = [
    "SentAppend",
    "SentCancel",
    "SentClear",
    "SentDelete",
    "SentEvent",
    "SentItem",
    "SentMark",
    "SentMedia",
    "SentMessage",
    "SentOther",
    "SentRequest",
    "SentToTwilio",
    "SentTruncate",
    "SentUpdate",
    "UnreadableToTwilio",
    "read_sent",
]


class SentMessage:
    """A message of the bridge. (A value: do not change it.)"""

    __slots__ = ()


# To Twilio.


@define(eq=False)
class SentToTwilio(SentMessage):
    """A message to Twilio, for a stream."""

    stream_sid: str


@define(eq=False)
class SentMedia(SentToTwilio):
    """`media`: audio for the caller, in base64."""

    payload: str


@define(eq=False)
class SentMark(SentToTwilio):
    """`mark`: to be echoed once all before it was played or cleared."""

    name: str


class SentClear(SentToTwilio):
    """`clear`: empties the queue."""

    __slots__ = ()


class UnreadableToTwilio(SentToTwilio):
    """A message that Twilio cannot read; its `stream_sid` is empty."""

    __slots__ = ()


# To the Realtime server.


@define(eq=False)
class SentEvent(SentMessage):
    """A client event. `body` is all of it; empty where it is not a JSON object."""

    body: dict[str, Any]


class SentOther(SentEvent):
    """Any other event."""

    __slots__ = ()


@define(eq=False)
class SentAppend(SentEvent):
    """`input_audio_buffer.append`: audio of the caller, in base64."""

    audio: str
    event_id: str | None


@define(eq=False)
class SentUpdate(SentEvent):
    """`session.update`."""

    event_id: str | None


@define(eq=False)
class SentItem(SentEvent):
    """`conversation.item.create`."""

    item: dict[str, Any]


@define(eq=False)
class SentDelete(SentEvent):
    """`conversation.item.delete`."""

    item_id: str


@define(eq=False)
class SentTruncate(SentEvent):
    """`conversation.item.truncate`."""

    item_id: str
    content_index: int
    audio_end_ms: int


@define(eq=False)
class SentRequest(SentEvent):
    """`response.create`."""

    event_id: str | None


@define(eq=False)
class SentCancel(SentEvent):
    """`response.cancel`; without an id, that of the response of the conversation."""

    response_id: str | None
    event_id: str | None


# Reading.


def read_sent(peer: object, message: Encodable) -> SentMessage:
    """Return the message to a peer as that reads it."""
    text = message.encode()
    return _read_to_twilio(text) if peer is Peer.TWILIO else _read_to_realtime(text)


def _read_to_twilio(text: str) -> SentMessage:
    message = read_object(text)
    if message is not None:
        try:
            return _read_documented(message)
        except WrongField:
            pass
    return UnreadableToTwilio("")


def _read_documented(message: Fields) -> SentMessage:
    kind, sid = message.get("event"), require_text(message, "streamSid")
    if kind == "clear" and len(message) == 2:  # noqa: PLR2004 - no body
        return SentClear(sid)
    if kind == "media" and len(message) == 3:  # noqa: PLR2004 - one body
        return SentMedia(sid, _only_text(message, "media", "payload"))
    if kind == "mark" and len(message) == 3:  # noqa: PLR2004 - one body
        return SentMark(sid, _only_text(message, "mark", "name"))
    raise WrongField("event")


def _only_text(message: Fields, name: str, field: str) -> str:
    body = require_object(message, name)
    if len(body) != 1:
        raise WrongField(name)
    return require_text(body, field)


@lru_cache(64)  # most audio of the caller is silence, the same again and again
def _read_to_realtime(text: str) -> SentMessage:
    body = read_object(text)
    if body is None:
        return SentOther({})
    documented = _EVENTS.get(body.get("type", ""))
    if documented is None:
        return SentOther(body)
    names, read = documented
    try:
        return read(body) if names is None or body.keys() <= names else SentOther(body)
    except WrongField:
        return SentOther(body)


def _read_append(body: dict[str, Any]) -> SentEvent:
    return SentAppend(body, require_text(body, "audio"), read_text(body, "event_id"))


def _read_update(body: dict[str, Any]) -> SentEvent:
    require_object(body, "session")
    return SentUpdate(body, read_text(body, "event_id"))


def _read_item(body: dict[str, Any]) -> SentEvent:
    return SentItem(body, require_object(body, "item"))


def _read_delete(body: dict[str, Any]) -> SentEvent:
    return SentDelete(body, require_text(body, "item_id"))


def _read_truncate(body: dict[str, Any]) -> SentEvent:
    return SentTruncate(
        body,
        require_text(body, "item_id"),
        require_whole_number(body, "content_index"),
        require_whole_number(body, "audio_end_ms"),
    )


def _read_request(body: dict[str, Any]) -> SentEvent:
    return SentRequest(body, read_text(body, "event_id"))


def _read_cancel(body: dict[str, Any]) -> SentEvent:
    return SentCancel(body, read_text(body, "response_id"), read_text(body, "event_id"))


_Reader: TypeAlias = Callable[[dict[str, Any]], SentEvent]


def _documented(read: _Reader, *names: str) -> tuple[frozenset[str], _Reader]:
    return frozenset({"type", "event_id", *names}), read


_EVENTS: Final[Mapping[str, tuple[frozenset[str] | None, _Reader]]] = {
    "input_audio_buffer.append": (None, _read_append),
    "session.update": (None, _read_update),
    "conversation.item.create": _documented(_read_item, "item", "previous_item_id"),
    "conversation.item.delete": _documented(_read_delete, "item_id"),
    "conversation.item.truncate": _documented(
        _read_truncate, "item_id", "content_index", "audio_end_ms"
    ),
    "response.create": (None, _read_request),
    "response.cancel": _documented(_read_cancel, "response_id"),
}
"""The events that judges look at, each with its documented fields. `None`: with any, since a bridge
handles it whatever other fields it has."""

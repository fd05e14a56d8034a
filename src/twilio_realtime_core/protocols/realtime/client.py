"""Realtime client events: those that are sent to the server (GA, over WebSocket).

The fields of a class are the fields of the event; `None` leaves a field out. Each event can have an
`event_id`, which comes back only in an `error` event. A field of the wrong type raises
`LocalProtocolError`, but for `AppendAudio`, which is created 50 times a second.

Source: OpenAI API reference, "Realtime", client events,
https://platform.openai.com/docs/api-reference/realtime-client-events.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, TypeAlias, get_args

import attrs
import msgspec
from attrs import define, field, frozen

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.arguments import (
    BOOLEAN,
    MAPPING,
    NON_EMPTY_TEXT,
    NULL,
    TEXT,
    FieldRule,
    check_json,
)
from twilio_realtime_core.values.identifiers import EVENT_ID

__all__ = [
    "AppendAudio",
    "CancelResponse",
    "ClearInputAudio",
    "ClearOutputAudio",
    "ClientEvent",
    "CommitAudio",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "RawClientEvent",
    "RetrieveItem",
    "TruncateItem",
    "UpdateSession",
    "check_encodable",
    "check_extra_fields",
    "client_event",
]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_EVENT_ID: Final = EVENT_ID | NULL
_COUNT: Final = FieldRule("a whole number (int) of at least 0", _is_count, shows_numbers=True)
_MILLISECONDS: Final = FieldRule("whole ms (int), at least 0", _is_count, shows_numbers=True)
_LOCAL_FIELDS: Final = frozenset({"extra_fields", "waits_for_caller"})
"""Names of fields that the event does not have."""


@frozen
class _Event:
    """The base of events of a known type."""

    type: ClassVar[str]
    extra_fields: Mapping[str, Any] | None = field(
        default=None, repr=False, kw_only=True, validator=MAPPING | NULL
    )
    """Fields of the event that this version does not know; they are sent as they are."""

    def encode(self) -> str:
        """Return the JSON text."""
        return msgspec.json.encode(_to_body(self)).decode()


@frozen
class UpdateSession(_Event):
    """`session.update`: change the fields of the session that are present. `session` must contain
    `type`."""

    type = "session.update"
    session: Mapping[str, Any] = field(repr=False, validator=MAPPING)
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@define
class AppendAudio:
    """`input_audio_buffer.append`: append audio of the caller. The server never acknowledges it.

    `audio` is base64 in the session's input format; it is not checked. Treat the event as
    immutable.
    """

    type: ClassVar[str] = "input_audio_buffer.append"
    audio: str = field(repr=False)
    event_id: str | None = None
    extra_fields: Mapping[str, Any] | None = field(default=None, repr=False, kw_only=True)
    """Fields of the event that this version does not know; they are sent as they are."""

    def encode(self) -> str:
        """Return the JSON text."""
        if self.event_id is None and self.extra_fields is None:
            # 50 a second, so the text is spliced.
            return '{"type":"input_audio_buffer.append","audio":"' + self.audio + '"}'
        return msgspec.json.encode(_to_body(self)).decode()


def _to_body(event: _Event | AppendAudio) -> dict[str, Any]:
    body: dict[str, Any] = {**(event.extra_fields or {}), "type": event.type}
    for name in _field_names(type(event)):
        value = getattr(event, name)
        if value is not None:
            body[name] = value
    return body


def _field_names(kind: type[_Event | AppendAudio]) -> tuple[str, ...]:
    """Return the names of the fields that an event of this class has, but for `type`."""
    return tuple(each.name for each in attrs.fields(kind) if each.name not in _LOCAL_FIELDS)


@frozen
class CommitAudio(_Event):
    """`input_audio_buffer.commit`: end the caller's turn; it must have at least 100 ms of audio."""

    type = "input_audio_buffer.commit"
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class ClearInputAudio(_Event):
    """`input_audio_buffer.clear`: discard the audio that was appended and not committed."""

    type = "input_audio_buffer.clear"
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class ClearOutputAudio(_Event):
    """`output_audio_buffer.clear`: discard output audio; the server refuses it over WebSocket, it
    is for WebRTC and SIP."""

    type = "output_audio_buffer.clear"
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class CreateItem(_Event):
    """`conversation.item.create`: add an item to the conversation, at the end or after
    `previous_item_id` ("root": at the front)."""

    type = "conversation.item.create"
    item: Mapping[str, Any] = field(repr=False, validator=MAPPING)
    previous_item_id: str | None = field(default=None, validator=TEXT | NULL)
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class RetrieveItem(_Event):
    """`conversation.item.retrieve`: request an item with its audio."""

    type = "conversation.item.retrieve"
    item_id: str = field(validator=TEXT)
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class TruncateItem(_Event):
    """`conversation.item.truncate`: discard an assistant item's audio after `audio_end_ms`, and its
    transcript. The server refuses it for more audio than it has sent."""

    type = "conversation.item.truncate"
    item_id: str = field(validator=TEXT)
    content_index: int = field(validator=_COUNT)
    audio_end_ms: int = field(validator=_MILLISECONDS)
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class DeleteItem(_Event):
    """`conversation.item.delete`: delete an item from the conversation."""

    type = "conversation.item.delete"
    item_id: str = field(validator=TEXT)
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class CreateResponse(_Event):
    """`response.create`: request a response; `response` has parameters for this response only.

    `waits_for_caller` is not sent: while the caller has the turn, the bridge holds the request
    until their turn is answered or, where the server does not respond to turns, committed. `False`:
    it is sent as soon as no response is active, so the agent may speak over the caller.
    """

    type = "response.create"
    response: Mapping[str, Any] | None = field(default=None, repr=False, validator=MAPPING | NULL)
    event_id: str | None = field(default=None, validator=_EVENT_ID)
    waits_for_caller: bool = field(default=True, kw_only=True, validator=BOOLEAN)


@frozen
class CancelResponse(_Event):
    """`response.cancel`: cancel a response; without an id, that of the default conversation."""

    type = "response.cancel"
    response_id: str | None = field(default=None, validator=TEXT | NULL)
    event_id: str | None = field(default=None, validator=_EVENT_ID)


@frozen
class RawClientEvent:
    """An event of a type that this version does not know; it is sent as it is."""

    type: str = field(validator=NON_EMPTY_TEXT)
    body: Mapping[str, Any] = field(repr=False, validator=MAPPING)

    def encode(self) -> str:
        """Return the JSON text."""
        return msgspec.json.encode(self.body).decode()


ClientEvent: TypeAlias = (
    AppendAudio
    | UpdateSession
    | CommitAudio
    | ClearInputAudio
    | ClearOutputAudio
    | CreateItem
    | RetrieveItem
    | TruncateItem
    | DeleteItem
    | CreateResponse
    | CancelResponse
    | RawClientEvent
)

_KINDS_BY_TYPE: dict[str, type[Any]] = {
    kind.type: kind for kind in get_args(ClientEvent) if kind is not RawClientEvent
}


def client_event(body: Mapping[str, Any]) -> ClientEvent:
    """Return the typed event for JSON data, `{"type": ..., ...}`.

    Fields that its class does not have become its `extra_fields`; an event of an unknown type
    becomes a `RawClientEvent`. Both are sent as they are.

    Raises `LocalProtocolError` where `type` or another field is missing or of the wrong type, where
    audio is empty or not base64, and where the data is not JSON.
    """
    MAPPING.check("a client event", body)
    type_ = body.get("type")
    if not isinstance(type_, str):
        raise LocalProtocolError("a client event needs a 'type', such as 'response.create'")
    check_json(type_, body)
    kind = _KINDS_BY_TYPE.get(type_)
    if kind is None:
        return RawClientEvent(type_, body)
    known = {"type", *_field_names(kind)}
    extra = {name: value for name, value in body.items() if name not in known}
    fields = {name: value for name, value in body.items() if name in known}
    try:
        event: ClientEvent = msgspec.convert({**fields, "extra_fields": extra or None}, kind)
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{type_} cannot be sent: {error}") from None
    if isinstance(event, AppendAudio) and count_samples(event.audio) is None:
        raise LocalProtocolError(f"{type_} cannot be sent: its audio is empty, or not base64")
    return event


def check_encodable(event: ClientEvent) -> None:
    """Raise `LocalProtocolError` if an event is not JSON data, or if its `extra_fields` hold a
    field that its class has, where nothing would check it."""
    if isinstance(event, RawClientEvent):
        check_json(event.type, event.body)
        return
    if event.extra_fields is not None:
        owner = type(event).__name__
        MAPPING.check(f"{owner}.extra_fields", event.extra_fields)
        check_extra_fields(owner, event.extra_fields, _field_names(type(event)))
    check_json(event.type, _to_body(event))


def check_extra_fields(owner: str, extra_fields: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise `LocalProtocolError` if `extra_fields` hold a `type`, or one of the fields that the
    class named `owner` sets."""
    for name in ("type", *names):
        if name in extra_fields:
            raise LocalProtocolError(
                f"{owner}.extra_fields must not hold {name!r}, which {owner} sets: use its fields"
            )

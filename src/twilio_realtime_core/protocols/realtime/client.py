"""Realtime client events: those that are sent to the server (GA, over WebSocket).

The fields of a class are the fields of the event; `None` leaves a field out. Each event can have an
`event_id`, which comes back only in an `error` event.

Source: OpenAI API reference, "Realtime", client events,
https://platform.openai.com/docs/api-reference/realtime-client-events.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias, get_args

import attrs
import msgspec
from attrs import define, field, frozen

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.errors import LocalProtocolError

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
    "client_event",
]


class _EncodableEvent:
    """The base of events that are encoded from their fields."""

    __slots__ = ()
    type: ClassVar[str]
    __attrs_attrs__: ClassVar[tuple[Any, ...]]

    def encode(self) -> str:
        """Return the JSON text."""
        body = {"type": self.type}
        for each in self.__attrs_attrs__:
            value = getattr(self, each.name)
            if value is not None:
                body[each.name] = value
        return msgspec.json.encode(body).decode()


@frozen
class UpdateSession(_EncodableEvent):
    """`session.update`: change the fields of the session that are present. `session` must contain
    `type`."""

    type = "session.update"
    session: Mapping[str, Any] = field(repr=False)
    event_id: str | None = None


@define
class AppendAudio(_EncodableEvent):
    """`input_audio_buffer.append`: append audio of the caller. The server never acknowledges it.

    `audio` is base64 in the session's input format; it is not checked. Treat the event as
    immutable.
    """

    type = "input_audio_buffer.append"
    audio: str = field(repr=False)
    event_id: str | None = None

    def encode(self) -> str:
        """Return the JSON text."""
        if self.event_id is None:  # 50 a second, so the text is spliced
            return '{"type":"input_audio_buffer.append","audio":"' + self.audio + '"}'
        return super().encode()


@frozen
class CommitAudio(_EncodableEvent):
    """`input_audio_buffer.commit`: end the caller's turn; it must have at least 100 ms of audio."""

    type = "input_audio_buffer.commit"
    event_id: str | None = None


@frozen
class ClearInputAudio(_EncodableEvent):
    """`input_audio_buffer.clear`: discard the audio that was appended and not committed."""

    type = "input_audio_buffer.clear"
    event_id: str | None = None


@frozen
class ClearOutputAudio(_EncodableEvent):
    """`output_audio_buffer.clear`: discard output audio; the server refuses it over WebSocket, it
    is for WebRTC and SIP."""

    type = "output_audio_buffer.clear"
    event_id: str | None = None


@frozen
class CreateItem(_EncodableEvent):
    """`conversation.item.create`: add an item to the conversation, at the end or after
    `previous_item_id` ("root": at the front)."""

    type = "conversation.item.create"
    item: Mapping[str, Any] = field(repr=False)
    previous_item_id: str | None = None
    event_id: str | None = None


@frozen
class RetrieveItem(_EncodableEvent):
    """`conversation.item.retrieve`: request an item with its audio."""

    type = "conversation.item.retrieve"
    item_id: str
    event_id: str | None = None


@frozen
class TruncateItem(_EncodableEvent):
    """`conversation.item.truncate`: discard an assistant item's audio after `audio_end_ms`, and its
    transcript. The server refuses it for more audio than it has sent."""

    type = "conversation.item.truncate"
    item_id: str
    content_index: int
    audio_end_ms: int
    event_id: str | None = None


@frozen
class DeleteItem(_EncodableEvent):
    """`conversation.item.delete`: delete an item from the conversation."""

    type = "conversation.item.delete"
    item_id: str
    event_id: str | None = None


@frozen
class CreateResponse(_EncodableEvent):
    """`response.create`: request a response; `response` has parameters for this response only."""

    type = "response.create"
    response: Mapping[str, Any] | None = field(default=None, repr=False)
    event_id: str | None = None


@frozen
class CancelResponse(_EncodableEvent):
    """`response.cancel`: cancel a response; without an id, that of the default conversation."""

    type = "response.cancel"
    response_id: str | None = None
    event_id: str | None = None


@frozen
class RawClientEvent:
    """An event of a type or with fields that this version does not know; it is sent as it is."""

    type: str
    body: Mapping[str, Any] = field(repr=False)

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


_STRICT_KINDS = (AppendAudio, CreateResponse, UpdateSession)
"""Events that must have the documented fields only: the bridge counts their audio, or sets their
formats."""


def client_event(body: Mapping[str, Any]) -> ClientEvent:
    """Return the typed event for JSON data, `{"type": ..., ...}`.

    An event of an unknown type, or with fields that its class does not have, becomes a
    `RawClientEvent`, which is sent as it is. But `input_audio_buffer.append`, `response.create` and
    `session.update` must have the documented fields only.

    Raises `LocalProtocolError` where they do not, where `type` or another field is missing or of
    the wrong type, where audio is empty or not base64, and where the data cannot be encoded as
    JSON.
    """
    type_ = body.get("type")
    if not isinstance(type_, str):
        raise LocalProtocolError("a client event needs a 'type', such as 'response.create'")
    try:
        msgspec.json.encode(body)
        kind = _KINDS_BY_TYPE.get(type_)
        if kind is None:
            return RawClientEvent(type_, body)
        unknown = body.keys() - {"type", *attrs.fields_dict(kind)}
        if unknown and kind not in _STRICT_KINDS:
            return RawClientEvent(type_, body)
        event: ClientEvent = msgspec.convert(body, kind)
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{type_} cannot be sent: {error}") from None
    if unknown:
        raise LocalProtocolError(f"{type_} has no field {sorted(unknown)}: leave it out")
    if isinstance(event, AppendAudio) and count_samples(event.audio) is None:
        raise LocalProtocolError(f"{type_} cannot be sent: its audio is empty, or not base64")
    return event

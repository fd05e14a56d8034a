"""What is said to the Realtime server.

Source: OpenAI API reference, "Realtime", client events (GA, over WebSocket). The fields of a class
are the fields of the event; `None` leaves one out. Each may carry an `event_id`, which comes back
only inside an `error`.
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
    """Encodes an event from its fields."""

    __slots__ = ()
    type: ClassVar[str]
    __attrs_attrs__: ClassVar[tuple[Any, ...]]

    def encode(self) -> str:
        """The JSON text."""
        body = {"type": self.type}
        for each in self.__attrs_attrs__:
            value = getattr(self, each.name)
            if value is not None:
                body[each.name] = value
        return msgspec.json.encode(body).decode()


@frozen
class UpdateSession(_EncodableEvent):
    """`session.update`: changes the fields present. `session` must hold `type`."""

    type = "session.update"
    session: Mapping[str, Any] = field(repr=False)
    event_id: str | None = None


@define
class AppendAudio(_EncodableEvent):
    """`input_audio_buffer.append`: caller audio for the model; never acknowledged.

    `audio` must be base64 in the session's input format. (A value: do not change it.)
    """

    type = "input_audio_buffer.append"
    audio: str = field(repr=False)
    event_id: str | None = None

    def encode(self) -> str:
        """The JSON text."""
        if self.event_id is None:  # fifty a second: spliced
            return '{"type":"input_audio_buffer.append","audio":"' + self.audio + '"}'
        return super().encode()


@frozen
class CommitAudio(_EncodableEvent):
    """`input_audio_buffer.commit`: ends the user's turn by hand; at least 100 ms are needed."""

    type = "input_audio_buffer.commit"
    event_id: str | None = None


@frozen
class ClearInputAudio(_EncodableEvent):
    """`input_audio_buffer.clear`: forgets the audio appended and not committed."""

    type = "input_audio_buffer.clear"
    event_id: str | None = None


@frozen
class ClearOutputAudio(_EncodableEvent):
    """`output_audio_buffer.clear`: for WebRTC and SIP; over WebSocket the server refuses it."""

    type = "output_audio_buffer.clear"
    event_id: str | None = None


@frozen
class CreateItem(_EncodableEvent):
    """`conversation.item.create`: adds an item, at the end or after `previous_item_id`."""

    type = "conversation.item.create"
    item: Mapping[str, Any] = field(repr=False)
    previous_item_id: str | None = None
    event_id: str | None = None


@frozen
class RetrieveItem(_EncodableEvent):
    """`conversation.item.retrieve`: asks for an item with its audio."""

    type = "conversation.item.retrieve"
    item_id: str
    event_id: str | None = None


@frozen
class TruncateItem(_EncodableEvent):
    """`conversation.item.truncate`: forgets the audio of an assistant's item after `audio_end_ms`,
    and its transcript. More than the audio sent so far is refused."""

    type = "conversation.item.truncate"
    item_id: str
    content_index: int
    audio_end_ms: int
    event_id: str | None = None


@frozen
class DeleteItem(_EncodableEvent):
    """`conversation.item.delete`: takes an item out of the conversation."""

    type = "conversation.item.delete"
    item_id: str
    event_id: str | None = None


@frozen
class CreateResponse(_EncodableEvent):
    """`response.create`: asks the model to answer; `response` holds parameters for this once."""

    type = "response.create"
    response: Mapping[str, Any] | None = field(default=None, repr=False)
    event_id: str | None = None


@frozen
class CancelResponse(_EncodableEvent):
    """`response.cancel`: ends a response; without an id, that of the default conversation."""

    type = "response.cancel"
    response_id: str | None = None
    event_id: str | None = None


@frozen
class RawClientEvent:
    """An event of a type that this version does not know, sent as it is."""

    type: str
    body: Mapping[str, Any] = field(repr=False)

    def encode(self) -> str:
        """The JSON text."""
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
"""What the bridge must be able to read, since audio is counted and formats are pinned in them."""


def client_event(body: Mapping[str, Any]) -> ClientEvent:
    """The typed value of a client event given as plain data, `{"type": ..., ...}`.

    An event of an unknown type, or with fields that its class does not have, becomes an
    `OtherClientEvent` and is sent as it is; but `input_audio_buffer.append`, `response.create`
    and `session.update` must have the documented fields only. Raises `LocalProtocolError` where
    they do not, `type` is missing, a field is missing or of the wrong type, audio is no base64 or
    empty, or the data is no JSON.
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
        typed: ClientEvent = msgspec.convert(body, kind)
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{type_} cannot be sent: {error}") from None
    if unknown:
        raise LocalProtocolError(f"{type_} has no field {sorted(unknown)}: take it out")
    if isinstance(typed, AppendAudio) and count_samples(typed.audio) is None:
        raise LocalProtocolError(f"{type_} cannot be sent: its audio is no base64, or empty")
    return typed

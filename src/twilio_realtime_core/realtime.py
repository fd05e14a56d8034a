"""OpenAI Realtime events, both directions.

Source: OpenAI API reference, "Realtime", client events and server events (GA, over WebSocket).
Every event is JSON text told apart by `type`. Server events that the bridge acts on are typed here
and carry only the fields it uses; all others pass through as `OtherEvent`. Client events are all
typed, and each may carry an `event_id`, which comes back only inside an `error`. Sessions and what
is said stay out of every `repr`: tools of a session can hold keys.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeAlias, get_args

import attrs
import msgspec
from attrs import define, field, frozen

from .actions import Peer
from .audio import count_samples
from .errors import Fault, LocalProtocolError
from .tagged import TaggedDecoder

__all__ = [
    "MAX_MESSAGE_BYTES",
    "URL",
    "AppendAudio",
    "CancelResponse",
    "ClearInputAudio",
    "ClearOutputAudio",
    "ClientEvent",
    "CommitAudio",
    "CreateItem",
    "CreateResponse",
    "DeleteItem",
    "ErrorEvent",
    "InputTranscriptCompleted",
    "InputTranscriptDelta",
    "Item",
    "OtherClientEvent",
    "OtherEvent",
    "OutputAudioDelta",
    "OutputAudioDone",
    "OutputItemDone",
    "OutputTranscriptDelta",
    "OutputTranscriptDone",
    "Response",
    "ResponseCreated",
    "ResponseDone",
    "RetrieveItem",
    "ServerError",
    "ServerEvent",
    "SessionCreated",
    "SessionUpdated",
    "SpeechCommitted",
    "SpeechStarted",
    "SpeechStopped",
    "TruncateItem",
    "UpdateSession",
    "client_event",
    "decode",
]

URL: Final = "wss://api.openai.com/v1/realtime"
"""Where the Realtime API answers; `?model=` names the model."""

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The longest message to accept: a retrieved item holds its audio, and 16 MiB of base64 is the
longest answer the API can give (4,096 tokens) several times over, in any of its formats."""


# From the server.


@frozen
class SessionCreated:
    """`session.created`: the first event on the socket, unprompted."""

    session: dict[str, Any] = field(repr=False)


@frozen
class SessionUpdated:
    """`session.updated`: the whole configuration now in effect, in answer to `session.update`."""

    session: dict[str, Any] = field(repr=False)


@frozen
class ServerError:
    """What an `error` event says. `event_id` is that of the client event it answers, if any."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


@frozen
class ErrorEvent:
    """`error`: a client event was refused, or the server failed. The session goes on, unless the
    server closes it."""

    error: ServerError


@frozen
class SpeechStarted:
    """`input_audio_buffer.speech_started`: turn detection heard the caller begin to speak.

    `audio_start_ms` counts the audio appended since the session began, prefix padding included.
    """

    item_id: str | None = None
    audio_start_ms: float | None = None


@frozen
class SpeechStopped:
    """`input_audio_buffer.speech_stopped`: turn detection heard the caller pause long enough."""

    item_id: str | None = None
    audio_end_ms: float | None = None


@frozen
class SpeechCommitted:
    """`input_audio_buffer.committed`: the audio so far has become the user's item `item_id`."""

    item_id: str


@frozen
class InputTranscriptDelta:
    """`conversation.item.input_audio_transcription.delta`: more of what the caller said."""

    item_id: str
    delta: str | None = field(default=None, repr=False)


@frozen
class InputTranscriptCompleted:
    """`conversation.item.input_audio_transcription.completed`: all of what the caller said."""

    item_id: str
    transcript: str = field(repr=False)


@frozen
class Response:
    """A response, as its first and last events describe it.

    `conversation_id` is `None` for a response outside the conversation (`conversation: "none"`);
    where a server leaves the field out, the response counts as inside.
    """

    id: str
    status: str | None = None
    conversation_id: str | None = ""
    status_details: Any = None
    usage: Any = None


@frozen
class ResponseCreated:
    """`response.created`: a response has begun, asked for by us or by turn detection."""

    response: Response


@frozen
class ResponseDone:
    """`response.done`: generation has ended. Most of the audio may still wait to be played."""

    response: Response


@frozen
class Item:
    """An item of the conversation, or of a response."""

    id: str
    type: str
    role: str | None = None
    status: str | None = None


@frozen
class OutputItemDone:
    """`response.output_item.done`: an item of a response is complete, or was cut short."""

    response_id: str
    item: Item


@define
class OutputAudioDelta:
    """`response.output_audio.delta`: more audio of one content part. (A value: do not change it.)

    `delta` is base64 in the session's output format, not yet checked.
    """

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    content_index: int = 0


@frozen
class OutputAudioDone:
    """`response.output_audio.done`: all audio of one content part has come."""

    response_id: str
    item_id: str
    content_index: int = 0


@frozen
class OutputTranscriptDelta:
    """`response.output_audio_transcript.delta`: more of the words; they run ahead of the audio."""

    response_id: str
    item_id: str
    delta: str = field(repr=False)
    content_index: int = 0


@frozen
class OutputTranscriptDone:
    """`response.output_audio_transcript.done`: all the words of one content part."""

    response_id: str
    item_id: str
    transcript: str = field(repr=False)
    content_index: int = 0


@frozen
class OtherEvent:
    """An event that the bridge does not act on, known or not."""

    type: str


ServerEvent: TypeAlias = (
    OutputAudioDelta
    | OutputTranscriptDelta
    | SpeechStarted
    | SpeechStopped
    | SpeechCommitted
    | InputTranscriptDelta
    | InputTranscriptCompleted
    | ResponseCreated
    | ResponseDone
    | OutputItemDone
    | OutputAudioDone
    | OutputTranscriptDone
    | SessionCreated
    | SessionUpdated
    | ErrorEvent
    | OtherEvent
)


def decode(text: str) -> ServerEvent | Fault:
    """One event from the server, or what is wrong with it."""
    return _decoder.decode(text)


_decoder: TaggedDecoder[ServerEvent] = TaggedDecoder(
    Peer.REALTIME,
    "type",
    {
        "session.created": SessionCreated,
        "session.updated": SessionUpdated,
        "error": ErrorEvent,
        "input_audio_buffer.speech_started": SpeechStarted,
        "input_audio_buffer.speech_stopped": SpeechStopped,
        "input_audio_buffer.committed": SpeechCommitted,
        "conversation.item.input_audio_transcription.delta": InputTranscriptDelta,
        "conversation.item.input_audio_transcription.completed": InputTranscriptCompleted,
        "response.created": ResponseCreated,
        "response.done": ResponseDone,
        "response.output_item.done": OutputItemDone,
        "response.output_audio.delta": OutputAudioDelta,
        "response.output_audio.done": OutputAudioDone,
        "response.output_audio_transcript.delta": OutputTranscriptDelta,
        "response.output_audio_transcript.done": OutputTranscriptDone,
    },
    other=OtherEvent,
)


# To the server. The fields of a class are the fields of the event; `None` leaves one out.


class _Encoded:
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
class UpdateSession(_Encoded):
    """`session.update`: changes the fields present. `session` must hold `type`."""

    type = "session.update"
    session: Mapping[str, Any] = field(repr=False)
    event_id: str | None = None


@define
class AppendAudio(_Encoded):
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
class CommitAudio(_Encoded):
    """`input_audio_buffer.commit`: ends the user's turn by hand; at least 100 ms are needed."""

    type = "input_audio_buffer.commit"
    event_id: str | None = None


@frozen
class ClearInputAudio(_Encoded):
    """`input_audio_buffer.clear`: forgets the audio appended and not committed."""

    type = "input_audio_buffer.clear"
    event_id: str | None = None


@frozen
class ClearOutputAudio(_Encoded):
    """`output_audio_buffer.clear`: for WebRTC and SIP; over WebSocket the server refuses it."""

    type = "output_audio_buffer.clear"
    event_id: str | None = None


@frozen
class CreateItem(_Encoded):
    """`conversation.item.create`: adds an item, at the end or after `previous_item_id`."""

    type = "conversation.item.create"
    item: Mapping[str, Any] = field(repr=False)
    previous_item_id: str | None = None
    event_id: str | None = None


@frozen
class RetrieveItem(_Encoded):
    """`conversation.item.retrieve`: asks for an item with its audio."""

    type = "conversation.item.retrieve"
    item_id: str
    event_id: str | None = None


@frozen
class TruncateItem(_Encoded):
    """`conversation.item.truncate`: forgets the audio of an assistant's item after `audio_end_ms`,
    and its transcript. More than the audio sent so far is refused."""

    type = "conversation.item.truncate"
    item_id: str
    content_index: int
    audio_end_ms: int
    event_id: str | None = None


@frozen
class DeleteItem(_Encoded):
    """`conversation.item.delete`: takes an item out of the conversation."""

    type = "conversation.item.delete"
    item_id: str
    event_id: str | None = None


@frozen
class CreateResponse(_Encoded):
    """`response.create`: asks the model to answer; `response` holds parameters for this once."""

    type = "response.create"
    response: Mapping[str, Any] | None = field(default=None, repr=False)
    event_id: str | None = None


@frozen
class CancelResponse(_Encoded):
    """`response.cancel`: ends a response; without an id, that of the default conversation."""

    type = "response.cancel"
    response_id: str | None = None
    event_id: str | None = None


@frozen
class OtherClientEvent:
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
    | OtherClientEvent
)

_CLIENT_EVENTS: dict[str, type[Any]] = {
    kind.type: kind for kind in get_args(ClientEvent) if kind is not OtherClientEvent
}


_UNDERSTOOD = (AppendAudio, CreateResponse, UpdateSession)
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
        kind = _CLIENT_EVENTS.get(type_)
        if kind is None:
            return OtherClientEvent(type_, body)
        unknown = body.keys() - {"type", *attrs.fields_dict(kind)}
        if unknown and kind not in _UNDERSTOOD:
            return OtherClientEvent(type_, body)
        typed: ClientEvent = msgspec.convert(body, kind)
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{type_} cannot be sent: {error}") from None
    if unknown:
        raise LocalProtocolError(f"{type_} has no field {sorted(unknown)}: take it out")
    if isinstance(typed, AppendAudio) and count_samples(typed.audio) is None:
        raise LocalProtocolError(f"{type_} cannot be sent: its audio is no base64, or empty")
    return typed

"""Twilio Media Streams messages, in both directions.

All are JSON text. Numbers in messages from Twilio are JSON strings (`"timestamp": "155"`), except
those of `mediaFormat`.

Source: Twilio documentation, "Media Streams - WebSocket Messages",
https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

from typing import Any, Final, Protocol, TypeAlias

import msgspec
from attrs import define, field, frozen

from ..errors import Fault, FaultKind
from ..machine.actions import Peer
from .tagged import TaggedDecoder

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_SID_CHARACTERS",
    "Clear",
    "ConnectedEvent",
    "DtmfEvent",
    "Mark",
    "MarkEvent",
    "Media",
    "MediaBody",
    "MediaEvent",
    "StartEvent",
    "StopEvent",
    "StreamEvent",
    "UnknownEvent",
    "decode",
]

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""The longest message that is accepted from Twilio. One with a 20 ms frame has 400 bytes. The
longest is a `start` with custom parameters (under 500 characters each, in 64 kB of TwiML)."""

MAX_SID_CHARACTERS: Final = 64
"""The longest SID that is accepted: Twilio's have 34 characters, and each message to it holds that
of the stream."""

_KEYS: Final = frozenset("0123456789*#ABCD")
"""The keys of a phone, as `dtmf` names them."""

_MAX_DIGITS = 18
"""The most digits of a timestamp: more milliseconds than any call lasts, and safe to convert."""


# Events: what the messages from Twilio say.


@frozen
class ConnectedEvent:
    """`connected`: the first message on the socket, received once."""


@frozen
class StartEvent:
    """`start`: the stream has started; the second message on the socket, received once."""

    stream_sid: str
    call_sid: str | None
    account_sid: str | None = field(repr=False)
    encoding: object
    """`audio/x-mulaw` in every stream that Twilio documents. `None`: it is not stated."""
    sample_rate: object
    """8000 in every stream that Twilio documents. `None`: it is not stated."""
    channels: object
    """1 in every stream that Twilio documents. `None`: it is not stated."""
    tracks: object
    """A list: `["inbound"]` in a bidirectional stream; one that is not may have `outbound`."""
    custom_parameters: dict[str, str] = field(repr=False)
    """The values of the TwiML's `<Parameter>` elements, by name."""


class MediaBody(msgspec.Struct, gc=False):
    """The audio of a `media` message. Treat it as immutable."""

    payload: str
    """Base64 of µ-law samples, not yet checked."""
    track: Any = None
    """`inbound`: what the caller says; `outbound`: what they hear."""
    timestamp: Any = None
    """`timestamp_ms` as it was sent: a number, in a JSON string."""

    @property
    def timestamp_ms(self) -> int | None:
        """Time since the start of the stream. It is a clock reading with a few ms of jitter, not a
        sample position. `None`: it is missing, or not a whole number."""
        value = self.timestamp
        if isinstance(value, str):
            return int(value) if value.isdecimal() and len(value) <= _MAX_DIGITS else None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MAX_DIGITS:
            return value
        return None

    def __repr__(self) -> str:
        return f"MediaBody({self.track!r}, {self.timestamp!r})"


class MediaEvent(msgspec.Struct, rename="camel", gc=False):
    """`media`: audio of the caller, 20 ms in every stream seen. Treat it as immutable.

    It has the shape of the message, since another object for each of fifty a second costs time.
    """

    stream_sid: str
    media: MediaBody


@frozen
class MarkEvent:
    """`mark`: all audio that was sent before the mark `name` was played, or cleared."""

    stream_sid: str
    name: str = field(repr=False)


@frozen
class DtmfEvent:
    """`dtmf`: the caller pressed a key; one message for each press."""

    stream_sid: str
    digit: str = field(repr=False)
    """One of `0` to `9`, `*`, `#`, `A` to `D`."""


@frozen
class StopEvent:
    """`stop`: the stream has ended, by hang-up or otherwise; the last message on the socket."""

    stream_sid: str


@frozen
class UnknownEvent:
    """A message of a kind that this version does not know."""


StreamEvent: TypeAlias = (
    MediaEvent | MarkEvent | DtmfEvent | ConnectedEvent | StartEvent | StopEvent | UnknownEvent
)


def decode(text: str) -> StreamEvent | Fault:
    """Return the event of one message from Twilio, or a fault."""
    message = _decoder.decode(text)
    if isinstance(message, MediaEvent):
        return message
    return message if isinstance(message, Fault) else message.to_event()


# Messages: their JSON shapes. Only fields that are acted on have a narrow type, so that an
# unexpected value in another field does not lose the message.


class _Message(Protocol):
    def to_event(self) -> StreamEvent | Fault: ...


class _ConnectedMessage(msgspec.Struct, rename="camel"):
    def to_event(self) -> ConnectedEvent:
        return ConnectedEvent()


class _MediaFormat(msgspec.Struct, rename="camel"):
    encoding: Any = None
    sample_rate: Any = None
    channels: Any = None


class _StartBody(msgspec.Struct, rename="camel"):
    call_sid: str | None = None
    account_sid: str | None = None
    media_format: _MediaFormat | None = None
    tracks: Any = None
    custom_parameters: dict[str, Any] | None = None


class _StartMessage(msgspec.Struct, rename="camel"):
    stream_sid: str
    start: _StartBody

    def to_event(self) -> StartEvent | Fault:
        if not self.stream_sid:
            return Fault(Peer.TWILIO, FaultKind.BAD_MESSAGE, "start: an empty streamSid")
        body = self.start
        for sid in (self.stream_sid, body.call_sid, body.account_sid):
            if sid is not None and len(sid) > MAX_SID_CHARACTERS:
                what = f"start: a SID of more than {MAX_SID_CHARACTERS} characters"
                return Fault(Peer.TWILIO, FaultKind.BAD_MESSAGE, what)
        media_format = body.media_format or _MediaFormat()
        return StartEvent(
            stream_sid=self.stream_sid,
            call_sid=body.call_sid,
            account_sid=body.account_sid,
            encoding=media_format.encoding,
            sample_rate=media_format.sample_rate,
            channels=media_format.channels,
            tracks=body.tracks,
            custom_parameters={
                name: value
                for name, value in (body.custom_parameters or {}).items()
                if isinstance(value, str)
            },
        )


class _MarkBody(msgspec.Struct):
    name: str


class _MarkMessage(msgspec.Struct, rename="camel"):
    stream_sid: str
    mark: _MarkBody

    def to_event(self) -> MarkEvent:
        return MarkEvent(self.stream_sid, self.mark.name)


class _DtmfBody(msgspec.Struct):
    digit: str


class _DtmfMessage(msgspec.Struct, rename="camel"):
    stream_sid: str
    dtmf: _DtmfBody

    def to_event(self) -> DtmfEvent | Fault:
        if self.dtmf.digit not in _KEYS:
            what = "dtmf: a digit that is no key of a phone"
            return Fault(Peer.TWILIO, FaultKind.BAD_MESSAGE, what)
        return DtmfEvent(self.stream_sid, self.dtmf.digit)


class _StopMessage(msgspec.Struct, rename="camel"):
    stream_sid: str

    def to_event(self) -> StopEvent:
        return StopEvent(self.stream_sid)


class _UnknownMessage(msgspec.Struct):
    event: str

    def to_event(self) -> UnknownEvent:
        return UnknownEvent()


_decoder: TaggedDecoder[MediaEvent | _Message] = TaggedDecoder(
    Peer.TWILIO,
    "event",
    {
        "connected": _ConnectedMessage,
        "start": _StartMessage,
        "media": MediaEvent,
        "mark": _MarkMessage,
        "dtmf": _DtmfMessage,
        "stop": _StopMessage,
    },
    make_unlisted=lambda tag, _: _UnknownMessage(tag),
)


# Messages to Twilio, on bidirectional streams only. They have exactly these fields: an additional
# one is a fault (warning 31951, https://www.twilio.com/docs/api/errors/31951).


@define
class Media:
    """Audio for the caller, any amount of it. Treat it as immutable.

    Twilio queues it, and plays it in order.
    """

    stream_sid: str
    payload: str = field(repr=False)
    """Base64 of µ-law samples without a header. It is not checked."""

    def encode(self) -> str:
        """Return the JSON text."""
        return (
            f'{{"event":"media","streamSid":{_encode_string(self.stream_sid)},'
            f'"media":{{"payload":"{self.payload}"}}}}'
        )


@frozen
class Mark:
    """A mark, which Twilio echoes once all audio sent before it was played or cleared."""

    stream_sid: str
    name: str

    def encode(self) -> str:
        """Return the JSON text."""
        return (
            f'{{"event":"mark","streamSid":{_encode_string(self.stream_sid)},'
            f'"mark":{{"name":{_encode_string(self.name)}}}}}'
        )


@frozen
class Clear:
    """A clear, which empties Twilio's queue at once; Twilio echoes every mark in it."""

    stream_sid: str

    def encode(self) -> str:
        """Return the JSON text."""
        return f'{{"event":"clear","streamSid":{_encode_string(self.stream_sid)}}}'


def _encode_string(text: str) -> str:
    return msgspec.json.encode(text).decode()

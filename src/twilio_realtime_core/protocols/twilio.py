"""Twilio Media Streams messages, both directions.

Source: Twilio documentation, "Media Streams - WebSocket Messages". All are JSON text; numbers in
messages from Twilio are JSON strings (`"timestamp": "155"`), except those of `mediaFormat`.
"""

from typing import Any, Final, Protocol, TypeAlias

import msgspec
from attrs import define, field, frozen

from ..errors import Fault, FaultKind
from ..machine.actions import Peer
from .tagged import TaggedDecoder

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Clear",
    "ConnectedEvent",
    "DtmfEvent",
    "Mark",
    "MarkEvent",
    "Media",
    "MediaEvent",
    "StartEvent",
    "StopEvent",
    "StreamEvent",
    "UnknownEvent",
    "decode",
]

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""The longest message to accept from Twilio. A 20 ms frame makes one of 400 bytes; a `start` with
custom parameters (under 500 characters each, inside 64 kB of TwiML) is the longest there is."""

_MAX_DIGITS = 18
"""Digits of a timestamp: more milliseconds than any call lasts, and safe to convert."""


# From Twilio.


@frozen
class ConnectedEvent:
    """`connected`: the first message on the socket, once."""


@frozen
class StartEvent:
    """`start`: the stream begins; the second message on the socket, once.

    `encoding` is `audio/x-mulaw`, `sample_rate` 8000 and `channels` 1 in every stream that Twilio
    documents. `custom_parameters` are those of the TwiML's `<Parameter>` elements.
    """

    stream_sid: str
    call_sid: str | None
    account_sid: str | None = field(repr=False)
    encoding: object
    sample_rate: object
    channels: object
    custom_parameters: dict[str, str] = field(repr=False)


@define
class MediaEvent:
    """`media`: caller audio, 20 ms in every stream seen. (A value: do not change it.)

    `payload` is base64 of µ-law samples, not yet checked. `timestamp_ms` counts from the start of
    the stream; it is a clock reading with a few ms of jitter, not a sample position, and `None`
    where it is missing or no whole number.
    """

    stream_sid: str
    track: object
    payload: str = field(repr=False)
    timestamp_ms: int | None


@frozen
class MarkEvent:
    """`mark`: all that was sent before the mark `name` has been played, or was cleared."""

    stream_sid: str
    name: str = field(repr=False)


@frozen
class DtmfEvent:
    """`dtmf`: the caller pressed a key, once for each press."""

    stream_sid: str
    digit: str = field(repr=False)


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
    """One message from Twilio, or what is wrong with it."""
    wire = _decoder.decode(text)
    return wire if isinstance(wire, Fault) else wire.to_event()


# The JSON shapes of messages. Only fields that are acted on have a narrow type, so that a surprise
# in another never costs the message. The garbage collector need not track those of every frame.


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
    custom_parameters: dict[str, Any] | None = None


class _StartMessage(msgspec.Struct, rename="camel"):
    stream_sid: str
    start: _StartBody

    def to_event(self) -> StartEvent | Fault:
        if not self.stream_sid:
            return Fault(Peer.TWILIO, FaultKind.BAD_MESSAGE, "start: an empty streamSid")
        body = self.start
        media_format = body.media_format or _MediaFormat()
        return StartEvent(
            stream_sid=self.stream_sid,
            call_sid=body.call_sid,
            account_sid=body.account_sid,
            encoding=media_format.encoding,
            sample_rate=media_format.sample_rate,
            channels=media_format.channels,
            custom_parameters={
                name: value
                for name, value in (body.custom_parameters or {}).items()
                if isinstance(value, str)
            },
        )


class _MediaBody(msgspec.Struct, gc=False):
    payload: str
    track: Any = None
    timestamp: Any = None


class _MediaMessage(msgspec.Struct, rename="camel", gc=False):
    stream_sid: str
    media: _MediaBody

    def to_event(self) -> MediaEvent:
        body = self.media
        return MediaEvent(
            self.stream_sid, body.track, body.payload, _parse_timestamp_ms(body.timestamp)
        )


def _parse_timestamp_ms(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _MAX_DIGITS else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MAX_DIGITS:
        return value
    return None


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

    def to_event(self) -> DtmfEvent:
        return DtmfEvent(self.stream_sid, self.dtmf.digit)


class _StopMessage(msgspec.Struct, rename="camel"):
    stream_sid: str

    def to_event(self) -> StopEvent:
        return StopEvent(self.stream_sid)


class _UnknownMessage(msgspec.Struct):
    event: str

    def to_event(self) -> UnknownEvent:
        return UnknownEvent()


_decoder: TaggedDecoder[_Message] = TaggedDecoder(
    Peer.TWILIO,
    "event",
    {
        "connected": _ConnectedMessage,
        "start": _StartMessage,
        "media": _MediaMessage,
        "mark": _MarkMessage,
        "dtmf": _DtmfMessage,
        "stop": _StopMessage,
    },
    make_unlisted=_UnknownMessage,
)


# To Twilio, on bidirectional streams only. Exactly these fields: one too many is a fault (31951).


@define
class Media:
    """Audio for the caller: base64 of µ-law samples without header, any size; Twilio queues it and
    plays it in order. `payload` must be base64. (A value: do not change it.)"""

    stream_sid: str
    payload: str = field(repr=False)

    def encode(self) -> str:
        """The JSON text."""
        return (
            f'{{"event":"media","streamSid":{_encode_string(self.stream_sid)},'
            f'"media":{{"payload":"{self.payload}"}}}}'
        )


@frozen
class Mark:
    """Asks for an echo once all that was sent before it has been played or cleared."""

    stream_sid: str
    name: str

    def encode(self) -> str:
        """The JSON text."""
        return (
            f'{{"event":"mark","streamSid":{_encode_string(self.stream_sid)},'
            f'"mark":{{"name":{_encode_string(self.name)}}}}}'
        )


@frozen
class Clear:
    """Empties Twilio's queue at once; every mark still in it is echoed."""

    stream_sid: str

    def encode(self) -> str:
        """The JSON text."""
        return f'{{"event":"clear","streamSid":{_encode_string(self.stream_sid)}}}'


def _encode_string(text: str) -> str:
    return msgspec.json.encode(text).decode()

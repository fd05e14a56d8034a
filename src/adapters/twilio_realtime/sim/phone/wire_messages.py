"""Media Streams messages as Twilio sends and validates them.

Source: https://www.twilio.com/docs/voice/media-streams/websocket-messages and the warnings 31950
and 31951. Numbers in messages from Twilio are JSON strings, except those of `mediaFormat`.
"""

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from attrs import define, field, frozen

__all__ = [
    "WireClear",
    "WireConnected",
    "WireDtmf",
    "WireFrame",
    "WireMark",
    "WireMarkEcho",
    "WireMedia",
    "WireServerMessage",
    "WireStart",
    "WireStop",
    "decode_server_message",
    "encode_frame",
]


# To the server. Each has `encode()`, which returns the text to send.


@frozen
class WireConnected:
    """`connected`: the first message, sent once, and the only one without a sequence number."""

    def encode(self) -> str:
        """Return the message as JSON."""
        return '{"event":"connected","protocol":"Call","version":"1.0.0"}'


@frozen
class WireStart:
    """`start`: the second message, sent once, with number 1."""

    sequence: int
    stream_sid: str
    account_sid: str
    call_sid: str
    custom_parameters: Mapping[str, str]

    def encode(self) -> str:
        """Return the message as JSON."""
        return _encode(
            {
                "event": "start",
                "sequenceNumber": str(self.sequence),
                "start": {
                    "accountSid": self.account_sid,
                    "streamSid": self.stream_sid,
                    "callSid": self.call_sid,
                    "tracks": ["inbound"],
                    "mediaFormat": {
                        "encoding": "audio/x-mulaw",
                        "sampleRate": 8000,
                        "channels": 1,
                    },
                    "customParameters": dict(self.custom_parameters),
                },
                "streamSid": self.stream_sid,
            }
        )


@define
class WireFrame:
    """`media`: a frame of the caller's voice, one byte of µ-law for each sample; Twilio's last 20
    ms. (A value: do not change it.)"""

    sequence: int
    stream_sid: str
    chunk: int
    timestamp_ms: int
    audio: bytes = field(repr=False)

    def encode(self) -> str:
        """Return the message as JSON."""
        payload = b2a_base64(self.audio, newline=False).decode()
        return encode_frame(self.sequence, self.stream_sid, self.chunk, self.timestamp_ms, payload)


def encode_frame(
    sequence: int, stream_sid: str, chunk: int, timestamp_ms: int, payload: str
) -> str:
    """Return a `media` message as JSON; `payload` is its audio in base64. No field needs
    escaping."""
    return (
        f'{{"event":"media","sequenceNumber":"{sequence}",'
        f'"media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp_ms}",'
        f'"payload":"{payload}"}},"streamSid":"{stream_sid}"}}'
    )


@frozen
class WireDtmf:
    """`dtmf`: the caller pressed a key. The name of its track has a suffix that those of `media`
    lack."""

    sequence: int
    stream_sid: str
    digit: str

    def encode(self) -> str:
        """Return the message as JSON."""
        return _encode(
            {
                "event": "dtmf",
                "streamSid": self.stream_sid,
                "sequenceNumber": str(self.sequence),
                "dtmf": {"track": "inbound_track", "digit": self.digit},
            }
        )


@frozen
class WireMarkEcho:
    """`mark`: everything before the mark of that name has been played or cleared."""

    sequence: int
    stream_sid: str
    name: str

    def encode(self) -> str:
        """Return the message as JSON."""
        return _encode(
            {
                "event": "mark",
                "sequenceNumber": str(self.sequence),
                "streamSid": self.stream_sid,
                "mark": {"name": self.name},
            }
        )


@frozen
class WireStop:
    """`stop`: the last message, sent once; the stream has ended on Twilio's side."""

    sequence: int
    stream_sid: str
    account_sid: str
    call_sid: str

    def encode(self) -> str:
        """Return the message as JSON."""
        return _encode(
            {
                "event": "stop",
                "sequenceNumber": str(self.sequence),
                "streamSid": self.stream_sid,
                "stop": {"accountSid": self.account_sid, "callSid": self.call_sid},
            }
        )


# From the server.


@frozen
class WireMedia:
    """`media`: µ-law audio to play, any number of bytes."""

    audio: bytes = field(repr=False)


@frozen
class WireMark:
    """`mark`: to be echoed when everything before it has been played."""

    name: str


@frozen
class WireClear:
    """`clear`: discard what has not been played."""


WireServerMessage: TypeAlias = WireMedia | WireMark | WireClear

_FIELDS: Final = {"media": "payload", "mark": "name", "clear": ""}
"""The one field of each message's object, which is named like the event; `clear` has none."""


def decode_server_message(
    text: str, stream_sid: str
) -> tuple[WireServerMessage | None, str | None]:
    """Return the message in a text from the server, and what is wrong with it (a 31951), if
    anything.

    A faulty message is `None`, except one with extra fields: Twilio documents these as a fault, but
    clients send some and are understood, so the result is both a message and a fault.
    """
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError):
        return None, "not JSON"
    if not isinstance(message, dict):
        return None, "no JSON object"
    return _decode_object(cast("dict[str, object]", message), stream_sid)


def _decode_object(
    message: dict[str, object], stream_sid: str
) -> tuple[WireServerMessage | None, str | None]:
    event = message.get("event")
    if not isinstance(event, str) or event not in _FIELDS:
        return None, "no event, or not one of media, mark, clear"
    if "streamSid" not in message:
        return None, f"{event}: streamSid is missing"
    if message["streamSid"] != stream_sid:
        return None, f"{event}: streamSid is not that of the stream"
    if event == "clear":
        return WireClear(), _describe_extra_fields(message, {"event", "streamSid"}, event)
    return _decode_content(event, message)


def _decode_content(
    event: str, message: dict[str, object]
) -> tuple[WireServerMessage | None, str | None]:
    key = _FIELDS[event]
    content = message.get(event)
    if not isinstance(content, dict):
        return None, f"{event}: {event} is missing or no object"
    fields = cast("dict[str, object]", content)
    value = fields.get(key)
    if not isinstance(value, str):
        return None, f"{event}: {event}.{key} is missing or no string"
    fault = _describe_extra_fields(
        message, {"event", "streamSid", event}, event
    ) or _describe_extra_fields(fields, {key}, event)
    if event == "mark":
        return WireMark(value), fault
    try:
        return WireMedia(a2b_base64(value, strict_mode=True)), fault
    except ValueError:
        return None, "media: media.payload is no base64"


def _describe_extra_fields(
    message: dict[str, object], expected: set[str], event: str
) -> str | None:
    """Return a description of fields that a message should not have. It leaves out their names,
    which come from the peer."""
    count = len(message.keys() - expected)
    return f"{event}: {count} field(s) too many" if count else None


def _encode(message: dict[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))

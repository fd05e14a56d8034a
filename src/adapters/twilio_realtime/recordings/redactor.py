"""Values of the core as JSON without private content, and back.

`Redactor` encodes a value and removes what is private in one pass; `decode_value` is its inverse.
`docs/how-to/recorded-calls.md` lists what is removed.

A redacted call takes the same course as the original. Text keeps its length and loses its digits,
one for one; audio becomes silence of the same length. So a bridge that is given the redacted inputs
returns the redacted actions.
"""

import json
import math
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Never, cast
from urllib.parse import urlsplit, urlunsplit

import attrs
from msgspec import UNSET

from twilio_realtime_core import commands, notifications
from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.config import call as configuration
from twilio_realtime_core.errors import Fault, FaultKind, redact
from twilio_realtime_core.machine import actions
from twilio_realtime_core.machine.actions import Refusal, Send
from twilio_realtime_core.notifications import (
    CallerTranscript,
    RealtimeEvent,
    TwilioMessage,
    TypedRealtimeEvent,
)
from twilio_realtime_core.values import items

__all__ = ["NOT_JSON", "Redactor", "decode_value"]

_CLASS_KEY: Final = "@"
"""The key that holds the class name of an encoded value."""

NOT_JSON: Final = "not JSON"
"""Replaces text that is not JSON, since its content is unknown."""

_FUNCTION: Final = "function"
"""Replaces functions of the application, and anything else that JSON cannot hold."""

_INVALID_AUDIO: Final = "*"
"""Replaces a payload that is not base64."""

_HIDDEN: Final = "[hidden]"

_CORE_PREFIX: Final = "twilio_realtime_core."

_SECRET_FIELDS: Final = (
    *("authorization", "headers", "api_key", "client_secret", "server_url", "image_url"),
    *("accountSid", "account_sid", "customParameters", "custom_parameters"),
    *("safety_identifier", "logprobs"),
)
"""Fields that hold keys, tokens, accounts or persons, or repeat what was said (`logprobs`)."""

_IDENTIFIER_FIELDS: Final = frozenset(
    [
        *("id", "event_id", "item_id", "previous_item_id", "response_id", "call_id"),
        *("conversation_id", "session_id", "approval_request_id", "previous_response_id"),
        *("streamSid", "stream_sid", "callSid", "call_sid"),
        *("type", "event", "object", "role", "status", "model", "voice", "format"),
        *("encoding", "protocol", "version", "language", "server_label"),
        *("sequenceNumber", "chunk", "timestamp", "track", "tracks", "host", "eagerness"),
        *("include", "output_modalities", "modalities", "truncation", "tool_choice"),
    ]
)
"""Fields that hold an identifier, a kind or a count, and are kept. All other text may be what was
said, written or pressed: it loses its digits, and so the numbers of persons, and keeps its
length."""

_SERVER_TEXT_FIELDS: Final = ("message", "reason", "detail")
"""Text written by a peer's program. Servers put API keys there."""

_ERROR_NAME_FIELDS: Final = ("code", "param")
"""Names of errors and of fields. Some servers put text there."""

_APPLICATION_DATA_FIELDS: Final = ("metadata", "variables")
"""Fields whose values and field names are chosen by the application."""

_DIGIT: Final = re.compile(r"\d")
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
"""Digits that may be a phone number: the shortest have seven."""
_ERROR_NAME: Final = re.compile(r"[A-Za-z0-9_.\[\]]{1,64}")
"""The form of names of errors and of fields, such as `session.tools[0].type`."""


class _NumberLiteral(str):
    """A number in the text of its message: some exceed the range of Python's floats."""

    __slots__ = ()


def _reject_constant(name: str) -> Never:
    """Reject the constants that `json` accepts and JSON does not have, such as `NaN`."""
    raise ValueError(name)


def _to_json(value: object) -> str:
    match value:
        case _NumberLiteral():
            return value
        case Mapping():
            data = cast("Mapping[str, object]", value)
            return f"{{{','.join(f'{json.dumps(key)}:{_to_json(data[key])}' for key in data)}}}"
        case list():
            return f"[{','.join(map(_to_json, cast('list[object]', value)))}]"
        case _:
            return json.dumps(value)


@attrs.frozen
class Redactor:
    """Encodes values as JSON without private content.

    `keep_audio`: keep audio, and the keys of `PressKeys`, which are audible. Methods raise
    `RecursionError` for data that is nested too deeply.
    """

    keep_audio: bool = False
    _tags_classes: bool = attrs.field(default=True, kw_only=True, alias="tags_classes")
    """Whether values get a class tag; messages on the wire do not."""

    def encode(self, value: object) -> Any:
        """Encode a value of the core: an object with its class name as `@`. The message of a
        `Send` is encoded as on the wire."""
        match value:
            case Send(peer, message):
                return {
                    _CLASS_KEY: "Send",
                    "peer": _peer_name(peer),
                    "message": self._encode_message(message),
                }
            case CallerTranscript() if value.logprobs:  # they hold the words
                return self.encode(attrs.evolve(value, logprobs=()))
            case TypedRealtimeEvent(event):  # its text is in the input of the same step
                return {"@": "TypedRealtimeEvent", "event": type(event).__name__}
            case TwilioMessage(text) | RealtimeEvent(text):
                return {_CLASS_KEY: type(value).__name__, "text": self.redact_message(text)}
            case Enum() if _is_core_class(type(value)):
                return {_CLASS_KEY: type(value).__name__, "value": value.value}
            case bytes():
                return {
                    _CLASS_KEY: "bytes",
                    "base64": b64encode(self._redact_audio(value)).decode(),
                }
            case frozenset():
                several = cast("frozenset[object]", value)
                return {
                    _CLASS_KEY: "set",
                    "items": sorted(map(self.encode, several), key=json.dumps),
                }
            case Fault(kind=FaultKind.NOT_JSON) if value.message != NOT_JSON:
                return self.encode(attrs.evolve(value, message=NOT_JSON))
            case _ if _is_core_class(type(value)):
                return {_CLASS_KEY: type(value).__name__, **self._encode_fields(_fields_of(value))}
            case _:
                return self.encode_data(value)

    def redact_message(self, text: str) -> str:
        """Redact the text of a message on the wire; `NOT_JSON` if it is not JSON."""
        try:
            data = json.loads(text, parse_float=_NumberLiteral, parse_constant=_reject_constant)
        except (ValueError, RecursionError):
            return NOT_JSON
        return _to_json(attrs.evolve(self, tags_classes=False).encode_data(data))

    def redact_reason(self, text: str) -> str:
        """Redact text written by a peer's program."""
        return _zero_digits(redact(text))

    def encode_refusal(self, refusal: Refusal) -> dict[str, object]:
        """Encode the refusal of a handshake, without what a program has written for people."""
        return {**attrs.asdict(refusal), "message": self.redact_reason(refusal.message)}

    def encode_data(self, value: object) -> Any:
        """Encode plain data, as protocols have it."""
        match value:
            case None | str() | int() | float():
                return value
            case Mapping():
                return self._encode_object(cast("Mapping[str, object]", value))
            case list() | tuple():
                return [self.encode(each) for each in cast("list[object]", value)]
            case _:
                return {_CLASS_KEY: _FUNCTION}

    def add_defaults(self, data: Any) -> Any:
        """Return encoded data with the fields that have been added to its classes since, at their
        defaults. So a recording stays comparable with what a later version of the core encodes."""
        match data:
            case {"@": "Send"}:  # its message is as on the wire
                return data
            case {"@": str(name)} if attrs.has(_CLASSES.get(name, object)):
                fields = {key: self.add_defaults(value) for key, value in data.items()}
                return self._encode_fields(_defaults_of(_CLASSES[name])) | fields
            case dict():
                fields = cast("dict[str, Any]", data)
                return {key: self.add_defaults(value) for key, value in fields.items()}
            case list():
                return [self.add_defaults(each) for each in cast("list[object]", data)]
            case _:
                return data

    def _encode_message(self, message: Any) -> Any:
        return attrs.evolve(self, tags_classes=False).encode_data(json.loads(message.encode()))

    def _encode_object(self, data: Mapping[str, object]) -> dict[str, Any]:
        fields = self._encode_fields(_to_encodable(data) if self._tags_classes else data)
        if str(data.get("type")).endswith("audio.delta") and "delta" in data:
            fields["delta"] = self._redact_payload(data["delta"])
        # Data with a key like the class tag must not be decoded as a value.
        is_ambiguous = self._tags_classes and _CLASS_KEY in data
        return {_CLASS_KEY: "dict", "items": list(fields.items())} if is_ambiguous else fields

    def _encode_fields(self, fields: Mapping[str, object]) -> dict[str, Any]:
        return {name: self._encode_field(name, value) for name, value in fields.items()}

    def _encode_field(self, name: str, value: object) -> Any:
        match name, value:
            case "peer", Enum() | str():
                return _peer_name(value)
            case "url", str():
                return _strip_url(value)
            case (("payload" | "audio"), str()):
                return self._redact_payload(value)
            case "keys", str():
                return value if self.keep_audio else _zero_digits(value)
            case _ if name in _SECRET_FIELDS:
                return _scrub(value, _hide)
            case _ if name in _APPLICATION_DATA_FIELDS:
                return _scrub(value, _zero_digits)
            case _, _NumberLiteral():
                return value
            case _, str() if name in _SERVER_TEXT_FIELDS:
                return self.redact_reason(value)
            case _, str() if name in _ERROR_NAME_FIELDS:
                return _redact_code(value)
            case "name", str():
                return _LONG_NUMBER.sub(lambda run: "0" * len(run[0]), value)
            case _, str() if name not in _IDENTIFIER_FIELDS:
                return _zero_digits(value)
            case _, list() | tuple():
                return [self._encode_field(name, each) for each in cast("list[object]", value)]
            case _:
                return self.encode(value)

    def _redact_payload(self, payload: object) -> object:
        """Redact audio in base64; invalid base64 stays invalid."""
        if self.keep_audio or not isinstance(payload, str) or not payload:
            return payload
        samples = count_samples(payload)
        return _INVALID_AUDIO if samples is None else b64encode(_silence(samples)).decode()

    def _redact_audio(self, audio: bytes) -> bytes:
        return audio if self.keep_audio else _silence(len(audio))


def decode_value(data: Any) -> Any:
    """Return the value that `Redactor.encode` encoded as `data`.

    Raises `KeyError`, `TypeError` or `ValueError`, and what the value's class raises, for data that
    encodes no value.
    """
    match data:
        case {"@": "bytes", "base64": str(encoded)}:
            return b64decode(encoded)
        case {"@": "set", "items": several}:
            return frozenset(map(decode_value, several))
        case {"@": "dict", "items": pairs}:
            return {key: decode_value(value) for key, value in pairs}
        case {"@": name, "value": value} if issubclass(_CLASSES[name], Enum):
            return _CLASSES[name](value)
        case {"@": "function"}:
            return _stand_in
        case {"@": name}:
            fields = {key: _decode_field(value) for key, value in data.items() if key != _CLASS_KEY}
            return _CLASSES[name](**fields)
        case dict():
            return {key: decode_value(value) for key, value in cast("dict[str, Any]", data).items()}
        case list():
            return [decode_value(each) for each in cast("Sequence[Any]", data)]
        case _:
            return data


def _stand_in(*_: object) -> None:
    """Replace a function of the application, or another value that JSON cannot hold."""


def _decode_field(data: Any) -> Any:
    """Decode a field of a value: values hold tuples where JSON has lists."""
    value = decode_value(data)
    return tuple(cast("Sequence[Any]", value)) if isinstance(value, list) else value


def _find_classes() -> Mapping[str, type[Any]]:
    """Find the classes of recorded values by name: those that the modules of commands,
    configuration, items, notifications and actions use of the core. Where two classes share a
    name, the first module in this order decides."""
    found: dict[str, type[Any]] = {}
    modules = [commands, configuration, items, notifications, actions]
    for module in modules:  # the list grows
        for kind in vars(module).values():
            if isinstance(kind, type) and (attrs.has(kind) or issubclass(kind, Enum)):
                found.setdefault(kind.__name__, kind)
                home = sys.modules[kind.__module__]
                if home not in modules and home.__name__.startswith(_CORE_PREFIX):
                    modules.append(home)
    return MappingProxyType(found)


def _is_core_class(kind: type) -> bool:
    return kind.__module__.startswith(_CORE_PREFIX) and (attrs.has(kind) or issubclass(kind, Enum))


def _fields_of(value: Any) -> dict[str, object]:
    fields = {each.name: getattr(value, each.name) for each in value.__attrs_attrs__}
    return {name: each for name, each in fields.items() if each is not UNSET}


def _defaults_of(kind: type[Any]) -> dict[str, object]:
    """The fields of a class that have a default, with it."""
    defaults: dict[str, object] = {}
    for each in attrs.fields(kind):
        # A factory of `attrs` has the function that makes the default.
        default = getattr(each.default, "factory", lambda value=each.default: value)()
        if default is not attrs.NOTHING and default is not UNSET:
            defaults[each.name] = default
    return defaults


def _peer_name(peer: object) -> object:
    return peer.value if isinstance(peer, Enum) else str(peer)


def _silence(samples: int) -> bytes:
    """Silence in µ-law (ITU-T G.711)."""
    return b"\xff" * samples


def _scrub(value: object, redact_text: Callable[[str], str]) -> Any:
    """Reduce a value to its shape, with text replaced by `redact_text`. Field names are replaced by
    numbers that do not depend on the order of the fields."""
    match value:
        case None | bool():
            return value
        case _NumberLiteral():
            return _NumberLiteral("0.0")
        case str():
            return redact_text(value)
        case int():
            return 0
        case float() if math.isfinite(value):
            return 0.0
        case Mapping():
            data = _to_encodable(cast("Mapping[str, object]", value))
            names = sorted(data, key=lambda name: (len(name), name))
            numbers = {name: f"k{number}" for number, name in enumerate(names, 1)}
            return {numbers[name]: _scrub(each, redact_text) for name, each in data.items()}
        case list() | tuple():
            return [_scrub(each, redact_text) for each in cast("list[object]", value)]
        case _:
            return {_CLASS_KEY: _FUNCTION}


def _hide(_: str) -> str:
    return _HIDDEN


def _zero_digits(text: str) -> str:
    return _DIGIT.sub("0", text)


def _redact_code(code: str) -> str:
    text = redact(code)
    is_name = _ERROR_NAME.fullmatch(text) and not _LONG_NUMBER.search(text)
    return text if is_name else _zero_digits(text)


def _to_encodable(data: Mapping[Any, object]) -> dict[str, object]:
    """Return data of the application with `_stand_in` for what is not JSON, but for values of the
    core: `decode_value` restores it as a value that is not JSON."""
    found: dict[str, object] = {}
    for name, value in data.items():
        if isinstance(name, str):
            found[name] = _to_encodable_value(value)
        else:
            found[_HIDDEN] = _stand_in
    return found


def _to_encodable_value(value: object) -> object:
    match value:
        case list() | tuple():
            return [_to_encodable_value(each) for each in cast("list[object]", value)]
        case float() if not math.isfinite(value):
            return _stand_in
        case str() | int() if isinstance(value, Enum):
            return value.value
        case None | str() | int() | float() | dict():
            return cast("object", value)
        case _ if _is_core_class(type(value)):
            return value
        case _:
            return _stand_in


def _strip_url(url: str) -> str:
    """Remove the parts of a URL that can hold tokens: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


_CLASSES: Final = _find_classes()
"""The classes of recorded values, by name."""

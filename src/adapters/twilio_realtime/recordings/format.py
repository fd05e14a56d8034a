"""The file format of recorded calls: values of the core as JSON, with all that is private hidden.

A file is text in lines, each a JSON object. The first says what it is, with a version and the
call's configuration; each other is one call of the bridge: what it was told, when, and what it
asked for. `docs/recorded-calls.md` holds the schema.

Hiding keeps a call what it is. Words lose their digits, one for one, and audio becomes silence of
the same length, so that whoever runs the bridge on what is hidden gets what it asked for, hidden.
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
import msgspec
from msgspec import UNSET

from twilio_realtime_core import commands
from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.config import call as configuration
from twilio_realtime_core.errors import Fault, FaultKind, redact
from twilio_realtime_core.machine.actions import Send
from twilio_realtime_core.notifications import RealtimeEvent, TwilioMessage
from twilio_realtime_core.values import items

__all__ = ["FORMAT", "NOT_JSON", "VERSION", "Hider", "decode", "parse", "written"]

FORMAT: Final = "twilio-realtime-call"
VERSION: Final = 1

_CLASS: Final = "@"
"""The key that holds the name of a value's class."""

NOT_JSON: Final = "not JSON"
"""What stands for text that is no JSON, since nobody can tell what is in it."""

_FUNCTION: Final = "function"
"""What stands for a function of the application, or anything else that no JSON can hold."""

_NO_AUDIO: Final = "*"
"""What stands for a payload that is no base64."""

_HIDDEN: Final = "[hidden]"

_CORE: Final = "twilio_realtime_core."

_SECRETS: Final = (
    *("authorization", "headers", "api_key", "client_secret", "server_url", "image_url"),
    *("accountSid", "account_sid", "customParameters", "custom_parameters"),
    *("safety_identifier", "logprobs"),
)
"""Fields that hold keys, tokens, accounts or persons, or what was said, once more."""

_NAMES: Final = frozenset(
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
"""Fields that name a thing or a kind, or count. All other text loses its digits: it may be what was
said, written or pressed. So it holds no number of a person, and is as long as before."""

_OF_SERVERS: Final = ("message", "reason", "detail")
"""Words of a peer's program. Keys have been seen in them; the core shows them `plain`, at most."""

_OF_ERRORS: Final = ("code", "param")
"""Names of errors and of fields, but some servers put words there."""

_DATA: Final = ("metadata", "variables")
"""Fields whose content is the application's own: words, all of it, their names too."""

_DIGIT: Final = re.compile(r"\d")
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
"""It may be that of a phone: the shortest have seven digits."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.\[\]]{1,64}")
"""What names of errors and of fields look like, such as `session.tools[0].type`."""

_SILENCE: Final = re.compile("(?:////){8,}")
_PACKED: Final = re.compile(r"µ(\d{1,8})µ")
"""What stands for so many `/` in a line, which are silence in base64 and most of what there is.
Everything else in a line is ASCII, so that nothing can be mistaken for it."""


def written(line: Mapping[str, Any]) -> str:
    """A line of the file, with its end."""
    text = json.dumps(line, separators=(",", ":"))
    return _SILENCE.sub(lambda run: f"µ{len(run[0])}µ", text) + "\n"


def parse(line: str) -> Any:
    """What a line says (`ValueError`: it is no JSON)."""
    return json.loads(_PACKED.sub(lambda run: "/" * int(run[1]), line))


class _Number(str):
    """A number as it stood: some are larger than those of Python."""

    __slots__ = ()


def _no_number(name: str) -> Never:
    """`json` knows numbers that JSON has not, such as `NaN`."""
    raise ValueError(name)


def _as_text(value: object) -> str:
    match value:
        case _Number():
            return value
        case Mapping():
            data = cast("Mapping[str, object]", value)
            return f"{{{','.join(f'{json.dumps(key)}:{_as_text(data[key])}' for key in data)}}}"
        case list():
            return f"[{','.join(map(_as_text, cast('list[object]', value)))}]"
        case _:
            return json.dumps(value)


@attrs.frozen
class Hider:
    """Turns values into JSON's and hides what is private. With `audio` that is kept, and so are the
    keys of `PressKeys`, which one can hear. Raises `RecursionError` for what is nested too deeply.
    """

    audio: bool = False
    _wraps: bool = attrs.field(default=True, kw_only=True, alias="wraps")
    """Whether what is written is to be read as values; messages are not."""

    def value(self, value: object) -> Any:
        """A value of the core: an object with its class as `@`; a message as it is on the wire."""
        match value:
            case Send(peer, message):
                return {_CLASS: "Send", "peer": _plain(peer), "message": self._wire(message)}
            case TwilioMessage(text) | RealtimeEvent(text):
                return {_CLASS: type(value).__name__, "text": self.text(text)}
            case Enum() if _is_of_core(type(value)):
                return {_CLASS: type(value).__name__, "value": value.value}
            case bytes():
                return {_CLASS: "bytes", "base64": b64encode(self._sound(value)).decode()}
            case frozenset():
                several = cast("frozenset[object]", value)
                return {_CLASS: "set", "items": sorted(map(self.value, several), key=json.dumps)}
            case Fault(kind=FaultKind.NOT_JSON) if value.message != NOT_JSON:
                return self.value(attrs.evolve(value, message=NOT_JSON))
            case _ if _is_of_core(type(value)):
                return {_CLASS: type(value).__name__, **self._fields(_fields_of(value))}
            case _:
                return self.data(value)

    def text(self, text: str) -> str:
        """A message on the wire, as text; `NOT_JSON` if it is none."""
        try:
            data = json.loads(text, parse_float=_Number, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return NOT_JSON
        return _as_text(attrs.evolve(self, wraps=False).data(data))

    def reason(self, text: str) -> str:
        """Words of a peer's program."""
        return _zeros(redact(text))

    def data(self, value: object) -> Any:
        """Data as a protocol has it."""
        match value:
            case None | str() | int() | float():
                return value
            case Mapping():
                return self._object(cast("Mapping[str, object]", value))
            case list() | tuple():
                return [self.value(each) for each in cast("list[object]", value)]
            case _:
                return {_CLASS: _FUNCTION}

    def _wire(self, message: Any) -> Any:
        return attrs.evolve(self, wraps=False).data(json.loads(message.encode()))

    def _object(self, data: Mapping[str, object]) -> dict[str, Any]:
        fields = self._fields(_encodable(data) if self._wraps else data)
        if str(data.get("type")).endswith("audio.delta") and "delta" in data:
            fields["delta"] = self._payload(data["delta"])
        # Data that has our own key for classes must not be taken for a value.
        ours = self._wraps and _CLASS in data
        return {_CLASS: "dict", "items": list(fields.items())} if ours else fields

    def _fields(self, fields: Mapping[str, object]) -> dict[str, Any]:
        return {name: self._field(name, value) for name, value in fields.items()}

    def _field(self, name: str, value: object) -> Any:
        match name, value:
            case "peer", Enum():
                return _plain(value)
            case "url", str():
                return _without_secrets(value)
            case (("payload" | "audio"), str()):
                return self._payload(value)
            case "keys", str():
                return value if self.audio else _zeros(value)
            case _ if name in _SECRETS:
                return _scrubbed(value, _hidden)
            case _ if name in _DATA:
                return _scrubbed(value, _zeros)
            case _, _Number():
                return value
            case _, str() if name in _OF_SERVERS:
                return self.reason(value)
            case _, str() if name in _OF_ERRORS:
                return _code(value)
            case "name", str():
                return _LONG_NUMBER.sub(lambda run: "0" * len(run[0]), value)
            case _, str() if name not in _NAMES:
                return _zeros(value)
            case _, list() | tuple():
                return [self._field(name, each) for each in cast("list[object]", value)]
            case _:
                return self.value(value)

    def _payload(self, payload: object) -> object:
        """Base64 of audio; what is none stays wrong."""
        if self.audio or not isinstance(payload, str) or not payload:
            return payload
        samples = count_samples(payload)
        return _NO_AUDIO if samples is None else b64encode(_silence(samples)).decode()

    def _sound(self, audio: bytes) -> bytes:
        return audio if self.audio else _silence(len(audio))


def decode(data: Any) -> Any:
    """The value that was made JSON. Raises `KeyError`, `TypeError` or `ValueError` (and what the
    value's class raises) for what is none."""
    match data:
        case {"@": "bytes", "base64": str(encoded)}:
            return b64decode(encoded)
        case {"@": "set", "items": several}:
            return frozenset(map(decode, several))
        case {"@": "dict", "items": pairs}:
            return {key: decode(value) for key, value in pairs}
        case {"@": name, "value": value} if issubclass(_CLASSES[name], Enum):
            return _CLASSES[name](value)
        case {"@": "function"}:
            return _unknown
        case {"@": name}:
            fields = {key: _field_value(value) for key, value in data.items() if key != _CLASS}
            return _CLASSES[name](**fields)
        case dict():
            return {key: decode(value) for key, value in cast("dict[str, Any]", data).items()}
        case list():
            return [decode(each) for each in cast("Sequence[Any]", data)]
        case _:
            return data


def _unknown(*_: object) -> None:
    """Stands for a function of the application, and for what cannot be encoded: nor can this."""


def _field_value(data: Any) -> Any:
    """Values hold tuples where their data has lists."""
    value = decode(data)
    return tuple(cast("Sequence[Any]", value)) if isinstance(value, list) else value


def _classes() -> Mapping[str, type[Any]]:
    """What commands and configurations consist of: all that their modules know of the core's
    values. Where two have one name, it is that of a command, a configuration or an item."""
    found: dict[str, type[Any]] = {}
    modules = [commands, configuration, items]
    for module in modules:  # which grows
        for kind in vars(module).values():
            if isinstance(kind, type) and (attrs.has(kind) or issubclass(kind, Enum)):
                found.setdefault(kind.__name__, kind)
                home = sys.modules[kind.__module__]
                if home not in modules and home.__name__.startswith(_CORE):
                    modules.append(home)
    return MappingProxyType(found)


def _is_of_core(kind: type) -> bool:
    return kind.__module__.startswith(_CORE) and (attrs.has(kind) or issubclass(kind, Enum))


def _fields_of(value: Any) -> dict[str, object]:
    fields = {each.name: getattr(value, each.name) for each in value.__attrs_attrs__}
    return {name: each for name, each in fields.items() if each is not UNSET}


def _plain(peer: object) -> object:
    return peer.value if isinstance(peer, Enum) else peer


def _silence(samples: int) -> bytes:
    """The µ-law of nothing (ITU-T G.711)."""
    return b"\xff" * samples


def _scrubbed(value: object, word: Callable[[str], str]) -> Any:
    """Nothing is left of it but its shape. Names are numbered in an order that what is left out of
    an object does not change: the same ones stay the same, in whatever order they come."""
    match value:
        case None | bool():
            return value
        case _Number():
            return _Number("0.0")
        case str():
            return word(value)
        case int():
            return 0
        case float():
            return 0.0
        case Mapping():
            data = _encodable(cast("Mapping[str, object]", value))
            names = sorted(data, key=lambda name: (len(name), name))
            numbers = {name: f"k{number}" for number, name in enumerate(names, 1)}
            return {numbers[name]: _scrubbed(each, word) for name, each in data.items()}
        case list() | tuple():
            return [_scrubbed(each, word) for each in cast("list[object]", value)]
        case _ if value is _unknown:
            return {_CLASS: _FUNCTION}
        case _:
            return _scrubbed(_as_encoded(value), word)


def _hidden(_: str) -> str:
    return _HIDDEN


def _zeros(text: str) -> str:
    return _DIGIT.sub("0", text)


def _code(code: str) -> str:
    words = redact(code)
    is_name = _NAME.fullmatch(words) and not _LONG_NUMBER.search(words)
    return words if is_name else _zeros(words)


def _encodable(data: Mapping[Any, object]) -> dict[str, object]:
    """Data of the application as the core's encoder takes it."""
    found: dict[str, object] = {}
    for name, value in data.items():
        match name:
            case str():
                found[name] = _element(value)
            case int() | float() if not isinstance(name, bool):
                found[str(name)] = _element(value)
            case _:
                found[_HIDDEN] = _unknown
    return found


def _element(value: object) -> object:
    """JSON, or a value of the core. What cannot be encoded becomes what cannot be encoded."""
    match value:
        case list() | tuple():
            return [_element(each) for each in cast("list[object]", value)]
        case float() if not math.isfinite(value):
            return None
        case None | str() | int() | float() | dict() if not isinstance(value, Enum):
            return cast("object", value)
        case _ if _is_of_core(type(value)):
            return value
        case _:
            return _as_encoded(value)


def _as_encoded(value: object) -> object:
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError):
        return _unknown


def _without_secrets(url: str) -> str:
    """Without what a URL can hold of tokens: name, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


_CLASSES: Final = _classes()
"""By name."""

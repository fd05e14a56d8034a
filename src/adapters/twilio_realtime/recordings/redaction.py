"""Redaction of a recording that exists, for sharing: what `Redactor` removes while a call is
recorded is removed from the file.

A recording with audio becomes one without. A file that was redacted before stays as it is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from twilio_realtime_core.machine.actions import Refusal

from ..errors import UsageError
from .format import check_header, check_outcome, check_reasons, encode_line
from .inputs import STEP_ERRORS, decode_object
from .redactor import Redactor, decode_value

__all__ = ["redact_recording"]

_HEADER_FIELDS: Final = ("format", "version", "package_version", "python_version", "recorded_at")
_CLASS_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_PEER: Final = re.compile(r"[a-z]{1,16}(?:-\d{1,9})?")
_SHORT_TEXT: Final = re.compile(r"[A-Za-z0-9.:+-]{1,64}")
"""A version, or a time of day."""

_VALUES: Final = Redactor()
_MESSAGES: Final = Redactor(tags_classes=False)


def redact_recording(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a recording without audio and without what is private; see `Redactor`.

    Fields that this version does not know are left out, and so is a last line that was cut off.
    Raises `UsageError` for what is not a recording, has another version of the format, or holds
    values that this version does not know.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.endswith("\n"))
    header = decode_object(*next(numbered, (1, "")))
    check_header(header)
    yield _redact_line(1, header, _redact_header)
    for number, line in numbered:
        yield _redact_line(number, decode_object(number, line), _redact_step)


def _redact_line(number: int, data: Mapping[str, Any], redact: Any) -> str:
    try:
        return encode_line(redact(data))
    except STEP_ERRORS as error:
        raise UsageError(
            f"line {number} cannot be redacted ({type(error).__name__}): it is damaged, or a newer "
            "version of twilio-realtime-core has recorded it"
        ) from None


def _redact_header(header: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: header[name] for name in _HEADER_FIELDS if name in header}
    for name, value in kept.items():
        if name != "version" and not _SHORT_TEXT.fullmatch(value):
            raise ValueError(name)
    return {
        **kept,
        "has_audio": False,
        "config": _VALUES.encode(decode_value(header["config"])),
    }


def _redact_step(step: Mapping[str, Any]) -> dict[str, Any]:
    if "unrecordable" in step:
        return {"unrecordable": _checked(_CLASS_NAME, step["unrecordable"])}
    check_reasons(step)
    check_outcome(step)
    redacted: dict[str, Any] = {
        "at_ns": _whole_number(step["at_ns"]),
        "method": _checked(_CLASS_NAME, step["method"]),
        "arguments": _redact_arguments(step["method"], step["arguments"]),
    }
    if "misuse" in step:
        return {**redacted, "misuse": True}
    if "raised" in step:
        return {**redacted, "raised": _checked(_CLASS_NAME, step["raised"])}
    deadline_ns = step["deadline_ns"]
    redacted["actions"] = [_redact_action(each) for each in step["actions"]]
    redacted["deadline_ns"] = None if deadline_ns is None else _whole_number(deadline_ns)
    if "why" in step:
        names = ("decision", "reason")
        redacted["why"] = [{name: each[name] for name in names} for each in step["why"]]
    return redacted


def _redact_arguments(method: str, arguments: Any) -> list[Any]:
    match method, arguments:
        case "start" | "handle_timeout", []:
            return []
        case "start", [unix_ns]:
            return [_whole_number(unix_ns)]
        case "opened", [peer]:
            return [_checked(_PEER, peer)]
        case "receive_text", [peer, str(text)]:
            return [_checked(_PEER, peer), _VALUES.redact_message(text)]
        case "pong", [peer, str(payload)]:
            return [_checked(_PEER, peer), bytes.fromhex(payload).hex()]
        case "closed", [peer, int(code), str(reason)]:
            return [_checked(_PEER, peer), code, _VALUES.redact_reason(reason)]
        case "refused", [peer, dict()]:
            refused = Refusal(**arguments[1])
            return [_checked(_PEER, peer), _VALUES.encode_refusal(refused)]
        case "send", [command]:
            return [_VALUES.encode(decode_value(command))]
        case _:
            raise ValueError(method)


def _redact_action(action: Any) -> Any:
    match action:
        case {"@": "Send", "peer": peer, "message": message}:  # as on the wire
            message = _MESSAGES.encode_data(message)
            return {"@": "Send", "peer": _checked(_PEER, peer), "message": message}
        case {"@": "Notify", "event": {"@": "TypedRealtimeEvent", "event": name}}:
            event = {"@": "TypedRealtimeEvent", "event": _checked(_CLASS_NAME, name)}
            return {"@": "Notify", "event": event}
        case {"@": str()}:
            return _VALUES.encode(decode_value(action))
        case _:
            raise ValueError("action")


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(pattern.pattern)
    return text


def _whole_number(value: object) -> int:
    if type(value) is not int:
        raise TypeError("a whole number")
    return value

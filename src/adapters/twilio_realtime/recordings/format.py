"""The file format of recordings, version 2: lines of JSON.

A recording is a text file. Its first line, the header, names the format, its version and the call's
configuration. Each other line is a step: one method call of the bridge, with its time, its
arguments and the actions that it returned. `docs/how-to/recorded-calls.md` holds the schema; the
values in it are encoded by `redactor`.

Later versions of the package only add optional fields, so fields that are not known are ignored.
"""

import json
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, cast

from twilio_realtime_core.machine.reasons import Reason

from ..errors import UsageError

__all__ = [
    "FORMAT",
    "VERSION",
    "check_header",
    "check_outcome",
    "check_reasons",
    "decode_line",
    "encode_line",
    "encode_reason",
    "make_header",
]

FORMAT: Final = "twilio-realtime-call"
VERSION: Final = 2

_PACKAGE: Final = "twilio-realtime-core"
_REASON_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_SHOWN_CHARACTERS: Final = 40

_SILENCE: Final = re.compile("(?:////){8,}")
_PACKED_SILENCE: Final = re.compile(r"µ(\d{1,8})µ")
"""Replaces so many `/` in a line: silence in base64, which is most of a recording. All else in a
line is ASCII, so it cannot be confused with text."""

_MAX_SILENCE: Final = 64 * 2**20
"""Characters of silence in a line: an hour and a half of audio, more than any message has."""


def encode_line(line: Mapping[str, Any]) -> str:
    """Encode a line of the file, with its end."""
    text = json.dumps(line, separators=(",", ":"))
    return _SILENCE.sub(lambda run: f"µ{len(run[0])}µ", text) + "\n"


def decode_line(line: str) -> Any:
    """Decode a line of the file. Raises `ValueError` if it is not JSON, or is far too long."""
    if sum(int(each) for each in _PACKED_SILENCE.findall(line)) > _MAX_SILENCE:
        raise ValueError("more silence than a call can have")
    return json.loads(_PACKED_SILENCE.sub(lambda run: "/" * int(run[1]), line))


def make_header(recorded_at: datetime | None) -> dict[str, Any]:
    """Return the fields of a header that do not depend on the call; `recorded_at` is aware."""
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    if (package := _package_version()) is not None:
        header["package_version"] = package
    header["python_version"] = platform.python_version()
    if recorded_at is not None:
        utc = recorded_at.astimezone(UTC).replace(tzinfo=None)
        header["recorded_at"] = f"{utc.isoformat(timespec='milliseconds')}Z"
    return header


def check_header(header: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless this is the header of a recording in this version."""
    if header.get("format") != FORMAT:
        raise UsageError("this is not a recording: its first line does not name the format")
    found = header.get("version")
    if found != VERSION:
        shown = json.dumps(found)[:_MAX_SHOWN_CHARACTERS]
        raise UsageError(
            f"the recording has version {shown} of the format, and this program reads version "
            f"{VERSION}: use the release of {_PACKAGE} that recorded it"
        )


def encode_reason(reason: Reason) -> dict[str, str]:
    """Encode a reason as a member of the field `why` of a step."""
    return {"decision": reason.decision.value, "reason": reason.label}


def check_reasons(step: Mapping[str, Any]) -> None:
    """Check the optional field `why` of a step: a list of `{"decision": NAME, "reason": NAME}`, one
    for each decision of the bridge that had a choice. Names are lower-case words joined by
    underscores. Raises `ValueError`."""
    reasons = step.get("why", [])
    if not (isinstance(reasons, list) and all(map(_is_reason, cast("list[object]", reasons)))):
        raise ValueError("`why` is not a list of reasons")


def check_outcome(step: Mapping[str, Any]) -> None:
    """Check the outcome of a step: `misuse` is true, `raised` a name, `actions` a list of objects,
    and `deadline_ns` a whole number or null. Raises `ValueError`."""
    if step.get("misuse", True) is not True:
        raise ValueError("`misuse` is not true")
    if not isinstance(step.get("raised", ""), str):
        raise ValueError("`raised` is not the name of an exception")
    actions = step.get("actions", [])
    if not (isinstance(actions, list) and all(map(_is_object, cast("list[object]", actions)))):
        raise ValueError("`actions` is not a list of objects")
    if type(step.get("deadline_ns")) not in (int, type(None)):
        raise ValueError("`deadline_ns` is not a whole number")


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_reason(value: object) -> bool:
    match value:
        case {"decision": str(decision), "reason": str(reason)}:
            return all(map(_REASON_NAME.fullmatch, (decision, reason)))
        case _:
            return False


@cache
def _package_version() -> str | None:
    """The version of this package; `None` if it runs without being installed."""
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return None

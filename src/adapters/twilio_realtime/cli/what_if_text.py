"""`--set FIELD=VALUE`: a recording under another configuration, and what people read of it."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from twilio_realtime_core.machine.units import SECOND

from ..errors import UsageError
from ..recordings.config_settings import ConfigSetting, parse_setting
from ..recordings.encoded_actions import action_name
from ..recordings.what_if import WhatIf, WhatIfDifference, what_if

__all__ = ["parse_settings", "read_recording", "read_what_if", "shorten_json", "what_if_lines"]

T = TypeVar("T")

_MAX_SHOWN_CHARACTERS: Final = 500
"""The most characters of a step to print for people; the file has all of them."""


def parse_settings(texts: Iterable[str]) -> tuple[ConfigSetting, ...]:
    """Return the settings of `--set`. Raises `UsageError`."""
    try:
        return tuple(parse_setting(each) for each in texts)
    except UsageError as error:
        raise UsageError(f"--set: {error}") from None


def read_recording(path: Path, use: Callable[[], T]) -> T:
    """Use a recording; errors name its file."""
    try:
        return use()
    except (UsageError, UnicodeDecodeError) as error:
        is_binary = isinstance(error, UnicodeDecodeError)
        reason = "this is not a text file" if is_binary else str(error)
        raise UsageError(f"{path}: {reason}") from None


def read_what_if(path: Path, changes: tuple[ConfigSetting, ...]) -> WhatIf:
    """Run a recording under another configuration. Raises `UsageError`, which names the file."""

    def compare() -> WhatIf:
        with path.open(encoding="utf-8") as file:
            return what_if(file, changes)

    return read_recording(path, compare)


def shorten_json(text: str) -> str:
    """Shorten JSON, which has only printable characters."""
    return (
        text
        if len(text) <= _MAX_SHOWN_CHARACTERS
        else f"{text[:_MAX_SHOWN_CHARACTERS]}… ({len(text)} characters)"
    )


def what_if_lines(result: WhatIf) -> Iterator[str]:
    """Yield lines for people: the steps and the configuration, and then what differs."""
    cut_off = ", cut off" if result.is_cut_off else ""
    yield f"{result.steps} steps{cut_off}, with {' '.join(result.settings)}"
    if result.differs_from_recording is not None:
        yield (
            "  this version of the bridge does not do what was recorded from line "
            f"{result.differs_from_recording} on; it is compared with itself"
        )
    if result.server_interrupts is not None:
        by_itself = "interrupt by itself"
        does = by_itself if result.server_interrupts else "leave interruptions to the bridge"
        yield f"  the server would {does}"
    if not result.differences:
        yield "  the bridge would have done the same"
    else:
        yield from _difference_lines(result.differences[0])
        steps = result.different_steps
        yield "  1 step differs" if steps == 1 else f"  {steps} steps differ"
    hypothetical = result.hypothetical
    if hypothetical is not None:
        yield (
            f"  hypothetical from line {hypothetical.line} on, {_seconds(hypothetical.at_ns)}: "
            f"{hypothetical.cause}; the recording cannot tell what would have been answered"
        )


def _difference_lines(difference: WhatIfDifference) -> Iterator[str]:
    place = "before line" if difference.is_extra else "line"
    yield f"  first difference: {place} {difference.line}, {_seconds(difference.at_ns)}"
    yield f"    input     {shorten_json(difference.step_input)}"
    for name, actions, reasons in (
        ("recorded", difference.left_out, difference.recorded_reasons),
        ("instead", difference.added, difference.other_reasons),
    ):
        what = ", ".join(action_name(json.loads(each)) for each in actions) or "nothing"
        why = ", ".join(f"{decision}: {reason}" for decision, reason in reasons)
        yield f"    {name:<8}  {what}{f'  ({why})' if why else ''}"


def _seconds(at_ns: int) -> str:
    return f"{at_ns / SECOND:.3f} s into the call"

"""Output of commands: lines for people, or JSON lines for programs.

Events are printed to stdout as they happen, errors to stderr. Colours are used only on a terminal,
and never if NO_COLOR is set. Control characters are replaced, since text may come from a peer.
"""

import json
import time
from collections.abc import Mapping
from enum import Enum, unique
from typing import Final, Protocol, TypeAlias

import click
from attrs import define, field
from rich.console import Console
from rich.text import Text

from twilio_realtime_core.machine.units import MS

__all__ = ["COMMAND_NAME", "EventOutput", "FieldValue", "LineStyle", "Output", "print_error"]

COMMAND_NAME: Final = "twilio-realtime"
"""The name of the command."""

_SUBJECT_FIELDS: Final = ("call", "session")
"""Fields that number the subject of an event; they are printed first."""

FieldValue: TypeAlias = str | int | list[str] | list[int] | None
"""The value of an event's field."""


@unique
class LineStyle(Enum):
    """The meaning of a line, as a style of rich."""

    PLAIN = ""
    SUCCESS = "green"
    DIM = "dim"
    FAILURE = "bold red"
    INTERRUPTION = "yellow"


class EventOutput(Protocol):
    """Where a command writes its events."""

    def write_event(
        self,
        event: str,
        fields: Mapping[str, FieldValue] = {},
        *,
        style: LineStyle = LineStyle.PLAIN,
        text: str | None = None,
    ) -> None:
        """Write an event; for people, `text` replaces name and fields."""
        ...


@define(eq=False)
class Output:
    """Prints events to stdout: as JSON, one object per line, or as lines for people.

    Each event has `at_ms`, the milliseconds since this object was created, and its fields; those
    that are `None` are omitted.
    """

    as_json: bool
    _started_ns: int = field(init=False, factory=time.monotonic_ns)
    _console: Console = field(init=False, factory=lambda: Console(highlight=False, soft_wrap=True))

    def write_event(
        self,
        event: str,
        fields: Mapping[str, FieldValue] = {},
        *,
        style: LineStyle = LineStyle.PLAIN,
        text: str | None = None,
    ) -> None:
        """Print an event; its name is in snake_case, or that of an event of the Realtime API. For
        people, `text` replaces name and fields."""
        at_ms = (time.monotonic_ns() - self._started_ns) // MS
        present = {name: value for name, value in fields.items() if value is not None}
        if self.as_json:
            click.echo(json.dumps({"at_ms": at_ms, "event": event, **present}))
            return
        line = Text().append(f"{at_ms / 1000:9.3f}  ", style="dim")
        line.append(
            _replace_control_characters(text or _format_event(event, present)), style=style.value
        )
        self._console.print(line)


def print_error(text: str) -> None:
    """Print one line to stderr: what is wrong, and how to correct it."""
    click.echo(f"{COMMAND_NAME}: {_replace_control_characters(' '.join(text.split()))}", err=True)


def _format_event(event: str, fields: Mapping[str, FieldValue]) -> str:
    subject = [f"{name} {fields[name]}" for name in _SUBJECT_FIELDS if name in fields]
    # The names of events of the Realtime API have a dot, and stay as they are.
    what = event if "." in event else event.replace("_", " ")
    details = [
        f"{name}={_format_value(value)}"
        for name, value in fields.items()
        if name not in _SUBJECT_FIELDS
    ]
    return "  ".join([*subject, what, *details])


def _format_value(value: FieldValue) -> str:
    text = (", ".join(map(str, value)) or "nothing") if isinstance(value, list) else str(value)
    return f'"{text}"' if " " in text else text


def _replace_control_characters(text: str) -> str:
    """Replace characters that could control a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)

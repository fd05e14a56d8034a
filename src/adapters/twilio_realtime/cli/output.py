"""What a command says: lines for people, or JSON lines for programs.

Lines go to stdout as they happen, complaints to stderr. There are colours only on a terminal, and
never if NO_COLOR is set. What a peer has said is made harmless before it gets here or on the way:
no control character reaches a terminal.
"""

import json
import time
from collections.abc import Mapping
from enum import Enum, unique
from typing import Final, TypeAlias

import click
from attrs import define, field
from rich.console import Console
from rich.text import Text

from twilio_realtime_core.machine.units import MS

__all__ = ["NAME", "Field", "Output", "Tone", "complain"]

NAME: Final = "twilio-realtime"
"""What the command is called."""

_WHOSE: Final = ("call", "session")
"""Fields that number what an event is about: said first."""

Field: TypeAlias = str | int | list[str] | list[int] | None
"""A value that an event is told with."""


@unique
class Tone(Enum):
    """What a line means to who reads it, as a style of rich."""

    PLAIN = ""
    GOOD = "green"
    QUIET = "dim"
    BAD = "bold red"
    CUT = "yellow"


@define(eq=False)
class Output:
    """Tells events on stdout: `as_json`, an object a line, or as a line that people read.

    Each has `at_ms`, milliseconds since the output was made, and an event's own fields, of which
    those that are `None` are left out.
    """

    as_json: bool
    _began_ns: int = field(init=False, factory=time.monotonic_ns)
    _console: Console = field(init=False, factory=lambda: Console(highlight=False, soft_wrap=True))

    def tell(
        self,
        event: str,
        fields: Mapping[str, Field] = {},
        *,
        tone: Tone = Tone.PLAIN,
        text: str | None = None,
    ) -> None:
        """An event, `snake_case` or an event of the Realtime API, and what there is to know of it.
        `text` is said to people in place of the fields."""
        at_ms = (time.monotonic_ns() - self._began_ns) // MS
        known = {name: value for name, value in fields.items() if value is not None}
        if self.as_json:
            click.echo(json.dumps({"at_ms": at_ms, "event": event, **known}))
            return
        line = Text().append(f"{at_ms / 1000:9.3f}  ", style="dim")
        line.append(_harmless(text or _in_words(event, known)), style=tone.value)
        self._console.print(line)


def complain(text: str) -> None:
    """One line on stderr: what is wrong, and what to do about it."""
    click.echo(f"{NAME}: {_harmless(' '.join(text.split()))}", err=True)


def _in_words(event: str, fields: Mapping[str, Field]) -> str:
    whose = [f"{name} {fields[name]}" for name in _WHOSE if name in fields]
    # Events of the Realtime API are told by their own names, which have a dot.
    what = event if "." in event else event.replace("_", " ")
    told = [f"{name}={_shown(value)}" for name, value in fields.items() if name not in _WHOSE]
    return "  ".join([*whose, what, *told])


def _shown(value: Field) -> str:
    text = (", ".join(map(str, value)) or "nothing") if isinstance(value, list) else str(value)
    return f'"{text}"' if " " in text else text


def _harmless(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )

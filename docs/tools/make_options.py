"""Write options.md from the help texts of the commands.

python docs/tools/make_options.py           writes the page
python docs/tools/make_options.py --check   fails if the page is out of date
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from click import Context

from twilio_realtime.cli.commands import commands

WIDTH: Final = 78
"""The width of help texts on a terminal of 80 columns."""

PAGE: Final = Path(__file__).parents[1] / "reference/options.md"

INTRODUCTION: Final = """\
# Options of the command line

What each command prints with `--help`. [Command line](command-line.md) says how to use them.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *chapters()])


def chapters() -> Iterator[str]:
    """Yield a chapter for each command, in the order of `twilio-realtime --help`."""
    program = Context(commands, info_name="twilio-realtime", terminal_width=WIDTH)
    for name in commands.list_commands(program):
        command = commands.get_command(program, name)
        if command is None:
            continue
        text = command.get_help(Context(command, info_name=name, parent=program))
        yield f"## `{name}`\n\n```console\n$ twilio-realtime {name} --help\n{text}\n```\n"


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page():
        sys.exit(f"{PAGE.name} is out of date: run {sys.argv[0]}")

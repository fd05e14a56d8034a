"""`twilio-realtime replay`: recorded calls again, to see whether they still go as they went."""

import json
from pathlib import Path
from typing import Final

import click

from ..errors import UsageError
from ..recordings.recorder import Replayed, replay
from .options import json_option
from .output import complain

__all__ = ["replay_command"]

_SHOWN: Final = 500
"""Characters of a step that are worth showing on a terminal; all of it is in the file."""


@click.command(
    "replay",
    short_help="Run recorded calls again, and show what is different.",
    epilog="""
    \b
    Examples:
      twilio-realtime serve --record calls
      twilio-realtime replay calls/*.jsonl

    Exit status: 0 nothing is different, 1 something is, 2 a file is no recorded call.
    """,
)
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@json_option
def replay_command(files: tuple[Path, ...], *, as_json: bool) -> int:
    """Run the bridge on what recorded calls were told, and compare what it asks for.

    The first step that comes out differently is shown: what the bridge was told, what it asked for
    when it was recorded, and what it asks for now. A file that ends before its call does is cut
    off, and told to be; that is no difference.
    """
    differences = 0
    for path in files:
        with path.open(encoding="utf-8") as file:
            try:
                replayed = replay(file)
            except (UsageError, UnicodeDecodeError) as error:
                words = "it is no text" if isinstance(error, UnicodeDecodeError) else str(error)
                raise UsageError(f"{path}: {words}") from None
        differences += replayed.difference is not None
        _tell(path, replayed, as_json=as_json)
    return 1 if differences else 0


def _tell(path: Path, replayed: Replayed, *, as_json: bool) -> None:
    steps, difference = replayed.steps, replayed.difference
    if as_json:
        told = {"event": "replayed", "file": str(path), "steps": steps}
        told |= {"cut_off": replayed.is_cut_off}
        if difference is not None:
            recorded, now = difference.first
            told |= {"line": difference.line, "at_ms": difference.at_ns / 1e6}
            told |= {"told": difference.told, "recorded": recorded, "now": now}
        click.echo(json.dumps(told))
    elif replayed.is_cut_off:
        click.echo(f"{path}: cut off after {steps} steps, no difference")
    elif difference is None:
        click.echo(f"{path}: {steps} steps, no difference")
    else:
        recorded, now = difference.first
        click.echo(f"{path}: a difference after {steps} steps that are the same")
        click.echo(f"  line {difference.line}, {difference.at_ns / 1e6:.3f} ms into the call")
        for name, text in (("told", difference.told), ("recorded", recorded), ("now", now)):
            click.echo(f"  {name:9} {_short(text)}")
        complain(f"{path} does not go as it went")


def _short(text: str) -> str:
    """JSON as it was written, which is all printable."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"

"""`twilio-realtime replay`: run recordings, and show the first difference of each."""

import json
from pathlib import Path
from typing import Final

import click

from twilio_realtime_core.machine.units import MS

from ..errors import UsageError
from ..recordings.replay import ReplayResult, replay
from .options import json_option
from .output import print_error

__all__ = ["replay_command"]

_MAX_SHOWN_CHARACTERS: Final = 500
"""The most characters of a step to print for people; the file has all of them."""


@click.command(
    "replay",
    short_help="Run recordings, and show differences.",
    epilog="""
    \b
    Examples:
      twilio-realtime serve --record calls
      twilio-realtime replay calls/*.jsonl

    Exit status: 0 no difference, 1 a difference, 2 a file is not a recording.
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
    """Run the bridge on the inputs of recordings, and compare its actions.

    The first difference is printed: the input of the step, and the recorded and the replayed
    outcome. A recording that ends before its call does is reported as cut off, which is not a
    difference.
    """
    differences = 0
    for path in files:
        with path.open(encoding="utf-8") as file:
            try:
                result = replay(file)
            except (UsageError, UnicodeDecodeError) as error:
                is_binary = isinstance(error, UnicodeDecodeError)
                reason = "this is not a text file" if is_binary else str(error)
                raise UsageError(f"{path}: {reason}") from None
        differences += result.difference is not None
        _print_result(path, result, as_json=as_json)
    return 1 if differences else 0


def _print_result(path: Path, result: ReplayResult, *, as_json: bool) -> None:
    steps, difference = result.steps, result.difference
    if as_json:
        fields = {"event": "replayed", "file": str(path), "steps": steps}
        fields |= {"cut_off": result.is_cut_off}
        if difference is not None:
            recorded, replayed = difference.first_mismatch
            fields |= {"line": difference.line, "at_ms": difference.at_ns / MS}
            fields |= {"input": difference.step_input}
            fields |= {"recorded": recorded, "replayed": replayed}
        click.echo(json.dumps(fields))
    elif result.is_cut_off:
        click.echo(f"{path}: cut off after {steps} steps, no difference")
    elif difference is None:
        click.echo(f"{path}: {steps} steps, no difference")
    else:
        recorded, replayed = difference.first_mismatch
        click.echo(f"{path}: a difference after {steps} equal steps")
        click.echo(f"  line {difference.line}, {difference.at_ns / MS:.3f} ms into the call")
        click.echo(f"  input     {_shorten(difference.step_input)}")
        click.echo(f"  recorded  {_shorten(recorded)}")
        click.echo(f"  replayed  {_shorten(replayed)}")
        print_error(f"{path}: the replay differs from the recording")


def _shorten(text: str) -> str:
    """Shorten JSON, which has only printable characters."""
    return (
        text
        if len(text) <= _MAX_SHOWN_CHARACTERS
        else f"{text[:_MAX_SHOWN_CHARACTERS]}… ({len(text)} characters)"
    )

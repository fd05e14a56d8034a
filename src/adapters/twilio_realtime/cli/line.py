"""`twilio-realtime line`: learn from recordings how a line behaves."""

import json
import sys
from pathlib import Path
from typing import Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..errors import UsageError
from ..recordings.line_learning import LineLearner
from ..recordings.line_picture import TITLES, draw_bars, draw_svg
from ..sim.line_profile import Distribution, LineProfile
from .options import json_option, recordings_argument
from .output_files import check_output_files

__all__ = ["line_command"]

_BAR_WIDTH: Final = 24


@click.command(
    "line",
    short_help="Learn from recordings how a line behaves.",
    epilog="""
    \b
    Examples:
      twilio-realtime serve --record calls
      twilio-realtime line calls/*.jsonl -o line.json --svg line.svg
      twilio-realtime simulate --line line.json

    Exit status: 0 something was learned, 1 nothing was, 2 a file is not a recording, or
    would be overwritten.
    """,
)
@recordings_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the profile of the line to FILE, for `simulate --line`.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the histograms to FILE.",
)
@json_option
def line_command(
    files: tuple[Path, ...], *, output: Path | None, svg: Path | None, as_json: bool
) -> int:
    """Learn how long messages and the player of a line take, and how fast its model answers.

    FILE is a recording of a call. Round trips, jitter and start delays are learned from marks and
    their echoes; the more calls, the more exact. What the recordings do not show is named.
    """
    check_output_files({"--output": output, "--svg": svg}, inputs=files)
    learner = LineLearner()
    for path in files:
        with path.open("rb") as file:
            try:
                learner.add_recording(file)
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from None
    profile = learner.profile()
    if output is not None:
        output.write_text(json.dumps(profile.to_json(), indent=1) + "\n", "utf-8")
    if svg is not None:
        svg.write_text(draw_svg(profile), "utf-8")
    if as_json:
        click.echo(json.dumps({**profile.to_json(), "missing": learner.missing()}))
    else:
        _print_profile(profile, learner.missing())
    return 0 if profile.distributions else 1


def _print_profile(profile: LineProfile, missing: dict[str, str]) -> None:
    calls = f"{profile.calls} call{'' if profile.calls == 1 else 's'}"
    if sys.stdout.isatty():
        Console(highlight=False).print(_table(profile), f"Learned from {calls}.", sep="\n")
    else:
        for name, each in profile.distributions.items():
            click.echo(f"{TITLES[name]:34}" + "".join(f"{cell:>10}" for cell in _cells(each)))
        click.echo(f"learned from {calls}; columns: samples, 5 %, median, 95 %, most")
    for name, reason in missing.items():
        click.echo(f"not known: {TITLES[name]}: {reason}")


def _cells(distribution: Distribution) -> list[str]:
    values = (distribution.at(0.05), distribution.median, distribution.at(0.95))
    shown = (f"{each:,.1f}" for each in (*values, distribution.highest))
    return [f"{distribution.samples:,}", *shown]


def _table(profile: LineProfile) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in ("samples", "5 %", "median", "95 %", "most"):
        table.add_column(name, justify="right")
    table.add_column("least to most", style="green", no_wrap=True)
    for name, each in profile.distributions.items():
        table.add_row(TITLES[name], *_cells(each), draw_bars(each, _BAR_WIDTH))
    return table

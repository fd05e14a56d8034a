"""`twilio-realtime show`: what happened in a recorded call, as words, a page, audio or a trace."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from ..errors import UsageError
from ..recordings.private_files import create_private_file
from ..recordings.report import write_stereo_wav
from ..recordings.show.call_view import CallView, view_call
from ..recordings.show.figures import call_figures
from ..recordings.show.messages import Messages
from ..recordings.show.page import render_page
from ..recordings.show.perfetto import call_trace
from ..recordings.show.story import tell_story
from ..recordings.what_if import WhatIf
from .output_files import check_output_files
from .what_if_text import parse_settings, read_what_if, what_if_lines

__all__ = ["show"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    short_help="Show what happened in a recorded call.",
    epilog="""
    \b
    Examples:
      twilio-realtime show demo/call.jsonl
      twilio-realtime show calls/one.jsonl -o call.html
      twilio-realtime show calls/one.jsonl -o call.html --set interruption.after_speech_ms=300

    Exit status: 0 the call is shown, 2 the file is not a recording, cannot be written or would be
    overwritten, or a setting does not fit.
    """,
)
@click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "-o", "--output", metavar="FILE", type=_FILE, help="Write a page: one HTML file, to look at."
)
@click.option("--no-audio", is_flag=True, help="Leave the voices out of the page.")
@click.option(
    "--wav", metavar="FILE", type=_FILE, help="Write the audio: left caller, right agent."
)
@click.option("--perfetto", metavar="FILE", type=_FILE, help="Write a trace for ui.perfetto.dev.")
@click.option(
    "--set",
    "settings",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Add what the bridge would have done with this field of CallConfig changed; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as a JSON object.")
def show(
    *,
    file: Path,
    output: Path | None,
    no_audio: bool,
    wav: Path | None,
    perfetto: Path | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show a recorded call: who spoke when, what was heard, what was cut, and how long each answer
    took.

    Without an option the story is printed. A recording that is cut off is shown as far as it goes.
    """
    prints_story = not as_json and (output, wav, perfetto) == (None, None, None)
    if settings and not (prints_story or as_json or output is not None):
        raise click.UsageError("--set changes neither --wav nor --perfetto: add -o or --json")
    check_output_files({"--output": output, "--wav": wav, "--perfetto": perfetto}, inputs=(file,))
    changes = parse_settings(settings)
    messages = Messages()
    view = _read(file, messages)
    other = read_what_if(file, changes) if changes else None
    if output is not None:
        page = render_page(
            *(view, messages.entries), title=file.name, with_audio=not no_audio, what_if=other
        )
        create_private_file(output)
        output.write_text(page, "utf-8")
    if wav is not None:
        if not view.has_audio:
            raise UsageError(
                f"{file} has no audio: record calls with --record-audio, or leave out --wav"
            )
        create_private_file(wav)
        write_stereo_wav(wav, view.caller_track(), view.agent_track())
    if perfetto is not None:
        create_private_file(perfetto)
        perfetto.write_text(json.dumps(call_trace(view), separators=(",", ":")), "utf-8")
    if as_json:
        what_if = {} if other is None else {"what_if": other.figures()}
        click.echo(json.dumps({**call_figures(view), "file": str(file), **what_if}))
    elif prints_story:
        _print_story(view, other)
    return 0


def _print_story(view: CallView, other: WhatIf | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for line in tell_story(view):
        console.print(line)
    if other is not None:
        first, *rest = what_if_lines(other)
        console.print()
        console.print(Text(f"  another configuration: {first}", "bold"))
        for each in rest:
            console.print(Text(f"  {each}"))


def _read(path: Path, messages: Messages) -> CallView:
    with path.open("rb") as file:
        try:
            return view_call(file, messages.add_step)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None

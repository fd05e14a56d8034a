"""`twilio-realtime replay`: run recordings, and show the first difference of each, or what another
configuration would change."""

import json
from pathlib import Path

import click

from twilio_realtime_core.machine.units import MS

from ..recordings.config_settings import ConfigSetting
from ..recordings.regression_test import write_regression_test
from ..recordings.replay import ReplayResult, replay
from ..recordings.what_if import WhatIf
from .options import json_option, recordings_argument
from .output import COMMAND_NAME, print_error
from .what_if_text import (
    parse_settings,
    read_recording,
    read_what_if,
    shorten_json,
    what_if_lines,
)

__all__ = ["replay_command"]


@click.command(
    "replay",
    short_help="Run recordings, and show differences.",
    epilog="""
    \b
    Examples:
      twilio-realtime serve --record calls
      twilio-realtime replay calls/*.jsonl
      twilio-realtime replay calls/bad.jsonl --set interruption.after_speech_ms=300
      twilio-realtime replay calls/bad.jsonl --to-test tests/calls

    Exit status: 0 no difference, or done with --set and --to-test; 1 a difference, 2 a file is not
    a recording, or a setting does not fit.
    """,
)
@recordings_argument
@click.option(
    "--set",
    "settings",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Run the recorded inputs with this field of CallConfig changed, and show what the bridge "
    "would have done; repeatable.",
)
@click.option(
    "--to-test",
    "test_folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each recording, redacted, and a pytest file that replays it into this folder.",
)
@json_option
def replay_command(
    files: tuple[Path, ...],
    *,
    settings: tuple[str, ...],
    test_folder: Path | None,
    as_json: bool,
) -> int:
    """Run the bridge on the inputs of recordings, and compare its actions.

    The first difference is printed: the input of the step, and the recorded and the replayed
    outcome. A recording that ends before its call does is reported as cut off, which is not a
    difference.
    """
    if settings and test_folder is not None:
        raise click.UsageError("--set and --to-test exclude each other")
    changes = parse_settings(settings)
    statuses = [_run_file(path, changes, test_folder, as_json=as_json) for path in files]
    return max(statuses)


def _run_file(
    path: Path, changes: tuple[ConfigSetting, ...], test_folder: Path | None, *, as_json: bool
) -> int:
    """Do what the options say with one recording; return the exit status."""
    if test_folder is not None:
        return _write_test(path, test_folder, as_json=as_json)
    if changes:
        _print_what_if(path, read_what_if(path, changes), as_json=as_json)
        return 0
    return _replay(path, as_json=as_json)


# Replay as recorded.


def _replay(path: Path, *, as_json: bool) -> int:
    def run() -> ReplayResult:
        with path.open(encoding="utf-8") as file:
            return replay(file)

    result = read_recording(path, run)
    _print_result(path, result, as_json=as_json)
    return 0 if result.difference is None else 1


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
        click.echo(f"  input     {shorten_json(difference.step_input)}")
        click.echo(f"  recorded  {shorten_json(recorded)}")
        click.echo(f"  replayed  {shorten_json(replayed)}")
        click.echo(f"  keep it as a test: {COMMAND_NAME} replay {path} --to-test DIR")
        print_error(f"{path}: the replay differs from the recording")


# Another configuration.


def _print_what_if(path: Path, result: WhatIf, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"event": "what_if", "file": str(path), **result.to_json()}))
        return
    first, *rest = what_if_lines(result)
    click.echo(f"{path}: {first}")
    for line in rest:
        click.echo(line)


# A test.


def _write_test(path: Path, folder: Path, *, as_json: bool) -> int:
    written = read_recording(path, lambda: write_regression_test(path, folder))
    if as_json:
        fields = {"event": "test_written", "file": str(path), "test": str(written.test)}
        fields |= {"recording": str(written.recording), "steps": str(written.steps)}
        click.echo(json.dumps(fields))
        return 0
    click.echo(f"{written.test}: replays {written.recording.name}, {written.steps} steps")
    if written.difference is not None:
        click.echo(
            f"  the bridge differs from the recording at line {written.difference.line}: the test "
            "holds what it does, not what was recorded"
        )
    click.echo("  words are kept: read the recording before you share it")
    return 0

"""`twilio-realtime redact`: a recording without audio and without what is private, for sharing."""

from pathlib import Path

import click

from ..errors import UsageError
from ..recordings.private_files import create_private_file
from ..recordings.redaction import redact_recording
from .output_files import check_output_files

__all__ = ["redact"]


@click.command(
    short_help="Remove audio and private content from a recording.",
    epilog="""
    \b
    Examples:
      twilio-realtime redact calls/one.jsonl -o one-redacted.jsonl
      twilio-realtime redact calls/one.jsonl | gzip > one.jsonl.gz

    Exit status: 0 redacted, 2 the file is not a recording, or cannot be written.
    """,
)
@click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; by default stdout. Only you can read it.",
)
def redact(*, file: Path, output: Path | None) -> int:
    """Write a recording without audio, digits, keys, accounts and custom parameters.

    Words are kept: read what you share. Names and numbers that are spelled out are words too.
    Nothing is written unless the whole file can be redacted.
    """
    check_output_files({"--output": output}, inputs=(file,))
    with file.open(encoding="utf-8") as lines:
        try:
            redacted = list(redact_recording(lines))
        except (UsageError, UnicodeDecodeError) as error:
            is_binary = isinstance(error, UnicodeDecodeError)
            reason = "this is not a text file" if is_binary else str(error)
            raise UsageError(f"{file}: {reason}") from None
    if output is None:
        for line in redacted:
            click.echo(line, nl=False)
    else:
        create_private_file(output)
        output.write_text("".join(redacted), encoding="utf-8")
    return 0

"""The commands by name, what they have in common, and how a wrong use of them is told."""

import signal
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import click

from ..errors import UsageError
from .demo import demo
from .model import model
from .output import NAME, complain
from .phone import phone
from .replay import replay_command
from .runtime import USAGE, explain
from .serve import serve
from .simulate import simulate

__all__ = ["call", "commands"]

_INTERRUPTED: Final = 128 + signal.SIGINT


@click.group(
    epilog="""
    Exit status: 0 all went well, 1 a call went wrong, 2 the command was not used as it has to be
    (one line on stderr says what to do), 130 after Ctrl-C, 143 after SIGTERM.

    Begin with `twilio-realtime demo`: it needs no account and no key.
    """,
)
@click.version_option(version("twilio-realtime-core"), message="%(version)s")
def commands() -> None:
    """Phone calls between Twilio Media Streams and OpenAI Realtime.

    `serve` answers calls. `phone` calls it, or any other Media Streams server, as Twilio would;
    `model` is a Realtime server for it, or for any other client. `demo` joins all three.
    """


for _command in (demo, serve, phone, model, simulate, replay_command):
    commands.add_command(_command)


def call(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: those of the process) name; its exit status."""
    try:
        return int(commands.main(arguments, prog_name=NAME, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else NAME
        complain(f"{error.format_message()} ({path} --help tells more)")
    except click.ClickException as error:
        complain(error.format_message())
    except (UsageError, OSError) as error:
        complain(explain(error))
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    return USAGE

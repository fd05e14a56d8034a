"""The command group, and the exit statuses and messages of usage errors."""

import signal
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import click

from ..errors import UsageError
from .demo import demo
from .model import model
from .output import COMMAND_NAME, print_error
from .phone import phone
from .replay import replay_command
from .runtime import USAGE_ERROR_STATUS, explain_error
from .serve import serve
from .simulate import simulate

__all__ = ["commands", "run_command"]

_SIGINT_STATUS: Final = 128 + signal.SIGINT


@click.group(
    epilog="""
    Exit status: 0 success, 1 a call failed, 2 usage error (one line on stderr says how to correct
    it), 130 after Ctrl-C, 143 after SIGTERM.

    Start with `twilio-realtime demo`: it needs no account and no key.
    """,
)
@click.version_option(version("twilio-realtime-core"), message="%(version)s")
def commands() -> None:
    """Phone calls between Twilio Media Streams and OpenAI Realtime.

    `serve` answers calls. `phone` calls it, or any other Media Streams server, as Twilio would.
    `model` is a simulated Realtime server for it, or for any other client. `demo` runs all three in
    one process.
    """


for _command in (demo, serve, phone, model, simulate, replay_command):
    commands.add_command(_command)


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run the command given by `arguments` (default: those of the process); return its exit
    status."""
    try:
        return int(commands.main(arguments, prog_name=COMMAND_NAME, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else COMMAND_NAME
        print_error(f"{error.format_message()} (see {path} --help)")
    except click.ClickException as error:
        print_error(error.format_message())
    except (UsageError, OSError) as error:
        print_error(explain_error(error))
    except (click.Abort, KeyboardInterrupt):
        return _SIGINT_STATUS
    return USAGE_ERROR_STATUS

"""The command group, and the exit statuses and messages of usage errors."""

import signal
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Final

import click

from ..errors import UsageError
from .output import COMMAND_NAME, print_error
from .runtime import USAGE_ERROR_STATUS, explain_error

__all__ = ["commands", "run_command"]

_SIGINT_STATUS: Final = 128 + signal.SIGINT

_COMMANDS: Final = {
    "call": ("call", "call"),
    "demo": ("demo", "demo"),
    "doctor": ("doctor", "doctor"),
    "line": ("line", "line_command"),
    "model": ("model", "model"),
    "phone": ("phone", "phone"),
    "redact": ("redact", "redact"),
    "replay": ("replay", "replay_command"),
    "serve": ("serve", "serve"),
    "show": ("show", "show"),
    "simulate": ("simulate", "simulate"),
}
"""The module of each command, and the name of its function."""


class _LazyGroup(click.Group):
    """A group that imports a command when it is used: each needs other parts of the package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f".{module}", __package__), name)
        return command


@click.group(
    cls=_LazyGroup,
    epilog="""
    Exit status: 0 success, 1 a call failed, 2 usage error (one line on stderr says how to correct
    it), 130 after Ctrl-C, 143 after SIGTERM.

    Start with `twilio-realtime demo`: it needs no account and no key.
    """,
)
@click.version_option(version("twilio-realtime-core"), message="%(version)s")
def commands() -> None:
    """Phone calls between Twilio Media Streams and OpenAI Realtime.

    `serve` answers calls, `call` places one. `phone` calls the server, or any other Media Streams
    server, as Twilio would. `model` is a simulated Realtime server for it, or for any other client.
    `demo` runs a server, a phone and a model in one process.
    """


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

"""The entry point: it checks that the extra is installed, then runs the command."""

import signal
import sys
from typing import Final, NoReturn

__all__ = ["main"]

_EXTRA_PACKAGES: Final = ("click", "rich", "anyio")
"""Packages of the extra `server` that only the command line needs."""

_USAGE_ERROR_STATUS: Final = 2
"""The exit status of usage errors, and of an incomplete installation."""

_SIGINT_STATUS: Final = 128 + signal.SIGINT
"""The exit status of a program that Ctrl-C has ended, as shells report it."""


def main() -> NoReturn:
    """Run `twilio-realtime` with the arguments of the process, and exit."""
    try:
        from .commands import run_command  # noqa: PLC0415 - it imports the extra
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA_PACKAGES:
            raise
        sys.stderr.write(
            f"twilio-realtime: {missing} is not installed: "
            "pip install 'twilio-realtime-core[server]'\n"
        )
        sys.exit(_USAGE_ERROR_STATUS)
    except KeyboardInterrupt:
        sys.exit(_SIGINT_STATUS)
    sys.exit(run_command())

"""The entry point: what the command line needs is looked for, then its commands."""

import signal
import sys
from typing import Final, NoReturn

__all__ = ["main"]

_EXTRA: Final = ("click", "rich", "anyio")
"""What the extra `server` installs, and nothing below the command line needs."""

_USAGE: Final = 2
"""The exit status of every wrong use, and so of a wrong installation."""

_INTERRUPTED: Final = 128 + signal.SIGINT
"""As a shell tells that Ctrl-C has ended a program."""


def main() -> NoReturn:
    """Run `twilio-realtime` with the arguments of the process, and exit."""
    try:
        from .commands import call  # noqa: PLC0415 - it imports what may be missing
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.stderr.write(
            f"twilio-realtime: {missing} is not installed: "
            "pip install 'twilio-realtime-core[server]'\n"
        )
        sys.exit(_USAGE)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    sys.exit(call())

"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .runtime import RUNTIMES, default_runtime

__all__ = ["host_option", "json_option", "port_option", "recordings_argument", "runtime_option"]

F = TypeVar("F", bound=Callable[..., Any])


def runtime_option(command: F) -> F:
    """Add --runtime: the event loop to run on."""
    return click.option(
        "--runtime",
        type=click.Choice(RUNTIMES),
        default=default_runtime(),
        show_default=True,
        help="The event loop to run on.",
    )(command)


def json_option(command: F) -> F:
    """Add --json: output for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")(
        command
    )


def host_option(command: F) -> F:
    """Add --host: the address to listen on."""
    return click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help='The address to listen on; "" for all addresses of this machine.',
    )(command)


def port_option(default: int) -> Callable[[F], F]:
    """Add --port: the port to listen on."""
    return click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=default,
        show_default=True,
        help="The port to listen on; 0 for a free one, which is printed.",
    )


def recordings_argument(command: F) -> F:
    """Add FILE...: the recorded calls to read, one or several."""
    return click.argument(
        "files",
        metavar="FILE...",
        nargs=-1,
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
    )(command)

"""The options that several commands have."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .runtime import RUNTIMES, default_runtime

__all__ = ["host_option", "json_option", "port_option", "runtime_option"]

F = TypeVar("F", bound=Callable[..., Any])


def runtime_option(command: F) -> F:
    """--runtime: on which event loop to run."""
    return click.option(
        "--runtime",
        type=click.Choice(RUNTIMES),
        default=default_runtime(),
        show_default=True,
        help="The event loop to run on.",
    )(command)


def json_option(command: F) -> F:
    """--json: for programs that read what is said."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Say all in JSON, an object a line."
    )(command)


def host_option(command: F) -> F:
    """--host: the address to listen on."""
    return click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help='The address to listen on; "" for all of this machine.',
    )(command)


def port_option(default: int) -> Callable[[F], F]:
    """--port: the port to listen on."""
    return click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=default,
        show_default=True,
        help="The port to listen on; 0 picks a free one and says which.",
    )

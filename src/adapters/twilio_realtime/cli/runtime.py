"""Runs a command on trio or on asyncio, and ends it as a program should end.

Ctrl-C and SIGTERM cancel the command, so that its sockets are closed; what is wrong with the way
in which it is used becomes one line on stderr.
"""

import errno
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol, cast

import anyio
from anyio.abc import TaskStatus

from twilio_realtime_core import ByteMachine

from ..agents import failures
from ..errors import UsageError
from ..runtime.base_driver import AnyDriver
from ..runtime.tcp_acceptor import MAX_CONNECTIONS, Accept
from .output import complain

__all__ = [
    "RUNTIMES",
    "USAGE",
    "Accept",
    "AnyDriver",
    "Drivers",
    "default_runtime",
    "drivers",
    "explain",
    "listen",
    "place",
    "run",
]

RUNTIMES: Final = ("trio", "asyncio")
"""What a command can run on."""

USAGE: Final = 2
"""The exit status of a command that is not used as it has to be."""

_KILLED: Final = 128
"""A shell's exit status of a program that a signal has ended, less the signal's number."""


class Drivers(Protocol):
    """What `twilio_realtime.trio` and `twilio_realtime.asyncio` have in common."""

    @property
    def Driver(  # noqa: N802 - the name of a class
        self,
    ) -> Callable[[ByteMachine, Callable[[object], None]], AnyDriver]:
        """Makes a driver of a machine and of who is to be notified."""
        ...

    async def drive(
        self,
        machine: ByteMachine,
        accepted: Mapping[Any, socket.socket] = ...,
        *,
        notify: Callable[[object], None],
    ) -> None:
        """Run one machine."""
        ...

    async def listen(
        self,
        host: str | None,
        port: int,
        accept: Accept,
        *,
        on_error: Callable[[Exception], None],
        on_listening: Callable[[list[tuple[str, int]]], None] = ...,
        max_connections: int = ...,
    ) -> None:
        """Run a machine for each connection, until cancelled."""
        ...


def default_runtime() -> str:
    """The runtime of who has not chosen one: trio where it is installed."""
    return "asyncio" if find_spec("trio") is None else "trio"


def drivers(name: str) -> Drivers:
    """The drivers of the runtime `name`, one of `RUNTIMES`. Raises `UsageError` if it is not
    installed."""
    try:
        return cast(Drivers, import_module(f"twilio_realtime.{name}"))
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: pip install {error.name}") from None


def run(main: Callable[[Drivers], Awaitable[int]], name: str) -> int:
    """What `main` returns, an exit status, run on the runtime `name`.

    130 after Ctrl-C, 143 after SIGTERM. A `UsageError` or an `OSError` is told on stderr in one
    line, and gives `USAGE`; any other exception is a bug, and raised.
    """
    signals: list[int] = []

    async def watched() -> int:
        status = 0
        async with anyio.create_task_group() as tasks:
            await tasks.start(_watch_signals, signals, tasks.cancel_scope)
            status = await main(drivers(name))
            tasks.cancel_scope.cancel()
        return _KILLED + signals[0] if signals else status

    try:
        return anyio.run(watched, backend=name)
    except BaseException as error:
        match _only_cause(error):
            case KeyboardInterrupt():  # before signals are watched, or when they are no more
                return _KILLED + signal.SIGINT
            case BrokenPipeError():  # whoever read our output has gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return _KILLED + signal.SIGPIPE
            case UsageError() | OSError() as wrong:
                complain(explain(wrong))
                return USAGE
            case _:
                raise


async def listen(
    api: Drivers,
    host: str,
    port: int,
    accept: Accept,
    *,
    on_error: Callable[[Exception], None],
    on_listening: Callable[[list[tuple[str, int]]], None],
    max_connections: int = MAX_CONNECTIONS,
) -> None:
    """As the `listen` of the drivers. `host`: empty for all addresses. Raises `UsageError` if
    there can be no listening."""
    try:
        await api.listen(
            host or None,
            port,
            accept,
            on_error=on_error,
            on_listening=on_listening,
            max_connections=max_connections,
        )
    except OSError as error:
        where = f"port {port} of {host or 'this machine'}"
        match error:
            case OSError(errno=errno.EADDRINUSE):
                advice = "it is in use: stop who listens there, or take another --port"
            case OSError(errno=errno.EACCES):
                advice = "it is not for everybody: take a --port from 1024 on"
            case _:
                advice = f"{explain(error)}: see --host and --port"
        raise UsageError(f"cannot listen on {where}: {advice}") from None


def place(error: BaseException) -> str:
    """What went wrong, if it is the system's fault; else which bug it is, and where, since its own
    words could hold what a peer has said."""
    error = _only_cause(error)
    if isinstance(error, OSError):
        return explain(error)
    return failures.describe_error(error)


async def _watch_signals(
    signals: list[int], scope: anyio.CancelScope, *, task_status: TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        async for number in received:
            signals.append(number)
            scope.cancel()


def explain(error: UsageError | OSError) -> str:
    """What is wrong, in words for people, and without addresses."""
    match error:
        case UsageError():
            return str(error)
        case OSError(filename=str(name), errno=int(number)):
            return f"cannot open {name}: {os.strerror(number).lower()}"
        case socket.gaierror(strerror=str(words)):  # the name look-up has numbers of its own
            return words.lower()
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return "the system has failed, and does not say why"


def _only_cause(error: BaseException) -> BaseException:
    """What is inside of the groups that task groups make."""
    match error:
        case BaseExceptionGroup(exceptions=(BaseException() as cause,)):
            return _only_cause(cause)
        case _:
            return error

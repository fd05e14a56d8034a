"""Run a command on trio or asyncio, and turn signals and errors into exit statuses.

Ctrl-C and SIGTERM cancel the command, so that its sockets are closed. A usage error is one line on
stderr.
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
from ..runtime.base_driver import BaseDriver
from ..runtime.tcp_acceptor import Accept, Connections
from .output import print_error

__all__ = [
    "RUNTIMES",
    "SIGNAL_STATUS_BASE",
    "USAGE_ERROR_STATUS",
    "Accept",
    "BaseDriver",
    "RuntimeApi",
    "default_runtime",
    "describe_error",
    "explain_error",
    "listen",
    "load_runtime",
    "run",
    "runs_uvloop",
]

RUNTIMES: Final = ("trio", "asyncio")
"""The runtimes that a command can run on."""

USAGE_ERROR_STATUS: Final = 2
"""The exit status of a usage error."""

SIGNAL_STATUS_BASE: Final = 128
"""Added to the number of a signal: the exit status of a program that it has ended."""


class RuntimeApi(Protocol):
    """The API that `twilio_realtime.trio` and `twilio_realtime.asyncio` share."""

    @property
    def Driver(  # noqa: N802 - the name of a class
        self,
    ) -> Callable[[ByteMachine, Callable[[object], None]], BaseDriver]:
        """Makes a driver of a machine; it calls the function with each notification."""
        ...

    async def drive(
        self,
        machine: ByteMachine,
        accepted: Mapping[Any, socket.socket] = ...,
        *,
        notify: Callable[[object], None],
    ) -> None:
        """Run a machine to its end."""
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
        connections: Connections | None = ...,
    ) -> None:
        """Listen, and run a machine for each connection, until cancelled."""
        ...


def default_runtime() -> str:
    """The default runtime: trio if it is installed, else asyncio."""
    return "asyncio" if find_spec("trio") is None else "trio"


def runs_uvloop(name: str) -> bool:
    """Whether a command on the runtime `name` uses uvloop's event loop: on asyncio, if uvloop is
    installed."""
    return name == "asyncio" and find_spec("uvloop") is not None


def load_runtime(name: str) -> RuntimeApi:
    """Import the package of the runtime `name`, one of `RUNTIMES`. Raises `UsageError` if the
    runtime is not installed."""
    try:
        return cast(RuntimeApi, import_module(f"twilio_realtime.{name}"))
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed: pip install {error.name}") from None


def run(
    main: Callable[[RuntimeApi], Awaitable[int]],
    name: str,
    backend_options: dict[str, Any] | None = None,
    on_signal: Callable[[int], bool] = lambda number: False,
) -> int:
    """Run `main` on the runtime `name`, and return the exit status that it returns.

    `backend_options` are those of `anyio.run`; without them asyncio runs on uvloop, if it is
    installed. `on_signal` is called with the number of each of
    SIGINT, SIGTERM and SIGHUP; if it returns true, `main` is not cancelled.

    The status is 130 after Ctrl-C and 143 after SIGTERM. A `UsageError` or an `OSError` is printed
    to stderr in one line and gives `USAGE_ERROR_STATUS`; any other exception is a bug, and raised.
    """
    signals: list[int] = []

    async def run_until_signal() -> int:
        status = 0
        async with anyio.create_task_group() as tasks:
            await tasks.start(_watch_signals, signals, tasks.cancel_scope, on_signal)
            status = await main(load_runtime(name))
            tasks.cancel_scope.cancel()
        return SIGNAL_STATUS_BASE + signals[0] if signals else status

    if backend_options is None and runs_uvloop(name):
        backend_options = {"use_uvloop": True}
    try:
        return anyio.run(run_until_signal, backend=name, backend_options=backend_options)
    except BaseException as error:
        match _unwrap_group(error):
            case KeyboardInterrupt():  # before signals are received, or after that
                return SIGNAL_STATUS_BASE + signal.SIGINT
            case BrokenPipeError():  # the reader of stdout has closed it
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return SIGNAL_STATUS_BASE + signal.SIGPIPE
            case UsageError() | OSError() as cause:
                print_error(explain_error(cause))
                return USAGE_ERROR_STATUS
            case _:
                raise


async def listen(
    api: RuntimeApi,
    host: str,
    port: int,
    accept: Accept,
    *,
    on_error: Callable[[Exception], None],
    on_listening: Callable[[list[tuple[str, int]]], None],
    connections: Connections | None = None,
) -> None:
    """Listen as the runtime does. `host`: empty for all addresses. Raises `UsageError` if the
    address cannot be listened on."""
    try:
        await api.listen(
            host or None,
            port,
            accept,
            on_error=on_error,
            on_listening=on_listening,
            connections=connections,
        )
    except OSError as error:
        where = f"port {port} of {host or 'this machine'}"
        match error:
            case OSError(errno=errno.EADDRINUSE):
                advice = "it is in use: stop the program that uses it, or choose another --port"
            case OSError(errno=errno.EACCES):
                advice = "permission denied: choose a --port from 1024 on"
            case _:
                advice = f"{explain_error(error)}: see --host and --port"
        raise UsageError(f"cannot listen on {where}: {advice}") from None


def describe_error(error: BaseException) -> str:
    """Describe an error: one of the system in words; any other by its type and its place in the
    code, since its message may hold text of a peer."""
    error = _unwrap_group(error)
    if isinstance(error, OSError):
        return explain_error(error)
    return failures.describe_error(error)


async def _watch_signals(
    signals: list[int],
    scope: anyio.CancelScope,
    on_signal: Callable[[int], bool],
    *,
    task_status: TaskStatus[None],
) -> None:
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with anyio.open_signal_receiver(*watched) as received:
        task_status.started()
        async for number in received:
            if not on_signal(number):
                signals.append(number)
                scope.cancel()


def explain_error(error: UsageError | OSError) -> str:
    """Explain an error to people, without addresses."""
    match error:
        case UsageError():
            return str(error)
        case OSError(filename=str(name), errno=int(number)):
            return f"cannot open {name}: {os.strerror(number).lower()}"
        case socket.gaierror(strerror=str(text)):  # its numbers are not those of `errno`
            return text.lower()
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return "the system reports an error without a reason"


def _unwrap_group(error: BaseException) -> BaseException:
    """Return the single exception in the groups that task groups raise."""
    match error:
        case BaseExceptionGroup(exceptions=(BaseException() as cause,)):
            return _unwrap_group(cause)
        case _:
            return error

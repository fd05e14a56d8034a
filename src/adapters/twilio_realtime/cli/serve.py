"""`twilio-realtime serve`: answer Twilio's calls, each with an agent and a Realtime session."""

import gc
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final

import click
from attrs import define, field, frozen

from ..agents.call import CallHandler
from ..agents.call_acceptor import call_acceptor
from ..agents.required_runtime import check_runtime, required_runtime
from ..errors import UsageError
from ..runtime.tcp_acceptor import (
    ConnectionRunner,
)
from ..server.agent_loader import AgentError
from ..server.event_log import EventLog, LogFieldValue
from ..server.log_output import LogOutput, format_json, format_text, print_to, write_logs
from ..server.operation import SESSION_VARIABLE, Operation
from ..server.proxy import driver_factory, find_proxy
from ..server.routes import HEALTH_PATH, INCOMING_CALL_PATH
from ..server.service_config import MEDIA_STREAM_PATH
from ..server.serving import find_agent, make_service_config
from ..server.settings import LoadedSettings, load_settings, read_env_file
from ..stop_requests import StopRequest, StopRequests
from .output import FieldValue, LineStyle, Output, print_error
from .runtime import (
    SIGNAL_STATUS_BASE,
    USAGE_ERROR_STATUS,
    RuntimeApi,
    default_runtime,
)
from .server import CommandServer
from .setting_options import setting_options

__all__ = ["serve"]


_SIGINT_STATUS: Final = 128 + signal.SIGINT


@click.command(
    short_help="Answer Twilio's calls, each with your agent.",
    epilog="""
    \b
    Secrets come from the environment, or from a file that NAME_FILE names:
      OPENAI_API_KEY        the key of the OpenAI API
      AZURE_OPENAI_API_KEY  that of an Azure resource, with --provider azure
      TWILIO_AUTH_TOKEN     your account's token, or several with commas:
                            requests that Twilio has not signed are refused.
                            Without it, only this machine is served, or any
                            host with --insecure
    \b
    Every option is also a variable, TWILIO_REALTIME_PUBLIC_URL for
    --public-url, and a key of twilio-realtime.toml, or of
    [tool.twilio-realtime] in pyproject.toml. --show-config prints what is in
    effect.
    \b
    Examples:
      # the agent in agent.py, for Twilio, through a tunnel:
      twilio-realtime serve
      # another one, in the package shop, loaded again when a file changes:
      twilio-realtime serve shop.agents:pizza --reload
      # without a key, with the simulated model and phone:
      twilio-realtime model --port 5051
      twilio-realtime serve --realtime-url ws://127.0.0.1:5051/v1/realtime
      twilio-realtime phone http://127.0.0.1:5050/incoming-call

    The log goes to stdout. Transcripts, phone numbers and pressed keys are never logged. SIGTERM
    lets calls finish, a second one and Ctrl-C end them. SIGHUP loads the certificate again. Exit
    status: 2 it cannot serve, 130 after Ctrl-C, 143 after SIGTERM.
    """,
)
@click.argument("agent", required=False, metavar="[MODULE:AGENT]")
@setting_options
@click.option(
    "--reload",
    is_flag=True,
    help="Start again when a file of this folder changes, for development.",
)
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the variables in FILE to the environment.",
)
@click.option("--show-config", is_flag=True, help="Print the settings and where they are from.")
@click.option("--json", "as_json", is_flag=True, help="The same as --log-format json.")
def serve(
    *, as_json: bool, reload: bool, env_file: Path | None, show_config: bool, **flags: Any
) -> int:
    """Answer Twilio's calls: the webhook at /incoming-call, and the stream that it names.

    The agent is an Agent, an async function of a Call, Handlers, or a RealtimeAgent of the OpenAI
    Agents SDK. Without an argument it is the name `agent` in the file agent.py, if there is one,
    and else an agent that --instructions describes. In Twilio's console, set "A call comes in" to https://.../incoming-call.
    """
    environment = dict(os.environ)
    if env_file is not None:
        environment = {**read_env_file(env_file), **environment}
    folder = Path.cwd()
    settings = load_settings(flags, environment, folder)
    if show_config:
        _print_settings(settings, Output(as_json))
        return 0
    if reload:
        return _serve_and_reload(folder)
    os.environ.update({name: environment[name] for name in environment.keys() - os.environ.keys()})
    format_record = format_json if as_json or settings["log-format"] == "json" else format_text
    level = logging.getLevelNamesMapping()[settings["log-level"].upper()]
    with ExitStack() as opened:
        # From here on, no output makes anybody wait, not even what the agent prints.
        log = write_logs(_descriptor_of(sys.stdout), format_record, level)
        opened.callback(log.close)
        if _has_descriptor(sys.stdout):
            opened.enter_context(print_to("stdout", log))
        if _has_descriptor(sys.stderr):
            errors = LogOutput(_descriptor_of(sys.stderr), format_record)
            opened.callback(errors.close)
            opened.enter_context(print_to("stderr", errors))
        return _serve_agent(settings, environment, folder, lambda: log.is_reader_gone)


def _serve_agent(
    settings: LoadedSettings,
    environment: Mapping[str, str],
    folder: Path,
    is_unwatched: Callable[[], bool],
) -> int:
    try:
        found = find_agent(settings, folder)
    except AgentError as error:
        click.echo(error.report, err=True, nl=False)
        print_error(str(error))
        return USAGE_ERROR_STATUS
    runtime = settings["runtime"] or required_runtime(found.handler) or default_runtime()
    check_runtime(found.handler, runtime)
    config = make_service_config(settings, environment, found.handler)
    find_proxy(environment)  # raises before the service listens
    operation = Operation.build(settings, config, is_unwatched)
    try:
        return _CallServer(
            operation=operation,
            agent=found.handler,
            output=_LogEvents(operation.log),
            scheme="http" if operation.tls is None else "https",
            listening_note=(
                f": {INCOMING_CALL_PATH}, {MEDIA_STREAM_PATH}, {HEALTH_PATH}; it serves"
                f" {found.name}"
            ),
            connections=operation.connections,
        ).run(settings["host"], settings["port"], runtime)
    finally:
        operation.close()
        gc.unfreeze()  # as before, for a program that goes on


def _print_settings(settings: LoadedSettings, output: Output) -> None:
    rows = settings.describe()
    if output.as_json:
        for name, value, source in rows:
            output.write_event("setting", {"name": name, "value": value, "source": source})
        return
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, value, source in rows:
        click.echo(f"{name:{widths[0]}}  {value:{widths[1]}}  {source}")


def _serve_and_reload(folder: Path) -> int:
    """Run the same command without --reload, again whenever a Python file changes."""
    try:
        from watchfiles import PythonFilter, run_process  # noqa: PLC0415 - it is an extra
    except ModuleNotFoundError:
        raise UsageError(
            "--reload needs watchfiles: pip install 'twilio-realtime-core[server,reload]'"
        ) from None
    # `serve` itself ends with SIGINT even where a shell ignores it for what it starts with `&`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The page of the browser phone goes on with the service that is started again.
    os.environ.setdefault(SESSION_VARIABLE, token_urlsafe())
    arguments = [each for each in sys.argv[1:] if each != "--reload"]
    command = [sys.executable, "-m", "twilio_realtime.cli", *arguments]
    run_process(
        folder, target=shlex.join(command), target_type="command", watch_filter=PythonFilter()
    )
    return _SIGINT_STATUS


@frozen(eq=False)
class _LogEvents:
    """Writes the events of the command itself to the log."""

    log: EventLog

    def write_event(
        self,
        event: str,
        fields: Mapping[str, FieldValue] = {},
        *,
        style: LineStyle = LineStyle.PLAIN,
        text: str | None = None,
    ) -> None:
        level = logging.ERROR if style is LineStyle.FAILURE else logging.INFO
        values: dict[str, LogFieldValue] = {
            name: ", ".join(map(str, value)) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        self.log.write(level, event, {**values, "text": text}, like=(text, *values.values()))


@define(eq=False, kw_only=True)
class _CallServer(CommandServer):
    """Runs the agent for each call, and ends the service in good order."""

    operation: Operation
    agent: CallHandler
    _stop_requests: StopRequests = field(init=False, factory=StopRequests)
    _accept: Callable[[], tuple[ConnectionRunner, Hashable]] | None = field(
        init=False, default=None
    )

    def accept(self) -> tuple[ConnectionRunner, Hashable]:
        if self._accept is None:
            make_driver = driver_factory(self.api, os.environ)
            self._accept = call_acceptor(self.operation.service, self.agent, make_driver)
        return self._accept()

    async def serve(self, api: RuntimeApi, host: str, port: int) -> int:
        """Listen until cancelled, or until all calls are over after SIGTERM."""
        async with self.operation.supervised(api):
            await super().serve(api, host, port)
        number = signal.SIGTERM if self.operation.supervisor.is_asked_to_end else signal.SIGPIPE
        return SIGNAL_STATUS_BASE + number

    def on_signal(self, number: int) -> bool:
        """The first SIGTERM drains the service, SIGHUP loads the certificate again."""
        match number:
            case signal.SIGTERM:
                request = self._stop_requests.receive()
                if request is StopRequest.FIRST:
                    self.operation.drain()
                return request is not StopRequest.SECOND
            case signal.SIGHUP:
                self.operation.reload_certificate()
                return True
            case _:
                return False

    def on_listening(self, addresses: list[tuple[str, int]]) -> None:
        """Print where the browser phone is, and exempt what is loaded from garbage collection."""
        self.operation.print_links(addresses)
        # A full collection can take 86 ms, in which no call proceeds. Nearly all objects are those
        # of modules, which live as long as the process.
        gc.collect()
        gc.freeze()

    def report_error(self, error: Exception) -> None:
        """See `CommandServer.report_error`."""
        self.operation.log_error(error)


def _has_descriptor(stream: Any) -> bool:
    """Whether an output stream is open, and not one of a program around the command."""
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _descriptor_of(stream: Any) -> int:
    """Return the descriptor of an output stream, or of nothing if it has none."""
    return int(stream.fileno()) if _has_descriptor(stream) else os.open(os.devnull, os.O_WRONLY)

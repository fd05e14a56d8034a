"""`twilio-realtime call`: place a call, and have an agent talk to the one who answers."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from twilio_realtime_core import LocalProtocolError

from ..agents.phone_events import PhoneCallAnswered, PhoneCallState, PhoneCallStatus, PhoneEvent
from ..errors import UsageError
from ..server.agent_loader import AgentError
from ..server.log_output import format_json, format_text, write_logs
from ..server.outgoing_calls import RING_TIMEOUT_MS, PlacingRefusedError
from ..server.placing import place_call
from ..server.serving import find_agent, make_service_config
from ..server.settings import LoadedSettings, load_settings, read_env_file
from ..server.twilio_account import require_twilio_client
from ..twilio_api.errors import TwilioApiError
from ..twilio_api.phone_numbers import check_phone_address, check_phone_number
from .output import LineStyle, Output, print_error
from .runtime import USAGE_ERROR_STATUS, RuntimeApi, default_runtime, run
from .setting_options import setting_options

__all__ = ["call"]

_FAILURE_STATUS: Final = 1

_STDERR: Final = 2


@click.command(
    short_help="Call a number, with your agent.",
    epilog="""
    \b
    Secrets come from the environment, as with serve, and also:
      TWILIO_ACCOUNT_SID    the account that places the call
      TWILIO_API_KEY, TWILIO_API_SECRET
                            an API key, in place of TWILIO_AUTH_TOKEN
    \b
    Example:
      twilio-realtime call +15005550006 shop.agents:reminder \\
          --from +15005550001 --public-url https://calls.example \\
          --detect-machine --parameter order=17

    While the call rings and lasts, the webhook is served, and Twilio has to reach it at the public
    URL. Events go to stdout, the log to stderr, neither with a phone number.

    Exit status: 0 the call was answered, 1 it was busy, not answered or refused, 2 usage error, 130
    after Ctrl-C, which ends the call.
    """,
)
@click.argument("number")
@click.argument("agent", required=False, metavar="[MODULE:AGENT]")
@click.option(
    "--from",
    "from_number",
    metavar="NUMBER",
    required=True,
    envvar="TWILIO_REALTIME_FROM",
    help="The number to call from, one of the account's.",
)
@click.option(
    "--detect-machine",
    is_flag=True,
    help="Greet once a person has answered; voicemail gets the agent's own words.",
)
@click.option(
    "--ring-timeout-ms",
    type=click.IntRange(1000, 600_000),
    default=RING_TIMEOUT_MS,
    show_default=True,
    help="How long the phone rings.",
)
@click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter for the agent, in CallStarted.custom_parameters. May be given several times.",
)
@setting_options
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the variables in FILE to the environment.",
)
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON.")
def call(
    *,
    number: str,
    from_number: str,
    detect_machine: bool,
    ring_timeout_ms: int,
    parameters: Sequence[str],
    env_file: Path | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Call NUMBER, and connect it to an agent once it is answered.

    The agent is found as `serve` finds it.
    """
    if env_file is not None:
        added = read_env_file(env_file)
        os.environ.update({name: added[name] for name in added.keys() - os.environ.keys()})
    settings = load_settings(flags, os.environ, Path.cwd())
    given = _parse_parameters(parameters)
    try:
        check_phone_address(number, "NUMBER")
        check_phone_number(from_number, "--from")
    except LocalProtocolError as error:
        raise UsageError(str(error)) from None
    require_twilio_client(settings)
    if settings["public-url"] is None:
        raise UsageError("placing a call needs --public-url, at which Twilio reaches this program")
    try:
        found = find_agent(settings, Path.cwd())
    except AgentError as error:
        click.echo(error.report, err=True, nl=False)
        print_error(str(error))
        return USAGE_ERROR_STATUS
    config = make_service_config(settings, os.environ, found.handler)
    output = Output(as_json)

    async def main(_: RuntimeApi) -> int:
        try:
            status = await place()
        except (TwilioApiError, PlacingRefusedError) as error:
            print_error(str(error))
            return _FAILURE_STATUS
        return 0 if status.state is PhoneCallState.COMPLETED else _FAILURE_STATUS

    async def place() -> PhoneCallStatus:
        return await place_call(
            to=number,
            from_=from_number,
            agent=found.handler,
            parameters=given,
            machine_detection=detect_machine,
            ring_timeout_ms=ring_timeout_ms,
            on_event=lambda event: _print_event(output, event),
            config=config,
            **_service_flags(flags),
        )

    log = write_logs(_STDERR, _log_format(settings, as_json=as_json), _log_level(settings))
    try:
        return run(main, settings["runtime"] or default_runtime())
    finally:
        log.close()


def _service_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were given; those of the agent have taken effect."""
    return {
        name: value
        for name, value in flags.items()
        if value not in (None, ()) and name not in ("agent", "factory", "runtime")
    }


def _parse_parameters(texts: Sequence[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError("--parameter is not NAME=VALUE")
        parameters[name] = value
    return parameters


def _print_event(output: Output, event: PhoneEvent) -> None:
    match event:
        case PhoneCallStatus(state=state):
            is_failed = event.is_final and state is not PhoneCallState.COMPLETED
            style = LineStyle.FAILURE if is_failed else LineStyle.PLAIN
            fields = {"status": state.value, "duration_s": event.duration_s}
            output.write_event("phone_call_status", fields, style=style)
        case PhoneCallAnswered(answered_by=answered_by):
            output.write_event("phone_call_answered", {"answered_by": answered_by.value})
        case _:
            pass


def _log_format(settings: LoadedSettings, *, as_json: bool) -> Any:
    return format_json if as_json or settings["log-format"] == "json" else format_text


def _log_level(settings: LoadedSettings) -> int:
    return logging.getLevelNamesMapping()[settings["log-level"].upper()]

"""`twilio-realtime phone`: call any Media Streams server as Twilio would."""

import os
from collections.abc import Hashable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final

import anyio
import click

from twilio_realtime_core import ByteAction, LocalProtocolError
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.protocols.twilio import MAX_MESSAGE_BYTES
from twilio_realtime_core.transport.handshake import ServerAddress, parse_url
from twilio_realtime_core.transport.websocket import LinkConfig
from twilio_realtime_core.webhook import SIGNATURE_HEADER, compute_signature

from ..errors import UsageError
from ..runtime.tls import Tls
from ..server.environment import AUTH_TOKEN_VARIABLE
from ..sim.audio import encode_wav
from ..sim.phone.twilio_peer import SERVER
from ..sim.world.delayed_machine import DelayedMachine
from .options import json_option, runtime_option
from .output import LineStyle, Output
from .output_files import check_output_files
from .phone_connection import PhonePeer, PhoneStack
from .phone_junit import write_junit
from .phone_report import PhoneReport
from .phone_script import make_script
from .phone_webhook import CallRefusedError, request_stream
from .runtime import RuntimeApi, run

__all__ = ["phone"]

_MAX_SERVER_MESSAGE_BYTES: Final = 16 * MAX_MESSAGE_BYTES
"""Servers send whole answers in one message, and Twilio documents no limit."""


@click.command(
    short_help="Call a Media Streams server as Twilio would.",
    epilog="""
    \b
    Examples:
      twilio-realtime phone http://127.0.0.1:5050/incoming-call
      twilio-realtime phone wss://calls.example/media-stream --param plan=gold
      twilio-realtime phone https://calls.example/incoming-call --wait \\
          --wav question.wav --interrupt-after-ms 800 --record call.wav
      # a gate for CI:
      twilio-realtime phone http://127.0.0.1:5050/incoming-call --wait \\
          --max-latency-ms 1500 --junit call.xml

    With a webhook, http:// or https://, it is requested first, as Twilio would, and the phone opens
    the stream that it names. If TWILIO_AUTH_TOKEN is set, all requests are signed with it.

    Warnings have the numbers of Twilio's log, such as 31951 for a message that Twilio would ignore,
    31920 for a refused handshake, or 31921 for a stream that the server closes. SSL_CERT_FILE names
    the authorities to trust for wss:// in place of the system's.

    Exit status: 0 the caller was answered and Twilio would have logged nothing, 1 otherwise,
    2 the server could not be called, or a file would be overwritten, 130 after Ctrl-C, 143 after
    SIGTERM.
    """,
)
@click.argument("url")
@click.option(
    "--wav",
    "wavs",
    metavar="FILE",
    multiple=True,
    help="The caller's speech: 8000 Hz, mono, µ-law or 16-bit PCM. May be given several times; "
    "each is said after the answer to the one before.",
)
@click.option("--wait", is_flag=True, help="Listen to the greeting before the caller speaks.")
@click.option("--press", "keys", metavar="KEYS", default="", help="Then press keys, such as 1#.")
@click.option(
    "--interrupt-after-ms",
    type=click.IntRange(0, 600_000),
    help="Interrupt the first answer once so much of it was heard, with the second --wav or a "
    "sample.",
)
@click.option(
    "--expect-hang-up",
    is_flag=True,
    help="Do not hang up: the agent has to, and that is a success.",
)
@click.option(
    "--from",
    "from_number",
    metavar="NUMBER",
    default="+15005550006",
    show_default=True,
    help="The number of the caller, for the webhook.",
)
@click.option(
    "--to",
    "to_number",
    metavar="NUMBER",
    default="+15005550001",
    show_default=True,
    help="The number that is called, for the webhook.",
)
@click.option(
    "--max-latency-ms",
    type=click.IntRange(1, 60_000),
    help="Fail if an answer takes longer, from the end of the caller's speech.",
)
@click.option("--junit", metavar="FILE", help="Write the result to FILE, as JUnit XML for CI.")
@click.option(
    "--latency-ms",
    type=click.IntRange(0, 5000),
    default=0,
    show_default=True,
    help="Latency to add, one way.",
)
@click.option(
    "--start-delay-ms",
    type=click.IntRange(0, 5000),
    default=0,
    show_default=True,
    help="Delay before Twilio starts to play; servers cannot observe it.",
)
@click.option(
    "--quiet-ms",
    type=click.IntRange(100, 60_000),
    default=1500,
    show_default=True,
    help="Hang up when the agent has been silent for so long after its answer.",
)
@click.option(
    "--limit-s",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    help="Hang up after so many seconds in any case.",
)
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A custom parameter of the stream; may be given several times.",
)
@click.option(
    "--record", metavar="FILE", help="Write the audio to FILE: left the caller, right the agent."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the IDs.")
@runtime_option
@json_option
def phone(url: str, runtime: str, *, as_json: bool, **options: Any) -> int:
    """Call the Media Streams server at URL as Twilio would; URL is that of the stream or of the
    webhook.

    The caller speaks, listens to the answer, and hangs up. Then a summary is printed: how much was
    heard, and what Twilio would have logged.
    """
    is_webhook = url.startswith(("http://", "https://"))
    if not is_webhook:
        _parse_server_url(url)
    auth_token = os.environ.get(AUTH_TOKEN_VARIABLE, "").partition(",")[0].strip() or None
    peer = PhonePeer(
        url=url,
        seed=options["seed"],
        script=make_script(
            options["wavs"],
            quiet_ms=options["quiet_ms"],
            waits=options["wait"],
            keys=options["keys"],
            interrupt_after_ms=options["interrupt_after_ms"],
            hangs_up=not options["expect_hang_up"],
        ),
        custom_parameters=_parse_custom_parameters(options["parameters"]),
        start_delay_ns=options["start_delay_ms"] * MS,
    )
    check_output_files(
        {
            f"--{name}": None if options[name] is None else Path(options[name])
            for name in ("record", "junit")
        },
        inputs=map(Path, options["wavs"]),
        kind="the caller's speech",
    )
    output = Output(as_json)
    with ExitStack() as files:
        file: BinaryIO | None = None
        if options["record"] is not None:  # before the call, so that errors come early
            file = files.enter_context(Path(options["record"]).open("wb"))
        if is_webhook:
            try:
                _request_webhook(peer, options, auth_token, output)
            except CallRefusedError as refusal:
                return _report_refusal(refusal, output, options)
        address = _parse_server_url(peer.url)
        stack = PhoneStack(peer, _links(peer.url, auth_token), os.urandom)
        report = PhoneReport(
            peer,
            stack,
            f"{address.host}:{address.port}",
            output,
            expects_hang_up=options["expect_hang_up"],
            max_latency_ms=options["max_latency_ms"],
        )

        async def main(api: RuntimeApi) -> int:
            try:
                status = await _make_call(
                    api, report, options["latency_ms"] * MS, options["limit_s"]
                )
                _write_result(options, report.failures, report.latencies_ms)
                return status
            except UsageError as error:
                _write_result(options, [str(error)])
                raise
            finally:
                if file is not None:
                    file.write(encode_wav(*peer.recorded_audio(report.end_ns)))

        return run(main, runtime)


async def _make_call(api: RuntimeApi, report: PhoneReport, one_way_ns: int, limit_s: int) -> int:
    """Make the call; return the exit status."""
    tls = Tls(report.stack)
    machine = DelayedMachine(tls, one_way_ns)
    started = anyio.Event()

    def notify(event: object) -> None:
        report.on_notification(event, driver.now())
        if report.phone.stream_started_ns is not None:
            started.set()

    def hang_up(now: int) -> list[ByteAction]:
        return tls.perform(report.phone.hang_up(now), now)

    async def hang_up_at_limit() -> None:
        await started.wait()
        await anyio.sleep(limit_s)
        report.report_limit(limit_s)
        driver.perform(machine.call(hang_up, driver.now()))

    driver = api.Driver(machine, notify)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang_up_at_limit)
        await driver.run({})
        tasks.cancel_scope.cancel()
    return report.finish()


def _parse_server_url(url: str) -> ServerAddress:
    """Parse the URL of a stream. Raises `UsageError` if Twilio would not call it."""
    try:
        address = parse_url(url)
    except LocalProtocolError as error:
        raise UsageError(
            f"{error}: use the URL that <Stream> names, such as wss://calls.example/media-stream"
        ) from None
    if "?" in address.target:
        raise UsageError(
            "Twilio does not call a URL with a query (31920): pass parameters with "
            "--param NAME=VALUE, as <Parameter> does"
        )
    return address


def _request_webhook(
    peer: PhonePeer, options: Mapping[str, Any], auth_token: str | None, output: Output
) -> None:
    """Request the webhook at the peer's URL, and give the peer the stream that it names. Raises
    `CallRefusedError` if it names none."""
    fields = {
        "AccountSid": peer.account_sid,
        "ApiVersion": "2010-04-01",
        "CallSid": peer.call_sid,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "From": options["from_number"],
        "To": options["to_number"],
    }
    stream = request_stream(peer.url, fields, auth_token)
    output.write_event("webhook_answered", style=LineStyle.SUCCESS)
    peer.url = stream.url
    peer.custom_parameters = {**stream.parameters, **peer.custom_parameters}


def _report_refusal(refusal: CallRefusedError, output: Output, options: Mapping[str, Any]) -> int:
    """Report that the webhook has connected the call to no stream; return the exit status."""
    fields = {"code": refusal.code, "message": str(refusal)}
    is_success = options["expect_hang_up"] and refusal.code is None
    output.write_event(
        "call_refused", fields, style=LineStyle.SUCCESS if is_success else LineStyle.FAILURE
    )
    _write_result(options, [] if is_success else [str(refusal)])
    return 0 if is_success else 1


def _write_result(
    options: Mapping[str, Any], failures: Sequence[str], latencies_ms: Sequence[int] = ()
) -> None:
    if options["junit"] is not None:
        write_junit(Path(options["junit"]), failures, latencies_ms)


def _links(url: str, auth_token: str | None) -> dict[Hashable, LinkConfig]:
    headers = (
        () if auth_token is None else ((SIGNATURE_HEADER, compute_signature(auth_token, url)),)
    )
    return {SERVER: LinkConfig(max_message_bytes=_MAX_SERVER_MESSAGE_BYTES, headers=headers)}


def _parse_custom_parameters(given: Sequence[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise UsageError("--param needs a name and a value: --param NAME=VALUE")
        parameters[name] = value
    return parameters

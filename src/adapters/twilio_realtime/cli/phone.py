"""`twilio-realtime phone`: call any Media Streams server as Twilio would."""

import os
from collections.abc import Sequence
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

from ..errors import UsageError
from ..runtime.tls import Tls
from ..sim import sample_speech
from ..sim.audio import encode_wav
from ..sim.phone.caller import AfterDelay, CallerHangsUp, CallerSays, Cue, WhenAgentQuiet
from ..sim.phone.twilio_peer import SERVER
from ..sim.world.delayed_machine import DelayedMachine
from .options import json_option, runtime_option
from .output import Output
from .phone_connection import PhonePeer, PhoneStack
from .phone_report import PhoneReport
from .runtime import RuntimeApi, run
from .wav import load_wav

__all__ = ["phone"]

_PAUSE_BEFORE_SPEECH_NS: Final = 500 * MS
"""From the stream's start until the caller speaks."""

_LINKS: Final = {SERVER: LinkConfig(max_message_bytes=16 * MAX_MESSAGE_BYTES)}
"""Servers send whole answers in one message, and Twilio documents no limit."""


@click.command(
    short_help="Call a Media Streams server as Twilio would.",
    epilog="""
    \b
    Examples:
      twilio-realtime phone ws://127.0.0.1:5050/media-stream
      twilio-realtime phone wss://calls.example/media-stream --param plan=gold
      twilio-realtime phone ws://127.0.0.1:5050/media-stream \\
          --wav question.wav --latency-ms 60 --record call.wav

    Warnings have the numbers of Twilio's log, such as 31951 for a message that Twilio would ignore,
    31920 for a refused handshake, or 31921 for a stream that the server closes. SSL_CERT_FILE names
    the authorities to trust for wss:// in place of the system's.

    Exit status: 0 the caller was answered and Twilio would have logged nothing, 1 otherwise,
    2 the server could not be called, 130 after Ctrl-C, 143 after SIGTERM.
    """,
)
@click.argument("url")
@click.option(
    "--wav", metavar="FILE", help="The caller's speech: 8000 Hz, mono, µ-law or 16-bit PCM."
)
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
    """Call the Media Streams server at URL as Twilio would.

    The caller speaks, listens to the answer, and hangs up. Then a summary is printed: how much was
    heard, and what Twilio would have logged.
    """
    address = _parse_server_url(url)
    peer = PhonePeer(
        url=url,
        seed=options["seed"],
        script=_script(options["wav"], options["quiet_ms"]),
        custom_parameters=_parse_custom_parameters(options["parameters"]),
        start_delay_ns=options["start_delay_ms"] * MS,
    )
    with ExitStack() as files:
        file: BinaryIO | None = None
        if options["record"] is not None:  # before the call, so that errors come early
            file = files.enter_context(Path(options["record"]).open("wb"))
        stack = PhoneStack(peer, _LINKS, os.urandom)
        report = PhoneReport(peer, stack, f"{address.host}:{address.port}", Output(as_json))

        async def main(api: RuntimeApi) -> int:
            try:
                return await _make_call(api, report, options["latency_ms"] * MS, options["limit_s"])
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


def _script(wav: str | None, quiet_ms: int) -> Sequence[Cue]:
    audio = sample_speech.load("caller_question").audio if wav is None else load_wav(wav)
    return (
        AfterDelay(_PAUSE_BEFORE_SPEECH_NS, CallerSays(audio)),
        WhenAgentQuiet(quiet_ms * MS, CallerHangsUp()),
    )


def _parse_custom_parameters(given: Sequence[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise UsageError("--param needs a name and a value: --param NAME=VALUE")
        parameters[name] = value
    return parameters

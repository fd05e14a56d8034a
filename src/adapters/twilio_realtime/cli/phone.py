"""`twilio-realtime phone`: a caller, with Twilio, for any Media Streams server."""

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
from ..sim.audio import write_wav
from ..sim.phone.caller import After, Cue, HangUp, Say, WhenQuiet
from ..sim.phone.twilio_peer import SERVER
from ..sim.world.distance import Distant
from .options import json_option, runtime_option
from .output import Output
from .phone_line import Caller, Line
from .phone_report import PhoneReport
from .runtime import Drivers, run
from .wav import load_wav

__all__ = ["phone"]

_BREATH_NS: Final = 500 * MS
"""From the stream's begin until the caller speaks."""

_LINKS: Final = {SERVER: LinkConfig(max_message_bytes=16 * MAX_MESSAGE_BYTES)}
"""Servers send whole answers in one message; Twilio states no limit."""


@click.command(
    short_help="Call a Media Streams server as Twilio would.",
    epilog="""
    \b
    Examples:
      twilio-realtime phone ws://127.0.0.1:5050/media-stream
      twilio-realtime phone wss://calls.example/media-stream --param plan=gold
      twilio-realtime phone ws://127.0.0.1:5050/media-stream \\
          --wav question.wav --latency-ms 60 --record call.wav

    What is wrong with the server is told by the numbers of Twilio's log, such as 31951 for a
    message that Twilio would ignore, 31920 for a handshake that is refused, or 31921 for a stream
    that the server closes. SSL_CERT_FILE names authorities to trust for wss:// in place of the
    system's.

    Exit status: 0 the caller was answered and Twilio would have logged nothing, 1 otherwise,
    2 there was no server to call, 130 after Ctrl-C, 143 after SIGTERM.
    """,
)
@click.argument("url")
@click.option(
    "--wav", metavar="FILE", help="What the caller says: 8000 Hz, mono, µ-law or 16-bit PCM."
)
@click.option(
    "--latency-ms",
    type=click.IntRange(0, 5000),
    default=0,
    show_default=True,
    help="How far away the server seems, one way.",
)
@click.option(
    "--start-delay-ms",
    type=click.IntRange(0, 5000),
    default=0,
    show_default=True,
    help="How long Twilio takes to begin playing; no server can see it.",
)
@click.option(
    "--quiet-ms",
    type=click.IntRange(100, 60_000),
    default=1500,
    show_default=True,
    help="Hang up when the agent has been quiet for so long after his answer.",
)
@click.option(
    "--limit-s",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    help="Hang up in any case after so many seconds.",
)
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A custom parameter of the stream; may be given several times.",
)
@click.option("--record", metavar="FILE", help="Write the call: left the caller, right the agent.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides all ids.")
@runtime_option
@json_option
def phone(url: str, runtime: str, *, as_json: bool, **options: Any) -> int:
    """Call the Media Streams server at URL as Twilio would.

    The caller says something, hears the answer to its end, and hangs up. Then it is told what was
    heard, and what Twilio would have logged.
    """
    address = _server(url)
    caller = Caller(
        url=url,
        seed=options["seed"],
        script=_script(options["wav"], options["quiet_ms"]),
        custom_parameters=_custom_parameters(options["parameters"]),
        start_delay=options["start_delay_ms"] * MS,
    )
    with ExitStack() as files:
        file: BinaryIO | None = None
        if options["record"] is not None:  # now, so that nobody calls in vain
            file = files.enter_context(Path(options["record"]).open("wb"))
        line = Line(caller, _LINKS, os.urandom)
        report = PhoneReport(caller, line, f"{address.host}:{address.port}", Output(as_json))

        async def main(api: Drivers) -> int:
            try:
                return await _call(api, report, options["latency_ms"] * MS, options["limit_s"])
            finally:
                if file is not None:
                    file.write(write_wav(*caller.recorded(report.end_ns)))

        return run(main, runtime)


async def _call(api: Drivers, report: PhoneReport, one_way_ns: int, limit_s: int) -> int:
    """The whole call; the exit status."""
    tls = Tls(report.line)
    machine = Distant(tls, one_way_ns)
    began = anyio.Event()

    def hear(event: object) -> None:
        report.hear(event, driver.now())
        if report.caller.began_ns is not None:
            began.set()

    def hang_up(now: int) -> list[ByteAction]:
        return tls.perform(report.caller.hang_up(now), now)

    async def hang_up_in_any_case() -> None:
        await began.wait()
        await anyio.sleep(limit_s)
        report.tell_limit(limit_s)
        driver.perform(machine.do(hang_up, driver.now()))

    driver = api.Driver(machine, hear)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hang_up_in_any_case)
        await driver.run({})
        tasks.cancel_scope.cancel()
    return report.finish()


def _server(url: str) -> ServerAddress:
    """Where a stream's URL points. Raises `UsageError` if Twilio would not call it."""
    try:
        address = parse_url(url)
    except LocalProtocolError as error:
        raise UsageError(
            f"{error}: give the one that <Stream> names, such as wss://calls.example/media-stream"
        ) from None
    if "?" in address.target:
        raise UsageError(
            "Twilio calls no stream whose URL has a query (31920): give what it says as "
            "--param NAME=VALUE, as <Parameter> does"
        )
    return address


def _script(wav: str | None, quiet_ms: int) -> Sequence[Cue]:
    audio = sample_speech.load("caller_question").audio if wav is None else load_wav(wav)
    return (After(_BREATH_NS, Say(audio)), WhenQuiet(quiet_ms * MS, HangUp()))


def _custom_parameters(given: Sequence[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise UsageError("--param needs a name and a value: --param NAME=VALUE")
        parameters[name] = value
    return parameters

"""`twilio-realtime serve`: answers Twilio's calls, each with a Realtime session of its own."""

import os
import ssl
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import click
from attrs import define

from twilio_realtime_core import CallConfig, LocalProtocolError, Peer, SessionConfig
from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.transport.http import HttpRequest

from ..errors import UsageError
from ..recordings.folder import RecordedCalls
from ..recordings.recorder import BridgeLike
from ..runtime.tcp_acceptor import MAX_CONNECTIONS
from ..server.environment import read_settings
from ..server.public_url import check_public_url
from ..server.service import (
    HEALTH_PATH,
    INCOMING_CALL_PATH,
    MEDIA_STREAM_PATH,
    Service,
    ServiceConfig,
    check_exposure,
)
from .call_events import describe
from .options import host_option, json_option, port_option, runtime_option
from .output import Output, Tone
from .runtime import AnyDriver, place
from .server import Server

__all__ = ["serve"]

_MAX_RECORDED: Final = 300
"""As `MAX_CONNECTIONS`, where each call has a third descriptor, its file."""


@click.command(
    short_help="Answer calls of Twilio, each with a Realtime session.",
    epilog="""
    \b
    The environment:
      OPENAI_API_KEY       the key of the OpenAI API
      TWILIO_AUTH_TOKEN    your account's token: requests that Twilio has not
                           signed are refused. Without it only this machine
                           is served, or whoever comes if you say --insecure
      OPENAI_REALTIME_URL  the default of --realtime-url
    \b
    Examples:
      # for Twilio, by way of a tunnel:
      twilio-realtime serve --public-url https://NAME.ngrok.app
      # with no key, against the simulated model and phone:
      twilio-realtime model --port 5051
      twilio-realtime serve --realtime-url ws://127.0.0.1:5051/v1/realtime
      twilio-realtime phone ws://127.0.0.1:5050/media-stream

    A line tells each event of a call; what is said in it, who calls and which keys are pressed is
    never told. Ctrl-C ends the service, and its calls. Exit status: 2 it cannot serve, 130 after
    Ctrl-C, 143 after SIGTERM.
    """,
)
@host_option
@port_option(5050)
@click.option("--realtime-url", metavar="URL", help="The Realtime server, if it is not OpenAI's.")
@click.option("--model", default="gpt-realtime", show_default=True, help="The model that answers.")
@click.option("--instructions", metavar="TEXT", help="What the model is told to do.")
@click.option("--voice", metavar="NAME", help="How it speaks, such as marin or cedar.")
@click.option("--public-url", metavar="URL", help="How Twilio reaches this server: https://...")
@click.option(
    "--trust-proxy", is_flag=True, help="Without --public-url: believe the forwarded headers."
)
@click.option("--insecure", is_flag=True, help="Serve others though requests are not signed.")
@click.option("--certificate", metavar="FILE", help="Speak TLS: the certificate chain, in PEM.")
@click.option("--key", metavar="FILE", help="Its key, if that is in a file of its own.")
@click.option(
    "--record",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each call to a file in DIR, without its sound, for `replay`.",
)
@click.option("--record-audio", is_flag=True, help="With --record: and with its sound.")
@runtime_option
@json_option
def serve(host: str, port: int, runtime: str, *, as_json: bool, **options: Any) -> int:
    """Answer calls of Twilio: the webhook at /incoming-call, and the stream that it names.

    Each call gets a Realtime session. In Twilio's console, let "A call comes in" point to
    https://.../incoming-call.
    """
    output = Output(as_json)
    recorded = _recorded_calls(options["record"], output, audio=options["record_audio"])
    tls = _server_tls(options["certificate"], options["key"])
    config = _service_config(host, **options)
    service = (
        Service(config, server_tls=tls)
        if recorded is None
        else Service(config, server_tls=tls, record=recorded.record)
    )
    return _Calls(
        service=service,
        max_connections=MAX_CONNECTIONS if recorded is None else _MAX_RECORDED,
        output=output,
        scheme="http" if tls is None else "https",
        served=f": {INCOMING_CALL_PATH}, {MEDIA_STREAM_PATH}, {HEALTH_PATH}",
    ).run(host, port, runtime)


@define(eq=False, kw_only=True)
class _Calls(Server):
    """Gives each connection a driver, and each call a number."""

    service: Service

    def accept(self) -> tuple[AnyDriver, Hashable]:
        call: list[int] = []

        def begin(bridge: BridgeLike, request: HttpRequest) -> None:
            del bridge, request
            call.append(next(self.numbers))

        def notify(event: object) -> None:
            told = describe(event)
            if told is not None:
                name, tone, fields = told
                number = call[0] if call else None
                self.output.tell(name, {"call": number, **fields}, tone=tone)

        return self.api.Driver(self.service.open_connection(begin), notify), Peer.TWILIO


def _recorded_calls(folder: Path | None, output: Output, *, audio: bool) -> RecordedCalls | None:
    if folder is None:
        if audio:
            raise UsageError("--record-audio needs --record, the folder to write to")
        return None

    def tell(error: OSError) -> None:
        output.tell("not_recorded", {"message": place(error)}, tone=Tone.BAD)

    return RecordedCalls(folder, tell, audio)


def _service_config(
    host: str,
    *,
    realtime_url: str | None,
    model: str,
    instructions: str | None,
    voice: str | None,
    public_url: str | None,
    trust_proxy: bool,
    insecure: bool,
    **_: object,
) -> ServiceConfig:
    settings = read_settings(os.environ, realtime_url)
    check_exposure(host, settings.auth_token, insecure=insecure)
    if public_url is not None:
        try:
            check_public_url(public_url)
        except LocalProtocolError:
            raise UsageError(
                "--public-url is no URL by which Twilio could reach this server: give one such as "
                "https://calls.example"
            ) from None
    try:
        session = SessionConfig(
            instructions=UNSET if instructions is None else instructions,
            voice=UNSET if voice is None else voice,
        )
        call = CallConfig(session=session, model=model, url=settings.realtime_url)
        return ServiceConfig(
            api_key=settings.api_key,
            auth_token=settings.auth_token,
            call=call,
            public_url=public_url,
            trust_proxy=trust_proxy,
        )
    except LocalProtocolError as error:
        raise UsageError(str(error)) from None


def _server_tls(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise UsageError("--key needs --certificate, the certificate chain that it belongs to")
        return None
    for path in filter(None, (certificate, key)):
        with Path(path).open("rb"):  # what is wrong is told with the name of the file
            pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Else OpenSSL would ask for a password on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError("--key does not belong to --certificate: give both of one") from None
        raise UsageError(
            "--certificate, or --key, is no PEM file with a certificate chain and its key, without "
            "a password: see what is in them"
        ) from None
    return context

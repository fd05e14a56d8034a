"""`twilio-realtime serve`: answer Twilio's calls, each with a Realtime session."""

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
from ..recordings.folder import RecordingFolder
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
from .call_events import describe_notification
from .options import host_option, json_option, port_option, runtime_option
from .output import LineStyle, Output
from .runtime import AnyDriver, describe_error
from .server import CommandServer

__all__ = ["serve"]

_MAX_RECORDED_CONNECTIONS: Final = 300
"""Replaces `MAX_CONNECTIONS` where each call has a third file descriptor, its recording."""


@click.command(
    short_help="Answer Twilio's calls, each with a Realtime session.",
    epilog="""
    \b
    The environment:
      OPENAI_API_KEY       the key of the OpenAI API
      TWILIO_AUTH_TOKEN    your account's token: requests that Twilio has not
                           signed are refused. Without it, only this machine
                           is served, or any host with --insecure
      OPENAI_REALTIME_URL  the default of --realtime-url
    \b
    Examples:
      # for Twilio, through a tunnel:
      twilio-realtime serve --public-url https://NAME.ngrok.app
      # without a key, with the simulated model and phone:
      twilio-realtime model --port 5051
      twilio-realtime serve --realtime-url ws://127.0.0.1:5051/v1/realtime
      twilio-realtime phone ws://127.0.0.1:5050/media-stream

    Each event of a call is printed as a line. Transcripts, phone numbers and pressed keys are
    never printed. Ctrl-C ends the service and its calls. Exit status: 2 it cannot serve, 130 after
    Ctrl-C, 143 after SIGTERM.
    """,
)
@host_option
@port_option(5050)
@click.option(
    "--realtime-url", metavar="URL", help="The URL of a Realtime server other than OpenAI's."
)
@click.option("--model", default="gpt-realtime", show_default=True, help="The model.")
@click.option("--instructions", metavar="TEXT", help="The model's instructions.")
@click.option("--voice", metavar="NAME", help="The model's voice, such as marin or cedar.")
@click.option(
    "--public-url", metavar="URL", help="The URL at which Twilio reaches this server: https://..."
)
@click.option(
    "--trust-proxy", is_flag=True, help="Without --public-url: trust the forwarded headers."
)
@click.option("--insecure", is_flag=True, help="Accept unsigned requests from any host (unsafe).")
@click.option(
    "--certificate", metavar="FILE", help="Serve TLS with this certificate chain, in PEM."
)
@click.option("--key", metavar="FILE", help="The certificate's key, if it is in another file.")
@click.option(
    "--record",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Record each call to a file in DIR, without audio, for `replay`.",
)
@click.option("--record-audio", is_flag=True, help="With --record: record the audio too.")
@runtime_option
@json_option
def serve(host: str, port: int, runtime: str, *, as_json: bool, **options: Any) -> int:
    """Answer Twilio's calls: the webhook at /incoming-call, and the stream that it names.

    Each call gets a Realtime session. In Twilio's console, set "A call comes in" to
    https://.../incoming-call.
    """
    output = Output(as_json)
    recordings = _recording_folder(options["record"], output, keep_audio=options["record_audio"])
    tls = _server_tls(options["certificate"], options["key"])
    config = _service_config(host, **options)
    service = (
        Service(config, server_tls=tls)
        if recordings is None
        else Service(config, server_tls=tls, record=recordings.record)
    )
    return _CallServer(
        service=service,
        max_connections=MAX_CONNECTIONS if recordings is None else _MAX_RECORDED_CONNECTIONS,
        output=output,
        scheme="http" if tls is None else "https",
        listening_note=f": {INCOMING_CALL_PATH}, {MEDIA_STREAM_PATH}, {HEALTH_PATH}",
    ).run(host, port, runtime)


@define(eq=False, kw_only=True)
class _CallServer(CommandServer):
    """Makes a driver for each connection, and numbers the calls."""

    service: Service

    def accept(self) -> tuple[AnyDriver, Hashable]:
        call: list[int] = []

        def on_call(bridge: BridgeLike, request: HttpRequest) -> None:
            del bridge, request
            call.append(next(self.numbers))

        def notify(event: object) -> None:
            description = describe_notification(event)
            if description is not None:
                name, style, fields = description
                number = call[0] if call else None
                self.output.write_event(name, {"call": number, **fields}, style=style)

        return self.api.Driver(self.service.open_connection(on_call), notify), Peer.TWILIO


def _recording_folder(
    folder: Path | None, output: Output, *, keep_audio: bool
) -> RecordingFolder | None:
    if folder is None:
        if keep_audio:
            raise UsageError("--record-audio needs --record, the folder to write to")
        return None

    def on_error(error: OSError) -> None:
        output.write_event(
            "not_recorded", {"message": describe_error(error)}, style=LineStyle.FAILURE
        )

    return RecordingFolder(folder, on_error, keep_audio)


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
                "--public-url is not a URL at which Twilio can reach this server: use one such as "
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
        with Path(path).open("rb"):  # errors of `open` name the file
            pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without it, OpenSSL would ask for a password on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(
                "--key does not belong to --certificate: use the key of that certificate"
            ) from None
        raise UsageError(
            "--certificate or --key is not a PEM file with a certificate chain and its key, "
            "without a password: check their content"
        ) from None
    return context

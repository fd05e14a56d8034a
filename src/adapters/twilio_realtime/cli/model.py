"""`twilio-realtime model`: simulate OpenAI's Realtime server for any client."""

import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import click
from attrs import define

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.protocols.realtime import MAX_MESSAGE_BYTES
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig

from ..sim import sample_speech
from ..sim.model.realtime_peer import CLIENT, OpeningError, RealtimePeer, SentError
from ..sim.model.replies import FunctionCallReply, Reply
from .model_script import parse_responses, read_script
from .model_session import ClientError, ModelSession, ServerEventSent, SessionClosed
from .options import host_option, json_option, port_option, runtime_option
from .output import FieldValue, LineStyle, Output
from .runtime import BaseDriver
from .server import CommandServer

__all__ = ["model"]

_PATH: Final = "/v1/realtime"
_LINKS: Final = {CLIENT: LinkConfig(max_message_bytes=MAX_MESSAGE_BYTES)}
_NOT_FOUND: Final = HttpResponse(404, f"the WebSocket is at {_PATH}?model=...\n".encode())
_UPGRADE_REQUIRED: Final = HttpResponse(
    426,
    b"this path needs a WebSocket handshake\n",
    headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
)

_STYLES_BY_EVENT: Final = {
    "conversation.item.truncated": LineStyle.INTERRUPTION,
    "conversation.item.deleted": LineStyle.INTERRUPTION,
}


@click.command(
    short_help="Simulate OpenAI's Realtime server.",
    epilog=f"""
    \b
    Names for --say (one for each response; the last is repeated):
      {", ".join(sample_speech.NAMES[:3])},
      {", ".join(sample_speech.NAMES[3:])}
    \b
    Examples:
      twilio-realtime model --port 5051 --say agent_greeting --say agent_answer
      twilio-realtime model --reply 'speak Hello.' --reply 'call opening_hours {{}}' \\
          --reply 'speak We are open.'
      twilio-realtime serve --realtime-url ws://127.0.0.1:5051{_PATH}

    \b
    And in Python:
      AsyncOpenAI(websocket_base_url="ws://127.0.0.1:5051/v1").realtime.connect(...)

    Turns are detected by loudness; speech is not recognized. Errors of the client are printed in
    the API's terms: type of event, code, parameter, message. No key is needed, and none is checked.
    Ctrl-C ends it. Exit status: 2 it cannot serve, 130 after Ctrl-C, 143 after SIGTERM.
    """,
)
@host_option
@port_option(5051)
@click.option(
    "--say",
    "names",
    multiple=True,
    type=click.Choice(sample_speech.NAMES),
    metavar="NAME",
    default=["agent_answer"],
    show_default=True,
    help="The model's next response; may be given several times.",
)
@click.option(
    "--reply",
    "lines",
    multiple=True,
    metavar="LINE",
    help="In place of --say: a response as a line, such as 'speak One moment.' or 'call "
    'opening_hours {"day": "Sunday"}\'; may be given several times.',
)
@click.option(
    "--script",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The same from a file of lines.",
)
@runtime_option
@json_option
def model(
    host: str,
    port: int,
    names: Sequence[str],
    runtime: str,
    *,
    lines: Sequence[str],
    script: Path | None,
    as_json: bool,
) -> int:
    """Simulate OpenAI's Realtime server for any client: ws://HOST:PORT/v1/realtime?model=...

    It implements the whole protocol and answers with sample speech, at the pace of the real server.
    """
    lines = [*lines, *(read_script(script) if script is not None else ())]
    replies = parse_responses(lines or [f"say {name}" for name in names])
    if any(isinstance(item, FunctionCallReply) for item in replies[-1].items):
        replies.append(Reply())  # the last one is repeated: a function would be called for ever
    server = _ModelServer(replies=replies, output=Output(as_json), scheme="ws", path=_PATH)
    return server.run(host, port, runtime)


@define(eq=False, kw_only=True)
class _ModelServer(CommandServer):
    """Makes a session for each connection."""

    replies: Sequence[Reply]

    def accept(self) -> tuple[BaseDriver, Hashable]:
        session = next(self.numbers)

        def respond(request: HttpRequest) -> HttpResponse | Upgrade:
            return self._respond(request, session)

        def notify(event: object) -> None:
            self._report(event, session)

        return self.api.Driver(HttpConnection(CLIENT, respond, os.urandom), notify), CLIENT

    def _respond(self, request: HttpRequest, session: int) -> HttpResponse | Upgrade:
        if request.path != _PATH:
            return _NOT_FOUND
        if not request.is_upgrade:
            return _UPGRADE_REQUIRED
        query = parse_qs(urlsplit(request.target).query)
        model_name = query.get("model", [""])[0]
        peer = RealtimePeer(
            self.replies,
            seed=session,
            model=model_name or "gpt-realtime-2.1",
            opening_error=_opening_fault(request, has_model=bool(model_name) or "call_id" in query),
        )
        return Upgrade(ModelSession(peer), CLIENT, _LINKS)

    def _report(self, event: object, session: int) -> None:
        fields: dict[str, FieldValue] = {"session": session}
        match event:
            case ServerEventSent(name, details):
                style = _STYLES_BY_EVENT.get(name, LineStyle.PLAIN)
                self.output.write_event(name, {**fields, **details}, style=style)
            case ClientError(SentError(type_, code, message, param, event_id)):
                fields |= {"client_event": type_, "code": code, "param": param}
                fields |= {"event_id": event_id, "message": message}
                self.output.write_event("client_error", fields, style=LineStyle.FAILURE)
            case Fault(kind=kind, message=message):
                fields |= {"kind": kind.value, "message": message}
                self.output.write_event("fault", fields, style=LineStyle.FAILURE)
            case SessionClosed(code):
                self.output.write_event(
                    "session.closed", {**fields, "code": code}, style=LineStyle.DIM
                )
            case _:
                pass


def _opening_fault(request: HttpRequest, *, has_model: bool) -> OpeningError | None:
    """Return the fault for which the server would close the connection immediately (API guide,
    "Realtime with WebSockets")."""
    if request.header("openai-beta") is not None:
        return OpeningError.BETA_API_SHAPE_DISABLED
    return None if has_model else OpeningError.MISSING_MODEL

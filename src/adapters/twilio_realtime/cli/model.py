"""`twilio-realtime model`: a simulated Realtime server for any Realtime client."""

import os
from collections.abc import Hashable, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

import click
from attrs import define

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.protocols.realtime import MAX_MESSAGE_BYTES
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig

from ..sim import sample_speech
from ..sim.model.realtime_peer import CLIENT, Complaint, OpeningFault, RealtimePeer
from ..sim.model.replies import Reply, Speech
from .model_session import Mistake, ModelSession, ServerTold, SessionOver
from .options import host_option, json_option, port_option, runtime_option
from .output import Field, Output, Tone
from .runtime import AnyDriver
from .server import Server

__all__ = ["model"]

_PATH: Final = "/v1/realtime"
_LINKS: Final = {CLIENT: LinkConfig(max_message_bytes=MAX_MESSAGE_BYTES)}
_NOTHING_HERE: Final = HttpResponse(404, f"served is the WebSocket {_PATH}?model=...\n".encode())
_NO_WEBSOCKET: Final = HttpResponse(
    426,
    b"this is a WebSocket\n",
    headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
)

_TONES: Final = {
    "conversation.item.truncated": Tone.CUT,
    "conversation.item.deleted": Tone.CUT,
}


@click.command(
    short_help="Be OpenAI's Realtime server, for any client.",
    epilog=f"""
    \b
    What it can say (--say, once for each response; the last is repeated):
      {", ".join(sample_speech.NAMES[:3])},
      {", ".join(sample_speech.NAMES[3:])}
    \b
    Examples:
      twilio-realtime model --port 5051 --say agent_greeting --say agent_answer
      twilio-realtime serve --realtime-url ws://127.0.0.1:5051{_PATH}

    \b
    And in Python:
      AsyncOpenAI(websocket_base_url="ws://127.0.0.1:5051/v1").realtime.connect(...)

    It hears when the caller speaks, by how loud it is, and knows no word of it. What a client does
    wrong is told in the API's own terms: type of event, code, parameter, message. No key is needed,
    and none is looked at. Ctrl-C ends it. Exit status: 2 it cannot serve, 130 after Ctrl-C, 143
    after SIGTERM.
    """,
)
@host_option
@port_option(5051)
@click.option(
    "--say",
    "names",
    multiple=True,
    type=click.Choice(sample_speech.NAMES),
    metavar="TEXTNAME",
    default=["agent_answer"],
    show_default=True,
    help="What the model answers; may be given several times.",
)
@runtime_option
@json_option
def model(host: str, port: int, names: Sequence[str], runtime: str, *, as_json: bool) -> int:
    """Be OpenAI's Realtime server, for any client: ws://HOST:PORT/v1/realtime?model=...

    It speaks the whole protocol, with recorded replies, at the pace of the real one.
    """
    spoken = [sample_speech.load(name) for name in names]
    replies = [Reply((Speech(each.audio, each.transcript),)) for each in spoken]
    server = _Sessions(replies=replies, output=Output(as_json), scheme="ws", path=_PATH)
    return server.run(host, port, runtime)


@define(eq=False, kw_only=True)
class _Sessions(Server):
    """Makes each connection a session of its own."""

    replies: Sequence[Reply]

    def accept(self) -> tuple[AnyDriver, Hashable]:
        session = next(self.numbers)

        def respond(request: HttpRequest) -> HttpResponse | Upgrade:
            return self._respond(request, session)

        def notify(event: object) -> None:
            self._tell(event, session)

        return self.api.Driver(HttpConnection(CLIENT, respond, os.urandom), notify), CLIENT

    def _respond(self, request: HttpRequest, session: int) -> HttpResponse | Upgrade:
        if request.path != _PATH:
            return _NOTHING_HERE
        if not request.is_upgrade:
            return _NO_WEBSOCKET
        asked = parse_qs(urlsplit(request.target).query)
        named = asked.get("model", [""])[0]
        peer = RealtimePeer(
            self.replies,
            seed=session,
            model=named or "gpt-realtime",
            fault=_opening_fault(request, named or "call_id" in asked),
        )
        return Upgrade(ModelSession(peer), CLIENT, _LINKS)

    def _tell(self, event: object, session: int) -> None:
        told: dict[str, Field] = {"session": session}
        match event:
            case ServerTold(name, details):
                tone = _TONES.get(name, Tone.PLAIN)
                self.output.tell(name, {**told, **details}, tone=tone)
            case Mistake(Complaint(type_, code, message, param, event_id)):
                told |= {"client_event": type_, "code": code, "param": param}
                told |= {"event_id": event_id, "message": message}
                self.output.tell("mistake", told, tone=Tone.BAD)
            case Fault(kind=kind, message=message):
                told |= {"kind": kind.value, "message": message}
                self.output.tell("fault", told, tone=Tone.BAD)
            case SessionOver(code):
                self.output.tell("session.over", {**told, "code": code}, tone=Tone.QUIET)
            case _:
                pass


def _opening_fault(request: HttpRequest, names_model: object) -> OpeningFault | None:
    """Why the server would close the connection at once (API guide, "Realtime with WebSockets")."""
    if request.header("openai-beta") is not None:
        return OpeningFault.BETA_API_SHAPE_DISABLED
    return None if names_model else OpeningFault.MISSING_MODEL

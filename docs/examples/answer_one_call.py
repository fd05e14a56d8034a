"""Answers one call on a port: the bridge at byte level, in the loop of `selectors_loop`."""

import os
import socket
from collections.abc import Callable

from selectors_loop import Loop
from twilio_realtime_core import Bridge, CallConfig, Peer, SessionConfig
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig


def answer(listener: socket.socket, url: str, key: str, notify: Callable[[object], None]) -> None:
    """Take one connection of Twilio's and see its call through.

    `url` and `key` are those of the Realtime API.
    """
    links = {
        Peer.TWILIO: LinkConfig(max_message_bytes=twilio.MAX_MESSAGE_BYTES),
        Peer.REALTIME: LinkConfig(
            max_message_bytes=realtime.MAX_MESSAGE_BYTES,
            headers=(("Authorization", f"Bearer {key}"),),
        ),
    }

    def respond(request: HttpRequest) -> HttpResponse | Upgrade:
        if request.path != "/media-stream" or not request.is_upgrade:
            return HttpResponse(404, b"only /media-stream is served, as a WebSocket\n")
        config = CallConfig(url=url, session=SessionConfig(instructions="Be brief."))
        return Upgrade(Bridge(config), Peer.TWILIO, links)

    connection, _ = listener.accept()
    Loop(HttpConnection(Peer.TWILIO, respond, os.urandom), notify).run({Peer.TWILIO: connection})


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 5050)) as listener:
        answer(listener, realtime.URL, os.environ["OPENAI_API_KEY"], print)

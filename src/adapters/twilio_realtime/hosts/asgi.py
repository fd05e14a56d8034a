"""The service as an ASGI application, alone or mounted in another one.

    app.mount("/voice", asgi_app(agent))

The specification is at https://asgi.readthedocs.io/en/latest/specs/www.html (read 2026-12-01).
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from attrs import define, field

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import NO_STATUS
from twilio_realtime_core.transport.http import MAX_BODY_BYTES, HttpResponse

from ..agents.call import CallHandler
from ..server.service_config import ServiceConfig
from .call_host import CallHost
from .requests import HostedRequest, answer_request, is_exposed, open_stream
from .socket import HostSocketClosed, ReceivedMessage, ignore_pong

__all__ = ["AsgiApp", "AsgiReceive", "AsgiScope", "AsgiSend", "AsgiSocket", "asgi_app"]

AsgiScope: TypeAlias = MutableMapping[str, Any]
AsgiReceive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiSend: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def asgi_app(agent: CallHandler, config: ServiceConfig | None = None, **settings: Any) -> "AsgiApp":
    """Return an ASGI application that answers Twilio's calls with `agent`, on asyncio or trio.

    It has the paths of `serve`, below the path at which it is mounted, and checks requests as that
    does. `settings`, the environment and `config` are those of `serve`; host, port and certificate
    are up to the server.

    Raises `UsageError` for a setting that cannot be used.
    """
    return AsgiApp(CallHost.build(agent, config, **settings))


@define(eq=False, repr=False)
class AsgiApp:
    """An ASGI application for the calls of `host`, which also drains it."""

    host: CallHost

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request, or take one call."""
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, send)
            case "websocket":
                await self._take_stream(scope, receive, send)
            case "lifespan":
                await self._live(receive, send)
            case other:
                raise LocalProtocolError(f"an ASGI application for calls knows no {other}")

    async def _answer(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        body = await _read_body(receive)
        if body is not None:
            hosted = _read_request(scope, body)
            response = await answer_request(self.host, hosted)
            await _send_response(response, send, "http.response", hosted.request.method)

    async def _take_stream(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        call = open_stream(self.host, _read_request(scope, b""), AsgiSocket(receive, send))
        if not isinstance(call, HttpResponse):
            await send({"type": "websocket.accept"})
            await self.host.run_call(call)
        elif "websocket.http.response" in (scope.get("extensions") or {}):
            await _send_response(call, send, "websocket.http.response", "GET")
        else:
            await send({"type": "websocket.close"})  # before an acceptance it is a 403

    async def _live(self, receive: AsgiReceive, send: AsgiSend) -> None:
        while True:
            match (await receive())["type"]:
                case "lifespan.startup":
                    await send({"type": "lifespan.startup.complete"})
                case "lifespan.shutdown":
                    await self.host.drain(0)
                    await send({"type": "lifespan.shutdown.complete"})
                    return
                case _:
                    pass


@define(eq=False, repr=False)
class AsgiSocket:
    """A `HostSocket` over an accepted ASGI WebSocket. ASGI has no pings."""

    _receive: AsgiReceive = field(alias="receive")
    _send: AsgiSend = field(alias="send")
    on_pong: Callable[[bytes], None] = ignore_pong

    async def receive(self) -> ReceivedMessage:
        """See `HostSocket.receive`."""
        while True:
            message = await self._receive()
            match message["type"]:
                case "websocket.receive":
                    text: str | None = message.get("text")
                    return text if text is not None else (message.get("bytes") or b"")
                case "websocket.disconnect":
                    return HostSocketClosed(
                        message.get("code") or NO_STATUS, message.get("reason") or ""
                    )
                case _:
                    pass

    async def send(self, text: str) -> None:
        """See `HostSocket.send`."""
        await self._send({"type": "websocket.send", "text": text})

    async def ping(self, payload: bytes) -> None:
        """See `HostSocket.ping`."""

    async def close(self, code: int, reason: str) -> None:
        """See `HostSocket.close`."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


async def _read_body(receive: AsgiReceive) -> bytes | None:
    """Return the body of a request, or the first part of one that is too long; `None` if the client
    is gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body") or b""
        if not message.get("more_body") or len(body) > MAX_BODY_BYTES:
            return bytes(body)


def _read_request(scope: AsgiScope, body: bytes) -> HostedRequest:
    path = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1") or scope["path"]
    server: Any = scope.get("server")
    is_unix_socket = bool(server) and server[1] is None
    return HostedRequest.build(
        scope.get("method", "GET"),
        path,
        (scope.get("query_string") or b"").decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        body=body,
        root_path=scope.get("root_path") or "",
        is_exposed=not is_unix_socket and is_exposed(server[0] if server else None),
        is_websocket=scope["type"] == "websocket",
    )


async def _send_response(response: HttpResponse, send: AsgiSend, kind: str, method: str) -> None:
    fields = [
        ("content-type", response.content_type),
        ("content-length", str(len(response.body))),
        *((name.lower(), value) for name, value in response.headers if name != "Connection"),
    ]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    await send({"type": f"{kind}.start", "status": response.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if method == "HEAD" else response.body})

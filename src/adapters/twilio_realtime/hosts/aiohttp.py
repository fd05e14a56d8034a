"""Calls in an aiohttp server: all routes of the service, or one WebSocket.

app.add_routes(aiohttp_routes(agent))

websocket = web.WebSocketResponse(autoping=False)
await websocket.prepare(request)
await handle_aiohttp(websocket, agent)
"""

from collections.abc import Callable

from aiohttp import WSMsgType, web
from attrs import define, field

from twilio_realtime_core.machine.actions import ABNORMAL_CLOSURE, NO_STATUS
from twilio_realtime_core.transport.http import MAX_BODY_BYTES, HttpResponse

from ..agents.call import CallHandler
from ..server.routes import ROUTES, TOKEN_ROUTES
from ..server.service_config import ServiceConfig
from .call_host import find_call_host
from .requests import HostedRequest, answer_request, is_exposed, open_stream
from .socket import HostSocketClosed, ReceivedMessage, ignore_pong

__all__ = ["AiohttpSocket", "aiohttp_routes", "handle_aiohttp"]


def aiohttp_routes(
    agent: CallHandler, *, config: ServiceConfig | None = None
) -> list[web.RouteDef]:
    """Return the routes of `serve` for an application of aiohttp, or for one that is mounted by
    `add_subapp`. Requests are checked as `serve` checks them.

    The rest is as in `host`. Raises `UsageError` for a setting that cannot be used.
    """
    host = find_call_host(agent, config)

    async def answer(request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse(autoping=False)
        if not websocket.can_prepare(request):
            return _to_response(await answer_request(host, await _read_request(request)))
        hosted = await _read_request(request, is_websocket=True)
        call = open_stream(host, hosted, AiohttpSocket(websocket))
        if isinstance(call, HttpResponse):
            return _to_response(call)
        await websocket.prepare(request)
        await host.run_call(call)
        return websocket

    paths = (*ROUTES, *(f"{path}/{{token}}" for path in TOKEN_ROUTES))
    return [web.route("*", path, answer) for path in paths]


async def handle_aiohttp(
    websocket: web.WebSocketResponse, agent: CallHandler, *, config: ServiceConfig | None = None
) -> None:
    """Handle one call of Twilio's with `agent`, over a WebSocket that is prepared already.

    The rest is as in `host`. With `autoping=False` the round trip is measured by pings; otherwise
    aiohttp keeps the pongs to itself, and marks alone measure it.
    """
    await find_call_host(agent, config).host(AiohttpSocket(websocket))


@define(eq=False, repr=False)
class AiohttpSocket:
    """A `HostSocket` of aiohttp."""

    _websocket: web.WebSocketResponse = field(alias="websocket")
    on_pong: Callable[[bytes], None] = ignore_pong

    async def receive(self) -> ReceivedMessage:
        """See `HostSocket.receive`. It answers pings."""
        while True:
            message = await self._websocket.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    return message.data  # type: ignore[no-any-return] # str or bytes, by type
                case WSMsgType.PING:
                    await self._websocket.pong(message.data)
                case WSMsgType.PONG:
                    self.on_pong(bytes(message.data))
                case WSMsgType.CLOSE:
                    return HostSocketClosed(message.data or NO_STATUS, message.extra or "")
                case WSMsgType.CLOSING | WSMsgType.CLOSED:
                    return HostSocketClosed(self._websocket.close_code or NO_STATUS)
                case _:
                    return HostSocketClosed(ABNORMAL_CLOSURE)

    async def send(self, text: str) -> None:
        """See `HostSocket.send`."""
        await self._websocket.send_str(text)

    async def ping(self, payload: bytes) -> None:
        """See `HostSocket.ping`."""
        await self._websocket.ping(payload)

    async def close(self, code: int, reason: str) -> None:
        """See `HostSocket.close`."""
        await self._websocket.close(code=code, message=reason.encode())


async def _read_request(request: web.Request, *, is_websocket: bool = False) -> HostedRequest:
    transport = request.transport
    address = None if transport is None else transport.get_extra_info("sockname")
    url = request.rel_url
    return HostedRequest.build(
        request.method,
        url.raw_path,
        url.raw_query_string,
        [(name, value) for name, value in request.headers.items()],
        body=await _read_body(request),
        is_exposed=not isinstance(address, str) and is_exposed(address[0] if address else None),
        is_websocket=is_websocket,
    )


async def _read_body(request: web.Request) -> bytes:
    """Return the body, or the first part of one that is too long."""
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body)


def _to_response(response: HttpResponse) -> web.Response:
    headers = {name: value for name, value in response.headers if name != "Connection"}
    return web.Response(
        status=response.status,
        body=response.body,
        headers={"Content-Type": response.content_type, **headers},
    )

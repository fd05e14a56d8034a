"""Whole calls over real sockets, in the servers of other packages, in one process."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import fastapi
import pytest
import uvicorn
from aiohttp import web
from attrs import define, field
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

import twilio_realtime.asyncio as api
from driving import CallParties, dial_to, ignore, listening, run_in_real_time
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.hooks import FunctionAgent
from twilio_realtime.hosts import (
    DrainingServer,
    asgi_app,
    handle_aiohttp,
    handle_websockets,
    host,
)
from twilio_realtime.hosts.aiohttp import AiohttpSocket
from twilio_realtime.hosts.websockets import WebsocketsSocket
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays
from twilio_realtime_core import CallConfig, HangUp
from twilio_realtime_core.errors import Fault
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallEnded,
    EndReason,
    KeyPressed,
    PlaybackStarted,
    SessionReady,
)

Address = tuple[str, int]


@define(eq=False)
class Party:
    """The agent of a call, the phone and the model."""

    hangs_up: bool = False
    parties: CallParties = field(factory=CallParties)
    events: list[Any] = field(factory=list[Any])
    config: ServiceConfig = field(init=False)
    on_playback: Callable[[], object] = lambda: None

    async def __call__(self, call: Call) -> None:
        async for event in call:
            self.events.append(event)
            if isinstance(event, SessionReady) and self.hangs_up:
                call.send(HangUp())
            if isinstance(event, PlaybackStarted):
                self.on_playback()

    @property
    def end(self) -> CallEnded:
        assert isinstance(self.events[-1], CallEnded)
        return self.events[-1]

    def count(self, kind: type) -> int:
        return sum(isinstance(each, kind) for each in self.events)


@asynccontextmanager
async def uvicorn_serving(server: uvicorn.Server) -> AsyncGenerator[Address, None]:
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        await task


def config_of(app: Any) -> uvicorn.Config:
    # The WebSockets of `websockets` raise a DeprecationWarning in older versions.
    return uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, ws="wsproto")


@asynccontextmanager
async def fastapi_mount(party: Party) -> AsyncGenerator[Address, None]:
    app = fastapi.FastAPI()
    app.mount("/media-stream", asgi_app(party, party.config))
    app.mount("/", asgi_app(party, party.config))
    async with uvicorn_serving(uvicorn.Server(config_of(app))) as address:
        yield address


@asynccontextmanager
async def fastapi_route(party: Party) -> AsyncGenerator[Address, None]:
    app = fastapi.FastAPI()

    @app.websocket("/media-stream")
    async def media_stream(websocket: fastapi.WebSocket) -> None:  # pyright: ignore[reportUnusedFunction]
        await websocket.accept()
        receive, send, close = websocket.receive_text, websocket.send_text, websocket.close
        await host(receive, send, party, close=close, config=party.config)

    async with uvicorn_serving(uvicorn.Server(config_of(app))) as address:
        yield address


@asynccontextmanager
async def aiohttp_server(party: Party) -> AsyncGenerator[Address, None]:
    async def media_stream(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(autoping=False)
        await websocket.prepare(request)
        await handle_aiohttp(websocket, party, config=party.config)
        return websocket

    app = web.Application()
    app.add_routes([web.get("/media-stream", media_stream)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0]
    await runner.cleanup()


@asynccontextmanager
async def websockets_server(party: Party) -> AsyncGenerator[Address, None]:
    async def media_stream(connection: ServerConnection) -> None:
        await handle_websockets(connection, party, config=party.config)

    async with serve_websockets(media_stream, "127.0.0.1", 0) as server:
        yield next(iter(server.sockets)).getsockname()


SERVERS = [fastapi_mount, fastapi_route, aiohttp_server, websockets_server]
each_server = pytest.mark.parametrize("serving", SERVERS)
Serving = Callable[[Party], Any]


async def call(serving: Serving, party: Party) -> None:
    """Run a call of the phone with a server to its end."""
    model = party.parties.model_machine
    async with listening(api, lambda: (api.Driver(model(), ignore), CLIENT)) as addresses:
        url = f"ws://127.0.0.1:{addresses[0][1]}/v1/realtime"
        party.config = ServiceConfig(call=CallConfig(url=url))
        async with serving(party) as address:
            machine = party.parties.phone_machine()
            await api.drive(machine, notify=ignore, dial=dial_to(api, address))
            while not party.count(CallEnded):
                await anyio.sleep(0.01)


def run_call(serving: Serving, party: Party) -> None:
    run_in_real_time("asyncio", lambda: call(serving, party))


@each_server
def test_a_caller_talks_and_hangs_up(serving: Serving) -> None:
    party = Party()
    run_call(serving, party)
    assert (party.end.reason, party.end.detail) == (EndReason.CALLER_HUNG_UP, "stop")
    assert party.count(KeyPressed) == 1
    assert party.count(Fault) == 0
    assert party.parties.phone.warnings == []
    assert party.parties.model.sent_errors == []


@each_server
def test_the_agent_hangs_up(serving: Serving) -> None:
    party = Party(hangs_up=True)
    run_call(serving, party)
    assert party.end.reason is EndReason.HUNG_UP
    assert party.count(Fault) == 0


@pytest.mark.parametrize(
    ("serving", "socket_class"),
    [(aiohttp_server, AiohttpSocket), (websockets_server, WebsocketsSocket)],
)
def test_pongs_reach_the_call(
    serving: Serving, socket_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pongs: list[bytes] = []
    ping: Callable[[Any, bytes], Awaitable[None]] = socket_class.ping

    async def watched(self: Any, payload: bytes) -> None:
        on_pong = self.on_pong

        def keep(payload: bytes) -> None:
            pongs.append(payload)
            on_pong(payload)

        self.on_pong = keep
        await ping(self, payload)

    monkeypatch.setattr(socket_class, "ping", watched)
    run_call(serving, Party())
    assert pongs


def forget_signals(server: Any) -> None:
    """Forget the signals that uvicorn has received, which it raises again at its end."""
    server._captured_signals.clear()  # noqa: SLF001


def endless() -> CallParties:
    """A caller who talks, and does not hang up."""
    return CallParties(script=(AfterDelay(100 * MS, CallerSays(bytes(1600))),))


def test_uvicorn_by_itself_ends_calls_as_going_away() -> None:
    party = Party(parties=endless())
    servers: list[uvicorn.Server] = []

    @asynccontextmanager
    async def serving(party: Party) -> AsyncGenerator[Address, None]:
        app = asgi_app(party, party.config)
        servers.append(uvicorn.Server(config_of(app)))
        party.on_playback = lambda: servers[0].handle_exit(signal.SIGTERM, None)
        async with uvicorn_serving(servers[0]) as address:
            yield address
            forget_signals(servers[0])

    run_call(serving, party)
    assert party.end.reason is EndReason.GOING_AWAY


@pytest.mark.parametrize(
    ("drain_timeout_s", "reason"), [(60, EndReason.CALLER_HUNG_UP), (0, EndReason.GOING_AWAY)]
)
def test_a_draining_server_lets_calls_finish(drain_timeout_s: float, reason: EndReason) -> None:
    party = Party(parties=endless() if drain_timeout_s == 0 else CallParties())

    @asynccontextmanager
    async def serving(party: Party) -> AsyncGenerator[Address, None]:
        app = asgi_app(party, party.config)
        server = DrainingServer(config_of(app), app, drain_timeout_s)

        def end_twice() -> None:  # as `timeout` does: one request
            server.handle_exit(signal.SIGTERM, None)
            server.handle_exit(signal.SIGTERM, None)

        party.on_playback = end_twice
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([listener]))
        yield listener.getsockname()
        forget_signals(server)
        await task  # it ends by itself

    run_call(serving, party)
    assert party.end.reason is reason


def test_a_draining_server_lets_agents_say_goodbye() -> None:
    party = Party(parties=endless())
    agent = FunctionAgent(party)

    @agent.goodbye
    async def hang_up(call: Call) -> None:
        call.send(HangUp())

    @asynccontextmanager
    async def serving(party: Party) -> AsyncGenerator[Address, None]:
        app = asgi_app(agent, party.config)
        server = DrainingServer(config_of(app), app, drain_timeout_s=0)
        party.on_playback = lambda: server.handle_exit(signal.SIGTERM, None)
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([listener]))
        yield listener.getsockname()
        forget_signals(server)
        await task

    run_call(serving, party)
    assert party.end.reason is EndReason.HUNG_UP

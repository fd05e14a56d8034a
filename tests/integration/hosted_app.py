"""The programs that the servers of others run in the tests: an ASGI application, which uvicorn,
hypercorn and granian import, and servers that are a library (`python hosted_app.py NAME PORT`).

It runs in an environment of its own. The log of the calls goes to stdout, a line of JSON each.
"""

import asyncio
import json
import logging
import sys
from typing import Any

from twilio_realtime import Call, HangUp, KeyPressed
from twilio_realtime.hosts import asgi_app


async def agent(call: Call) -> None:
    """Hang up when the caller presses 9."""
    async for event in call:
        if event == KeyPressed("9"):
            call.send(HangUp())


class JsonHandler(logging.Handler):
    """Writes the events of calls."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: getattr(record, name, None) for name in ("event", "reason", "detail")}
        print(json.dumps(fields), flush=True)


logging.getLogger("twilio_realtime").setLevel(logging.INFO)
logging.getLogger("twilio_realtime").addHandler(JsonHandler())

app = asgi_app(agent)


def mounted() -> Any:
    """Return a FastAPI application with the calls below /voice."""
    import fastapi  # noqa: PLC0415 - another process runs without it

    outer = fastapi.FastAPI()
    outer.mount("/voice", app)
    return outer


def run_draining(port: int) -> None:
    """Serve with a uvicorn server that drains."""
    import uvicorn  # noqa: PLC0415

    from twilio_realtime.hosts import DrainingServer  # noqa: PLC0415

    DrainingServer(uvicorn.Config(app, port=port, log_level="warning"), app).run()


def run_aiohttp(port: int) -> None:
    """Serve with aiohttp."""
    from aiohttp import web  # noqa: PLC0415

    from twilio_realtime.hosts import drain, handle_aiohttp  # noqa: PLC0415

    async def media_stream(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(autoping=False)
        await websocket.prepare(request)
        await handle_aiohttp(websocket, agent)
        return websocket

    async def health(request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok\n")

    async def end_calls(application: web.Application) -> None:
        del application
        await drain(agent, timeout_s=0)

    application = web.Application()
    application.on_shutdown.append(end_calls)
    application.add_routes([web.get("/media-stream", media_stream), web.get("/healthz", health)])
    web.run_app(application, host="127.0.0.1", port=port, print=None)


def run_websockets(port: int) -> None:
    """Serve with websockets."""
    import signal  # noqa: PLC0415

    from websockets.asyncio.server import ServerConnection, serve  # noqa: PLC0415
    from websockets.http11 import Request, Response  # noqa: PLC0415

    from twilio_realtime.hosts import handle_websockets  # noqa: PLC0415

    async def media_stream(connection: ServerConnection) -> None:
        await handle_websockets(connection, agent)

    def answer_health(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(200, "ok\n") if request.path == "/healthz" else None

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with serve(media_stream, "127.0.0.1", port, process_request=answer_health):
            await stop.wait()

    asyncio.run(main())


if __name__ == "__main__":
    {"draining": run_draining, "aiohttp": run_aiohttp, "websockets": run_websockets}[sys.argv[1]](
        int(sys.argv[2])
    )

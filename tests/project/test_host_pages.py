"""The programs on the pages about other servers answer calls over real sockets, and that about the
Agents SDK answers one in virtual time."""

import asyncio
import runpy
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import uvicorn
from aiohttp import web
from tornado.httpserver import HTTPServer

import twilio_realtime.asyncio as api
from driving import LINK, CallParties, ignore, listening, run_in_real_time
from free_ports import free_port
from twilio_realtime.cli.phone_webhook import request_stream
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.twilio_peer import SERVER
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime_core.transport.stack import Stack

ROOT = Path(__file__).parents[2]
FORM = {"CallSid": "CA" + 32 * "1", "From": "+15005550006"}
MOST_LINES = 10

PAGES = {
    "asgi": ["fastapi_app"],
    "other-servers": ["aiohttp_app", "websockets_app", "tornado_app"],
    "openai-agents": ["sdk_agent"],
}

Program = dict[str, Any]


def load(name: str) -> Program:
    return runpy.run_path(str(ROOT / f"docs/examples/{name}.py"), run_name=name)


@asynccontextmanager
async def fastapi_app(program: Program, port: int) -> AsyncGenerator[None, None]:
    server = uvicorn.Server(uvicorn.Config(program["app"], port=port, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await anyio.sleep(0.01)
    yield
    server.should_exit = True
    await task


@asynccontextmanager
async def aiohttp_app(program: Program, port: int) -> AsyncGenerator[None, None]:
    runner = web.AppRunner(program["app"], access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await runner.cleanup()


@asynccontextmanager
async def websockets_app(program: Program, port: int) -> AsyncGenerator[None, None]:
    task = asyncio.create_task(program["main"](port))
    await anyio.sleep(0.1)
    yield
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def tornado_app(program: Program, port: int) -> AsyncGenerator[None, None]:
    server = HTTPServer(program["app"])
    server.listen(port, "127.0.0.1")
    yield
    server.stop()
    await server.close_all_connections()


@pytest.mark.parametrize(
    ("serving", "webhook"),
    [
        (fastapi_app, "/voice/incoming-call"),
        (aiohttp_app, "/incoming-call"),
        (websockets_app, None),
        (tornado_app, None),
    ],
)
def test_the_program_of_a_page_answers_a_call(
    serving: Callable[..., Any], webhook: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parties = CallParties()

    async def main() -> None:
        model = parties.model_machine
        async with listening(api, lambda: (api.Driver(model(), ignore), CLIENT)) as addresses:
            url = f"ws://127.0.0.1:{addresses[0][1]}/v1/realtime"
            monkeypatch.setenv("OPENAI_REALTIME_URL", url)
            monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
            port = free_port()
            async with serving(load(serving.__name__), port):
                parties.phone.url = await stream_url(port)
                await api.drive(Stack(parties.phone, {SERVER: LINK}, bytes), notify=ignore)

    async def stream_url(port: int) -> str:
        if webhook is None:
            return f"ws://127.0.0.1:{port}/media-stream"
        address = f"http://127.0.0.1:{port}{webhook}"
        stream = await anyio.to_thread.run_sync(request_stream, address, FORM, None)
        return stream.url

    run_in_real_time("asyncio", main)
    assert parties.phone.warnings == []
    assert parties.phone.heard_bytes_at(1 << 62) > 0
    assert parties.model.sent_errors == []


def test_the_agent_on_the_page_of_the_sdk_answers_a_call() -> None:
    call = PhoneCall(agent=load("sdk_agent")["agent"])

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(
            "Welcome", function_call("opening_hours", day="Sunday"), "We are closed"
        )
        await call.listen()
        await call.say("Are you open on Sunday?")
        await call.listen()

    call.run(script)
    assert call.model.function_outputs == ["closed"]
    assert [each.words for each in call.heard_speech] == ["Welcome", "We are closed"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_the_programs_that_are_tested(page: str) -> None:
    text = (ROOT / f"docs/how-to/{page}.md").read_text("utf-8")
    for name in PAGES[page]:
        assert (ROOT / f"docs/examples/{name}.py").read_text("utf-8").strip() in text


@pytest.mark.parametrize("name", ["fastapi_app", "aiohttp_app", "sdk_agent"])
def test_a_program_has_at_most_ten_lines_beside_imports(name: str) -> None:
    code = (ROOT / f"docs/examples/{name}.py").read_text("utf-8").partition('"""\n')[2]
    lines = [
        line
        for line in code.splitlines()
        if line.strip() and not line.startswith(("import ", "from "))
    ]
    assert len(lines) <= MOST_LINES

"""The cost of a call in the servers of others: CPU of the serving process per call and second.

    python tests/bench/hosts.py [--calls N] [--seconds S] [--json]

The calls are those of `processes.py`, each with an agent that does nothing. They run one after the
other in the package's own server, in uvicorn, and in aiohttp, all on asyncio's own loop.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable

from processes import WARM_UP_SECONDS, cpu_seconds, print_error, print_port, role_model, role_phones

import twilio_realtime.asyncio as api
from twilio_realtime import Call, call_acceptor
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime_core import CallConfig, SessionConfig


async def agent(call: Call) -> None:
    """Read what happens."""
    async for _ in call:
        pass


def config(port: int) -> ServiceConfig:
    """Return the configuration of calls with the model at `port`."""
    session = SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 500})
    return ServiceConfig(call=CallConfig(url=f"ws://127.0.0.1:{port}/v1/realtime", session=session))


def serve_own(port: int) -> None:
    """Serve with the package's own server."""
    accept = call_acceptor(Service(config(port)), agent, api.Driver)
    asyncio.run(api.listen("127.0.0.1", 0, accept, on_error=print_error, on_listening=print_port))


def serve_uvicorn(port: int) -> None:
    """Serve with uvicorn."""
    import uvicorn  # noqa: PLC0415

    from twilio_realtime.hosts import asgi_app  # noqa: PLC0415

    app = asgi_app(agent, config(port))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", loop="asyncio"))

    async def main() -> None:
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print_port([server.servers[0].sockets[0].getsockname()])
        await task

    asyncio.run(main())


def serve_aiohttp(port: int) -> None:
    """Serve with aiohttp."""
    from aiohttp import web  # noqa: PLC0415

    from twilio_realtime.hosts import aiohttp_routes  # noqa: PLC0415

    async def main() -> None:
        app = web.Application()
        app.add_routes(aiohttp_routes(agent, config=config(port)))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print_port([runner.addresses[0]])
        await asyncio.Event().wait()

    asyncio.run(main())


SERVERS: dict[str, Callable[[int], None]] = {
    "own": serve_own,
    "uvicorn": serve_uvicorn,
    "aiohttp": serve_aiohttp,
}


def start_process(role: str, argument: str, port: int) -> tuple["subprocess.Popen[str]", int]:
    """Start a process; return it, and the port that it listens on."""
    command = [sys.executable, __file__, "--role", role, argument, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def measure(server: str, calls: int, seconds: float) -> float:
    """Return the CPU time of a server, in ms per call and second."""
    model, model_port = start_process("model", "-", 0)
    service, port = start_process(server, "-", model_port)
    phones, _ = start_process("phones", str(calls), port)
    try:
        time.sleep(WARM_UP_SECONDS + calls * 0.05)
        before_s, start_s = cpu_seconds(service), time.time()
        time.sleep(seconds)
        return (cpu_seconds(service) - before_s) * 1000 / (calls * (time.time() - start_s))
    finally:
        for process in (phones, service, model):
            process.kill()
            process.wait()


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20, help="calls at once (20)")
    parser.add_argument("--seconds", type=float, default=10, help="to measure each server (10)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, argument, port = options.role
        match role:
            case "model":
                role_model(argument, int(port))
            case "phones":
                role_phones(argument, int(port))
            case _:
                SERVERS[role](int(port))
        return
    figures = {name: measure(name, options.calls, options.seconds) for name in SERVERS}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"CPU, ms per call and second, {options.calls} calls, asyncio")
    for name, figure in figures.items():
        print(f"{name:10}{figure:5.2f}   {figure / figures['own']:4.2f} times the package's own")


if __name__ == "__main__":
    main()

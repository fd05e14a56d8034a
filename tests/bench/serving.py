"""The cost of serving a call: CPU of the serving process per call and second.

    python tests/bench/serving.py [--calls N] [--seconds S] [--json]

Four processes on loopback: phones, a bare relay, the service, a model. Calls run in real time:
fifty caller frames a second each, the model speaking about half of the time, marks, interruptions.
The relay passes the phones' bytes through the same driver unchanged, and so shows the cost of
sockets and loop without the logic of a call.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Hashable
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
from attrs import define

from twilio_realtime.asyncio import Driver
from twilio_realtime.server.service import Service, ServiceConfig
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays, Cue, WhenAgentHeard
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import (
    ByteAction,
    CallConfig,
    Connect,
    Peer,
    SendBytes,
    SessionConfig,
    Shutdown,
)
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

RUNTIMES = ("trio", "asyncio")
WARM_UP_SECONDS = 4
LINK = LinkConfig(max_message_bytes=1 << 24)
TICKS = os.sysconf("SC_CLK_TCK")


@define(eq=False)
class Relay:
    """A `ByteMachine` that passes bytes between an accepted stream and one that it dials."""

    port: int
    deadline: None = None
    pending_bytes: bytes = b""
    """The bytes received before the far stream was open."""
    is_open: bool = False

    def start(self, now: int) -> list[ByteAction]:
        return []

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        if peer == "near":
            return [Connect("far", "127.0.0.1", self.port, tls=False)]
        self.is_open = True
        return [SendBytes("far", self.pending_bytes)]

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        return [Shutdown("near")]

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        if not self.is_open:
            self.pending_bytes += data
            return []
        return [SendBytes("far" if peer == "near" else "near", data)]

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        return [Shutdown("near"), Shutdown("far")]

    def handle_timeout(self, now: int) -> list[ByteAction]:
        return []


# The roles of the processes.


def print_port(addresses: list[tuple[str, int]]) -> None:
    print(addresses[0][1], flush=True)


def print_error(error: Exception) -> None:
    print(repr(error), file=sys.stderr)


def serve(runtime: str, accept: Callable[[Any], tuple[Any, Hashable]]) -> None:
    drivers = import_module(f"twilio_realtime.{runtime}")

    async def main() -> None:
        await drivers.listen(
            "127.0.0.1",
            0,
            lambda: accept(drivers.Driver),
            on_error=print_error,
            on_listening=print_port,
        )

    anyio.run(main, backend=runtime)


def role_relay(runtime: str, port: int) -> None:
    serve(runtime, lambda driver: (driver(Relay(port), ignore), "near"))


def role_service(runtime: str, port: int) -> None:
    session = SessionConfig(turn_detection={"type": "server_vad", "silence_duration_ms": 500})
    call = CallConfig(url=f"ws://127.0.0.1:{port}/v1/realtime", session=session)
    service = Service(ServiceConfig(call=call))

    serve(runtime, lambda driver: (driver(service.open_connection(), ignore), Peer.TWILIO))


def role_model(_: str, __: int) -> None:
    answer = sample_speech.load("agent_answer")
    reply = Reply((SpokenReply(answer.audio, answer.transcript),))

    def respond(request: HttpRequest) -> Upgrade:
        del request
        return Upgrade(RealtimePeer([reply]), CLIENT, {CLIENT: LINK})

    serve(
        "asyncio",
        lambda driver: (driver(HttpConnection(CLIENT, respond, os.urandom), ignore), CLIENT),
    )


def role_phones(calls: str, port: int) -> None:
    question = sample_speech.load("caller_question").audio
    wait = sample_speech.load("caller_interruption").audio
    turn: tuple[Cue, ...] = (
        WhenAgentHeard(4500, CallerSays(wait)),
        AfterDelay(8 * SECOND, CallerSays(question)),
    )

    async def call(number: int) -> None:
        await asyncio.sleep(number * 0.05)
        script = (AfterDelay(100 * MS, CallerSays(question)), *(turn * 20))
        url = f"ws://127.0.0.1:{port}/media-stream"
        phone = TwilioPeer(url=url, seed=number, script=script, record_audio=False)
        await Driver(Stack(phone, {SERVER: LINK}, os.urandom), ignore).run()

    async def main() -> None:
        print(0, flush=True)
        await asyncio.gather(*(call(number) for number in range(int(calls))))

    asyncio.run(main())


def ignore(event: object) -> None:
    del event


# The measurement.


def start_process(role: str, argument: str, port: int) -> tuple["subprocess.Popen[str]", int]:
    """Start a process; return it, and the port that it listens on."""
    command = [sys.executable, __file__, "--role", role, argument, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def cpu_seconds(process: "subprocess.Popen[str]") -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(runtime: str, calls: int, seconds: float) -> dict[str, float]:
    """Return the CPU time of the service and of the relay, in ms per call and second."""
    model, model_port = start_process("model", "-", 0)
    service, service_port = start_process("service", runtime, model_port)
    relay, relay_port = start_process("relay", runtime, service_port)
    phones, _ = start_process("phones", str(calls), relay_port)
    processes = {"service": service, "relay": relay}
    try:
        time.sleep(WARM_UP_SECONDS + calls * 0.05)
        before_s = {name: cpu_seconds(each) for name, each in processes.items()}
        start_s = time.time()
        time.sleep(seconds)
        share = 1000 / (calls * (time.time() - start_s))
        return {
            name: (cpu_seconds(each) - before_s[name]) * share for name, each in processes.items()
        }
    finally:
        for process in (phones, relay, service, model):
            process.kill()
            process.wait()


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20, help="calls at once (20)")
    parser.add_argument("--seconds", type=float, default=15, help="to measure each runtime (15)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, argument, port = options.role
        globals()[f"role_{role}"](argument, int(port))
        return
    figures = {name: measure(name, options.calls, options.seconds) for name in RUNTIMES}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"CPU, ms per call and second, {options.calls} calls")
    for runtime, figure in figures.items():
        service, relay = figure["service"], max(figure["relay"], 0.001)
        ratio = f"ratio {service / relay:4.2f}"
        print(f"{runtime:10}service {service:5.2f}   relay {relay:5.2f}   {ratio}")


if __name__ == "__main__":
    main()

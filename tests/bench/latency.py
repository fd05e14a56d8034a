"""The latency of a caller frame through the service, and through a bare relay.

    python tests/bench/latency.py [--calls N] [--seconds S] [--json]

The phones send frames that contain the time at which they were sent, fifty a second each; the peer
at the far end takes the time at which they arrive. Both ends run in this process, so that they read
one clock; the service, or the relay, is a process of its own.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from base64 import b64decode, b64encode
from collections.abc import Hashable

import msgspec
from attrs import define, field, frozen
from serving import LINK, RUNTIMES, ignore, start_process

from twilio_realtime.asyncio import Driver, listen
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.twilio_peer import SERVER
from twilio_realtime_core import Action, LocalProtocolError, Open, Send
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack

STREAM = "MZ00000000000000000000000000000000"
FRAME_NS = 20 * MS
PADDING = bytes(152)


@frozen
class JsonMessage:
    """Any JSON message."""

    body: dict[str, object]

    def encode(self) -> str:
        return msgspec.json.encode(self.body).decode()


@define(eq=False)
class TimestampingPhone:
    """A phone that sends the current time in every frame."""

    url: str
    deadline: int | None = None

    def start(self, now: int) -> list[Action]:
        return [Open(SERVER, self.url)]

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        self.deadline = now + FRAME_NS
        media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {"callSid": "CA1", "mediaFormat": media_format}
        return [Send(SERVER, JsonMessage({"event": "start", "streamSid": STREAM, "start": start}))]

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        return []

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return []

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        self.deadline = None
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = max(self.deadline + FRAME_NS, now + MS)
        frame = time.monotonic_ns().to_bytes(8, "big") + PADDING
        media = {"track": "inbound", "payload": b64encode(frame).decode()}
        return [Send(SERVER, JsonMessage({"event": "media", "streamSid": STREAM, "media": media}))]


@define(eq=False)
class ReceivingPeer:
    """The peer that receives the frames: a model behind the service, a server behind the relay."""

    delays_ns: list[int] = field(factory=list[int])
    deadline: None = None

    def start(self, now: int) -> list[Action]:
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        arrived_ns = time.monotonic_ns()
        event = msgspec.json.decode(text)
        match event:
            case {"audio": str(payload)} | {"media": {"payload": str(payload)}}:
                self.delays_ns.append(arrived_ns - int.from_bytes(b64decode(payload)[:8], "big"))
            case {"session": session}:
                return [Send(CLIENT, JsonMessage({"type": "session.updated", "session": session}))]
            case _:
                pass
        return []

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return []

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        return []


async def measure(role: str, runtime: str, calls: int, seconds: float) -> list[float]:
    """Return the latencies in µs of all frames except those of the first second."""
    ends: list[ReceivingPeer] = []
    ports: list[int] = []
    ready = asyncio.Event()

    def respond(request: HttpRequest) -> Upgrade:
        del request
        ends.append(ReceivingPeer())
        return Upgrade(ends[-1], CLIENT, {CLIENT: LINK})

    def listening(addresses: list[tuple[str, int]]) -> None:
        ports.append(addresses[0][1])
        ready.set()

    def raise_error(error: Exception) -> None:
        raise LocalProtocolError(str(error)) from error

    def accept() -> tuple[Driver, Hashable]:
        return Driver(HttpConnection(CLIENT, respond, os.urandom), ignore), CLIENT

    far = asyncio.create_task(
        listen("127.0.0.1", 0, accept, on_error=raise_error, on_listening=listening)
    )
    await ready.wait()
    process, port = await asyncio.to_thread(start_process, role, runtime, ports[0])
    url = f"ws://127.0.0.1:{port}/media-stream"
    phones = [
        asyncio.create_task(
            Driver(Stack(TimestampingPhone(url), {SERVER: LINK}, os.urandom), ignore).run()
        )
        for _ in range(calls)
    ]
    await asyncio.sleep(1)
    warm = [len(end.delays_ns) for end in ends]
    await asyncio.sleep(seconds)
    for task in (*phones, far):
        task.cancel()
    await asyncio.gather(*phones, far, return_exceptions=True)
    process.kill()
    process.wait()
    return [
        delay / 1000 for end, skip in zip(ends, warm, strict=True) for delay in end.delays_ns[skip:]
    ]


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20, help="calls at once (20)")
    parser.add_argument("--seconds", type=float, default=5, help="to measure each case (5)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for runtime in RUNTIMES:
        for role in ("service", "relay"):
            delays = asyncio.run(measure(role, runtime, options.calls, options.seconds))
            cuts = statistics.quantiles(delays, n=100)
            figures[f"{runtime} {role}"] = {"p50": cuts[49], "p99": cuts[98]}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"µs from end to end of a caller frame, {options.calls} calls")
    for name, figure in figures.items():
        print(f"{name:18}p50 {figure['p50']:7.0f}   p99 {figure['p99']:7.0f}")


if __name__ == "__main__":
    main()

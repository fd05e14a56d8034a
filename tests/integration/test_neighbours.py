"""A hostile stream beside calls, whose audio is no later for it, over real sockets."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import anyio
import pytest

from command_line import RUNTIMES
from free_ports import free_port
from served_calls import (
    PATIENCE_S,
    RecordingModel,
    ServedCalls,
    ServeProcess,
    wait_until,
)

CALLS = 20
TOLERANCE_MS = 100
"""How much longer the longest gap in the audio of a call may be. Without limits it is 600 ms."""

ROUNDS: Final = 4
"""Other work on the machine may delay the calls of a round; a hostile stream that does so, does it
in every round."""

HOSTILE = """
import json, socket, sys
from base64 import b64encode

UPGRADE = (
    b"GET /media-stream HTTP/1.1\\r\\nHost: localhost\\r\\nUpgrade: websocket\\r\\n"
    b"Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n"
)

def frame(payload, first=0x81):
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0xFE]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload

def start(sid):
    about = {"streamSid": sid, "callSid": "CA1", "accountSid": "AC1", "tracks": ["inbound"]}
    layout = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    event = {"event": "start", "sequenceNumber": "1", "streamSid": sid}
    return frame(json.dumps(event | {"start": about | {"mediaFormat": layout}}).encode())

media = {"event": "media", "streamSid": "MZ1"}
media["media"] = {"track": "inbound", "payload": b64encode(160 * b"\\x7f").decode()}
FLOODS = {
    "fragments": [frame(b"a", 0x01), *[frame(b"a", 0x00)] * 5000],
    "junk": [frame(b"hello")] * 5000,
    "media": [start("MZ1"), *[frame(json.dumps(media).encode())] * 5000],
    "starts": [start("MZ" + 60000 * "1")] * 50,
    "pings": [frame(b"", 0x89)] * 5000,
}
print("ready", flush=True)
while sys.argv[2] == "spin":
    pass
flood = b"".join(FLOODS[sys.argv[2]])
while True:
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as stream:
            stream.sendall(UPGRADE)
            while True:
                stream.sendall(flood)
    except OSError:
        pass
"""


@contextmanager
def flood(port: int, kind: str) -> Generator[None]:
    """Have a process flood the service with streams of a kind, one after the other."""
    command = [sys.executable, "-c", HOSTILE, str(port), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def longest_gaps_ms(runtime: str, folder: Path, kind: str) -> list[float]:
    """Return the longest gap in the audio of each call, the shortest first."""

    async def main() -> ServedCalls:
        with anyio.fail_after(PATIENCE_S):
            calls = ServedCalls(runtime, free_port(), speech_bytes=24_000)
            async with calls.serving_models():
                options = ("--runtime", runtime, "--realtime-url", calls.model_url)
                limits = ("--max-calls-per-minute", "10000")
                serve = ServeProcess.start(
                    *(calls.port, *options, *limits), stdout=subprocess.DEVNULL, folder=folder
                )
                try:
                    await serve.wait_until_healthy()
                    async with anyio.create_task_group() as tasks:
                        await calls.begin(CALLS, tasks)
                        with flood(calls.port, kind):
                            # Hostile streams have models too.
                            await wait_until(lambda: len(heard(calls)) == CALLS)
                        tasks.cancel_scope.cancel()
                finally:
                    serve.kill()
            return calls

    calls = anyio.run(main, backend=runtime)
    return sorted(
        max(later - before for before, later in pairwise(each.arrived_ns)) / 1e6
        for each in heard(calls)
    )


def heard(calls: ServedCalls) -> list[RecordingModel]:
    return [each for each in calls.models if each.has_last_frame]


@pytest.mark.parametrize("kind", ["fragments", "junk", "media", "starts", "pings"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_hostile_stream_makes_its_neighbours_no_later(
    runtime: str, kind: str, tmp_path: Path
) -> None:
    later_ms = [how_much_later_ms(runtime, kind, tmp_path)]
    while later_ms[-1] > TOLERANCE_MS and len(later_ms) < ROUNDS:
        later_ms.append(how_much_later_ms(runtime, kind, tmp_path))
    assert later_ms[-1] <= TOLERANCE_MS, later_ms


def how_much_later_ms(runtime: str, kind: str, folder: Path) -> float:
    """Return how much longer the median of the longest gaps is beside a hostile stream."""
    calm = longest_gaps_ms(runtime, folder, "spin")  # a process that only takes time
    beside = longest_gaps_ms(runtime, folder, kind)
    return beside[CALLS // 2] - calm[CALLS // 2]

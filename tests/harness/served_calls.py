"""Many calls to a service in another process: phones and models are in this one."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from base64 import b64decode
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError, URLError

import anyio
import anyio.to_thread
import msgspec
from attrs import define, field, frozen

from driving import RUNTIMES, ignore, listening
from timeouts import HANG_S
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import Action, Refusal, Send
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

PATIENCE_S = 4 * HANG_S
"""How long all calls of a test may take on a busy machine; as a rule a few seconds."""
LINK = LinkConfig(max_message_bytes=1 << 24, handshake_timeout_ms=1000 * PATIENCE_S)
SILENCE = b"\xff"
LAST_FRAME = bytes(160)
"""The end of the audio of each caller, which nothing else looks like."""


@frozen
class Json:
    body: dict[str, Any]

    def encode(self) -> str:
        return msgspec.json.encode(self.body).decode()


@define(eq=False)
class RecordingModel:
    """A model that accepts any configuration and only keeps the caller's audio."""

    audio: bytearray = field(factory=bytearray)
    arrived_ns: list[int] = field(factory=list[int])
    """When each frame has arrived."""
    close_codes: list[int] = field(factory=list[int])
    deadline: None = None

    @property
    def has_last_frame(self) -> bool:
        return LAST_FRAME in self.audio

    def start(self, now: int) -> list[Action]:
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        event = msgspec.json.decode(text)
        if event["type"] == "input_audio_buffer.append":
            self.audio += b64decode(event["audio"])
            self.arrived_ns.append(now)
            return []
        if event["type"] == "session.update":
            return [Send(CLIENT, Json({"type": "session.updated", "session": event["session"]}))]
        return []

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return []

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        self.close_codes.append(code)
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        return []


@define(eq=False)
class Phone(TwilioPeer):
    """A phone that keeps the code with which its stream is closed."""

    close_codes: list[int] = field(init=False, factory=list[int])

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        self.close_codes.append(code)
        return super().closed(peer, code, reason, now)


def _say(audio: bytes, phone: Phone, now: int) -> list[Action]:
    return phone.say(audio, now)


@define(eq=False)
class ServedCalls:
    """Calls of phones to `port`, each with a model. The service has to dial `model_url`."""

    runtime: str
    port: int
    speech_bytes: int = 8_000
    model_url: str = field(init=False, default="")
    models: list[RecordingModel] = field(init=False, factory=list[RecordingModel])
    phones: list[Phone] = field(init=False, factory=list[Phone])
    sent_audio: list[bytes] = field(init=False, factory=list[bytes])
    _drivers: list[tuple[Any, Stack]] = field(init=False, factory=list[tuple[Any, Stack]])

    @asynccontextmanager
    async def serving_models(self) -> AsyncGenerator[None, None]:
        async with listening(RUNTIMES[self.runtime], self._accept_model) as addresses:
            self.model_url = f"ws://127.0.0.1:{addresses[0][1]}/v1/realtime"
            yield

    def _accept_model(self) -> tuple[Any, Hashable]:
        def respond(request: HttpRequest) -> Upgrade:
            del request
            self.models.append(RecordingModel())
            return Upgrade(self.models[-1], CLIENT, {CLIENT: LINK})

        machine = HttpConnection(CLIENT, respond, os.urandom)
        return RUNTIMES[self.runtime].Driver(machine, ignore), CLIENT

    async def begin(self, count: int, tasks: Any) -> None:
        """Begin calls, and have every caller speak once all models are there."""
        first = len(self.phones)
        for number in range(first, first + count):
            url = f"ws://127.0.0.1:{self.port}/media-stream"
            self.phones.append(Phone(url=url, seed=number))
            stack = Stack(self.phones[-1], {SERVER: LINK}, os.urandom)
            self._drivers.append((RUNTIMES[self.runtime].Driver(stack, ignore), stack))
            tasks.start_soon(self._drivers[-1][0].run)
        await wait_until(lambda: len(self.models) == first + count)
        for number in range(first, first + count):
            audio = Random(number).randbytes(self.speech_bytes) + LAST_FRAME
            self.sent_audio.append(audio)
            self._act(number, partial(_say, audio))

    async def finish(self) -> None:
        """Wait until every caller was heard to the end, and have them hang up."""
        await self.wait_until_heard()
        for number in range(len(self.phones)):
            self._act(number, lambda phone, now: phone.hang_up(now))
        await wait_until(lambda: all(each.close_codes for each in self.phones))

    async def wait_until_heard(self) -> None:
        await wait_until(lambda: all(each.has_last_frame for each in self.models))

    def _act(self, number: int, act: Callable[[Phone, int], list[Action]]) -> None:
        driver, stack = self._drivers[number]
        now = driver.now()
        driver.perform(stack.perform(act(self.phones[number], now), now))

    def assert_nothing_lost(self) -> None:
        """Assert that the models have received the audio of each caller, and only silence
        besides."""
        received = sorted(bytes(each.audio).strip(SILENCE) for each in self.models)
        assert received == sorted(each.strip(SILENCE) for each in self.sent_audio)
        assert all(phone.warnings == [] for phone in self.phones)


@define(eq=False)
class ServeProcess:
    """`twilio-realtime serve` with an output of the test's choice."""

    port: int
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(
        cls, port: int, *arguments: str, stdout: Any, folder: Path, prefix: Iterable[str] = ()
    ) -> "ServeProcess":
        names = ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "OPENAI_REALTIME_URL")
        command = [
            *prefix,
            *(sys.executable, "-m", "twilio_realtime.cli", "serve", "--port", str(port)),
            *arguments,
        ]
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name not in names},
        )
        return cls(port, process)

    async def wait_until_healthy(self) -> None:
        await wait_until(lambda: self.status("/healthz") == 200, self.get_again)

    async def get_again(self) -> None:
        assert self.process.poll() is None, "the service has ended"

    def status(self, path: str, method: str = "GET") -> int:
        return self.request(path, method)[0]

    def request(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Return status and body of a request; 0 if the service cannot be reached."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=HANG_S) as response:  # noqa: S310
                return response.status, response.read()
        except HTTPError as error:
            return error.code, error.read()
        except (URLError, OSError):
            return 0, b""

    async def wait(self) -> tuple[int, str]:
        """Wait for the end; return exit status and what was written to stderr."""
        errors = await anyio.to_thread.run_sync(self.process.communicate)
        return self.process.returncode, (errors[1] or b"").decode()

    def send_signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def log_events(text: str, name: str) -> list[dict[str, Any]]:
    """Return the events of that name in a log of JSON."""
    lines = [json.loads(line) for line in text.splitlines() if line]
    return [line for line in lines if line["event"] == name]


async def wait_until(
    is_so: Callable[[], bool], check: Callable[[], Awaitable[None]] | None = None
) -> None:
    while not is_so():
        if check is not None:
            await check()
        await anyio.sleep(0.05)

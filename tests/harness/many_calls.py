"""Many calls at once in one process, over real sockets, while other peers misbehave."""

import os
import socket
from base64 import b64decode
from collections.abc import Callable, Hashable
from random import Random
from typing import Any

import anyio
import msgspec
from attrs import define, field, frozen

from driving import RUNTIMES
from twilio_realtime.cli.idle_clock import idle_clock_options
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import Action, CallConfig, Peer, Refusal, Send
from twilio_realtime_core.notifications import CallEnded, EndReason
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

PATIENCE_S = 120
"""How long all the calls may take on a busy machine; as a rule a few seconds."""
PATIENCE_MS = 1000 * PATIENCE_S
LINK = LinkConfig(max_message_bytes=1 << 24, handshake_timeout_ms=PATIENCE_MS)
AUDIO_BYTES = 12_000
SILENCE = b"\xff"
LAST_FRAME = bytes(160)
"""The end of the audio of each caller, which nothing else looks like."""

HOSTILE = {
    "garbage": b"\x00\xff" * 500,
    "a header that is not ASCII": b"GET /media-stream HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "half a request": b"GET /media-stream HTTP/1.1\r\nHost: a\r\nUpgr",
    "another path": b"GET /else HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "half an upgrade": b"GET /media-stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    "silence": b"",
}


@frozen
class Json:
    body: dict[str, Any]

    def encode(self) -> str:
        return msgspec.json.encode(self.body).decode()


@define(eq=False)
class ListeningModel:
    """A model that accepts any configuration and only records caller audio, to its last frame."""

    received: list[str] = field(factory=list[str])
    is_configured: bool = False
    has_last_frame: bool = False
    deadline: None = None

    def start(self, now: int) -> list[Action]:
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        event = msgspec.json.decode(text)
        if event["type"] == "input_audio_buffer.append":
            self.received.append(event["audio"])
            self.has_last_frame |= b64decode(event["audio"]) == LAST_FRAME
            return []
        self.is_configured = True
        return [Send(CLIENT, Json({"type": "session.updated", "session": event["session"]}))]

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return []

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        return []


@define(eq=False)
class ManyCalls:
    """Phones, one service and one model, all in this process."""

    runtime: str
    count: int
    models: list[ListeningModel] = field(factory=list[ListeningModel])
    phones: list[TwilioPeer] = field(factory=list[TwilioPeer])
    sent_audio: list[bytes] = field(factory=list[bytes])
    notifications: list[object] = field(factory=list[object])
    errors: list[Exception] = field(factory=list[Exception])

    @property
    def drivers(self) -> Any:
        return RUNTIMES[self.runtime]

    @property
    def ends(self) -> list[CallEnded]:
        return [event for event in self.notifications if isinstance(event, CallEnded)]

    def run(self) -> None:
        # On a clock that stands still while the process works, calls never outrun a busy machine.
        options = idle_clock_options(self.runtime)
        anyio.run(self._run_in_time, backend=self.runtime, backend_options=options)

    def assert_nothing_lost(self) -> None:
        """Assert that all calls ended as they should, and that the models have received the audio
        of each caller, and only silence besides."""
        assert self.ends == [CallEnded(EndReason.CALLER_HUNG_UP, "stop")] * self.count
        assert self.errors == []
        assert all(phone.warnings == [] for phone in self.phones)
        received = [b"".join(map(b64decode, model.received)) for model in self.models]
        assert sorted(audio.strip(SILENCE) for audio in received) == sorted(
            audio.strip(SILENCE) for audio in self.sent_audio
        )

    async def _run_in_time(self) -> None:
        with anyio.fail_after(PATIENCE_S):
            await self.run_calls()

    async def run_calls(self) -> None:
        async with anyio.create_task_group() as tasks:
            model_port = await self.listen(tasks, self.accept_model)
            call = CallConfig(
                url=f"ws://127.0.0.1:{model_port}/v1/realtime",
                start_timeout_ms=PATIENCE_MS,
                session_timeout_ms=PATIENCE_MS,
            )
            service = Service(ServiceConfig(call=call))

            def accept() -> tuple[Any, Hashable]:
                return self.drivers.Driver(
                    service.open_connection(), self.notifications.append
                ), Peer.TWILIO

            port = await self.listen(tasks, accept)
            strangers = [
                self.connect_stranger(port, request_bytes) for request_bytes in HOSTILE.values()
            ]
            async with anyio.create_task_group() as callers:
                for number in range(self.count):
                    callers.start_soon(self.call, port, number)
            await wait_until(lambda: len(self.ends) == self.count)
            for stranger in strangers:
                stranger.close()
            tasks.cancel_scope.cancel()

    async def listen(self, tasks: Any, accept: Callable[[], tuple[Any, Hashable]]) -> int:
        addresses: list[tuple[str, int]] = []
        ready = anyio.Event()

        def on_listening(bound: list[tuple[str, int]]) -> None:
            addresses.extend(bound)
            ready.set()

        async def serve() -> None:
            await self.drivers.listen(
                "127.0.0.1", 0, accept, on_error=self.errors.append, on_listening=on_listening
            )

        tasks.start_soon(serve)
        await ready.wait()
        return addresses[0][1]

    def accept_model(self) -> tuple[Any, Hashable]:
        def respond(request: HttpRequest) -> Upgrade:
            del request
            self.models.append(ListeningModel())
            return Upgrade(self.models[-1], CLIENT, {CLIENT: LINK})

        return self.drivers.Driver(
            HttpConnection(CLIENT, respond, os.urandom), self.notifications.append
        ), CLIENT

    async def call(self, port: int, number: int) -> None:
        """One call: it is set up with all others, speaks with them, and ends with them."""
        url = f"ws://127.0.0.1:{port}/media-stream"
        audio = Random(number).randbytes(AUDIO_BYTES) + LAST_FRAME
        phone = TwilioPeer(url=url, seed=number)
        self.phones.append(phone)
        self.sent_audio.append(audio)
        stack = Stack(phone, {SERVER: LINK}, os.urandom)
        driver = self.drivers.Driver(stack, ignore)

        def act(what: Callable[[int], list[Action]]) -> None:
            now = driver.now()
            driver.perform(stack.perform(what(now), now))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.run)
            await self.wait_for_all(lambda model: model.is_configured)
            act(lambda now: phone.say(audio, now))
            await self.wait_for_all(lambda model: model.has_last_frame)
            act(phone.hang_up)

    async def wait_for_all(self, is_so: Callable[[ListeningModel], bool]) -> None:
        await wait_until(
            lambda: len(self.models) == self.count and all(is_so(each) for each in self.models)
        )

    def connect_stranger(self, port: int, request_bytes: bytes) -> socket.socket:
        stranger = socket.create_connection(("127.0.0.1", port))
        stranger.sendall(request_bytes)
        return stranger


def ignore(event: object) -> None:
    del event


async def wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await anyio.sleep(0.1)

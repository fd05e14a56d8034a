"""A hundred calls at once in one process, over real sockets, while strangers misbehave."""

import os
import socket
from base64 import b64decode
from collections.abc import Callable, Hashable
from importlib import import_module
from random import Random
from typing import Any

import anyio
import msgspec
import pytest
from attrs import define, field, frozen

from twilio_realtime.server.service import Service, ServiceConfig
from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.caller import AfterDelay, CallerHangsUp, CallerSays
from twilio_realtime.sim.phone.twilio_peer import SERVER, TwilioPeer
from twilio_realtime_core import Action, CallConfig, Peer, Send
from twilio_realtime_core.notifications import CallEnded, EndReason
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

CALLS = 100
LINK = LinkConfig(max_message_bytes=1 << 24)
SAID_BYTES = 12_000
SILENCE = b"\xff"

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
class Listener:
    """A model that takes any configuration, and only listens."""

    heard: list[str] = field(factory=list[str])
    deadline: None = None

    def start(self, now: int) -> list[Action]:
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        event = msgspec.json.decode(text)
        if event["type"] == "input_audio_buffer.append":
            self.heard.append(event["audio"])
            return []
        return [Send(CLIENT, Json({"type": "session.updated", "session": event["session"]}))]

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return []

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        return []


@define(eq=False)
class Town:
    """Phones, one service and one model, all in this process."""

    drivers: Any
    listeners: list[Listener] = field(factory=list[Listener])
    phones: list[TwilioPeer] = field(factory=list[TwilioPeer])
    said: list[bytes] = field(factory=list[bytes])
    told: list[object] = field(factory=list[object])
    errors: list[Exception] = field(factory=list[Exception])

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            model = await self.listen(tasks, self.accept_model)
            config = ServiceConfig(call=CallConfig(url=f"ws://127.0.0.1:{model}/v1/realtime"))
            service = Service(config)

            def accept() -> tuple[Any, Hashable]:
                return self.drivers.Driver(service.open_connection(), self.told.append), Peer.TWILIO

            port = await self.listen(tasks, accept)
            strangers = [self.intrude(port, sent) for sent in HOSTILE.values()]
            async with anyio.create_task_group() as calls:
                for number in range(CALLS):
                    calls.start_soon(self.call, port, number)
            while sum(isinstance(event, CallEnded) for event in self.told) < CALLS:
                await anyio.sleep(0.02)
            for stranger in strangers:
                stranger.close()
            tasks.cancel_scope.cancel()

    async def listen(self, tasks: Any, accept: Callable[[], tuple[Any, Hashable]]) -> int:
        addresses: list[tuple[str, int]] = []
        ready = anyio.Event()

        def listening(bound: list[tuple[str, int]]) -> None:
            addresses.extend(bound)
            ready.set()

        async def serve() -> None:
            await self.drivers.listen(
                "127.0.0.1", 0, accept, on_error=self.errors.append, on_listening=listening
            )

        tasks.start_soon(serve)
        await ready.wait()
        return addresses[0][1]

    def accept_model(self) -> tuple[Any, Hashable]:
        def respond(request: HttpRequest) -> Upgrade:
            del request
            self.listeners.append(Listener())
            return Upgrade(self.listeners[-1], CLIENT, {CLIENT: LINK})

        return self.drivers.Driver(
            HttpConnection(CLIENT, respond, os.urandom), self.told.append
        ), CLIENT

    async def call(self, port: int, number: int) -> None:
        url = f"ws://127.0.0.1:{port}/media-stream"
        said = Random(number).randbytes(SAID_BYTES)
        phone = TwilioPeer(
            url=url,
            seed=number,
            script=(AfterDelay(0, CallerSays(said)), AfterDelay(0, CallerHangsUp())),
        )
        self.phones.append(phone)
        self.said.append(said)
        stack = Stack(phone, {SERVER: LINK}, os.urandom)
        await self.drivers.Driver(stack, ignore).run()

    def intrude(self, port: int, sent: bytes) -> socket.socket:
        stranger = socket.create_connection(("127.0.0.1", port))
        stranger.sendall(sent)
        return stranger


def ignore(event: object) -> None:
    del event


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_a_hundred_calls_have_every_frame_forwarded_in_order_while_strangers_intrude(
    runtime: str,
) -> None:
    town = Town(import_module(f"twilio_realtime.{runtime}"))
    anyio.run(town.run, backend=runtime)
    ends = [event for event in town.told if isinstance(event, CallEnded)]
    assert ends == [CallEnded(EndReason.CALLER_HUNG_UP, "stop")] * CALLS
    assert town.errors == []
    assert all(phone.warnings == [] for phone in town.phones)
    heard = [b"".join(map(b64decode, listener.heard)) for listener in town.listeners]
    # Nothing but silence is around what was said.
    assert sorted(audio.strip(SILENCE) for audio in heard) == sorted(
        audio.strip(SILENCE) for audio in town.said
    )

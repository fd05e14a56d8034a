"""Phones and a model for a bridge under load: real-time calls, and the delays that it adds.

A phone sends fifty frames a second, each with the time at which it was sent, plays what it gets and
echoes marks. The model speaks half of the time, and the caller interrupts every other answer. Both
ends are in this process, so that they read one clock.
"""

import asyncio
import json
import os
import random
import struct
import time
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from attrs import define, field

from twilio_realtime_core.transport.frames import TEXT, FrameDecoder, encode_frame
from twilio_realtime_core.transport.handshake import HttpRequest, encode_upgrade_response

FRAME_S: Final = 0.02
DELTA_S: Final = 0.5
DELTA_BYTES: Final = 4000
ANSWER_DELTAS: Final = 8
"""Deltas of an answer: four seconds of speech, after which the model is silent for as long."""
_STAMP: Final = struct.Struct("<QHBx")
"""The start of audio: the time in ns, the number of the call, and a byte that silence does not have
there."""
_STAMP_CHARACTERS: Final = 16
_MAGIC: Final = 0xA5
_APPEND: Final = '{"type":"input_audio_buffer.append","audio":"'
_PCMU: Final = {"type": "audio/pcmu"}
_SESSION: Final = {
    "type": "realtime",
    "audio": {
        "input": {"format": _PCMU, "turn_detection": {"type": "server_vad"}},
        "output": {"format": _PCMU},
    },
}


_FRAME_REST: Final = b64encode(os.urandom(160 - _STAMP.size)).decode()
_DELTA_REST: Final = b64encode(os.urandom(DELTA_BYTES - _STAMP.size)).decode()


def _stamp(number: int = 0) -> str:
    return b64encode(_STAMP.pack(time.monotonic_ns(), number, _MAGIC)).decode()


def _to_json(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"))


@define
class Delays:
    """What is measured while `is_on`: delays in µs, and frames."""

    is_on: bool = False
    frames_sent: int = 0
    frame_us: list[float] = field(factory=list[float])
    delta_us: list[float] = field(factory=list[float])
    clear_us: list[float] = field(factory=list[float])
    """From `speech_started` until `clear` is received."""
    lost_connections: int = 0

    def reset(self) -> None:
        """Forget what was measured."""
        self.frames_sent = 0
        for each in (self.frame_us, self.delta_us, self.clear_us):
            each.clear()

    def note(self, delays_us: list[float], payload: str) -> int | None:
        """Note the delay of audio that starts with a stamp, and return the number of its call;
        silence that fills gaps has no stamp."""
        sent_ns, number, magic = _STAMP.unpack(b64decode(payload[:_STAMP_CHARACTERS]))
        if magic != _MAGIC:
            return None
        if self.is_on:
            delays_us.append((time.monotonic_ns() - sent_ns) / 1000)
        return int(number)


class _WebSocket(asyncio.Protocol, ABC):
    """A WebSocket, of which the other end is trusted to do as it should."""

    def __init__(self, delays: Delays, *, is_masked: bool, mask: bytes | None) -> None:
        self.delays = delays
        self._decoder = FrameDecoder(is_masked=is_masked, max_message_bytes=1 << 20)
        self._mask = mask
        self._head = b""
        self._is_open = False
        self._timers: deque[asyncio.TimerHandle] = deque(maxlen=64)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.delays.lost_connections += self.delays.is_on
        for timer in self._timers:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            self._head, end, data = (self._head + data).partition(b"\r\n\r\n")
            if not end:
                return
            self._is_open = True
            self.on_head(self._head)
        for received in self._decoder.receive(data):
            if isinstance(received, str):
                self.on_text(received)

    def call_at(self, when_s: float, function: Callable[..., None], *arguments: object) -> None:
        """Call a function later, unless the connection is lost before."""
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_at(when_s, function, *arguments))

    def send(self, text: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(encode_frame(TEXT, text.encode(), self._mask))

    @abstractmethod
    def on_head(self, head: bytes) -> None:
        """The head of the opening handshake is received."""

    @abstractmethod
    def on_text(self, text: str) -> None:
        """A message is received."""


class Phone(_WebSocket):
    """A caller's side of a call."""

    def __init__(self, delays: Delays, number: int) -> None:
        super().__init__(delays, is_masked=False, mask=b"mask")
        self.number = number
        self.stream = f"MZ{number:032x}"
        self.frames, self.played_until_s = 0, 0.0
        self.marks: deque[str] = deque()
        self.interrupted_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        key = b64encode(os.urandom(16)).decode()
        self.transport.write(
            b"GET /media-stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def on_head(self, head: bytes) -> None:
        assert b" 101 " in head.partition(b"\r\n")[0], head
        self.send(_to_json(event="connected", protocol="Call", version="1.0.0"))
        media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {
            "streamSid": self.stream,
            "callSid": f"CA{self.stream[2:]}",
            "tracks": ["inbound"],
            "mediaFormat": media_format,
            "customParameters": {},
        }
        self.send(_to_json(event="start", sequenceNumber="1", start=start, streamSid=self.stream))
        self.tick(asyncio.get_running_loop().time())

    def tick(self, due_s: float) -> None:
        """Send a frame, and the next one when it is due."""
        self.frames += 1
        self.delays.frames_sent += self.delays.is_on
        number, payload = self.frames, _stamp(self.number) + _FRAME_REST
        self.send(
            f'{{"event":"media","sequenceNumber":"{number + 1}","media":{{"track":"inbound",'
            f'"chunk":"{number}","timestamp":"{number * 20}","payload":"{payload}"}},'
            f'"streamSid":"{self.stream}"}}'
        )
        self.call_at(due_s + FRAME_S, self.tick, due_s + FRAME_S)

    def on_text(self, text: str) -> None:
        message = json.loads(text)
        now_s = asyncio.get_running_loop().time()
        match message["event"]:
            case "media":
                payload = message["media"]["payload"]
                self.delays.note(self.delays.delta_us, payload)
                length_s = len(payload) * 3 / 4 / 8000
                self.played_until_s = max(self.played_until_s, now_s) + length_s
            case "mark":
                self.marks.append(message["mark"]["name"])
                self.call_at(max(self.played_until_s, now_s), self.echo, 1)
            case _:
                if self.delays.is_on and self.interrupted_ns:
                    took_ns = time.monotonic_ns() - self.interrupted_ns
                    self.delays.clear_us.append(took_ns / 1000)
                self.interrupted_ns, self.played_until_s = 0, 0.0
                self.echo(len(self.marks))

    def echo(self, count: int) -> None:
        """Echo the oldest marks, as many as there still are."""
        for _ in range(min(count, len(self.marks))):
            name = {"name": self.marks.popleft()}
            self.send(_to_json(event="mark", streamSid=self.stream, mark=name))


class Model(_WebSocket):
    """The model's side of a call."""

    def __init__(self, delays: Delays, phones: dict[int, Phone]) -> None:
        super().__init__(delays, is_masked=True, mask=None)
        self.phones = phones
        self.phone: Phone | None = None
        self.answers = 0
        self.has_begun = False
        self.event_count = 0

    def on_head(self, head: bytes) -> None:
        lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
        headers = tuple((name.lower(), value) for name, _, value in lines)
        self.transport.write(encode_upgrade_response(HttpRequest("GET", "/", headers)))

    def on_text(self, text: str) -> None:
        if text.startswith(_APPEND):
            number = self.delays.note(self.delays.frame_us, text[len(_APPEND) :])
            if self.phone is None and number is not None:
                self.phone = self.phones.get(number)
        elif json.loads(text)["type"] == "session.update":
            self.send_event("session.updated", session=_SESSION)
        if not self.has_begun:  # with the first event, since not every bridge configures a session
            self.has_begun = True
            # Calls that began together do not go in step.
            offset_s = random.random() * ANSWER_DELTAS * DELTA_S
            self.call_at(asyncio.get_running_loop().time() + offset_s, self.answer)

    def send_event(self, type_: str, **fields: Any) -> None:
        self.event_count += 1
        self.send(_to_json(type=type_, event_id=f"event_{self.event_count}", **fields))

    @property
    def ids(self) -> dict[str, Any]:
        number = f"{id(self):x}_{self.answers}"
        ids = {"response_id": f"resp_{number}", "item_id": f"item_{number}"}
        return {**ids, "output_index": 0, "content_index": 0}

    def answer(self) -> None:
        """Start an answer; the caller interrupts every other one."""
        self.answers += 1
        ids = self.ids
        item: dict[str, object] = {"id": ids["item_id"], "type": "message", "role": "assistant"}
        item["content"] = []
        self.send_event("response.created", response={"id": ids["response_id"]})
        self.send_event("response.output_item.added", **ids, item=item)
        self.send_event("conversation.item.added", item=item)
        self.say(ANSWER_DELTAS // 2 if self.answers % 2 else ANSWER_DELTAS)

    def say(self, deltas_left: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if deltas_left:
            audio = {"delta": _stamp() + _DELTA_REST}
            self.send_event("response.output_audio.delta", **self.ids, **audio)
            words = {"delta": "a few words more "}
            self.send_event("response.output_audio_transcript.delta", **self.ids, **words)
            is_interrupted = self.answers % 2 and deltas_left == 1
            wait_s = DELTA_S / 2 if is_interrupted else DELTA_S
            self.call_at(now_s + wait_s, self.say, deltas_left - 1)
            return
        if self.answers % 2:
            self.interrupt()
        self.send_event("response.output_audio.done", **self.ids)
        response = {"id": self.ids["response_id"], "status": "completed"}
        self.send_event("response.done", response=response)
        self.call_at(now_s + ANSWER_DELTAS * DELTA_S, self.answer)

    def interrupt(self) -> None:
        """The caller speaks, while a quarter of a second of the answer is still to be played."""
        said = {"item_id": f"said_{self.ids['item_id']}"}
        if self.phone is not None:
            self.phone.interrupted_ns = time.monotonic_ns()
        self.send_event("input_audio_buffer.speech_started", audio_start_ms=0, **said)
        self.send_event("input_audio_buffer.speech_stopped", audio_end_ms=0, **said)
        self.send_event("input_audio_buffer.committed", **said)


@define(eq=False)
class Load:
    """Calls through a bridge at `port`, whose model is here."""

    delays: Delays = field(factory=Delays)
    phones: dict[int, Phone] = field(factory=dict[int, Phone])
    server: asyncio.Server = field(init=False)

    async def listen(self) -> int:
        """Start the model's server; return its port."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Model(self.delays, self.phones), "127.0.0.1", 0
        )
        return int(self.server.sockets[0].getsockname()[1])

    async def grow(self, calls: int, port: int) -> None:
        """Start calls until there are as many, twenty in the time of a frame."""
        loop = asyncio.get_running_loop()
        for number in range(len(self.phones), calls):
            phone = self.phones[number] = Phone(self.delays, number)
            await loop.create_connection(partial(_same, phone), "127.0.0.1", port)
            await asyncio.sleep(FRAME_S / 20)

    def close(self) -> None:
        """End everything at once."""
        self.server.close()
        for phone in self.phones.values():
            phone.transport.abort()


def _same(phone: Phone) -> Phone:
    return phone

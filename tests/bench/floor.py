"""A bare bridge: about the least that Python does for a call, with which the service is compared.

It splices audio from one side to the other, adds marks, and clears and truncates when the caller
speaks. It checks nothing: no JSON, no fragments, no limits, no time-outs, no slow peers.

    python tests/bench/floor.py PORT MODEL_PORT [--uvloop]
"""

import asyncio
import hashlib
import os
import sys
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final

KEY: Final = b"sec-websocket-key:"
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REQUEST: Final = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: model\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
APPEND: Final = b'{"type":"input_audio_buffer.append","audio":"'
DELTA: Final = b'{"type":"response.output_audio.delta"'


def exclusive_or(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


def text_frame(payload: bytes, mask: bytes = b"") -> bytes:
    size, bit = len(payload), 0x80 if mask else 0
    head = bytes((0x81, bit | size)) if size < 126 else b"\x81" + bytes((bit | 126,))
    head += size.to_bytes(2, "big") if size >= 126 else b""
    return head + mask + (exclusive_or(payload, mask) if mask else payload)


def field(text: bytes, name: bytes) -> bytes:
    """Return the text value of a field, with no space behind its colon."""
    start = text.find(b'"' + name + b'":"') + len(name) + 4
    return text[start : text.find(b'"', start)]


class Leg(asyncio.BufferedProtocol):
    """One connection: it reads whole frames and passes their texts on."""

    def __init__(self, on_text: Callable[[bytes], None]) -> None:
        self.on_text = on_text
        self.on_head: Callable[[bytes], None] = lambda head: None
        self.buffer = bytearray(65536)
        self.view = memoryview(self.buffer)
        self.rest = b""
        self.is_open = False

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self.write: Callable[[bytes], None] = transport.write

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        data = self.rest + bytes(self.view[:nbytes])
        if not self.is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.rest = head
                return
            self.is_open, self.rest = True, b""
            self.on_head(head)
        at, end_of_data = 0, len(data)
        while end_of_data - at >= 4:
            size, start = data[at + 1] & 0x7F, at + 2
            if size == 126:
                size, start = data[at + 2] << 8 | data[at + 3], at + 4
            is_masked = data[at + 1] & 0x80
            text_at = start + 4 if is_masked else start
            if text_at + size > end_of_data:
                break
            if data[at] == 0x81:
                text = data[text_at : text_at + size]
                self.on_text(exclusive_or(text, data[start:text_at]) if is_masked else text)
            at = text_at + size
        self.rest = data[at:]


class BareBridge:
    """One call."""

    def __init__(self, model_port: int) -> None:
        self.model_port = model_port
        self.phone, self.model = Leg(self.from_phone), Leg(self.from_model)
        self.phone.on_head = self.accept
        self.stream = self.media_head = self.mark_head = b""
        self.item, self.sent, self.marks = b"", 0, 0

    def accept(self, head: bytes) -> None:
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(KEY))
        digest = hashlib.sha1(key[len(KEY) :].strip() + GUID, usedforsecurity=False).digest()
        self.phone.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + b64encode(digest) + b"\r\n\r\n"
        )
        self.task = asyncio.ensure_future(self.connect())

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self.model, "127.0.0.1", self.model_port)
        self.model.write(REQUEST)
        self.model.on_head = lambda _: self.to_model(b'{"type":"session.update","session":{}}')

    def to_model(self, text: bytes) -> None:
        self.model.write(text_frame(text, os.urandom(4)))

    def from_phone(self, text: bytes) -> None:
        if text.startswith(b'{"event":"media"'):
            if self.model.is_open:
                self.to_model(APPEND + field(text, b"payload") + b'"}')
        elif text.startswith(b'{"event":"start"'):
            self.stream = field(text, b"streamSid")
            head = b'","streamSid":"' + self.stream + b'","'
            self.media_head = b'{"event":"media' + head + b'media":{"payload":"'
            self.mark_head = b'{"event":"mark' + head + b'mark":{"name":"'

    def from_model(self, text: bytes) -> None:
        if text.startswith(DELTA):
            payload, self.item = field(text, b"delta"), field(text, b"item_id")
            self.sent += len(payload) * 3 // 4
            self.marks += 1
            self.phone.write(
                text_frame(self.media_head + payload + b'"}}')
                + text_frame(self.mark_head + b"%d" % self.marks + b'"}}')
            )
        elif b"speech_started" in text[:60] and self.item:
            self.phone.write(text_frame(b'{"event":"clear","streamSid":"' + self.stream + b'"}'))
            self.to_model(
                b'{"type":"conversation.item.truncate","item_id":"' + self.item + b'",'
                b'"content_index":0,"audio_end_ms":%d}' % (self.sent // 8)
            )
            self.item, self.sent = b"", 0


async def main(port: int, model_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BareBridge(model_port).phone, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    loop_factory = None
    if "--uvloop" in sys.argv:
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2])))

"""Audio of a caller whose frames carry their numbers, and a model that notes which have arrived.

python numbered_audio.py PORT FILE  # the model; appends a line for each frame: call, number, ns

A line with the call -1 says when a model listens.
"""

import os
import re
import sys
from base64 import b64decode
from collections.abc import Hashable, Iterator
from functools import partial
from time import monotonic_ns
from typing import Any

import anyio
import msgspec
from attrs import define, field

from driving import RUNTIMES, ignore
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime_core import Action
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig

FRAME_BYTES = 160
FRAME_MS = 20
START = -1
"""Stands for the call in a line that says when a model listens."""

_MARKER = b"\x7e\x7e\xfe\xfe"
_BITS = 32
_FRAME = re.compile(re.escape(_MARKER) + b"([\xfe\xff]{32})")
"""The first bytes of a frame: its marker and number, in samples too quiet to be heard."""


def numbered_frames(call: int, first: int, count: int) -> bytes:
    """Return frames of near silence, each of which carries the numbers of its call and its own."""
    return b"".join(_frame(call << 20 | first + each) for each in range(count))


def _frame(number: int) -> bytes:
    bits = f"{number:0{_BITS}b}".encode().translate(bytes.maketrans(b"01", b"\xff\xfe"))
    return (_MARKER + bits).ljust(FRAME_BYTES, b"\xff")


def find_frames(audio: bytes) -> Iterator[tuple[int, int]]:
    """Yield the numbers of the call and of the frame of each numbered frame in `audio`."""
    for match in _FRAME.finditer(audio):
        number = int(match[1].translate(bytes.maketrans(b"\xff\xfe", b"01")), 2)
        yield number >> 20, number & (1 << 20) - 1


@define(eq=False)
class NotingModel:
    """A simulated model that notes each numbered frame in a file as soon as it arrives, so that
    nothing is lost when its process is killed."""

    _peer: Any
    _file: int
    _audio: bytes = field(init=False, default=b"")
    """The end of what was received, which may be a part of a frame."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        event = msgspec.json.decode(text)
        if event["type"] == "input_audio_buffer.append":
            self._audio += b64decode(event["audio"])
            lines = [f"{call} {frame} {now}\n" for call, frame in find_frames(self._audio)]
            if lines:
                os.write(self._file, "".join(lines).encode())
            last = self._audio.rfind(_MARKER)
            is_cut = last >= 0 and len(self._audio) - last < len(_MARKER) + _BITS
            self._audio = self._audio[last:] if is_cut else self._audio[1 - len(_MARKER) :]
        actions: list[Action] = self._peer.receive_text(peer, text, now)
        return actions


async def serve_model(port: int, path: str) -> None:
    """Serve the model until the process is killed."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    api = RUNTIMES["asyncio"]
    reply = Reply((SpokenReply(sample_speech.load("agent_answer").audio, "An answer."),))
    link = LinkConfig(max_message_bytes=1 << 24)

    def respond(request: HttpRequest) -> Upgrade:
        del request
        seed = int.from_bytes(os.urandom(4))
        machine: Any = NotingModel(RealtimePeer([reply], seed=seed), file)
        return Upgrade(machine, CLIENT, {CLIENT: link})

    def accept() -> tuple[Any, Hashable]:
        return api.Driver(HttpConnection(CLIENT, respond, os.urandom), ignore), CLIENT

    def note_start(address: object) -> None:
        del address
        os.write(file, f"{START} 0 {monotonic_ns()}\n".encode())

    await api.listen("127.0.0.1", port, accept, on_error=print, on_listening=note_start)


if __name__ == "__main__":
    anyio.run(partial(serve_model, int(sys.argv[1]), sys.argv[2]), backend="asyncio")

"""Fuzzes the opening of an accepted byte stream: no bytes may make it raise, hang, ask the
application twice, or end other than by one `Shutdown`, and how they are cut may make no difference.

The first byte of an input says into pieces of how many bytes the rest is cut; with its highest bit
the stream then falls silent instead of ending.
"""

import sys
from collections.abc import Hashable
from importlib import import_module

from attrs import define, frozen

from twilio_realtime_core.machine.actions import (
    Action,
    ByteAction,
    Notify,
    Refusal,
    Send,
    SendBytes,
    Shutdown,
)
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.websocket import LinkConfig

LINKS: dict[Hashable, LinkConfig] = {"caller": LinkConfig(max_message_bytes=64 * 1024)}
SILENT = 0x80
GO_ON = b"HTTP/1.1 100 \r\n\r\n"


@frozen
class Words:
    text: str

    def encode(self) -> str:
        return self.text


class Echo:
    """A machine that says back what it hears."""

    deadline: int | None = None

    def start(self, now: int) -> list[Action]:
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return [Notify("opened")]

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        return [Send(peer, Words(text))]

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return [Notify(payload)]

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return [Notify(("closed", code, reason))]

    def handle_timeout(self, now: int) -> list[Action]:
        return []


@define
class Application:
    """Upgrades what it can, and answers all else with what it was asked."""

    asked: bool = False

    def __call__(self, request: HttpRequest) -> HttpResponse | Upgrade:
        assert not self.asked
        self.asked = True
        if request.is_upgrade:
            return Upgrade(Echo(), "caller", LINKS)
        return HttpResponse(200, request.target.encode() + request.body)


def check(data: bytes) -> None:
    """Raises if the opening breaks a promise."""
    size, stream = data[:1], data[1:]
    if not size:
        return
    silent = bool(size[0] & SILENT)
    step = (size[0] & ~SILENT) + 1
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    assert play(pieces, silent=silent) == play([stream], silent=silent)


def play(pieces: list[bytes], *, silent: bool) -> tuple[bytes, list[ByteAction]]:
    """What is written in the whole life of a byte stream, and what else is done."""
    machine = HttpConnection("caller", Application(), bytes)
    actions = machine.start(0) + machine.connected("caller", 0)
    for piece in pieces:
        actions += machine.receive_bytes("caller", piece, 1)
    while silent and (deadline := machine.deadline) is not None:
        actions += machine.handle_timeout(deadline)
        assert machine.deadline is None or machine.deadline > deadline
    actions += machine.receive_eof("caller", 1000 * 10**9)
    assert actions.count(Shutdown("caller")) == 1
    assert machine.deadline is None
    written = b"".join(action.data for action in actions if isinstance(action, SendBytes))
    # Whether leave to send the body comes before the body is a matter of time.
    written = written.replace(GO_ON, b"")
    return written, [action for action in actions if not isinstance(action, SendBytes)]


def main() -> None:
    """Hand `check` to the fuzzer, which reads its options from the command line."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

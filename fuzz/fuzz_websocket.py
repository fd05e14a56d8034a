"""Fuzzes one WebSocket link: no bytes may make it raise, hang, or end more than once, and how they
are cut may make no difference.

The first byte of an input says what is fuzzed: bit 0, a server's link or a client's; bit 1, whether
a client's handshake is done already; bit 2, whether the stream ends at last, or falls silent. The
second byte says into pieces of how many bytes the rest is cut.
"""

import sys
from importlib import import_module

from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.transport.handshake import HttpRequest, encode_upgrade_response
from twilio_realtime_core.transport.websocket import (
    Link,
    LinkClosed,
    LinkConfig,
    LinkEvent,
    LinkOpened,
    LinkRefused,
)

CONFIG = LinkConfig(max_message_bytes=64 * 1024)
REQUEST = HttpRequest(
    "GET",
    "/media",
    (
        ("host", "h"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),  # what `bytes` makes of 16
        ("sec-websocket-version", "13"),
    ),
)


CLIENT = 1
OPEN = 2
SILENT = 4


def check(data: bytes) -> None:
    """Raises if the link breaks a promise."""
    if len(data) < 2:
        return
    mode, size, stream = data[0], data[1] + 1, data[2:]
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert play(mode, pieces) == play(mode, [stream])


def play(mode: int, pieces: list[bytes]) -> list[LinkEvent]:
    """The whole life of a link, and what came of it."""
    link, events = begin(mode)
    for piece in pieces:
        for event in link.receive_bytes(piece, 1):
            assert not events or not isinstance(events[-1], LinkClosed | LinkRefused)
            events.append(event)
            if event == "close":
                events += link.close(1000, "as asked", 1)
            elif isinstance(event, str):
                events.append(link.send_text(event))
    end(link, events, silent=bool(mode & SILENT))
    assert sum(isinstance(event, LinkClosed | LinkRefused) for event in events) == 1
    assert isinstance(events[-1], LinkClosed | LinkRefused)
    return events


def begin(mode: int) -> tuple[Link, list[LinkEvent]]:
    if not mode & CLIENT:
        link = Link.server(REQUEST, CONFIG)
        return link, [*link.connected(0)]
    link = Link.client("ws://h/media", CONFIG, 0, bytes)
    events: list[LinkEvent] = [*link.connected(0)]
    if mode & OPEN:
        events += link.receive_bytes(encode_upgrade_response(REQUEST), 0)
        assert events[-1] == LinkOpened()
    return link, events


def end(link: Link, events: list[LinkEvent], *, silent: bool) -> None:
    while not link.is_closed:
        deadline = link.deadline
        assert deadline is not None
        events += link.handle_timeout(deadline) if silent else link.receive_eof()
        assert link.deadline is None or link.deadline > deadline
    assert link.deadline is None
    assert link.receive_eof() == []
    assert link.handle_timeout(1000 * SECOND) == []


def main() -> None:
    """Hand `check` to the fuzzer, which reads its options from the command line."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

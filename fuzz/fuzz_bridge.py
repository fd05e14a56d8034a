"""A whole call at message level: what both peers send, when, and what the application commands.

An input is lines of text, one step each; what is no step is skipped:

    o t | o r               Twilio's or Realtime's socket opens
    t TEXT | r TEXT         a message from Twilio, an event from Realtime
    m N                     the N-th mark that was sent comes back
    d R I N                 a delta of N samples of item R.I of response R
    w N                     N ms go by, and what is due is done
    c t N | c r N           a socket closes, with code N
    x | h | u | e TEXT      interrupt, hang up, configure, send an event
"""

import base64
import json
import sys
from importlib import import_module
from typing import Any

import msgspec

from twilio_realtime.sim.reference import CheckedBridge
from twilio_realtime_core import (
    Action,
    Bridge,
    Command,
    Configure,
    HangUp,
    Interrupt,
    LocalProtocolError,
    Peer,
    Send,
    SendEvent,
)
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.protocols.twilio import Mark

PEERS = {"t": Peer.TWILIO, "r": Peer.REALTIME}
LONGEST_WAIT_MS = 60_000
LONGEST_DELTA = 8_000


class Call:
    """A call that is written down."""

    def __init__(self) -> None:
        self.bridge = CheckedBridge(Bridge())
        self.now = 0
        self.marks: list[str] = []
        self.bridge.start(0)

    def step(self, line: str) -> None:
        """One line."""
        kind, _, rest = line.partition(" ")
        match kind:
            case "o" if rest in PEERS:
                self.note(self.bridge.opened(PEERS[rest], self.now))
            case "t" | "r":
                self.note(self.bridge.receive_text(PEERS[kind], rest, self.now))
            case "m" if self.marks:
                name = self.marks[number(rest) % len(self.marks)]
                mark = {"event": "mark", "streamSid": "MZ1", "mark": {"name": name}}
                self.note(self.bridge.receive_text(Peer.TWILIO, json.dumps(mark), self.now))
            case "d":
                self.delta(*[*rest.split(), "", "", ""][:3])
            case "w":
                self.now += min(number(rest), LONGEST_WAIT_MS) * MS
                self.note(self.bridge.handle_timeout(self.now))
            case "c" if rest[:1] in PEERS:
                code = number(rest[2:])
                self.note(self.bridge.closed(PEERS[rest[:1]], code, rest, self.now))
            case _:
                self.command(kind, rest)

    def delta(self, response: str, item: str, samples: str) -> None:
        audio = b"\x7f" * min(number(samples), LONGEST_DELTA)
        event = {
            "type": "response.output_audio.delta",
            "response_id": response,
            "item_id": f"{response}.{item}",  # an item belongs to one response
            "delta": base64.b64encode(audio).decode(),
        }
        self.note(self.bridge.receive_text(Peer.REALTIME, json.dumps(event), self.now))

    def command(self, kind: str, rest: str) -> None:
        command: Command
        match kind:
            case "x":
                command = Interrupt()
            case "h":
                command = HangUp()
            case "u":
                command = Configure(model=rest)
            case "e":
                command = SendEvent(as_object(rest))
            case _:
                return
        self.note(self.bridge.send(command, self.now))

    def note(self, actions: list[Action]) -> None:
        """Do what a driver does: encode what goes out."""
        for action in actions:
            if isinstance(action, Send):
                json.loads(action.message.encode())
                if isinstance(action.message, Mark):
                    self.marks.append(action.message.name)


def as_object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}


def number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def check(data: bytes) -> None:
    """No invariant breaks; nothing raises but for misuse, which a driver would not do."""
    call = Call()
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        try:
            call.step(line)
        except LocalProtocolError:
            continue  # the fuzzer drives as no driver does; then nothing has changed


def main() -> None:
    """Hand `check` to the fuzzer, which reads its options from the command line."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

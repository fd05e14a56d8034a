"""Recorded traffic with structural mistakes: fields missing or of another type, ids used again or
impossible, messages lost, doubled or out of order.

The traffic is that of the recorded sessions in `tests/core/traces`, each in a phone call that the
caller interrupts. An input is a number of mistakes, of five bytes each: which mistake; in which
message (two bytes); in which of its fields; and with which value, or which other message. The first
byte of an input says which session. Every input makes a call.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from attrs import define, field

from twilio_realtime.sim.reference import CheckedBridge
from twilio_realtime_core import (
    Action,
    Bridge,
    Command,
    Interrupt,
    LocalProtocolError,
    Peer,
    ResetHistory,
    Send,
    SendFunctionOutput,
)
from twilio_realtime_core.conversation.item_json import item_from_json, item_to_json
from twilio_realtime_core.machine.actions import Notify
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import FunctionCallRequested
from twilio_realtime_core.protocols.twilio import Mark
from twilio_realtime_core.values.items import UnknownItem, replace_audio_with_text

Message: TypeAlias = tuple[Peer, Any]

TRACES: Final = sorted((Path(__file__).parents[1] / "tests/core/traces").glob("*.jsonl"))
FRAME: Final = base64.b64encode(b"\x7f" * 160).decode()
STEP_NS: Final = 20 * MS
MOST_MISTAKES: Final = 16

VALUES: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**31,
        2**63,
        10**30,
        "",
        "root",
        "x" * 40,
        "a.b",
        "0",
        "null",
    ),
    *([], {}, [None], {"type": "x"}, [{"type": "input_audio", "transcript": 5}], [[[]]]),
    *("completed", "in_progress", "incomplete", "message", "function_call", "mcp_call", "user"),
    *("outbound", "history-1", "configure-session", "mcp_list_tools", "mcp_approval_request"),
)
"""Values that a field gets: wrong types, sentinels, and what stands in other fields."""

START: Final[dict[str, Any]] = {
    "event": "start",
    "streamSid": "MZ1",
    "start": {
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    },
}


def frame(number: int) -> dict[str, Any]:
    body = {"track": "inbound", "timestamp": str(20 * number), "payload": FRAME}
    return {"event": "media", "streamSid": "MZ1", "media": body}


@cache
def traffic(number: int) -> str:
    """The messages of a call, as JSON: what the server sent, and a phone beside it."""
    lines = map(json.loads, TRACES[number % len(TRACES)].read_text("utf-8").splitlines())
    received = [as_on_a_phone(line["event"]) for line in lines if line["direction"] == "received"]
    messages: list[tuple[str, Any]] = [("twilio", {"event": "connected"}), ("twilio", START)]
    for index, event in enumerate(received):
        messages += [("realtime", event), ("twilio", frame(index))]
    speech = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 1}
    messages.insert(len(messages) * 2 // 3, ("realtime", {**speech, "item_id": "item_speech"}))
    return json.dumps(messages)


def as_on_a_phone(value: Any) -> Any:
    """The same with µ-law in the place of linear audio."""
    match value:
        case {"type": "audio/pcm"}:
            return {"type": "audio/pcmu"}
        case dict():
            fields = cast("dict[str, Any]", value)
            return {name: as_on_a_phone(inner) for name, inner in fields.items()}
        case [*items]:
            return [as_on_a_phone(each) for each in items]
        case _:
            return value


# Mistakes.


def fields_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """The fields of a message, at any depth: what each is in, and its name or index."""
    match value:
        case dict():
            inside: list[tuple[Any, Any]] = [*value.items()]
        case [*items]:
            inside = [*enumerate(items)]
        case _:
            return
    for name, inner in inside:
        yield value, name
        yield from fields_of(inner)


def ids_of(message: Any) -> list[tuple[Any, Any]]:
    return [
        (value, name)
        for value, name in fields_of(message)
        if isinstance(name, str) and (name == "id" or name.endswith(("_id", "Sid")))
    ]


def spoil(messages: list[Message], mistake: bytes) -> None:
    """Make one mistake."""
    kind, high, low, place, what = mistake
    index = (high << 8 | low) % len(messages)
    _, body = messages[index]
    found = [*fields_of(body)]
    ids = ids_of(body)
    value = VALUES[what % len(VALUES)]
    match kind % 9:
        case 0 if found:
            container, name = found[place % len(found)]
            container[name] = value
        case 1 if found:
            container, name = found[place % len(found)]
            del container[name]
        case 2 if ids:
            container, name = ids[place % len(ids)]
            container[name] = value
        case 3 if ids:  # an id of another message
            others = ids_of(messages[(index + what) % len(messages)][1])
            if others:
                other, other_name = others[place % len(others)]
                for container, name in ids:
                    container[name] = other[other_name]
        case 4:
            del messages[index]
        case 5:
            messages.insert(index, json_copy(messages[index]))
        case 6:
            messages.insert((index + what) % len(messages), messages.pop(index))
        case 7:
            messages[index] = messages[index][0], value
        case _:
            messages.insert(
                (index + what) % len(messages), json_copy(messages[place % len(messages)])
            )


def json_copy(message: Message) -> Message:
    peer, body = message
    return peer, json.loads(json.dumps(body))


# The call.


@define(eq=False)
class Call:
    """A call whose bridge and judges see spoiled traffic, and an application that does much."""

    is_judged: bool
    bridge: Bridge = field(factory=Bridge)
    checked: Bridge | CheckedBridge = field(init=False)
    now: int = 0
    marks: list[str] = field(factory=list[str])
    call_ids: list[str] = field(factory=list[str])

    def __attrs_post_init__(self) -> None:
        self.checked = CheckedBridge(self.bridge) if self.is_judged else self.bridge
        self.note(self.checked.start(0))
        self.note(self.checked.opened(Peer.TWILIO, 0))

    def receive(self, peer: Peer, body: Any) -> None:
        """Receive a message, in its time."""
        self.now += STEP_NS
        self.note(self.checked.handle_timeout(self.now))
        try:
            self.note(self.checked.receive_text(peer, json.dumps(body), self.now))
        except LocalProtocolError:  # its socket is not open
            return

    def note(self, actions: list[Action]) -> None:
        """Do what a driver and an application do."""
        for action in actions:
            match action:
                case Send(message=message):
                    json.loads(message.encode())
                    if isinstance(message, Mark):
                        self.marks.append(message.name)
                case Notify(event=FunctionCallRequested(call_id=call_id)):
                    self.call_ids.append(call_id)
                case _ if type(action).__name__ == "Open":
                    self.note(self.checked.opened(Peer.REALTIME, self.now))
                case _:
                    pass

    def use(self, turn: int) -> None:
        """Look at everything, and command something, now and then."""
        items = self.bridge.items
        for item in items:
            if not isinstance(item, UnknownItem):
                assert item_from_json(item_to_json(item)) == item
        self.bridge.playback_positions(self.now)
        commands: dict[int, Callable[[], Command]] = {
            5: lambda: ResetHistory(items[::-1]),
            9: lambda: ResetHistory([replace_audio_with_text(item) for item in items[1:]]),
            12: Interrupt,
        }
        if make := commands.get(turn % 15):
            self.command(make())
        if self.marks and turn % 4 == 0:
            mark = {"event": "mark", "streamSid": "MZ1", "mark": {"name": self.marks.pop(0)}}
            self.receive(Peer.TWILIO, mark)
        if self.call_ids and turn % 3 == 0:
            self.command(SendFunctionOutput(self.call_ids.pop(0), "1"))

    def command(self, command: Any) -> None:
        try:
            self.note(self.checked.send(command, self.now))
        except LocalProtocolError:
            return


def check(data: bytes) -> None:
    """No invariant breaks, and nothing raises but for misuse by the application."""
    messages: list[Message] = [
        (Peer(peer), body) for peer, body in json.loads(traffic(data[0] if data else 0))
    ]
    mistakes = [data[at : at + 5] for at in range(1, min(len(data), 5 * MOST_MISTAKES) - 4, 5)]
    for mistake in mistakes:
        if messages:
            spoil(messages, mistake)
    # The judges take for granted that an item belongs to one response.
    call = Call(is_judged=not any(kind % 9 in (2, 3) for kind, *_ in mistakes))
    for turn, (peer, body) in enumerate(messages):
        call.receive(peer, body)
        call.use(turn)


def main() -> None:
    """Hand `check` to the fuzzer, which reads its options from the command line."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""How long an interruption takes: from `speech_started` to `clear` on the wire, at twenty calls.

Each call plays a reply, with its words and echoes; then the caller interrupts. What is timed is one
call of `receive_text`, with all that it asks for encoded, and at byte level one call of
`receive_bytes`. Before each one, a caller frame of every call goes through, so that none is fresh
in the processor's caches. A long call is one that has had five hundred replies: more than an hour
holds. Times are those of the clock on the wall.

    python tests/bench/interruption.py [--calls N] [--times N] [--json]
"""

import argparse
import json
import re
import statistics
import time
from typing import Final, Protocol

from attrs import define, field
from calls import DELTA_NS, audio_delta, caller_frame, mark_echo, ready_bridge, ready_stack

from twilio_realtime_core import Bridge, Peer, Send, SendBytes
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.transport.frames import TEXT, encode_frame
from twilio_realtime_core.transport.stack import Stack

REPLY_DELTAS: Final = 8
HEARD_DELTAS: Final = 3
ECHO_NS: Final = 60 * MS
TURN_NS: Final = 10 * REPLY_DELTAS * DELTA_NS
LONG_REPLIES: Final = 500
AIM_US: Final = 1000
MARK: Final = re.compile(rb'"mark":\{"name":"(\d+)"')
CLEAR: Final = b'"event":"clear"'


class Level(Protocol):
    """A call, driven with messages or with bytes."""

    def ready(self, peer: Peer, text: str) -> object:
        """A message in the form in which it arrives."""
        ...

    def receive(self, peer: Peer, arrived: object, now: int) -> bytes:
        """What is to be sent in answer, one after the other."""
        ...


@define
class Messages:
    bridge: Bridge = field(factory=ready_bridge)

    def ready(self, peer: Peer, text: str) -> object:
        del peer
        return text

    def receive(self, peer: Peer, arrived: object, now: int) -> bytes:
        assert isinstance(arrived, str)
        actions = self.bridge.receive_text(peer, arrived, now)
        return "".join(each.message.encode() for each in actions if isinstance(each, Send)).encode()


@define
class Bytes:
    stack: Stack = field(factory=ready_stack)

    def ready(self, peer: Peer, text: str) -> object:
        return encode_frame(TEXT, text.encode(), b"mask" if peer is Peer.TWILIO else None)

    def receive(self, peer: Peer, arrived: object, now: int) -> bytes:
        assert isinstance(arrived, bytes)
        actions = self.stack.receive_bytes(peer, arrived, now)
        return b"".join(each.data for each in actions if isinstance(each, SendBytes))


LEVELS: Final = {"Bridge": Messages, "stack": Bytes}


def event(kind: str, **fields: object) -> str:
    """An event of the model's server."""
    return json.dumps({"type": kind, "event_id": "event_0", **fields}, separators=(",", ":"))


@define
class Call:
    """A call in which the caller interrupts one reply after the other."""

    level: Level
    frame: object = field(init=False)
    replies: int = field(init=False, default=0)
    now: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.frame = self.level.ready(Peer.TWILIO, caller_frame())

    def model(self, kind: str, **fields: object) -> bytes:
        arrived = self.level.ready(Peer.REALTIME, event(kind, **fields))
        return self.level.receive(Peer.REALTIME, arrived, self.now)

    def caller_frame(self) -> None:
        self.level.receive(Peer.TWILIO, self.frame, self.now)

    def begin_reply(self) -> dict[str, str]:
        """A reply begins; its ids."""
        self.replies += 1
        ids = {"response_id": f"resp_{self.replies:021}", "item_id": f"item_{self.replies:021}"}
        item = {"id": ids["item_id"], "type": "message", "role": "assistant"}
        self.now += TURN_NS
        self.model("response.created", response={"id": ids["response_id"]})
        self.model("response.output_item.added", response_id=ids["response_id"], item=item)
        self.model("conversation.item.added", item=item, previous_item_id=None)
        return ids

    def reply(self) -> dict[str, str]:
        """A reply begins, and its first deltas are heard; its ids."""
        ids = self.begin_reply()
        marks: list[str] = []
        for at in range(REPLY_DELTAS):
            words = {**ids, "content_index": 0, "delta": "a few words more "}
            self.model("response.output_audio_transcript.delta", **words)
            arrived = self.level.ready(Peer.REALTIME, audio_delta(at, self.replies))
            sent = self.level.receive(Peer.REALTIME, arrived, self.now)
            marks += (name.decode() for name in MARK.findall(sent))
        for name in marks[:HEARD_DELTAS]:
            self.now += DELTA_NS
            echo = self.level.ready(Peer.TWILIO, mark_echo(name))
            self.level.receive(Peer.TWILIO, echo, self.now + ECHO_NS)
        self.now += DELTA_NS // 2
        return ids

    def interrupt(self) -> int:
        """The caller speaks; how long it took (ns) to have `clear` ready to be written."""
        started = event("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        arrived = self.level.ready(Peer.REALTIME, started)
        began = time.process_time_ns()
        sent = self.level.receive(Peer.REALTIME, arrived, self.now)
        took = time.process_time_ns() - began
        assert CLEAR in sent
        return took

    def end_turn(self, response_id: str, item_id: str) -> None:
        """The caller has spoken, and the reply has ended as it was asked to."""
        self.model("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=1900)
        self.model("input_audio_buffer.committed", item_id="item_u")
        self.end_reply(response_id, item_id)

    def end_reply(self, response_id: str, item_id: str) -> None:
        done = {"id": item_id, "type": "message", "role": "assistant", "status": "incomplete"}
        self.model("response.output_item.done", response_id=response_id, item=done)
        self.model("response.done", response={"id": response_id, "status": "cancelled"})


def measure(level: str, calls: int, times: int, earlier: int) -> list[float]:
    """How long each interruption took (µs), in calls that have had so many replies before."""
    running = [Call(LEVELS[level]()) for _ in range(calls)]
    for call in running:
        for _ in range(earlier):
            call.end_reply(**call.begin_reply())
    taken: list[float] = []
    for _ in range(times):
        replies = [call.reply() for call in running]
        for call, ids in zip(running, replies, strict=True):
            for each in running:
                each.caller_frame()
            taken.append(call.interrupt() / 1000)
            call.end_turn(**ids)
    return taken


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20, help="calls at once (20)")
    parser.add_argument("--times", type=int, default=25, help="interruptions of each call (25)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for level in LEVELS:
        for name, earlier in (("", 0), (", long call", LONG_REPLIES)):
            taken = measure(level, options.calls, options.times, earlier)
            cuts = statistics.quantiles(taken, n=100)
            figures[level + name] = {"p50": cuts[49], "p99": cuts[98], "max": max(taken)}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"µs from speech_started to clear, {options.calls} calls; the aim is below {AIM_US}")
    for name, figure in figures.items():
        p50, p99, most = figure["p50"], figure["p99"], figure["max"]
        print(f"{name:20}p50 {p50:6.0f}   p99 {p99:6.0f}   max {most:6.0f}")


if __name__ == "__main__":
    main()

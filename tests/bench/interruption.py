"""The time of an interruption: from `speech_started` to `clear` on the wire, at twenty calls.

Each call plays a reply, with transcript and echoes; then the caller interrupts. The benchmark times
one call of `receive_text` and the encoding of its messages, and at byte level one call of
`receive_bytes`. Before each one, a caller frame of every call is processed, so that no call is in
the processor's caches. A long call has had five hundred replies, more than fit into an hour. Times
are wall-clock times.

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
LONG_CALL_REPLIES: Final = 500
AIM_US: Final = 1000
MARK: Final = re.compile(rb'"mark":\{"name":"(\d+)"')
CLEAR: Final = b'"event":"clear"'


class Level(Protocol):
    """A call at message level or at byte level."""

    def encode(self, peer: Peer, text: str) -> object:
        """Return a message in the form in which it arrives."""
        ...

    def receive(self, peer: Peer, data: object, now: int) -> bytes:
        """Receive `data`; return everything to send, concatenated."""
        ...


@define
class MessageLevel:
    bridge: Bridge = field(factory=ready_bridge)

    def encode(self, peer: Peer, text: str) -> object:
        del peer
        return text

    def receive(self, peer: Peer, data: object, now: int) -> bytes:
        assert isinstance(data, str)
        actions = self.bridge.receive_text(peer, data, now)
        return "".join(each.message.encode() for each in actions if isinstance(each, Send)).encode()


@define
class ByteLevel:
    stack: Stack = field(factory=ready_stack)

    def encode(self, peer: Peer, text: str) -> object:
        return encode_frame(TEXT, text.encode(), b"mask" if peer is Peer.TWILIO else None)

    def receive(self, peer: Peer, data: object, now: int) -> bytes:
        assert isinstance(data, bytes)
        actions = self.stack.receive_bytes(peer, data, now)
        return b"".join(each.data for each in actions if isinstance(each, SendBytes))


LEVELS: Final = {"Bridge": MessageLevel, "stack": ByteLevel}


def event(kind: str, **fields: object) -> str:
    """Return an event of the model's server."""
    return json.dumps({"type": kind, "event_id": "event_0", **fields}, separators=(",", ":"))


@define
class Call:
    """A call in which the caller interrupts one reply after another."""

    level: Level
    frame: object = field(init=False)
    replies: int = field(init=False, default=0)
    now: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.frame = self.level.encode(Peer.TWILIO, caller_frame())

    def receive_event(self, kind: str, **fields: object) -> bytes:
        data = self.level.encode(Peer.REALTIME, event(kind, **fields))
        return self.level.receive(Peer.REALTIME, data, self.now)

    def receive_frame(self) -> None:
        self.level.receive(Peer.TWILIO, self.frame, self.now)

    def start_reply(self) -> dict[str, str]:
        """Start a reply; return its ids."""
        self.replies += 1
        ids = {"response_id": f"resp_{self.replies:021}", "item_id": f"item_{self.replies:021}"}
        item = {"id": ids["item_id"], "type": "message", "role": "assistant"}
        self.now += TURN_NS
        self.receive_event("response.created", response={"id": ids["response_id"]})
        self.receive_event("response.output_item.added", response_id=ids["response_id"], item=item)
        self.receive_event("conversation.item.added", item=item, previous_item_id=None)
        return ids

    def play_reply(self) -> dict[str, str]:
        """Start a reply, and play its first deltas; return its ids."""
        ids = self.start_reply()
        marks: list[str] = []
        for at in range(REPLY_DELTAS):
            words = {**ids, "content_index": 0, "delta": "a few words more "}
            self.receive_event("response.output_audio_transcript.delta", **words)
            data = self.level.encode(Peer.REALTIME, audio_delta(at, self.replies))
            sent = self.level.receive(Peer.REALTIME, data, self.now)
            marks += (name.decode() for name in MARK.findall(sent))
        for name in marks[:HEARD_DELTAS]:
            self.now += DELTA_NS
            echo = self.level.encode(Peer.TWILIO, mark_echo(name))
            self.level.receive(Peer.TWILIO, echo, self.now + ECHO_NS)
        self.now += DELTA_NS // 2
        return ids

    def measure_interruption(self) -> int:
        """Receive `speech_started`; return how long it took (ns) until `clear` was encoded."""
        started = event("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)
        data = self.level.encode(Peer.REALTIME, started)
        start_ns = time.process_time_ns()
        sent = self.level.receive(Peer.REALTIME, data, self.now)
        duration_ns = time.process_time_ns() - start_ns
        assert CLEAR in sent
        return duration_ns

    def end_turn(self, response_id: str, item_id: str) -> None:
        """End the caller's speech, and the cancelled reply."""
        self.receive_event("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=1900)
        self.receive_event("input_audio_buffer.committed", item_id="item_u")
        self.end_reply(response_id, item_id)

    def end_reply(self, response_id: str, item_id: str) -> None:
        done = {"id": item_id, "type": "message", "role": "assistant", "status": "incomplete"}
        self.receive_event("response.output_item.done", response_id=response_id, item=done)
        self.receive_event("response.done", response={"id": response_id, "status": "cancelled"})


def measure(level: str, calls: int, times: int, earlier_replies: int) -> list[float]:
    """Return the time of each interruption (µs), in calls that have had `earlier_replies`
    replies."""
    running = [Call(LEVELS[level]()) for _ in range(calls)]
    for call in running:
        for _ in range(earlier_replies):
            call.end_reply(**call.start_reply())
    times_us: list[float] = []
    for _ in range(times):
        replies = [call.play_reply() for call in running]
        for call, ids in zip(running, replies, strict=True):
            for each in running:
                each.receive_frame()
            times_us.append(call.measure_interruption() / 1000)
            call.end_turn(**ids)
    return times_us


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20, help="calls at once (20)")
    parser.add_argument("--times", type=int, default=25, help="interruptions of each call (25)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for level in LEVELS:
        for name, earlier in (("", 0), (", long call", LONG_CALL_REPLIES)):
            times_us = measure(level, options.calls, options.times, earlier)
            cuts = statistics.quantiles(times_us, n=100)
            figures[level + name] = {"p50": cuts[49], "p99": cuts[98], "max": max(times_us)}
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"µs from speech_started to clear, {options.calls} calls; the aim is below {AIM_US}")
    for name, figure in figures.items():
        p50, p99, most = figure["p50"], figure["p99"], figure["max"]
        print(f"{name:20}p50 {p50:6.0f}   p99 {p99:6.0f}   max {most:6.0f}")


if __name__ == "__main__":
    main()

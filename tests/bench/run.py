"""CPU time of the core's hot paths: `make bench`.

Each case is one message in, and all that results from it (two messages in the last case). Cases
take turns, round by round, so that changes of the machine's speed affect all alike. The output has
the medians of the rounds, and each median as a share of a baseline that does the same with wsproto
on every frame, the standard library's JSON, and audio decoded and encoded again.

    python tests/bench/run.py [--rounds N] [--json]
"""

import argparse
import base64
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import count

from attrs import frozen
from calls import (
    DELTA_NS,
    STREAM,
    audio_delta,
    audio_done,
    caller_frame,
    mark_echo,
    ready_bridge,
    ready_stack,
    response_done,
)
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from twilio_realtime_core import Action, Peer, Send
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.protocols.twilio import Mark
from twilio_realtime_core.transport.frames import TEXT, encode_frame

OPERATIONS = 2000
REPLY_DELTAS = 20
"""Deltas of a reply: ten seconds of audio."""
ECHO_NS = 60 * MS
"""From the end of audio to the echo of the mark behind it (ns)."""

Operation = Callable[[], object]


@frozen
class Case:
    """A case: `prepare` makes the operation to measure; `baseline` names the case that does the
    same without this library."""

    name: str
    prepare: Callable[[], Operation]
    baseline: str | None = None
    aim_us: float | None = None


def audio_deltas() -> list[str]:
    """Return a delta for each operation, of one reply after another."""
    return [audio_delta(number, number // REPLY_DELTAS) for number in range(OPERATIONS)]


def bridge_frame() -> Operation:
    """A caller frame through `Bridge`: text in, text out."""
    bridge, text = ready_bridge(), caller_frame()

    def operation() -> None:
        encode_all(bridge.receive_text(Peer.TWILIO, text, 0))

    return operation


def bridge_delta() -> Operation:
    """An audio delta through `Bridge`, every half second, with its marks; and every ten seconds the
    end of a reply."""
    bridge, numbers, deltas = ready_bridge(), count(), audio_deltas()

    def operation() -> None:
        number = next(numbers)
        now = (number + 1) * DELTA_NS
        if number and not number % REPLY_DELTAS:
            bridge.receive_text(Peer.REALTIME, response_done(number // REPLY_DELTAS - 1), now)
        encode_all(bridge.receive_text(Peer.REALTIME, deltas[number], now))

    return operation


def bridge_playback() -> Operation:
    """A delta through `Bridge`, the echo of the mark before it, and the end of its part: the whole
    cost of audio until it is heard."""
    bridge, numbers, sent = ready_bridge(), count(), list[str]()

    def operation() -> None:
        number = next(numbers)
        reply, place = divmod(number, REPLY_DELTAS)
        now = (number + 1) * DELTA_NS
        actions = bridge.receive_text(Peer.REALTIME, deltas[number], now)
        if place == REPLY_DELTAS - 1:
            actions += bridge.receive_text(Peer.REALTIME, audio_done(reply), now)
            actions += bridge.receive_text(Peer.REALTIME, response_done(reply), now)
        encode_all(actions)
        while sent:
            encode_all(bridge.receive_text(Peer.TWILIO, mark_echo(sent.pop(0)), now + ECHO_NS))
        sent.extend(mark_names(actions))

    deltas = audio_deltas()
    return operation


def mark_names(actions: list[Action]) -> list[str]:
    return [
        action.message.name
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, Mark)
    ]


def encode_all(actions: list[Action]) -> None:
    """Encode messages, as a driver at message level does."""
    for action in actions:
        if isinstance(action, Send):
            action.message.encode()


def stack_frame() -> Operation:
    """A caller frame through the stack: a masked frame in, a masked frame out."""
    stack = ready_stack()
    data = encode_frame(TEXT, caller_frame().encode(), os.urandom(4))
    return lambda: stack.receive_bytes(Peer.TWILIO, data, 0)


def stack_delta() -> Operation:
    """An audio delta through the stack: a frame in, frames out."""
    stack, numbers = ready_stack(), count()
    frames = [encode_frame(TEXT, text.encode(), None) for text in audio_deltas()]

    def operation() -> None:
        number = next(numbers)
        now = (number + 1) * DELTA_NS
        if number and not number % REPLY_DELTAS:
            done = response_done(number // REPLY_DELTAS - 1).encode()
            stack.receive_bytes(Peer.REALTIME, encode_frame(TEXT, done, None), now)
        stack.receive_bytes(Peer.REALTIME, frames[number], now)

    return operation


def baseline_frame() -> Operation:
    """A caller frame without this library."""
    twilio, model = Connection(ConnectionType.SERVER), Connection(ConnectionType.CLIENT)
    data = encode_frame(TEXT, caller_frame().encode(), os.urandom(4))

    def operation() -> None:
        twilio.receive_data(data)
        for event in twilio.events():
            if isinstance(event, TextMessage):
                payload = json.loads(event.data)["media"]["payload"]
                audio = base64.b64encode(base64.b64decode(payload)).decode()
                append = {"type": "input_audio_buffer.append", "audio": audio}
                model.send(TextMessage(json.dumps(append)))

    return operation


def baseline_delta() -> Operation:
    """An audio delta and a mark without this library."""
    twilio, model = Connection(ConnectionType.SERVER), Connection(ConnectionType.CLIENT)
    frames = iter([encode_frame(TEXT, text.encode(), None) for text in audio_deltas()])

    def operation() -> None:
        model.receive_data(next(frames))
        for event in model.events():
            if isinstance(event, TextMessage):
                delta = json.loads(event.data)["delta"]
                payload = base64.b64encode(base64.b64decode(delta)).decode()
                media = {"event": "media", "streamSid": STREAM, "media": {"payload": payload}}
                twilio.send(TextMessage(json.dumps(media)))
                mark = {"event": "mark", "streamSid": STREAM, "mark": {"name": "responsePart"}}
                twilio.send(TextMessage(json.dumps(mark)))

    return operation


CASES = (
    Case("caller frame, baseline", baseline_frame),
    Case("caller frame, Bridge (text to text)", bridge_frame, "caller frame, baseline"),
    Case("caller frame, stack (bytes to bytes)", stack_frame, "caller frame, baseline", aim_us=10),
    Case("audio delta, baseline", baseline_delta),
    Case("audio delta, Bridge (text to text)", bridge_delta, "audio delta, baseline"),
    Case("audio delta, stack (bytes to bytes)", stack_delta, "audio delta, baseline", aim_us=40),
    Case("audio delta and echo, Bridge", bridge_playback),
)


def measure(rounds: int, report: Callable[[int], None]) -> dict[str, list[float]]:
    """Return the CPU time of each case in µs per operation, for each round."""
    figures: dict[str, list[float]] = {case.name: [] for case in CASES}
    for number in range(rounds):
        for case in CASES:
            operation = case.prepare()
            gc.collect()
            before_ns = time.process_time_ns()
            for _ in range(OPERATIONS):
                operation()
            spent_ns = time.process_time_ns() - before_ns
            figures[case.name].append(spent_ns / OPERATIONS / 1000)
        report(number + 1)
    return figures


def summary(figures: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return the median of each case, in µs, and its ratio to its baseline, of the medians of
    ratios within a round."""
    results: dict[str, dict[str, float]] = {}
    for case in CASES:
        values = figures[case.name]
        results[case.name] = {"median": round(statistics.median(values), 1)}
        if case.baseline is not None:
            pairs = zip(values, figures[case.baseline], strict=True)
            ratio = statistics.median(value / base for value, base in pairs)
            results[case.name]["ratio"] = round(ratio, 3)
    return results


def table(figures: dict[str, list[float]]) -> str:
    """Return the figures as a table."""
    medians = {name: statistics.median(values) for name, values in figures.items()}
    lines = [f"{'CPU, µs':38}{'median':>8}{'min':>8}{'max':>8}{'of base':>10}{'aim':>6}"]
    for case in CASES:
        values, median = figures[case.name], medians[case.name]
        share = f"{median / medians[case.baseline]:.2f}" if case.baseline else ""
        aim = f"{case.aim_us:g}" if case.aim_us else ""
        extremes = f"{min(values):8.1f}{max(values):8.1f}"
        lines.append(f"{case.name:38}{median:8.1f}{extremes}{share:>10}{aim:>6}")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take medians of (7)")
    parser.add_argument("--json", action="store_true", help="print medians and ratios")
    options = parser.parse_args()

    def report(done: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == options.rounds else ""
            print(f"\rround {done} of {options.rounds}", end=end, file=sys.stderr, flush=True)

    figures = measure(options.rounds, report)
    print(json.dumps(summary(figures), indent=2) if options.json else table(figures))


if __name__ == "__main__":
    main()

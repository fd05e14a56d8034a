"""The speed of a simulated call, compared with real time, on one core: `make bench`.

A call of one minute with two interruptions, at message level and at byte level, with frames of 20
and of 100 ms; and an hour in which nobody says anything, at message level. Every step is checked,
and no trace kept. Rounds take turns; the output has the medians of CPU time.

    python tests/bench/simulation.py [--rounds N] [--json]
"""

import argparse
import gc
import json
import statistics
import time
from typing import Any, Final

from attrs import frozen

from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    AfterDelay,
    AtTime,
    CallerHangsUp,
    CallerSays,
    Cue,
    WhenAgentHeard,
)
from twilio_realtime.sim.phone.twilio_peer import TwilioPeer
from twilio_realtime.sim.reference import CheckedBridge
from twilio_realtime.sim.scenarios.parts import TURN_DETECTION
from twilio_realtime.sim.scenarios.voices import agent_voice, caller_voice
from twilio_realtime.sim.world.calls import byte_call, message_call
from twilio_realtime_core import Bridge, CallConfig, SessionConfig
from twilio_realtime_core.machine.units import MS, SECOND

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE

TALK: Final[tuple[Cue, ...]] = (
    AfterDelay(SECOND, CallerSays(caller_voice(2000))),
    WhenAgentHeard(5000, CallerSays(caller_voice(1000))),
    WhenAgentHeard(8000, CallerSays(caller_voice(1000))),
    AtTime(59 * SECOND, CallerHangsUp()),
)
REPLIES: Final = tuple(
    Reply((SpokenReply(agent_voice(20_000, n), "words " * 50),)) for n in range(3)
)
SILENCE: Final[tuple[Cue, ...]] = (
    AfterDelay(SECOND, CallerSays(caller_voice(2000))),
    AtTime(HOUR - 10 * SECOND, CallerHangsUp()),
)


@frozen
class Kind:
    """A kind of call; `aim_s` is the CPU time that it may take."""

    name: str
    level: str
    frame_ms: int
    script: tuple[Cue, ...]
    duration_ns: int
    clears: int
    aim_s: float


KINDS: Final = (
    Kind("minute, messages, 20 ms", "messages", 20, TALK, MINUTE, 2, 60 / 400),
    Kind("minute, messages, 100 ms", "messages", 100, TALK, MINUTE, 2, 60 / 1000),
    Kind("minute, bytes, 20 ms", "bytes", 20, TALK, MINUTE, 2, 60 / 250),
    Kind("minute, bytes, 100 ms", "bytes", 100, TALK, MINUTE, 2, 60 / 500),
    Kind("hour of silence, 20 ms", "messages", 20, SILENCE, HOUR, 0, 2.0),
    Kind("hour of silence, 100 ms", "messages", 100, SILENCE, HOUR, 0, 2.0),
)


def make_call(kind: Kind, *, checked: bool) -> int:
    """Return the CPU time of a call (ns)."""
    session = SessionConfig(turn_detection=dict(TURN_DETECTION))
    bridge = Bridge(CallConfig(url="ws://model/v1/realtime", session=session))
    phone = TwilioPeer(
        url="ws://bridge/media-stream",
        script=kind.script,
        record_audio=False,
        frame_ms=kind.frame_ms,
    )
    build = message_call if kind.level == "messages" else byte_call
    world = build(CheckedBridge(bridge) if checked else bridge, phone, RealtimePeer(REPLIES))
    gc.collect()
    start_ns = time.process_time_ns()
    world.run(kind.duration_ns)
    duration_ns = time.process_time_ns() - start_ns
    assert len(phone.clears) == kind.clears, phone.clears
    assert phone.is_over
    return duration_ns


def measure(rounds: int) -> dict[str, Any]:
    times_ns: dict[tuple[Kind, bool], list[int]] = {
        (kind, checked): [] for kind in KINDS for checked in (True, False)
    }
    for _ in range(rounds):
        for (kind, checked), times in times_ns.items():
            times.append(make_call(kind, checked=checked))
    median = {key: statistics.median(times) for key, times in times_ns.items()}
    return {
        kind.name: {
            "cpu_ms": round(median[kind, True] / MS, 1),
            "unchecked_ms": round(median[kind, False] / MS, 1),
            "times_real": round(kind.duration_ns / median[kind, True]),
            "aim_ms": round(kind.aim_s * 1000),
            "aim_times_real": round(kind.duration_ns / SECOND / kind.aim_s),
        }
        for kind in KINDS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(results))
        return
    print(f"{'checked, on one core':26} {'CPU, ms':>9} {'unchecked':>9} {'× real':>7} {'aim':>6}")
    for name, result in results.items():
        print(
            f"{name:26} {result['cpu_ms']:9.1f} {result['unchecked_ms']:9.1f} "
            f"{result['times_real']:7} {result['aim_times_real']:6}"
        )


if __name__ == "__main__":
    main()

"""How much faster than life a simulated call is, on one core: `make bench`.

A call of one minute with two barge-ins, whole messages and bytes, every step checked and no trace
kept. Rounds take turns; the medians of CPU time are shown.

    python tests/bench/simulation.py [--rounds N] [--json]
"""

import argparse
import gc
import json
import statistics
import time
from typing import Any, Final

from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, Speech
from twilio_realtime.sim.phone.caller import After, At, Cue, HangUp, Say, WhenHeard
from twilio_realtime.sim.phone.twilio_peer import TwilioPeer
from twilio_realtime.sim.reference import CheckedBridge
from twilio_realtime.sim.scenarios import TURN_DETECTION, agent_voice, caller_voice
from twilio_realtime.sim.world.calls import byte_call, message_call
from twilio_realtime_core import Bridge, CallConfig, SessionConfig
from twilio_realtime_core.machine.units import MS, SECOND

MINUTE: Final = 60 * SECOND
AIMS: Final = {"messages": 1000, "bytes": 200}
SCRIPT: Final[tuple[Cue, ...]] = (
    After(SECOND, Say(caller_voice(2000))),
    WhenHeard(5000, Say(caller_voice(1000))),
    WhenHeard(8000, Say(caller_voice(1000))),
    At(59 * SECOND, HangUp()),
)
REPLIES: Final = tuple(Reply((Speech(agent_voice(20_000, n), "words " * 50),)) for n in range(3))


def make_call(level: str, *, checked: bool) -> tuple[int, int]:
    """The CPU time of a call in ns, and how often the caller interrupted."""
    session = SessionConfig(turn_detection=dict(TURN_DETECTION))
    bridge = Bridge(CallConfig(url="ws://model/v1/realtime", session=session))
    phone = TwilioPeer(url="ws://bridge/media-stream", script=SCRIPT, record=False)
    build = message_call if level == "messages" else byte_call
    world = build(CheckedBridge(bridge) if checked else bridge, phone, RealtimePeer(REPLIES))
    gc.collect()
    began = time.process_time_ns()
    world.run(MINUTE)
    return time.process_time_ns() - began, len(phone.clears)


def measure(rounds: int) -> dict[str, Any]:
    kinds = [(level, checked) for level in AIMS for checked in (True, False)]
    taken: dict[tuple[str, bool], list[int]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for (level, checked), times in taken.items():
            ns, clears = make_call(level, checked=checked)
            assert clears == 2, clears
            times.append(ns)
    median = {kind: statistics.median(times) for kind, times in taken.items()}
    return {
        level: {
            "cpu_ms": round(median[level, True] / MS, 1),
            "unchecked_ms": round(median[level, False] / MS, 1),
            "times_real": round(MINUTE / median[level, True]),
            "aim": aim,
        }
        for level, aim in AIMS.items()
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
    print("a call of one minute with two barge-ins, checked, one core")
    for level, result in results.items():
        print(
            f"{level:10} {result['cpu_ms']:8.1f} ms of CPU "
            f"({result['unchecked_ms']:.1f} without the checks) "
            f"{result['times_real']:6} times real time (aim {result['aim']})"
        )


if __name__ == "__main__":
    main()

"""The speed of a simulated call, compared with real time, on one core: `make bench`.

A call of one minute with two interruptions, at message level and at byte level, every step checked
and no trace kept. Rounds take turns; the output has the medians of CPU time.

    python tests/bench/simulation.py [--rounds N] [--json]
"""

import argparse
import gc
import json
import statistics
import time
from typing import Any, Final

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
AIMS: Final = {"messages": 1000, "bytes": 200}
SCRIPT: Final[tuple[Cue, ...]] = (
    AfterDelay(SECOND, CallerSays(caller_voice(2000))),
    WhenAgentHeard(5000, CallerSays(caller_voice(1000))),
    WhenAgentHeard(8000, CallerSays(caller_voice(1000))),
    AtTime(59 * SECOND, CallerHangsUp()),
)
REPLIES: Final = tuple(
    Reply((SpokenReply(agent_voice(20_000, n), "words " * 50),)) for n in range(3)
)


def make_call(level: str, *, checked: bool) -> tuple[int, int]:
    """Return the CPU time of a call (ns), and the number of interruptions."""
    session = SessionConfig(turn_detection=dict(TURN_DETECTION))
    bridge = Bridge(CallConfig(url="ws://model/v1/realtime", session=session))
    phone = TwilioPeer(url="ws://bridge/media-stream", script=SCRIPT, record_audio=False)
    build = message_call if level == "messages" else byte_call
    world = build(CheckedBridge(bridge) if checked else bridge, phone, RealtimePeer(REPLIES))
    gc.collect()
    start_ns = time.process_time_ns()
    world.run(MINUTE)
    return time.process_time_ns() - start_ns, len(phone.clears)


def measure(rounds: int) -> dict[str, Any]:
    kinds = [(level, checked) for level in AIMS for checked in (True, False)]
    times_ns: dict[tuple[str, bool], list[int]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for (level, checked), times in times_ns.items():
            duration_ns, clears = make_call(level, checked=checked)
            assert clears == 2, clears
            times.append(duration_ns)
    median = {kind: statistics.median(times) for kind, times in times_ns.items()}
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
    print("a call of one minute with two interruptions, checked, one core")
    for level, result in results.items():
        print(
            f"{level:10} {result['cpu_ms']:8.1f} ms of CPU "
            f"({result['unchecked_ms']:.1f} without the checks) "
            f"{result['times_real']:6} times real time (aim {result['aim']})"
        )


if __name__ == "__main__":
    main()

"""Records the calls of this folder anew: after a change that is meant to show in them.

    python tests/recorded_calls/make.py

Look at the difference before it is kept: all that the bridge now does otherwise is in it.
"""

from pathlib import Path

from twilio_realtime_app.recorder import Recorder
from twilio_realtime_core import Bridge, CallConfig
from twilio_realtime_sim.swarm import run_call

FOLDER = Path(__file__).parent
CALLS = {
    "agent_hangs_up": (3, "agent-hangs-up"),
    "barge_in_and_failed_response": (65, None),
}
"""Names of files, with the seed and the scenario of the call."""


def record(seed: int, scenario: str | None) -> list[str]:
    lines: list[str] = []

    def make_bridge(config: CallConfig) -> Recorder:
        lines.clear()
        return Recorder(Bridge(config), config, lines.append)

    run_call(seed, scenario=scenario, make_bridge=make_bridge)
    return lines


def main() -> None:
    for name, (seed, scenario) in CALLS.items():
        text = "".join(record(seed, scenario))
        (FOLDER / f"{name}.jsonl").write_text(text, "utf-8")


if __name__ == "__main__":
    main()

"""Records the calls of this folder anew: after a change that is meant to show in them.

    python tests/recorded_calls/make.py

Look at the difference before it is kept: all that the bridge now does otherwise is in it.
"""

from pathlib import Path

from twilio_realtime.cli.simulate import recorded_call

FOLDER = Path(__file__).parent
CALLS = {
    "agent_hangs_up": (3, "agent-hangs-up"),
    "barge_in_and_failed_response": (65, None),
}
"""Names of files, with the seed and the scenario of the call."""


def main() -> None:
    for name, (seed, scenario) in CALLS.items():
        _, text = recorded_call(seed, scenario=scenario)
        (FOLDER / f"{name}.jsonl").write_text(text, "utf-8")


if __name__ == "__main__":
    main()

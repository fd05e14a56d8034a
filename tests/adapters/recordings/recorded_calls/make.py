"""Record the calls of this folder again, after a change of the bridge that changes them.

    python tests/adapters/recordings/recorded_calls/make.py

Check the difference before you commit it: it shows what the bridge does differently.
"""

from pathlib import Path

from twilio_realtime.cli.simulate import record_simulated_call

FOLDER = Path(__file__).parent
CALLS = {
    "agent_hangs_up": (64, "agent-hangs-up", ('"after_playback":true', '"value":"hung up"')),
    "barge_in_and_failed_response": (
        152,
        "interruption-of-goodbye",
        ('"@":"Interrupted"', '"conversation.item.truncate"', '"status":"failed"'),
    ),
}
"""By name of the file: the seed and the scenario of the call, and texts that its recording has."""


def main() -> None:
    for name, (seed, scenario, texts) in CALLS.items():
        _, recording = record_simulated_call(seed, scenario=scenario)
        missing = [text for text in texts if text not in recording]
        assert not missing, f"{name}: choose another seed, {missing} is missing"
        (FOLDER / f"{name}.jsonl").write_text(recording, "utf-8")


if __name__ == "__main__":
    main()

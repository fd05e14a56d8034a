"""Compares how soon each bug is found with frames of 20 ms, by the table of `python -m mutants`,
and with longer ones; writes the comparison to docs/project/mutants.md.

    PYTHONPATH=tests/harness python -m mutants.frames [--frame-ms 100] [--bug NAME] [--missing]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.choices import Choices

from .__main__ import CALLS, run_hunt, say
from .bugs import BUGS
from .page import PAGE, missing_bugs, read_table, update_table
from .planting import Bug, plant


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants.frames", description=__doc__)
    parser.add_argument("--frame-ms", type=int, default=100, help="how long the longer frames last")
    parser.add_argument("--calls", type=int, default=CALLS, help="in which each is to be found")
    parser.add_argument("--bug", action="append", help="only those whose name holds this")
    parser.add_argument("--missing", action="store_true", help="only those that the page lacks")
    arguments = parser.parse_args()
    names: list[str] = arguments.bug or [""]
    bugs = missing_bugs(PAGE, "frames", BUGS) if arguments.missing else BUGS
    bugs = [bug for bug in bugs if any(name in bug.name for name in names)]
    heading = f"20 ms  {arguments.frame_ms} ms"
    usual, missed = read_table(PAGE, "mutants", BUGS), 0
    for bug in bugs:
        found = [
            int(number) if (number := usual.get(bug.name, "-").split()[0]).isdecimal() else None,
            first_call(bug, arguments.frame_ms, arguments.calls),
        ]
        missed += None in found
        result = f"{found[0] or '-':<5}  {found[1] or '-'}"
        say(f"{result}  {bug.name}")
        update_table(PAGE, "frames", BUGS, heading, {bug.name: result})
    return int(missed > 0)


def first_call(bug: Bug, frame_ms: int, calls: int) -> int | None:
    """The number, from 1, of the first call that fails with a bug and not without it."""
    with tempfile.TemporaryDirectory() as folder:
        plant(bug, Path(folder))
        first = 0
        try:
            while (seed := run_hunt(bug, folder, "find", first, calls, frame_ms)) is not None:
                first = int(seed) + 1
                if RandomCall(Choices.from_seed(first - 1), frame_ms=frame_ms).run() is None:
                    return first
        except subprocess.TimeoutExpired:
            pass  # not found
    return None


if __name__ == "__main__":
    sys.exit(main())

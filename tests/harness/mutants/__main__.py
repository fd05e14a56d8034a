"""Plants each bug in a copy of the core, and has random calls find it."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

import twilio_realtime.sim
from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.batch.shrinking import follow
from twilio_realtime.sim.choices import Choices

from .bugs import BUGS
from .hunting import Find
from .page import PAGE, format_table, missing_bugs, update_table
from .planting import Bug, plant
from .rare_bugs import RARE_BUGS

ROOT: Final = Path(__file__).parents[3]
TRACES: Final = ROOT / "build" / "mutants"
HEADING: Final = "calls  steps  invariant"
CALLS: Final = 2000
"""So soon each bug is to be found."""

LONGEST_S: Final = 900
"""A bug that makes calls endless must not make the hunt endless."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="in which each is to be found")
    parser.add_argument("--bug", action="append", help="only those whose name holds this")
    parser.add_argument("--missing", action="store_true", help="only those that the page lacks")
    parser.add_argument("--rare", action="store_true", help="those that take more calls instead")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="how many at a time")
    arguments = parser.parse_args()
    names: list[str] = arguments.bug or [""]
    bugs = missing_bugs(PAGE, "mutants", BUGS) if arguments.missing else BUGS
    bugs = list(RARE_BUGS) if arguments.rare else bugs
    bugs = [bug for bug in bugs if any(name in bug.name for name in names)]
    finds = hunt_all(bugs, arguments.calls, arguments.workers)
    results = {name: result_of(find) for name, find in finds.items()}
    say(f"\n{format_table(bugs, HEADING, results)}")
    return int(None in finds.values())


def hunt_all(bugs: Sequence[Bug], calls: int, workers: int | None) -> dict[str, Find | None]:
    """Hunt all bugs, several at a time, and print each as it is found."""
    finds: dict[str, Find | None] = {}
    began = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        hunts = {pool.submit(hunt, bug, calls): bug for bug in bugs}
        for done in as_completed(hunts):
            bug, find = hunts[done], done.result()
            finds[bug.name] = find
            passed = time.monotonic() - began
            told = "NOT FOUND" if find is None else f"found by call {find.seed + 1}"
            say(f"{len(finds):3} of {len(bugs)}, {passed:4.0f} s  {bug.name}: {told}")
            keep(bug, find)
            update_table(PAGE, "mutants", BUGS, HEADING, {bug.name: result_of(find)})
    return finds


def hunt(bug: Bug, calls: int) -> Find | None:
    """Have random calls find a bug, and the plainest call that shows it. What takes too long is not
    found."""
    try:
        return _find(bug, calls)
    except subprocess.TimeoutExpired:
        say(f"{bug.name}: given up after {LONGEST_S} s")
        return None


def _find(bug: Bug, calls: int) -> Find | None:
    with tempfile.TemporaryDirectory() as folder:
        plant(bug, Path(folder))
        first = 0
        while (seed := run_hunt(bug, folder, "find", first, calls)) is not None:
            first = seed + 1
            if fails(Choices.from_seed(seed)):
                continue
            find = Find(**run_hunt(bug, folder, "show", seed))
            plan = {(label, nth): value for (label, nth), value in find.plan}
            if not fails(follow(plan)):
                return find
    return None


def fails(choices: Choices) -> bool:
    """Whether a call fails without any bug: then it tells nothing of one."""
    return RandomCall(choices).run() is not None


def run_hunt(bug: Bug, folder: str, what: str, *numbers: int) -> Any:
    """A process of its own does it, whose core is the copy."""
    done = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-m", "mutants.hunting", what, *map(str, numbers)],
        env=_environment(folder),
        check=False,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    if done.returncode:
        raise RuntimeError(f"{bug.name}: the hunt failed\n{done.stderr}")
    return json.loads(done.stdout)


def _environment(folder: str) -> dict[str, str]:
    """The copy comes first on the path; nobody measures its coverage."""
    path = [folder, str(ROOT / "tests/harness"), str(Path(twilio_realtime.sim.__file__).parents[2])]
    mine = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return {**mine, "PYTHONPATH": os.pathsep.join(path)}


def result_of(find: Find | None) -> str:
    """Return the cells of a bug in the table."""
    if find is None:
        return "    -      -  not found"
    told = f"{find.invariant}: {find.text}"
    return f"{find.seed + 1:5}  {len(find.trace):5}  {told}"


def keep(bug: Bug, find: Find | None) -> None:
    """Keep the plainest call that shows a bug, to be read."""
    if find is None:
        return
    TRACES.mkdir(parents=True, exist_ok=True)
    lines = [*find.decided, *find.trace, f"invariant {find.invariant}: {find.text}", ""]
    name = re.sub(r"\W+", "-", bug.name)
    (TRACES / f"{name}.txt").write_text("\n".join(lines), "utf-8")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

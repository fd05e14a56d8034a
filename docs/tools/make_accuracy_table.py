"""Write the README's table of accuracy from the numbers at the end of `accuracy.md`.

python docs/tools/make_accuracy_table.py           writes the table
python docs/tools/make_accuracy_table.py --check   fails if the table is out of date
"""

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
NUMBERS: Final = ROOT / "docs/explanation/accuracy.md"

BRIDGES: Final = {
    "ours": "**twilio-realtime-core**",
    "Twilio's sample, Python": "Twilio's sample for Python",
    "pipecat": "pipecat",
    "openai-agents-js": "openai-agents-js",
}
"""The rows of the table: names in `accuracy.md`, and names for readers of the README."""

WORLDS: Final = {
    "clean": "one answer, quiet line",
    "queued": "several answers queued",
    "hidden": "playback starts late",
    "mixed": "all of it, and jitter",
}
"""The columns of the table: names in `accuracy.md`, and names for readers of the README."""

TABLE: Final = re.compile(r"^\| error in ms.*\n(?:\|.*\n)+", re.MULTILINE)


def table() -> str:
    """Return the table: medians and 95th percentiles of the errors, in ms."""
    errors = read_errors(NUMBERS.read_text("utf-8"))
    head = ["error in ms, median / 95th percentile", *WORLDS.values()]
    rows = [
        [shown, *(" / ".join(errors[world, name]) for world in WORLDS)]
        for name, shown in BRIDGES.items()
    ]
    lines = [head, ["---", *("---:" for _ in WORLDS)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def read_errors(page: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return median and 95th percentile by world and algorithm, as the page states them."""
    _, _, numbers = page.partition("```text accuracy\n")
    found: dict[tuple[str, str], tuple[str, str]] = {}
    world = ""
    for line in numbers.partition("```")[0].splitlines():
        if heading := re.match(r"([a-z -]+): ", line):
            world = heading[1]
        elif row := re.match(r"(\S.*?) {2,}[\d.]+ +(\d+) +\d+ +(\d+) ", line):
            found[world, row[1]] = (row[2], row[3])
    return found


if __name__ == "__main__":
    readme = README.read_text("utf-8")
    current = TABLE.sub(lambda _: table(), readme)
    if "--check" not in sys.argv[1:]:
        README.write_text(current, "utf-8")
    elif readme != current:
        sys.exit(f"{README.name} is out of date: run {sys.argv[0]}")

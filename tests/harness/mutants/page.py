"""The tables of docs/project/mutants.md: a line for each bug, in the order of the list.

A run for some bugs replaces their lines and keeps those of the others. Lines of bugs that are no
longer planted are dropped.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .planting import Bug

__all__ = ["PAGE", "format_table", "missing_bugs", "read_table", "update_table"]

PAGE: Final = Path(__file__).parents[3] / "docs/project/mutants.md"


def format_table(bugs: Sequence[Bug], heading: str, results: Mapping[str, str]) -> str:
    """Return the table of the bugs that have a result, by their names."""
    width = max(len(bug.name) for bug in bugs)
    lines = [f"{bug.name:{width}}  {results[bug.name]}" for bug in bugs if bug.name in results]
    return "\n".join([f"{'bug':{width}}  {heading}", *lines])


def update_table(
    page: Path, kind: str, bugs: Sequence[Bug], heading: str, results: Mapping[str, str]
) -> None:
    """Write the results of some bugs to the table of a kind, ` ```text KIND`."""
    text = page.read_text("utf-8")
    table = format_table(bugs, heading, {**read_table(page, kind, bugs), **results})
    page.write_text(_block(kind).sub(lambda _: f"{table}\n", text), "utf-8")


def missing_bugs(page: Path, kind: str, bugs: Sequence[Bug]) -> list[Bug]:
    """Return the bugs that the table of a kind lacks."""
    known = read_table(page, kind, bugs)
    return [bug for bug in bugs if bug.name not in known]


def read_table(page: Path, kind: str, bugs: Sequence[Bug]) -> dict[str, str]:
    """Return the results that the table of a kind has, by the names of bugs."""
    found = _block(kind).search(page.read_text("utf-8"))
    lines = found.group().splitlines() if found else []
    cells = [re.split(r"  +", line, maxsplit=1) for line in lines[1:]]
    results = {name: rest[0] for name, *rest in cells if rest}
    return {bug.name: results[bug.name] for bug in bugs if bug.name in results}


def _block(kind: str) -> re.Pattern[str]:
    return re.compile(rf"(?s)(?<=```text {kind}\n).*?(?=```)")

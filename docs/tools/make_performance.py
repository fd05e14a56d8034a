"""Write the tables of measured figures into their pages, from docs/project/benchmarks.json.

python docs/tools/make_performance.py           writes the pages
python docs/tools/make_performance.py --check   fails if one is out of date
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parents[1]
KEPT: Final = DOCS / "project/benchmarks.json"
PAGES: Final = ("project/performance.md", "how-to/capacity.md")
BLOCK: Final = re.compile(r"(?s)<!-- benchmark: ([a-z]+) -->\n.*?<!-- end -->")


def rows(head: Iterable[str], body: Iterable[Iterable[object]]) -> str:
    """Return a table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(cell) for cell in line] for line in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def message(results: dict[str, dict[str, float]]) -> str:
    """Return the table of `run.py`."""
    return rows(
        ("", "CPU, µs", "ratio to baseline", "aim, µs"),
        (
            (name, f"{each['median']:.1f}", _optional(each, "ratio", ".2f"), _optional(each, "aim"))
            for name, each in results.items()
        ),
    )


def interruption(results: dict[str, dict[str, float]]) -> str:
    """Return the table of `interruption.py`."""
    return rows(
        ("", "median, µs", "99th percentile, µs"),
        ((name, f"{each['p50']:.0f}", f"{each['p99']:.0f}") for name, each in results.items()),
    )


def serving(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the tables of `serving.py`."""
    return "\n\n".join(
        f"{calls} calls:\n\n"
        + rows(
            (
                "bridge",
                "CPU, ms",
                "ratio",
                "caller frame, p50 / p99 µs",
                "audio delta, p50 / p99 µs",
                "`clear`, p99 µs",
                "memory, MB",
            ),
            (
                (
                    name,
                    f"{each['cpu_ms']:.2f}",
                    f"{each['ratio']:.2f}",
                    f"{each['frame_p50_us']:.0f} / {each['frame_p99_us']:.0f}",
                    f"{each['delta_p50_us']:.0f} / {each['delta_p99_us']:.0f}",
                    f"{each['clear_p99_us']:.0f}",
                    f"{each['memory_mb']:.0f}",
                )
                for name, each in bridges.items()
            ),
        )
        for calls, bridges in results.items()
    )


def capacity(results: dict[str, dict[str, float]]) -> str:
    """Return the table of `capacity.py`."""
    return rows(
        (
            "bridge",
            "calls",
            "CPU of a call, ms per second",
            "memory of a call, KB",
            "descriptors of a call",
        ),
        (
            (
                name,
                f"{each['calls']:.0f}",
                f"{each['cpu_ms']:.2f}",
                f"{each['memory_kb']:.0f}",
                f"{each.get('descriptors', 0):.1f}",
            )
            for name, each in results.items()
        ),
    )


def telemetry(results: dict[str, float]) -> str:
    """Return the table of `telemetry.py`."""
    kinds = [name for name in results if name != "scrape"]
    return (
        rows(
            ("", "CPU, ms", "ratio"),
            (
                (each, f"{results[each]:.2f}", f"{results[each] / results['off']:.2f}")
                for each in kinds
            ),
        )
        + f"\n\nA scrape takes {results['scrape']:.1f} ms of CPU, and a connection."
    )


def hosts(results: dict[str, float]) -> str:
    """Return the table of `hosts.py`."""
    return rows(
        ("", "CPU, ms", "ratio"),
        ((name, f"{each:.2f}", f"{each / results['own']:.2f}") for name, each in results.items()),
    )


def simulation(results: dict[str, dict[str, float]]) -> str:
    """Return the table of `simulation.py`."""
    return rows(
        ("", "CPU, ms", "times real time", "aim", "CPU without checks, ms"),
        (
            (
                name,
                f"{each['cpu_ms']:,.0f}",
                f"{each['times_real']:,.0f}",
                f"{each['aim_times_real']:,.0f}",
                f"{each['unchecked_ms']:,.0f}",
            )
            for name, each in results.items()
        ),
    )


TABLES: Final[dict[str, Callable[[Any], str]]] = {
    each.__name__: each
    for each in (message, interruption, serving, capacity, telemetry, hosts, simulation)
}


def _optional(figures: dict[str, float], name: str, form: str = "g") -> str:
    return format(figures[name], form) if name in figures else ""


def describe(machine: dict[str, Any]) -> str:
    """Return the sentence about the machine of a table."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"Measured on {machine['date']}: {machine['processor']}, {machine['processors']} "
        f"processors, of which others had a load of {machine['load']}; {machine['system']}, "
        f"CPython {machine['python']}, {packages}."
    )


def fill(text: str, kept: dict[str, Any]) -> str:
    """Return a page with the tables of the results that are kept."""

    def block(match: re.Match[str]) -> str:
        name = match[1]
        if name not in kept:
            return match[0]
        table = TABLES[name](kept[name]["results"])
        about = describe(kept[name]["machine"])
        return f"<!-- benchmark: {name} -->\n\n{table}\n\n{about}\n\n<!-- end -->"

    return BLOCK.sub(block, text)


def outdated() -> dict[Path, str]:
    """Return the pages that are out of date, and what they should be."""
    kept = json.loads(KEPT.read_text("utf-8"))
    pages = {DOCS / name: (DOCS / name).read_text("utf-8") for name in PAGES}
    filled = {page: fill(text, kept) for page, text in pages.items()}
    return {page: filled[page] for page, text in pages.items() if filled[page] != text}


if __name__ == "__main__":
    if "--check" in sys.argv[1:] and outdated():
        sys.exit(f"out of date: {', '.join(each.name for each in outdated())}: run {sys.argv[0]}")
    for page, text in outdated().items():
        page.write_text(text, "utf-8")

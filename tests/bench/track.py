"""Run the benchmarks, keep their results, and compare them with those that are kept.

    python tests/bench/track.py [NAME ...]              # all, or some: run, and write the pages
    python tests/bench/track.py --compare [NAME ...]    # run, and compare with what is kept

The results are kept in docs/project/benchmarks.json, from which `docs/tools/make_performance.py`
writes the tables of the pages. What is compared are ratios, taken within a run, since times of two
machines, or of a machine at two moments, say little.
"""

import argparse
import json
import os
import platform
import runpy
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
KEPT: Final = ROOT / "docs/project/benchmarks.json"
PACKAGES: Final = ("attrs", "h11", "msgspec", "trio", "uvloop", "wsproto")

BENCHMARKS: Final[dict[str, tuple[str, ...]]] = {
    "message": ("run.py",),
    "interruption": ("interruption.py",),
    "serving": ("serving.py", "--first", "--seconds", "4"),
    "capacity": ("capacity.py", "--first", "--step", "40", "--seconds", "2"),
    "telemetry": ("telemetry.py",),
    "hosts": ("hosts.py",),
    "simulation": ("simulation.py", "--rounds", "1"),
}
"""The benchmarks by name, each with its command."""

TOLERANCE: Final = 1.15
"""How much larger a ratio may be than the one that is kept: more than runs differ by."""


def describe_machine() -> dict[str, Any]:
    """Describe the machine, and how busy it is."""
    cpu = "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": cpu,
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def run(name: str) -> dict[str, Any]:
    """Run a benchmark; return its results and the machine."""
    script, *arguments = BENCHMARKS[name]
    print(f"{name} ...", file=sys.stderr, flush=True)
    machine = describe_machine()
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, str(HERE / script), *arguments, "--json"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return {"machine": machine, "results": json.loads(done.stdout)}


def ratios(kept: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Return the ratios in results, each with its name; smaller is better."""
    for name, figures in kept.get("message", {}).get("results", {}).items():
        if "ratio" in figures:
            yield name, figures["ratio"]
    for calls, bridges in kept.get("serving", {}).get("results", {}).items():
        for bridge, figures in bridges.items():
            if bridge.startswith("service"):
                yield f"{bridge}, {calls} calls", figures["ratio"]
    for server, cpu_ms in kept.get("hosts", {}).get("results", {}).items():
        if server != "own":
            yield f"hosts, {server}", cpu_ms / kept["hosts"]["results"]["own"]


def compare(kept: dict[str, Any], fresh: dict[str, Any]) -> int:
    """Print the ratios side by side; return 1 if one has grown by more than runs differ."""
    before, has_grown = dict(ratios(kept)), False
    print(f"{'':40}{'kept':>8}{'now':>8}{'change':>9}")
    for name, ratio in ratios(fresh):
        old = before.get(name)
        is_larger = old is not None and ratio > old * TOLERANCE
        has_grown |= is_larger
        change = "" if old is None else f"{100 * (ratio / old - 1):+8.0f}%"
        kept_text = "" if old is None else f"{old:8.2f}"
        print(f"{name:40}{kept_text:>8}{ratio:8.2f}{change:>9}{'  larger' * is_larger}")
    return int(has_grown)


def main() -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME")
    parser.add_argument("--compare", action="store_true", help="write nothing")
    options = parser.parse_args()
    kept: dict[str, Any] = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    names = options.names or list(BENCHMARKS)
    if options.compare:
        return compare(kept, {name: run(name) for name in names})
    for name in names:
        kept[name] = run(name)
        KEPT.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    runpy.run_path(str(ROOT / "docs/tools/make_performance.py"), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())

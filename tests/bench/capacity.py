"""The capacity of a bridge: calls are added until one caller frame in a hundred is delayed by more
than 20 ms, or frames are lost.

    python tests/bench/capacity.py [--step N] [--seconds S] [--first] [--json]
        [--command NAME=COMMAND]...

The bridge has a processor to itself, and the load (`load.py`) another one, as far as the machine
allows; on one that does other work, say --first. The delay is that of the whole way from phone to
model, so it is at least what the bridge adds. --command measures any other bridge (`serving.py`).
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Final

from load import Load
from serving import Commands, Figures, add_arguments, bind, chosen, memory_mb, observe, running

LIMIT_US: Final = 20_000
MAX_CALLS: Final = 380
"""The service takes 400 connections; some are kept for other requests."""
LOST_SHARE: Final = 0.01
"""Frames that are on their way when a measurement ends."""
SETTLE_S: Final = 1.0


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open (Linux, /proc/PID/fd)."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def is_over(load: Load, figures: Figures) -> bool:
    """Whether frames are late, or lost."""
    is_losing = figures.lost_frames > LOST_SHARE * load.delays.frames_sent
    return figures.frame_p99_us > LIMIT_US or is_losing


async def measure(
    bridge: str, commands: Commands, step: int, seconds: float, *, is_first: bool
) -> dict[str, float]:
    """Return the most calls that a bridge takes, and what a call needs."""
    load = Load()
    bind(0, 0, is_first=is_first)
    async with running(bridge, await load.listen(), commands, is_first=is_first) as (pid, port):
        empty_mb, empty_descriptors = memory_mb(pid), descriptors(pid)
        result = {"calls": 0.0, "cpu_ms": 0.0, "frame_p99_us": 0.0, "memory_kb": 0.0}
        for calls in range(step, MAX_CALLS + 1, step):
            await load.grow(calls, port)
            await asyncio.sleep(SETTLE_S)
            figures = await observe(load, pid, seconds)
            if is_over(load, figures):
                figures = await observe(load, pid, seconds)  # what happens once was something else
                if is_over(load, figures):
                    break
            result = {
                "calls": calls,
                "cpu_ms": round(figures.cpu_ms, 2),
                "frame_p99_us": round(figures.frame_p99_us),
                "memory_kb": round(1024 * (memory_mb(pid) - empty_mb) / calls),
                "descriptors": round((descriptors(pid) - empty_descriptors) / calls, 1),
            }
        load.close()
    return result


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--step", type=int, default=20, help="calls to add at a time (20)")
    parser.add_argument("--seconds", type=float, default=4, help="to measure each step (4)")
    add_arguments(parser)
    options = parser.parse_args()
    names, commands = chosen(options)
    results = {
        name: asyncio.run(
            measure(name, commands, options.step, options.seconds, is_first=options.first)
        )
        for name in names
    }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, figures in results.items():
        parts = "   ".join(f"{key} {value:g}" for key, value in figures.items())
        print(f"{name:18}{parts}")


if __name__ == "__main__":
    main()

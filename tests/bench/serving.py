"""The cost of serving a call: CPU of the serving process for each call and second, and the delays
that it adds, beside those of a bare bridge.

    python tests/bench/serving.py [--calls N,N] [--rounds N] [--seconds S] [--first] [--json]
        [--command NAME=COMMAND]...

Bridges take turns, so that changes of the machine's speed affect all alike, and ratios are taken
within a round. Bridge and load (`load.py`) share one processor, where the system lets them be bound
to one: so none waits for another processor to wake up. On a machine that does other work, say
--first. The service is the command line with all that is on by default. --command measures any
other bridge beside ours: {port} is where it is to take `/media-stream`, {url} the model's, and
{model_port} the port of that. It may begin with `env PORT={port}`, where it reads the environment.
"""

import argparse
import asyncio
import json
import os
import random
import shlex
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
from attrs import define
from load import Load

WARM_UP_S: Final = 3.0
PROCESSOR: Final = (os.cpu_count() or 1) - 1
"""The processor of the bridge: the last one, since systems use the first one most."""
START_S: Final = 60.0
"""How long a bridge may take to start: a busy machine needs seconds."""

_SERVE: Final = (
    "from twilio_realtime.cli.main import main; main()",
    "serve",
    "--static-twiml",
    *("--max-calls", "390", "--max-calls-per-minute", "100000", "--max-loop-lag", "60s"),
)
_WITHOUT_UVLOOP: Final = "import sys; sys.modules['uvloop'] = None; "

BRIDGES: Final = {
    "bare, asyncio": ("floor", ""),
    "bare, uvloop": ("floor", "--uvloop"),
    "service, asyncio": ("serve", "asyncio"),
    "service, uvloop": ("serve", "uvloop"),
    "service, trio": ("serve", "trio"),
}
"""The bridges, by name: what runs, and on which loop."""

BASES: Final = {
    "bare, asyncio": "bare, asyncio",
    "bare, uvloop": "bare, uvloop",
    "service, asyncio": "bare, asyncio",
    "service, uvloop": "bare, uvloop",
    "service, trio": "bare, asyncio",
}
"""What each is compared with; any other bridge with the bare one on asyncio."""

Commands: TypeAlias = Mapping[str, str]
"""The commands that start other bridges, by their names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose bridges."""
    parser.add_argument("--bridges", help="names, with semicolons (all)")
    parser.add_argument(
        "--command", action="append", default=[], metavar="NAME=COMMAND", help="another bridge"
    )
    parser.add_argument("--first", action="store_true", help="go before all other work (root)")
    parser.add_argument("--json", action="store_true")


def chosen(options: argparse.Namespace) -> tuple[list[str], Commands]:
    """Return the names of the bridges that arguments choose, and the commands of others."""
    commands = dict(each.split("=", 1) for each in options.command)
    names = BRIDGES if options.bridges is None else filter(None, options.bridges.split(";"))
    return [*names, *commands], commands


def command(bridge: str, port: int, model_port: int, commands: Commands) -> list[str]:
    """Return the command that starts a bridge."""
    url = f"ws://127.0.0.1:{model_port}/v1/realtime"
    if bridge in commands:
        places = {"port": port, "model_port": model_port, "url": url}
        return shlex.split(commands[bridge].format(**places))
    kind, loop = BRIDGES[bridge]
    if kind == "floor":
        script = str(Path(__file__).with_name("floor.py"))
        return [sys.executable, script, str(port), str(model_port), *([loop] if loop else [])]
    code, *arguments = _SERVE
    runtime = "trio" if loop == "trio" else "asyncio"
    return [
        sys.executable,
        "-c",
        code if loop == "uvloop" else _WITHOUT_UVLOOP + code,
        *arguments,
        *("--runtime", runtime, "--port", str(port), "--realtime-url", url),
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def bind(pid: int, processor: int, *, is_first: bool = False) -> None:
    """Bind a process to a processor, where the system has that. `is_first`: let it go before all
    other work of the machine, where the system allows that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, [processor])
        with suppress(PermissionError):
            if is_first:
                os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))


@asynccontextmanager
async def running(
    bridge: str, model_port: int, commands: Commands, *, is_first: bool = False
) -> AsyncGenerator[tuple[int, int]]:
    """Run a bridge while in the context; yields its process id and its port."""
    port = free_port()
    environment = {**os.environ, "OPENAI_API_KEY": "sk-benchmark"}
    process = subprocess.Popen(  # noqa: S603 - ourselves, or what the command line says
        command(bridge, port, model_port, commands),
        stdout=subprocess.DEVNULL,
        env=environment,
        cwd=Path(__file__).parent,
    )
    try:
        bind(process.pid, PROCESSOR, is_first=is_first)
        async with asyncio.timeout(START_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.poll() is None, f"{bridge} has ended"
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    break
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def cpu_s(pid: int) -> float:
    """Return the CPU time of all threads of a process (s; Linux, /proc/PID/task/*/schedstat)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory_mb(pid: int) -> float:
    """Return the memory that a process occupies (MB; Linux, /proc/PID/status)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile; 0 without values."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


@define
class Figures:
    """What was measured of a bridge: CPU in ms for each call and second, delays in µs."""

    cpu_ms: float
    frame_p50_us: float
    frame_p99_us: float
    delta_p50_us: float
    delta_p99_us: float
    clear_p99_us: float
    memory_mb: float
    lost_frames: int

    @classmethod
    def of(cls, load: Load, pid: int, cpu_s: float, seconds: float) -> "Figures":
        delays = load.delays
        return cls(
            1000 * cpu_s / (len(load.phones) * seconds),
            percentile(delays.frame_us, 50),
            percentile(delays.frame_us, 99),
            percentile(delays.delta_us, 50),
            percentile(delays.delta_us, 99),
            percentile(delays.clear_us, 99),
            memory_mb(pid),
            max(0, delays.frames_sent - len(delays.frame_us)),
        )


async def observe(load: Load, pid: int, seconds: float) -> Figures:
    """Measure the calls in progress for a time."""
    load.delays.reset()
    load.delays.is_on = True
    loop = asyncio.get_running_loop()
    before_s, started_s = cpu_s(pid), loop.time()
    await asyncio.sleep(seconds)
    took_s = loop.time() - started_s
    load.delays.is_on = False
    return Figures.of(load, pid, cpu_s(pid) - before_s, took_s)


async def measure(
    bridge: str, commands: Commands, calls: int, seconds: float, *, is_first: bool
) -> Figures:
    """Measure a bridge with so many calls."""
    load = Load()
    bind(0, PROCESSOR, is_first=is_first)
    async with running(bridge, await load.listen(), commands, is_first=is_first) as (pid, port):
        await load.grow(calls, port)
        await asyncio.sleep(WARM_UP_S)
        figures = await observe(load, pid, seconds)
        assert not load.delays.lost_connections, f"{bridge} has lost connections"
        load.close()
    return figures


def medians(rounds: list[dict[str, Figures]]) -> dict[str, dict[str, float]]:
    """Return the medians of all rounds for each bridge, with the ratio of CPU to its base."""
    results: dict[str, dict[str, float]] = {}
    for bridge in rounds[0]:
        taken = [attrs.asdict(each[bridge]) for each in rounds]
        results[bridge] = {
            name: round(statistics.median(each[name] for each in taken), 3) for name in taken[0]
        }
        base = BASES.get(bridge, "bare, asyncio")
        if base in rounds[0]:
            ratios = [each[bridge].cpu_ms / each[base].cpu_ms for each in rounds]
            results[bridge]["ratio"] = round(statistics.median(ratios), 3)
    return results


def run(
    bridges: list[str],
    commands: Commands,
    calls: list[int],
    rounds: int,
    seconds: float,
    *,
    is_first: bool,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of each bridge, by the number of calls."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    for count in calls:
        taken: list[dict[str, Figures]] = []
        for number in range(rounds):
            order = random.sample(bridges, len(bridges))
            figures = {
                each: asyncio.run(measure(each, commands, count, seconds, is_first=is_first))
                for each in order
            }
            taken.append({each: figures[each] for each in bridges})
            if sys.stderr.isatty():
                print(f"{count} calls, round {number + 1} of {rounds}", file=sys.stderr)
        results[str(count)] = medians(taken)
    return results


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--calls", default="20,100", help="calls at once (20,100)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians of (3)")
    parser.add_argument("--seconds", type=float, default=8, help="to measure each bridge (8)")
    add_arguments(parser)
    options = parser.parse_args()
    calls = [int(each) for each in options.calls.split(",")]
    results: Any = run(
        *chosen(options),
        calls,
        options.rounds,
        options.seconds,
        is_first=options.first,
    )
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for count, figures in results.items():
        print(f"{count} calls: CPU in ms and its ratio; frames, deltas and clear, p99 in µs; MB")
        for bridge, each in figures.items():
            delays = "".join(
                f"{each[f'{name}_p99_us']:8.0f}" for name in ("frame", "delta", "clear")
            )
            ratio = f"{each.get('ratio', 0):8.2f}"
            print(f"{bridge:16}{each['cpu_ms']:8.2f}{ratio}{delays}{each['memory_mb']:6.0f}")


if __name__ == "__main__":
    main()

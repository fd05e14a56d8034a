"""`twilio-realtime simulate`: make random calls in virtual time, and report those that fail."""

import json
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final, Self

import attrs
import click
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from twilio_realtime_core import Bridge, CallConfig

from ..recordings.recorder import Recorder
from ..sim.batch.batch import LEVELS, CallResult, run_call, run_calls, run_job, split_seeds
from ..sim.batch.random_call import Failure
from ..sim.batch.summary import Summary
from ..sim.scenarios.table import SCENARIOS
from .options import json_option
from .output import COMMAND_NAME

__all__ = ["SimulationOutput", "record_simulated_call", "simulate"]

_MAX_SHOWN_FAILURES: Final = 3
"""The most failures that are printed in full; the others with the command that repeats them."""


@click.command(
    short_help="Make random calls in virtual time, and check them.",
    epilog="""
    A call is determined by its seed: the first call has the given seed, the next one the next seed,
    whatever the number of workers.

    \b
    Examples:
      twilio-realtime simulate --calls 1000
      twilio-realtime simulate --calls 1 --seed 4711
      twilio-realtime simulate --calls 200 --scenario barge-in-twice
      twilio-realtime simulate --calls 1 --seed 4711 --record calls

    Exit status: 0 no call failed, 1 a call failed, 130 after Ctrl-C.
    """,
)
@click.option(
    "--calls", type=click.IntRange(1), default=1000, show_default=True, help="Number of calls."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the first call.")
@click.option(
    "--scenario",
    type=click.Choice(sorted(SCENARIOS)),
    help="Play this scenario in place of random ones.",
)
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default=LEVELS[0],
    show_default=True,
    help="Simulate messages, or bytes with handshakes and frames, which takes longer.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    show_default="one per core",
    help="Number of processes.",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Record each call to a file in DIR, named by its seed, for `replay`.",
)
@json_option
def simulate(
    *,
    calls: int,
    seed: int,
    scenario: str | None,
    level: str,
    workers: int,
    record: Path | None,
    as_json: bool,
) -> int:
    """Make random calls in virtual time, with impairments, and check every step.

    Each call is composed of parts of scenarios, links of any quality, impairments of both peers and
    the network, and commands of an application. Then the impairments stop, one side hangs up, and
    the call must end. Failures are printed immediately, with the command that repeats them.
    """
    jobs = split_seeds(seed, calls)
    run = partial(run_call, scenario=scenario, level=level)
    if record is not None:
        record.mkdir(parents=True, exist_ok=True)
        run = partial(_record_call, folder=record, scenario=scenario, level=level)
    summary = Summary()
    with (
        SimulationOutput(as_json=as_json, calls=calls, scenario=scenario) as output,
        _worker_pool(workers, len(jobs)) as pool,
    ):
        results = (
            (run_job(job, run) for job in jobs) if pool is None else run_calls(jobs, pool, run)
        )
        for done in results:
            for result in done:
                summary.add(result)
                if result.failure is not None:
                    output.print_failure(result, result.failure)
            output.advance(len(done))
    output.print_summary(summary)
    return 1 if summary.failures else 0


def _worker_pool(workers: int, jobs: int) -> AbstractContextManager[Executor | None]:
    """A pool of workers; `None` if one process is enough."""
    workers = min(workers, jobs)
    return nullcontext() if workers == 1 else ProcessPoolExecutor(workers)


def record_simulated_call(
    seed: int,
    *,
    scenario: str | None = None,
    level: str = LEVELS[0],
    make_bridge: Callable[[CallConfig], Bridge] = Bridge,
) -> tuple[CallResult, str]:
    """Make the call of a seed; return its result, and the text of its recording."""
    lines: list[str] = []

    def record(config: CallConfig) -> Recorder:
        lines.clear()  # a call that fails is made twice
        return Recorder(make_bridge(config), config, lines.append)

    result = run_call(seed, scenario=scenario, level=level, make_bridge=record)
    return result, "".join(lines)


def _record_call(seed: int, *, folder: Path, scenario: str | None, level: str) -> CallResult:
    result, text = record_simulated_call(seed, scenario=scenario, level=level)
    name = "-".join(each for each in (str(seed), scenario, level) if each)
    (folder / f"{name}.jsonl").write_text(text, "utf-8")
    return result


class SimulationOutput:
    """Prints failures and the summary; on a terminal, with a progress bar below."""

    def __init__(self, *, as_json: bool, calls: int, scenario: str | None) -> None:
        self._as_json = as_json
        self._scenario = scenario
        self._console = Console(highlight=False, soft_wrap=True)
        is_shown = self._console.is_terminal and not as_json
        self._progress = Progress(console=self._console, disable=not is_shown, transient=True)
        self._bar = self._progress.add_task("calls", total=calls)
        self._shown_failures = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, calls: int) -> None:
        """Advance the progress bar by so many calls."""
        self._progress.advance(self._bar, calls)

    def print_failure(self, result: CallResult, failure: Failure) -> None:
        """Print a call that failed."""
        command = self.repeat_command(result)
        if self._as_json:
            fields = {"event": "failure", "seed": result.seed, "command": command}
            click.echo(json.dumps({**fields, **attrs.asdict(failure)}))
            return
        self._shown_failures += 1
        self._console.print(
            Text(f"seed {result.seed}: {_replace_control_characters(failure.text)}", "bold red")
        )
        if self._shown_failures <= _MAX_SHOWN_FAILURES:
            for line in (*failure.decisions, *failure.trace):
                self._console.print(Text(f"    {_replace_control_characters(line)}", "dim"))
        self._console.print(f"    repeat: {command}")

    def print_summary(self, summary: Summary) -> None:
        """Print the summary of all calls."""
        if self._as_json:
            click.echo(json.dumps({"event": "summary", **summary.to_json()}))
            return
        write = self._console.print
        write(f"{summary.calls} calls, {summary.total_seconds:.0f} s of virtual time")
        durations = ", ".join(
            f"{summary.duration_percentile_ms(each) / 1000:.1f} s" for each in (5, 50, 95)
        )
        write(f"duration (5th, 50th and 95th percentile): {durations}")
        write(f"ends: {_format_counts(summary.outcomes)}")
        write(
            "impairments that took effect, by number of calls: "
            f"{_format_counts(summary.impairments)}"
        )
        write(f"commands: {_format_counts(summary.commands)}")
        visited = len(summary.transitions)
        total = visited + len(summary.missing_transitions)
        write(f"transitions of the tables: {visited} of {total}")
        for name, missing in (
            ("ends", summary.missing_outcomes),
            ("impairments", summary.missing_impairments),
            ("transitions", [" ".join(each) for each in summary.missing_transitions]),
        ):
            if missing:
                write(f"{name} that did not occur: {', '.join(missing)}")
        if summary.failures:
            write(Text(f"{summary.failures.total()} calls failed.", "bold red"))
        else:
            write(Text("No call failed.", "green"))

    def repeat_command(self, result: CallResult) -> str:
        """The command that repeats a call."""
        options = f"--calls 1 --seed {result.seed}"
        options += f" --scenario {self._scenario}" if self._scenario else ""
        options += f" --level {result.level}" if result.level != LEVELS[0] else ""
        return f"{COMMAND_NAME} simulate {options}"


def _format_counts(counter: Counter[str]) -> str:
    ordered = sorted(counter.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} {times}" for name, times in ordered) or "none"


def _replace_control_characters(text: str) -> str:
    """Replace characters that could control a terminal; lines stay."""
    return "".join(
        each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text
    )

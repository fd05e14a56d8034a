"""`twilio-realtime simulate`: random calls by the thousand, to find the one that goes wrong."""

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
from .output import NAME

__all__ = ["Show", "recorded_call", "simulate"]

_SHOWN: Final = 3
"""Failures that are told in full; of the others, how to make them again."""


@click.command(
    epilog="""
    A call is a pure function of its seed: the first call has the seed that is given, the next one
    the next, however many workers there are.

    \b
    Examples:
      twilio-realtime simulate --calls 1000
      twilio-realtime simulate --calls 1 --seed 4711
      twilio-realtime simulate --calls 200 --scenario two-interruptions
      twilio-realtime simulate --calls 1 --seed 4711 --record calls

    Exit status: 0 all calls went as they should, 1 one did not, 130 after Ctrl-C.
    """
)
@click.option(
    "--calls", type=click.IntRange(1), default=1000, show_default=True, help="How many calls."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first call.")
@click.option(
    "--scenario", type=click.Choice(sorted(SCENARIOS)), help="What is said, in place of anything."
)
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default=LEVELS[0],
    show_default=True,
    help="Whole messages, or bytes with their handshakes and frames, which takes longer.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    show_default="one for each core",
    help="How many processes share the work.",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Write each call to a file there, named by its seed; see twilio-realtime replay.",
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
    """Make random calls in virtual time, with faults, and check every step of each.

    Each call is put together from parts of scenarios, links of any quality, faults of both peers
    and the network, and commands of an application. Then the faults stop, somebody hangs up, and
    the call must end. Failures are told as they come, with the command that makes them again.
    """
    jobs = split_seeds(seed, calls)
    run = partial(run_call, scenario=scenario, level=level)
    if record is not None:
        record.mkdir(parents=True, exist_ok=True)
        run = partial(_record_call, folder=record, scenario=scenario, level=level)
    summary = Summary()
    with (
        Show(as_json=as_json, calls=calls, scenario=scenario) as show,
        _pool(workers, len(jobs)) as pool,
    ):
        results = (
            (run_job(job, run) for job in jobs) if pool is None else run_calls(jobs, pool, run)
        )
        for done in results:
            for result in done:
                summary.add(result)
                if result.failure is not None:
                    show.tell(result, result.failure)
            show.advance(len(done))
    show.conclude(summary)
    return 1 if summary.failures else 0


def _pool(workers: int, jobs: int) -> AbstractContextManager[Executor | None]:
    """Workers, or none where there is no work to share."""
    workers = min(workers, jobs)
    return nullcontext() if workers == 1 else ProcessPoolExecutor(workers)


def recorded_call(
    seed: int,
    *,
    scenario: str | None = None,
    level: str = LEVELS[0],
    make_bridge: Callable[[CallConfig], Bridge] = Bridge,
) -> tuple[CallResult, str]:
    """The call of a seed, and the text of a file that holds it."""
    lines: list[str] = []

    def record(config: CallConfig) -> Recorder:
        lines.clear()  # a call that goes wrong is made twice
        return Recorder(make_bridge(config), config, lines.append)

    result = run_call(seed, scenario=scenario, level=level, make_bridge=record)
    return result, "".join(lines)


def _record_call(seed: int, *, folder: Path, scenario: str | None, level: str) -> CallResult:
    result, text = recorded_call(seed, scenario=scenario, level=level)
    name = "-".join(each for each in (str(seed), scenario, level) if each)
    (folder / f"{name}.jsonl").write_text(text, "utf-8")
    return result


class Show:
    """Tells failures as they come, and the summary; on a terminal, with a bar below."""

    def __init__(self, *, as_json: bool, calls: int, scenario: str | None) -> None:
        self._as_json = as_json
        self._scenario = scenario
        self._console = Console(highlight=False, soft_wrap=True)
        is_shown = self._console.is_terminal and not as_json
        self._progress = Progress(console=self._console, disable=not is_shown, transient=True)
        self._bar = self._progress.add_task("calls", total=calls)
        self._told = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, calls: int) -> None:
        """So many calls more are done."""
        self._progress.advance(self._bar, calls)

    def tell(self, result: CallResult, failure: Failure) -> None:
        """A call has gone wrong."""
        command = self.command(result)
        if self._as_json:
            told = attrs.asdict(failure)
            click.echo(
                json.dumps({"event": "failure", "seed": result.seed, "command": command, **told})
            )
            return
        self._told += 1
        self._console.print(Text(f"seed {result.seed}: {_harmless(failure.text)}", "bold red"))
        if self._told <= _SHOWN:
            for line in (*failure.decisions, *failure.trace):
                self._console.print(Text(f"    {_harmless(line)}", "dim"))
        self._console.print(f"    again: {command}")

    def conclude(self, summary: Summary) -> None:
        """All calls are done."""
        if self._as_json:
            click.echo(json.dumps({"event": "summary", **summary.to_json()}))
            return
        told = self._console.print
        told(f"{summary.calls} calls, {summary.total_seconds:.0f} s of talk in virtual time")
        lasted = ", ".join(
            f"{summary.duration_percentile_ms(each) / 1000:.1f} s" for each in (5, 50, 95)
        )
        told(f"how long they lasted (of a hundred calls the 5th, 50th and 95th): {lasted}")
        told(f"how they ended: {_counts(summary.outcomes)}")
        told(f"faults that had their way, in so many calls: {_counts(summary.impairments)}")
        told(f"commands: {_counts(summary.commands)}")
        visited = len(summary.transitions)
        told(
            f"transitions of the tables: {visited} of {visited + len(summary.missing_transitions)}"
        )
        for name, missing in (
            ("ends", summary.missing_outcomes),
            ("faults", summary.missing_impairments),
            ("transitions", [" ".join(each) for each in summary.missing_transitions]),
        ):
            if missing:
                told(f"{name} that were not tried: {', '.join(missing)}")
        if summary.failures:
            told(Text(f"{summary.failures.total()} calls went wrong.", "bold red"))
        else:
            told(Text("Nothing went wrong.", "green"))

    def command(self, result: CallResult) -> str:
        """What makes a call again."""
        options = f"--calls 1 --seed {result.seed}"
        options += f" --scenario {self._scenario}" if self._scenario else ""
        options += f" --level {result.level}" if result.level != LEVELS[0] else ""
        return f"{NAME} simulate {options}"


def _counts(counter: Counter[str]) -> str:
    ordered = sorted(counter.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} {times}" for name, times in ordered) or "none"


def _harmless(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(
        each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text
    )

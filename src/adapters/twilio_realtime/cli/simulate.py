"""`twilio-realtime simulate`: make random calls in virtual time, and report those that fail."""

import os
import secrets
import shlex
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Final

import attrs
import click

from twilio_realtime_core import Bridge, CallConfig

from ..executors.jobs import CALLS_PER_JOB, endless_jobs, split_seeds
from ..executors.sources import ExecutorError, ExecutorSource, LocalProcesses, parse_executor
from ..recordings.recorder import Recorder
from ..recordings.redactor import Redactor
from ..sim.batch.batch import LEVELS, CallResult, run_call
from ..sim.batch.transition_coverage import TransitionCoverage
from ..sim.choices import Choices
from ..sim.line_profile import LineProfile, read_line_profile
from ..sim.phone.caller import FRAME_MS_VALUES
from ..sim.scenarios.table import SCENARIOS
from .found_file import FoundFile
from .options import json_option
from .output import COMMAND_NAME
from .simulation_output import SimulationOutput
from .simulation_run import SimulationRun
from .stop_signals import StopSignals

__all__ = ["KindOfCall", "record_simulated_call", "repeat_command", "simulate"]

_DEFAULT_CALLS: Final = 1000

_SEED_BITS: Final = 63
"""The bits of a seed that nobody chose. Of a thousand runs of a billion calls each, two make the
same call with odds of one to ten thousand."""


@click.command(
    short_help="Make random calls in virtual time, and check them.",
    epilog="""
    A call is determined by its seed: the first call has the given seed, the next one the next seed,
    whatever the number of workers.

    \b
    Examples:
      twilio-realtime simulate --calls 1000
      twilio-realtime simulate --calls 1 --seed 4711
      twilio-realtime simulate --calls 200 --scenario two-interruptions
      twilio-realtime simulate --calls 1 --seed 4711 --record calls
      twilio-realtime simulate --calls 1000 --line line.json
      twilio-realtime simulate --calls 1000000 --executor dask://scheduler:8786
      twilio-realtime simulate --forever --found found.jsonl

    Exit status: 0 no call failed; 1 a call failed; 2 the calls could not be made, or not all of
    them (one line on stderr says why); 130 after Ctrl-C and 143 after SIGTERM, unless --forever is
    given: then 0 or 1.
    """,
)
@click.option("--calls", type=click.IntRange(1), help="Number of calls.  [default: 1000]")
@click.option(
    "--forever",
    is_flag=True,
    help="Make calls until Ctrl-C, then print a report of what was tried.",
)
@click.option(
    "--seed",
    type=int,
    help="Seed of the first call.  [default: 0; with --forever, a random one, which is printed]",
)
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
    "--frame-ms",
    type=click.Choice([str(each) for each in FRAME_MS_VALUES]),
    default=str(FRAME_MS_VALUES[0]),
    show_default=True,
    help="Duration of the caller's frames in ms. With longer frames than Twilio's, calls are other "
    "calls, and are simulated faster.",
)
@click.option(
    "--line",
    "line_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Simulate the line and the pace of the model that FILE describes: `line` writes it.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    show_default="one per core",
    help="Number of processes of this machine.",
)
@click.option(
    "--executor",
    metavar="EXECUTOR",
    help="Make the calls elsewhere: dask://host:port is the scheduler of a Dask cluster, and "
    "module:function returns a concurrent.futures.Executor.",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Record each call to a file in DIR, named by its seed, for `replay`.",
)
@click.option(
    "--found",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append each new failure to FILE, as a line of JSON. Several runs may share FILE.",
)
@click.option(
    "--traces",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("failed-calls"),
    show_default=True,
    metavar="DIR",
    help="Write traces and pages of failed calls to files in DIR, which is created if one fails.",
)
@click.option(
    "--shrink/--no-shrink",
    default=True,
    show_default=True,
    help="Look for the plainest call that fails in the same way, for some ten seconds.",
)
@json_option
def simulate(
    *,
    calls: int | None,
    forever: bool,
    seed: int | None,
    scenario: str | None,
    level: str,
    frame_ms: str,
    line_file: Path | None,
    workers: int | None,
    executor: str | None,
    record: Path | None,
    found: Path | None,
    traces: Path,
    shrink: bool,
    as_json: bool,
) -> int:
    """Make random calls in virtual time, with impairments, and check every step.

    Each call is composed of parts of scenarios, links of any quality, impairments of both peers and
    the network, and commands of an application. Then the impairments stop, one side hangs up, and
    the call must end. Failures are printed immediately, with the command that repeats them.
    """
    if forever and calls is not None:
        raise click.UsageError("--forever makes calls without end: leave out --calls")
    if forever and record is not None:
        raise click.UsageError("--record stores each call: it needs a number of --calls")
    if executor is not None and workers is not None:
        raise click.UsageError("--workers are processes of this machine: leave out --executor")
    total = None if forever else calls or _DEFAULT_CALLS
    first_seed = _first_seed(seed, is_random=forever)
    jobs = endless_jobs(first_seed) if total is None else split_seeds(first_seed, total)
    source = _choose_source(executor, workers, total)
    line = None if line_file is None else read_line_profile(line_file)
    kind = KindOfCall(scenario, level, int(frame_ms), line, line_file)
    run = run_seed = partial(run_call, **kind.arguments)
    if record is not None:
        record.mkdir(parents=True, exist_ok=True)
        run_seed = partial(_record_call, kind=kind)
    with (
        StopSignals() as signals,
        nullcontext() if found is None else FoundFile(found) as found_file,
        SimulationOutput(as_json=as_json, calls=total) as output,
    ):
        simulation = SimulationRun(
            output=output,
            run=run,
            record=partial(_record_text, kind=kind),
            repeat_command=kind.repeat_command,
            is_stopping=signals.is_stopping,
            is_shrinking=shrink,
            trace_path=lambda seed: traces / f"{seed}-{kind.file_name}.txt",
            found=found_file,
            next_seed=first_seed,
            recording_path=lambda seed: (record or Path()) / f"{seed}-{kind.file_name}.jsonl",
        )
        if forever:
            output.print_start(first_seed)
        try:
            simulation.make_calls(jobs, run_seed, source)
        except ExecutorError as error:
            raise click.ClickException(str(error)) from error
        finally:
            output.close_progress()
            if forever or simulation.summary.calls:
                output.print_summary(simulation.summary, simulation.findings)
            if forever:
                output.print_run(simulation.summary, first_seed, simulation.next_seed)
    if not forever and signals.status:
        return signals.status
    return 1 if simulation.summary.failures else 0


@attrs.frozen
class KindOfCall:
    """What all calls of a run have in common."""

    scenario: str | None
    level: str
    frame_ms: int
    line: LineProfile | None = None
    line_file: Path | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `run_call` that make such calls."""
        names = ("scenario", "level", "frame_ms", "line")
        return {name: getattr(self, name) for name in names}

    def repeat_command(self, seed: int) -> str:
        """Return the command that makes the call of a seed again."""
        return f"{COMMAND_NAME} simulate --calls 1 --seed {seed}{self.options}"

    @property
    def options(self) -> str:
        """The options that ask for such calls."""
        options = f" --scenario {self.scenario}" if self.scenario else ""
        options += f" --level {self.level}" if self.level != LEVELS[0] else ""
        if self.frame_ms != FRAME_MS_VALUES[0]:
            options += f" --frame-ms {self.frame_ms}"
        if self.line_file is not None:
            options += f" --line {shlex.quote(str(self.line_file))}"
        return options

    @property
    def file_name(self) -> str:
        """The end of the name of a file about such a call."""
        frames = f"{self.frame_ms}ms" if self.frame_ms != FRAME_MS_VALUES[0] else ""
        line = "line" if self.line is not None else ""
        return "-".join(each for each in (self.scenario, self.level, frames, line) if each)


def _first_seed(seed: int | None, *, is_random: bool) -> int:
    if seed is not None:
        return seed
    return secrets.randbits(_SEED_BITS) if is_random else 0


def _choose_source(
    executor: str | None, workers: int | None, calls: int | None
) -> ExecutorSource | None:
    """Return where the calls are made; `None`: in this process, which is enough for one worker."""
    if executor is not None:
        try:
            return parse_executor(executor)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--executor") from None
    processes = workers or os.cpu_count() or 1
    if calls is not None:
        processes = min(processes, ceil(calls / CALLS_PER_JOB))
    return None if processes == 1 else LocalProcesses(processes)


def record_simulated_call(
    seed: int,
    *,
    scenario: str | None = None,
    level: str = LEVELS[0],
    frame_ms: int = FRAME_MS_VALUES[0],
    line: LineProfile | None = None,
    make_bridge: Callable[..., Bridge] = Bridge,
    choices: Choices | None = None,
    keep_audio: bool = False,
) -> tuple[CallResult, str]:
    """Make the call of a seed, or of choices; return its result, and the text of its recording,
    which may keep the audio. `make_bridge` is `Bridge`, or a subclass."""
    lines: list[str] = []
    coverage = TransitionCoverage()

    def record(config: CallConfig) -> Recorder:
        lines.clear()  # a call that fails is made twice
        bridge = make_bridge(config, make_lifecycle=coverage.make_lifecycle)
        return Recorder(bridge, config, lines.append, Redactor(keep_audio=keep_audio))

    result = run_call(
        seed,
        choices=choices,
        scenario=scenario,
        level=level,
        frame_ms=frame_ms,
        line=line,
        make_bridge=record,
    )
    return attrs.evolve(result, transitions=tuple(sorted(coverage.transitions))), "".join(lines)


def _record_call(seed: int, *, kind: KindOfCall) -> CallResult:
    """Make the call of a seed; its result has the recording, wherever it is made."""
    result, text = record_simulated_call(seed, **kind.arguments)
    return attrs.evolve(result, recording=zlib.compress(text.encode()))


def _record_text(seed: int, choices: Choices | None, *, kind: KindOfCall) -> str:
    """Make a call; return its recording, with audio: nobody speaks in it."""
    return record_simulated_call(seed, **kind.arguments, choices=choices, keep_audio=True)[1]


def repeat_command(
    seed: int,
    *,
    scenario: str | None = None,
    level: str = LEVELS[0],
    frame_ms: int = FRAME_MS_VALUES[0],
) -> str:
    """Return the command that makes the call of a seed again."""
    return KindOfCall(scenario, level, frame_ms).repeat_command(seed)

"""A run of `simulate`: it has the calls made, and keeps their results."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field

from ..errors import UsageError
from ..executors.code_version import code_version
from ..executors.jobs import Seeds, run_jobs
from ..executors.sources import ExecutorSource
from ..recordings.show.page_file import page_beside, write_page
from ..sim.batch.batch import EVERY_STEP, CallResult, RunSeed
from ..sim.batch.findings import Findings
from ..sim.batch.random_call import Failure
from ..sim.batch.shrinking import Plan, RunChoices, follow, shrink_call
from ..sim.batch.summary import Summary
from ..sim.choices import Choices
from .failure_report import FailureReport
from .found_file import FoundFile
from .output import COMMAND_NAME
from .simulation_output import SimulationOutput

__all__ = ["SimulationRun"]

_MAX_EXPLAINED: Final = 3
"""The most findings whose call is shrunk and traced: each takes some ten seconds."""

_MAX_SHRINK_CALLS: Final = 300
"""The most calls that are tried to shrink one."""


class _StoppedError(Exception):
    """The run has to stop while it shrinks a call."""


@define(eq=False, kw_only=True)
class SimulationRun:
    """Many calls, their summary, and what failed in them.

    `run` makes a call again, to shrink it; `repeat_command` returns the command that makes the call
    of a seed again. `trace_path` and `recording_path` return the files for the trace and for the
    recording of the call of a seed; the page of a call is beside its trace. `record` makes the call
    of a seed, or of choices, and returns its recording.
    """

    output: SimulationOutput
    run: RunChoices
    record: Callable[[int, Choices | None], str]
    repeat_command: Callable[[int], str]
    is_stopping: Callable[[], bool]
    is_shrinking: bool
    trace_path: Callable[[int], Path]
    found: FoundFile | None
    recording_path: Callable[[int], Path]
    next_seed: int
    """The seed after those of the last job that was begun."""
    summary: Summary = field(init=False, factory=Summary)
    findings: Findings = field(init=False, factory=Findings)

    def make_calls(
        self, jobs: Iterable[Seeds], run_seed: RunSeed, source: ExecutorSource | None
    ) -> None:
        """Make the calls of all jobs, or until the run has to stop.

        Raises `ExecutorError` if they cannot be made, and `UsageError` or `OSError` if a result
        cannot be written; the summary has those that were made before.
        """
        for done in run_jobs(self._watch(jobs), run_seed, source, self.is_stopping):
            self.summary.merge(done.summary)
            for result in done.kept:
                if result.recording:
                    self._write_recording(result)
                if result.failure is not None:
                    self._keep_failure(result, result.failure)
            note = f"{len(self.findings)} found" if self.findings else ""
            self.output.advance(done.summary.calls, note)

    def _watch(self, jobs: Iterable[Seeds]) -> Iterator[Seeds]:
        for job in jobs:
            self.next_seed = job[-1] + 1
            yield job

    def _write_recording(self, result: CallResult) -> None:
        path = self.recording_path(result.seed)
        try:
            path.write_bytes(zlib.decompress(result.recording))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"cannot write {path}: {reason}") from None

    def _keep_failure(self, result: CallResult, failure: Failure) -> None:
        finding = self.findings.add(result, failure)
        is_first = finding.calls == 1
        repeat, test = self.repeat_command(result.seed), self._test_command(result)
        report = FailureReport(result, failure, repeat, test)
        if is_first and len(self.findings) <= _MAX_EXPLAINED:
            report = self._explain(report)
        self.output.print_failure(report, finding, is_first=is_first)
        if is_first and self.found is not None:
            earlier = self.found.add(finding.what, _found_fields(report))
            if earlier is not None:
                self.output.print_known(earlier)

    def _test_command(self, result: CallResult) -> str:
        """Return the command that writes a call as a regression test, once it is recorded."""
        path = self.recording_path(result.seed)
        if result.recording:
            return f"{COMMAND_NAME} replay {path} --to-test DIR"
        record = f"{self.repeat_command(result.seed)} --record DIR"
        return f"{record}; {COMMAND_NAME} replay DIR/{path.name} --to-test DIR"

    def _explain(self, report: FailureReport) -> FailureReport:
        """Add the failure of the plainest call that fails in the same way, or of the call itself,
        with every step, and write the page and the trace of that call."""
        seed = report.result.seed
        report, plan = self._shrink(report) if self.is_shrinking else (self._trace(report), None)
        path = self.trace_path(seed)
        recording = self.record(seed, None if plan is None else follow(plan))
        lines = recording.encode().splitlines(keepends=True)
        report = evolve(report, page=write_page(lines, page_beside(path), title=report.title))
        return report.with_trace(path)

    def _shrink(self, report: FailureReport) -> tuple[FailureReport, Plan | None]:
        """Return the report with the plainest call, and the plan of its choices; as it is, and
        `None`: there is no plainer call."""
        try:
            shrunk = shrink_call(report.result.seed, self._run_unless_stopping, _MAX_SHRINK_CALLS)
        except _StoppedError:
            return report, None
        if shrunk is None or shrunk.result.failure is None:
            return report, None
        return evolve(report, shown=shrunk.result.failure, tried=shrunk.tried), shrunk.plan

    def _trace(self, report: FailureReport) -> FailureReport:
        again = self.run(report.result.seed, trace_steps=EVERY_STEP).failure
        return report if again is None else evolve(report, shown=again)

    def _run_unless_stopping(
        self, seed: int = 0, *, choices: Choices | None = None, trace_steps: int = 0
    ) -> CallResult:
        if self.is_stopping():
            raise _StoppedError
        return self.run(seed, choices=choices, trace_steps=trace_steps)


def _found_fields(report: FailureReport) -> dict[str, Any]:
    """Return the fields of the line of a finding."""
    return {
        "found_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": code_version(),
        **{name: value for name, value in report.to_json().items() if name != "trace"},
    }

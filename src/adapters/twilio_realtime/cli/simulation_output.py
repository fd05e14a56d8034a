"""What `simulate` prints: failures as they are found, a progress bar, and the summary."""

import json
from collections import Counter
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..sim.batch.findings import Findings, FoundFailure
from ..sim.batch.summary import Summary
from .failure_report import FailureReport, replace_control_characters

__all__ = ["SimulationOutput"]

_PROGRESS_DELAY_S: Final = 1.0
"""A run that takes no longer than this shows no progress."""

_MAX_NAMED_CALLS: Final = 5
"""The most calls of one finding that are named; the others are only counted."""


class SimulationOutput:
    """Prints to stdout: JSON, one object per line, or lines for people; on a terminal with a
    progress bar below. `calls` is `None` for a run without end."""

    def __init__(self, *, as_json: bool, calls: int | None) -> None:
        self._as_json = as_json
        self._calls = calls
        self._console = Console(highlight=False, soft_wrap=True)
        is_shown = self._console.is_terminal and not as_json
        end = () if calls is None else (BarColumn(), TimeRemainingColumn())
        self._progress = Progress(
            TextColumn("{task.description}"),
            MofNCompleteColumn(),
            *end,
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not is_shown,
            transient=True,
        )
        self._bar = self._progress.add_task("calls", total=calls, note="")
        self._started_s = monotonic()
        self._is_progress_shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_progress()

    def close_progress(self) -> None:
        """Remove the progress bar."""
        self._progress.stop()

    def advance(self, calls: int, note: str = "") -> None:
        """Show that so many more calls were made."""
        self._progress.update(self._bar, advance=calls, note=note)
        if not self._is_progress_shown and monotonic() - self._started_s > _PROGRESS_DELAY_S:
            self._is_progress_shown = True
            self._progress.start()

    def print_start(self, first_seed: int) -> None:
        """Print the seed that a run without end starts from."""
        if self._as_json:
            click.echo(json.dumps({"event": "started", "seed": first_seed}))
        else:
            self._console.print(f"from seed {first_seed} on, until Ctrl-C")

    def print_failure(
        self, report: FailureReport, finding: FoundFailure, *, is_first: bool
    ) -> None:
        """Print a call that failed: in full if it is the first of its finding."""
        if self._as_json:
            click.echo(json.dumps({"event": "failure", **report.to_json()}))
        elif is_first:
            self._console.print(Text(replace_control_characters(report.title), "bold red"))
            for line in report.lines():
                self._console.print(Text(f"    {replace_control_characters(line)}"))
        elif finding.calls <= _MAX_NAMED_CALLS:
            self._console.print(
                f"seed {report.result.seed} failed as seed {finding.first_seed} did"
            )
            self._console.print(f"    repeat: {report.command}")

    def print_known(self, earlier: Mapping[str, Any]) -> None:
        """Print that another run has found the failure before."""
        if not self._as_json:
            text = f"    found before: {earlier.get('command')} (version {earlier.get('version')})"
            self._console.print(Text(replace_control_characters(text)))

    def print_summary(self, summary: Summary, findings: Findings) -> None:
        """Print the summary of all calls that were made."""
        if self._as_json:
            ways = [
                {"what": each.what, "calls": each.calls, "lowest_seed": each.lowest_seed}
                for each in findings
            ]
            click.echo(json.dumps({"event": "summary", **summary.to_json(), "findings": ways}))
            return
        write = self._console.print
        frames = " and ".join(f"{each} ms" for each in sorted(summary.frame_ms)) or "no"
        write(
            f"{summary.calls} calls, {summary.total_seconds:.0f} s of virtual time, {frames} frames"
        )
        durations = ", ".join(
            f"{summary.duration_percentile_ms(each) / 1000:.1f} s" for each in (5, 50, 95)
        )
        write(f"duration (5th, 50th and 95th percentile): {durations}")
        write(f"ends: {_format_counts(summary.outcomes)}")
        impairments = _format_counts(summary.impairments)
        write(f"impairments that took effect, by number of calls: {impairments}")
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
        if self._calls is not None and summary.calls < self._calls:
            write(f"stopped after {summary.calls} of {self._calls} calls")
        self._print_findings(summary, findings)

    def _print_findings(self, summary: Summary, findings: Findings) -> None:
        write = self._console.print
        if not summary.failures:
            write(Text("No call failed.", "green"))
            return
        for finding in findings:
            times = "once" if finding.calls == 1 else f"{finding.calls} times"
            text = f"{times}, lowest seed {finding.lowest_seed}: {finding.what}"
            write(Text(replace_control_characters(text)))
        failed = summary.failures.total()
        ways = f" in {len(findings)} ways" if len(findings) > 1 else ""
        write(Text(f"{failed} call{'s' if failed > 1 else ''} failed{ways}.", "bold red"))

    def print_run(self, summary: Summary, first_seed: int, next_seed: int) -> None:
        """Print how long a run without end took, and how to continue or repeat it."""
        elapsed_s = monotonic() - self._started_s
        rate = summary.calls / elapsed_s
        speed = summary.total_seconds / elapsed_s
        if self._as_json:
            fields = {
                "event": "run",
                "first_seed": first_seed,
                "next_seed": next_seed,
                "calls": summary.calls,
                "elapsed_s": round(elapsed_s, 3),
                "calls_per_s": round(rate, 3),
                "times_real_time": round(speed, 1),
            }
            click.echo(json.dumps(fields))
            return
        hours = summary.total_seconds / 3600
        self._console.print(
            f"{hours:.1f} simulated hours in {elapsed_s:.0f} s: {rate:.1f} calls/s, {speed:.0f} "
            "times real time"
        )
        self._console.print(
            f"seeds {first_seed} to {next_seed - 1}; go on with --forever --seed {next_seed}"
        )


def _format_counts(counter: Counter[str]) -> str:
    ordered = sorted(counter.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} {times}" for name, times in ordered) or "none"

"""The report of a call that failed: the shortest story of what broke, the command that repeats the
call, and the file of its trace."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

from attrs import Factory, evolve, field, frozen

from ..recordings.show.page_file import PageFile
from ..sim.batch.batch import CallResult
from ..sim.batch.findings import invariant_text
from ..sim.batch.random_call import Failure

__all__ = ["FailureReport", "replace_control_characters", "write_trace"]

_MAX_STEPS: Final = 8
"""The most steps of a story that are printed: the last ones."""

_MAX_DECISIONS: Final = 12
"""The most decisions that are printed: a call that is shrunk has fewer."""

_WIDTH: Final = 96


@frozen
class FailureReport:
    """What is said of a failed call. `failure` is that of the call itself, and `shown` the one
    whose story is printed: that of the plainest of `tried` calls, if the call was shrunk.
    `test_command` writes the call as a regression test."""

    result: CallResult
    failure: Failure
    command: str
    test_command: str
    shown: Failure = field(default=Factory(lambda self: self.failure, takes_self=True))
    tried: int = 0
    trace_file: str | None = None
    trace_error: str | None = None
    page: PageFile | None = None
    """The page of the call that is shown, if one was asked for."""

    @property
    def title(self) -> str:
        """One line: the seed, and what is wrong."""
        return f"seed {self.result.seed} failed: {self.failure.text}"

    def lines(self) -> Iterator[str]:
        """Yield the lines after the title."""
        shown = self.shown
        yield from _wrap(invariant_text(self.failure))
        if self.tried:
            yield f"the plainest call that fails like it, of {self.tried} that were tried:"
        decisions = "; ".join(shown.decisions[:_MAX_DECISIONS])
        more = len(shown.decisions) - _MAX_DECISIONS
        yield from _wrap(f"drawn: {decisions or 'nothing'}{f'; {more} more' if more > 0 else ''}")
        hidden = len(shown.story) - _MAX_STEPS
        if hidden > 0:
            yield f"     … {hidden} steps before these …"
        for step in shown.story[-_MAX_STEPS:]:
            yield from step.splitlines()
        if shown.text != self.failure.text:
            yield from _wrap(f"then: {shown.text}")
        yield f"repeat: {self.command}"
        yield f"test:   {self.test_command}"
        if self.trace_file is not None:
            yield f"trace:  {self.trace_file}"
        if self.trace_error is not None:
            yield f"trace:  not written: {self.trace_error}"
        if self.page is not None:
            yield f"page:   {self.page.text}"

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        failure, shown = self.failure, self.shown
        return {
            "seed": self.result.seed,
            "level": self.result.level,
            "frame_ms": self.result.frame_ms,
            "scenario": self.result.scenario,
            "command": self.command,
            "test_command": self.test_command,
            "invariant": failure.invariant,
            "name": failure.name,
            "text": failure.text,
            "rule": invariant_text(failure),
            "calls_tried": self.tried,
            "decisions": shown.decisions,
            "story": [line for step in shown.story for line in step.splitlines()],
            "trace": failure.trace,
            "trace_file": self.trace_file,
            "page_file": None if self.page is None else self.page.file,
            "page_error": None if self.page is None else self.page.error,
        }

    def with_trace(self, path: Path) -> "FailureReport":
        """Write the trace of the call that is shown to a file, and return the report that names it,
        or says why there is none: a run does not end because of that."""
        try:
            write_trace(self, path)
            return evolve(self, trace_file=str(path))
        except OSError as error:
            return evolve(self, trace_error=(error.strerror or str(error)).lower())


def write_trace(report: FailureReport, path: Path) -> None:
    """Write all that is known of a failed call to a file, whose folder is created if need be.
    Raises `OSError`."""
    shown = report.shown
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [
        report.title,
        *report.lines(),
        "\nAll that was drawn:",
        *shown.decisions,
        "\nThe steps that matter:",
        *shown.story,
        "\nEvery step:",
        *shown.trace,
        f"\ninvariant {shown.invariant}: {shown.text}",
    ]
    path.write_text("".join(f"{each}\n" for each in parts), "utf-8")


def replace_control_characters(text: str) -> str:
    """Replace characters that could control a terminal; lines stay."""
    return "".join(
        each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text
    )


def _wrap(text: str) -> list[str]:
    return wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False) or [""]

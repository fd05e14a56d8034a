"""Prints how exact the reports of what was heard are, and writes it into the page on accuracy."""

import argparse
import re
import sys
from pathlib import Path
from statistics import fmean

from twilio_realtime.sim.line_profile import read_line_profile

from .figure import draw
from .measuring import Results, measure, quantile
from .study import study
from .words import study_words
from .worlds import WORLDS, World

DOCS = Path(__file__).parents[3] / "docs/explanation"
SENTENCES_SAID = 4_000
HEAD = " " * 34 + "mean    p50    p90    p95    p99   bias  refused  none"


def main() -> None:
    parser = argparse.ArgumentParser(prog="accuracy", description=__doc__)
    parser.add_argument("--calls", type=int, default=512, help="in each world")
    parser.add_argument("--world", action="append", help="only this one; nothing is written")
    parser.add_argument("--line", type=Path, help="the profile of a line, as the only world")
    parser.add_argument("--marks", action="store_true", help="study how many marks serve instead")
    parser.add_argument("--words", action="store_true", help="study the words that count as heard")
    arguments = parser.parse_args()
    if arguments.words:
        text = study_words(SENTENCES_SAID)
        say(text)
        page = DOCS / "barge-in.md"
        before = page.read_text("utf-8")
        after = re.sub(r"(?s)(?<=```text words\n).*?(?=\n```)", lambda _: text, before)
        page.write_text(after, "utf-8")
        return
    if arguments.marks:
        say(study(arguments.calls))
        return
    worlds = [each for each in WORLDS if not arguments.world or each.name in arguments.world]
    if arguments.line is not None:
        line = read_line_profile(arguments.line)
        worlds = [World("line", f"as {line.calls} recorded calls", line=line)]
    results = measure(arguments.calls, worlds)
    text = "\n\n".join(
        f"{world.name}: {world.what} ({len(next(iter(found.values())).errors)} interruptions)\n"
        + table(found)
        for world, found in zip(worlds, results.values(), strict=True)
    )
    say(text)
    if not arguments.world and arguments.line is None:
        page = DOCS / "accuracy.md"
        before = page.read_text("utf-8")
        after = re.sub(r"(?s)(?<=```text accuracy\n).*?(?=\n```)", lambda _: text, before)
        page.write_text(after, "utf-8")
        (DOCS / "accuracy.svg").write_text(draw(results), "utf-8")
        say(f"\nwrote {page.name} and accuracy.svg in docs/explanation/")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def table(found: dict[str, Results]) -> str:
    """A world's lines, the best first."""
    ordered = sorted(found.items(), key=lambda each: fmean(each[1].errors))
    return "\n".join([HEAD, *(line(name, each) for name, each in ordered)])


def line(name: str, found: Results) -> str:
    errors = found.errors
    quantiles = "".join(f"{quantile(errors, share):7.0f}" for share in (0.5, 0.9, 0.95, 0.99))
    refused = found.refused / max(1, found.truncates)
    none = found.silent / len(errors)
    return (
        f"{name:30}{fmean(errors):7.1f}{quantiles}{fmean(found.biases):+7.0f}"
        f"{refused:9.1%}{none:6.0%}"
    )


if __name__ == "__main__":
    main()

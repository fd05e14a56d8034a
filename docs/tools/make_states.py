"""Writes lifecycles.md from the tables of `twilio_realtime_core.machine.lifecycles`.

python docs/tools/make_states.py           writes the page
python docs/tools/make_states.py --check   fails if the page is out of date
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import frozen

from twilio_realtime_core.machine import lifecycles

PAGE = Path(__file__).parents[1] / "explanation/lifecycles.md"

INTRODUCTION = """\
# Lifecycles

Six things in a call have a lifecycle. Each is a table in
[`lifecycles.py`](../../src/twilio_realtime_core/machine/lifecycles.py), and nothing else decides
the transitions. An input without an arrow from a state changes nothing there, and is reported.

[`make_states.py`](../tools/make_states.py) writes this page from the tables; a test keeps it up to
date.
"""


@frozen
class Chapter:
    """A table, and what to call it."""

    title: str
    table: lifecycles.Table[Any, Any]
    states: type[Enum]
    inputs: type[Enum]


CHAPTERS = (
    Chapter("Stream", lifecycles.STREAM, lifecycles.StreamState, lifecycles.StreamInput),
    Chapter("Session", lifecycles.SESSION, lifecycles.SessionState, lifecycles.SessionInput),
    Chapter("Response", lifecycles.RESPONSE, lifecycles.ResponseState, lifecycles.ResponseInput),
    Chapter(
        "Slot",
        lifecycles.ACTIVE_RESPONSE,
        lifecycles.ActiveResponseState,
        lifecycles.ActiveResponseInput,
    ),
    Chapter("Turn", lifecycles.TURN, lifecycles.TurnState, lifecycles.TurnInput),
    Chapter(
        "Function call",
        lifecycles.FUNCTION_CALL,
        lifecycles.FunctionCallState,
        lifecycles.FunctionCallInput,
    ),
)


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *("\n".join(lines(chapter)) for chapter in CHAPTERS)])


def lines(chapter: Chapter) -> Iterator[str]:
    """A chapter: what has the lifecycles, the diagram, and what needs more words than its name."""
    yield f"## {chapter.title}"
    yield ""
    yield one_line(inspect.getdoc(chapter.states) or "")
    yield ""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield from (f"    {line}" for line in diagram(chapter))
    yield "```"
    yield ""
    for word, members in (("State", chapter.states), ("Input", chapter.inputs)):
        told = comments(members)
        if told:
            yield f"| {word} | |"
            yield "|---|---|"
            yield from (f"| {members[name].value} | {text} |" for name, text in told.items())
            yield ""


def diagram(chapter: Chapter) -> Iterator[str]:
    """The lines of the diagram. Inputs that lead the same way share an arrow."""
    first = next(iter(chapter.table))
    yield from (f'state "{state.value}" as {state.name}' for state in chapter.table)
    yield f"[*] --> {first.name}"
    for state, possible in chapter.table.items():
        ways: dict[Enum, list[str]] = {}
        for event, target in possible.items():
            ways.setdefault(target, []).append(event.value)
        for target, events in ways.items():
            yield f"{state.name} --> {target.name}: {', '.join(events)}"
        if not possible:
            yield f"{state.name} --> [*]"


def comments(members: type[Enum]) -> dict[str, str]:
    """The strings that stand below members of an enum in its source, by name of the member."""
    found: dict[str, str] = {}
    nodes = list(ast.walk(ast.parse(inspect.getsource(members))))
    for above, below in pairwise(nodes):
        match above, below:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = one_line(text)
            case _:
                pass
    return found


def one_line(text: str) -> str:
    """A docstring without its line breaks."""
    return " ".join(text.split())


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page():
        sys.exit(f"{PAGE.name} is out of date: run {sys.argv[0]}")

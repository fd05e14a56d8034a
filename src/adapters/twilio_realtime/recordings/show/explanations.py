"""Decisions of the bridge and their reasons in words: the docstrings of both enums."""

import ast
import inspect
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from itertools import pairwise

from twilio_realtime_core.machine.reasons import Decision, Reason

from .reader import RecordedReason

__all__ = ["explain_reason", "explanations_of"]


def explain_reason(reason: RecordedReason) -> str:
    """Return the sentence of a reason, and its name if this version does not know it."""
    known = _reasons().get((reason.decision, reason.reason))
    return f"{reason.decision}: {reason.reason}".replace("_", " ") if known is None else known


def explanations_of(reasons: Iterable[RecordedReason]) -> dict[str, dict[str, str]]:
    """Return the sentences of reasons by their names, for each decision; the sentence of the
    decision itself has an empty name. What this version does not know is left out."""
    found: dict[str, dict[str, str]] = {}
    for each in reasons:
        decision = _decisions().get(each.decision)
        sentence = _reasons().get((each.decision, each.reason))
        if decision is not None and sentence is not None:
            found.setdefault(each.decision, {"": decision})[each.reason] = sentence
    return found


@cache
def _decisions() -> Mapping[str, str]:
    sentences = _docstrings(Decision)
    return {each.value: sentences[each.name] for each in Decision if each.name in sentences}


@cache
def _reasons() -> Mapping[tuple[str, str], str]:
    sentences = _docstrings(Reason)
    return {
        (each.decision.value, each.label): sentences[each.name]
        for each in Reason
        if each.name in sentences
    }


def _docstrings(members: type[Enum]) -> dict[str, str]:
    """Return the strings that stand below members in the source, by name of the member; nothing
    where the package is installed without its source."""
    try:
        tree = ast.parse(inspect.getsource(members))
    except OSError:
        return {}
    found: dict[str, str] = {}
    for above, below in pairwise(ast.walk(tree)):
        match above, below:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split()).replace("`", "")
            case _:
                pass
    return found

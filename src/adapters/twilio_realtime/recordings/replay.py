"""Replay of a recording: a bridge receives the recorded inputs, and its actions are compared.

with open(path, encoding="utf-8") as file:
result = replay(file)
assert result.difference is None
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import frozen

from twilio_realtime_core import Bridge
from twilio_realtime_core.config.call import CallConfig

from ..errors import UsageError
from .bridge_wrapper import BridgeLike
from .format import check_header, check_outcome, check_reasons, decode_line
from .inputs import STEP_ERRORS, RecordedAnswers, decode_config, decode_object, prepare_step
from .recorder import Recorder
from .redactor import Redactor

__all__ = ["Difference", "ReplayResult", "compare_steps", "replay"]

_STEP_FIELDS: Final = (
    *("at_ns", "method", "arguments"),
    *("actions", "deadline_ns", "misuse", "raised", "unrecordable"),
)
"""The fields of a step that are compared."""


@frozen
class Difference:
    """The first step at which a bridge does not do what was recorded.

    `line` is the number of its line, from 1; `at_ns` its time since the call's start; `step_input`
    the method and its arguments as JSON. `recorded` and `replayed` are the outcomes: each action
    and the deadline as text; where these are alike, each field of the step as text.
    """

    line: int
    at_ns: int
    step_input: str
    recorded: tuple[str, ...]
    replayed: tuple[str, ...]

    @property
    def first_mismatch(self) -> tuple[str, str]:
        """The first part of the outcomes that differs: recorded, and replayed. `nothing` stands for
        a part that is missing."""
        longest = max(len(self.recorded), len(self.replayed))
        both = (
            each + ("nothing",) * (longest - len(each)) for each in (self.recorded, self.replayed)
        )
        pairs = zip(*both, strict=True)
        return next((pair for pair in pairs if pair[0] != pair[1]), ("nothing", "nothing"))


@frozen
class ReplayResult:
    """The result of a replay: the number of steps without a difference, and the difference that
    follows them, if any. `is_cut_off`: there is none, and no `CallEnded` either, since the
    recording ends before the call did."""

    steps: int
    difference: Difference | None = None
    is_cut_off: bool = False


def replay(
    lines: Iterable[str], make_bridge: Callable[[CallConfig], BridgeLike] = Bridge
) -> ReplayResult:
    """Run a bridge on the inputs of a recording, up to the first difference.

    A last line without its end was cut off by a crash, and is ignored. Raises `UsageError` for what
    is not a recording, or has another version of the format.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.endswith("\n"))
    replayed = deque[str](maxlen=1)
    answers = RecordedAnswers()
    recorder = _open_recording(next(numbered, (1, "")), make_bridge, replayed.append, answers)
    steps = 0
    for number, line in numbered:
        recorded = decode_object(number, line)
        if "unrecordable" in recorded:
            break
        try:
            check_reasons(recorded)
            check_outcome(recorded)
            repeat = prepare_step(recorder, recorded)
        except STEP_ERRORS as error:
            raise UsageError(f"line {number} is not a step of a recording: {error!r}") from None
        answers.step = recorded
        replayed.clear()
        with suppress(Exception):  # the recorder has written it
            repeat()
        if not replayed:
            what = "follows the end of a call" if steps else "is not the start of a call"
            raise UsageError(f"line {number} {what}: a recording has one call, from start to end")
        try:
            difference = compare_steps(number, recorded, decode_line(replayed[0]))
        except RecursionError:
            raise UsageError(f"line {number} is nested too deeply for a recording") from None
        if difference is not None:
            return ReplayResult(steps, difference)
        steps += 1
    return ReplayResult(steps, is_cut_off=not recorder.has_ended)


def _open_recording(
    first: tuple[int, str],
    make_bridge: Callable[[CallConfig], BridgeLike],
    write: Callable[[str], object],
    answers: RecordedAnswers,
) -> Recorder:
    """Make the bridge of a recording from its header, with a recorder that writes its steps."""
    header = decode_object(*first)
    check_header(header)
    try:
        config = decode_config(header, answers)
        redactor = Redactor(keep_audio=bool(header["has_audio"]))
        return Recorder(make_bridge(config), config, write, redactor)
    except STEP_ERRORS as error:
        raise UsageError(f"line 1 has no configuration of a call: {error!r}") from None


def compare_steps(
    number: int, recorded: Mapping[str, Any], replayed: Mapping[str, Any]
) -> Difference | None:
    """Return the difference between a step as it was recorded, on the line of this number, and as
    a bridge repeats it; `None`: there is none."""
    if _compared(recorded) == _compared(replayed):
        return None
    # Values may have got fields since the call was recorded.
    completed = Redactor().add_defaults(recorded)
    if _compared(completed) == _compared(replayed):
        return None
    both = _outcome_lines(completed), _outcome_lines(replayed)
    if both[0] == both[1]:
        both = _field_lines(completed), _field_lines(replayed)
    return Difference(number, recorded["at_ns"], _input_text(recorded), *both)


def _compared(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: step[name] for name in _STEP_FIELDS if name in step}


def _input_text(step: Mapping[str, Any]) -> str:
    return json.dumps([step["method"], *step["arguments"]])


def _field_lines(step: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of a step that are compared, as text: a line for each."""
    return tuple(
        f"{name} {json.dumps(step[name])}" if name in step else f"no {name}"
        for name in _STEP_FIELDS
    )


def _outcome_lines(step: Mapping[str, Any]) -> tuple[str, ...]:
    """The outcome of a step as text: a line for each action, and the deadline after it."""
    if step.get("misuse"):
        return ("misuse",)
    if "unrecordable" in step:
        return (f"a step that cannot be recorded: {step['unrecordable']}",)
    if "raised" in step:
        return (f"raised {step['raised']}",)
    actions = (json.dumps(each) for each in step.get("actions", ()))
    return (*actions, f"deadline {step.get('deadline_ns')}")

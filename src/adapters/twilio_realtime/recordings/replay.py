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
from twilio_realtime_core.errors import LocalProtocolError

from ..errors import UsageError
from .bridge_wrapper import BridgeLike
from .format import check_header, check_reasons, decode_line
from .inputs import RecordedAnswers, decode_config, decode_object, prepare_step
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
    and the deadline as text.
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
        return next(pair for pair in zip(*both, strict=True) if pair[0] != pair[1])


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
            repeat = prepare_step(recorder, recorded)
        except (AttributeError, KeyError, TypeError, ValueError, LocalProtocolError) as error:
            raise UsageError(f"line {number} is not a step of a recording: {error!r}") from None
        answers.step = recorded
        replayed.clear()
        with suppress(Exception):  # the recorder has written it
            repeat()
        if not replayed:
            what = "follows the end of a call" if steps else "is not the start of a call"
            raise UsageError(f"line {number} {what}: a recording has one call, from start to end")
        difference = compare_steps(number, recorded, decode_line(replayed[0]))
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
    except (AttributeError, KeyError, TypeError, ValueError, LocalProtocolError) as error:
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
    step_input = json.dumps([recorded["method"], *recorded["arguments"]])
    return Difference(
        number, recorded["at_ns"], step_input, _outcome_lines(completed), _outcome_lines(replayed)
    )


def _compared(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: step[name] for name in _STEP_FIELDS if name in step}


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

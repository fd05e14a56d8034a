"""Replay of a recording: a bridge receives the recorded inputs, and its actions are compared.

with open(path, encoding="utf-8") as file:
result = replay(file)
assert result.difference is None
"""

import json
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from attrs import define, evolve, field, frozen

from twilio_realtime_core import Bridge
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.config.interruption_policy import InterruptionAttempt
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Notify, Peer
from twilio_realtime_core.notifications import InterruptionBlocked
from twilio_realtime_core.values.block_cause import BlockCause

from ..errors import UsageError
from .format import check_header, check_reasons, decode_line
from .recorder import BridgeLike, Recorder
from .redactor import Redactor, decode_value

__all__ = ["Difference", "ReplayResult", "replay"]

_STEP_FIELDS: Final = (
    *("at_ns", "method", "arguments"),
    *("actions", "deadline_ns", "misuse", "raised", "unrecordable"),
)
"""The fields of a step that are compared."""

_BLOCKED_BY_APPLICATION: Final = Redactor().encode(
    Notify(InterruptionBlocked(BlockCause.APPLICATION))
)


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
    answers = _RecordedAnswers()
    recorder = _open_recording(next(numbered, (1, "")), make_bridge, replayed.append, answers)
    steps = 0
    for number, line in numbered:
        recorded = _decode_object(number, line)
        if "unrecordable" in recorded:
            break
        try:
            check_reasons(recorded)
            repeat = _prepare_step(recorder, recorded)
        except (AttributeError, KeyError, TypeError, ValueError, LocalProtocolError) as error:
            raise UsageError(f"line {number} is not a step of a recording: {error!r}") from None
        answers.step = recorded
        replayed.clear()
        with suppress(Exception):  # the recorder has written it
            repeat()
        if not replayed:
            what = "follows the end of a call" if steps else "is not the start of a call"
            raise UsageError(f"line {number} {what}: a recording has one call, from start to end")
        difference = _compare(number, recorded, decode_line(replayed[0]))
        if difference is not None:
            return ReplayResult(steps, difference)
        steps += 1
    return ReplayResult(steps, is_cut_off=not recorder.has_ended)


@define(eq=False)
class _RecordedAnswers:
    """The answers of the application's predicate, derived from the recorded steps: it refused an
    interruption if the step notified that, and raised if the step did."""

    step: Mapping[str, Any] = field(init=False, factory=dict[str, Any])
    """The step that is being replayed, as recorded."""

    def predicate(self, attempt: InterruptionAttempt) -> bool:
        """Answer as the recorded predicate did."""
        del attempt
        if "raised" in self.step:
            raise type(self.step["raised"], (Exception,), {})
        return _BLOCKED_BY_APPLICATION not in self.step.get("actions", ())


def _open_recording(
    first: tuple[int, str],
    make_bridge: Callable[[CallConfig], BridgeLike],
    write: Callable[[str], object],
    answers: _RecordedAnswers,
) -> Recorder:
    """Make the bridge of a recording from its header, with a recorder that writes its steps."""
    header = _decode_object(*first)
    check_header(header)
    try:
        config: CallConfig = decode_value(header["config"])
        if config.interruption.predicate is not None:
            policy = evolve(config.interruption, predicate=answers.predicate)
            config = evolve(config, interruption=policy)
        redactor = Redactor(keep_audio=bool(header["has_audio"]))
        return Recorder(make_bridge(config), config, write, redactor)
    except (AttributeError, KeyError, TypeError, ValueError, LocalProtocolError) as error:
        raise UsageError(f"line 1 has no configuration of a call: {error!r}") from None


def _decode_object(number: int, line: str) -> dict[str, Any]:
    try:
        data = decode_line(line)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"line {number} is not a JSON object: this is not a recording")
    return cast("dict[str, Any]", data)


def _prepare_step(recorder: Recorder, step: Mapping[str, Any]) -> Callable[[], object]:
    """Return a function that repeats a recorded step."""
    now = step["at_ns"]
    if not isinstance(now, int):
        raise TypeError("`at_ns` is not a whole number")
    match step["method"], step["arguments"]:
        case "start" | "handle_timeout" as method, []:
            return partial(getattr(recorder, method), now)
        case "opened", [peer]:
            return partial(recorder.opened, _peer_named(peer), now)
        case "receive_text", [peer, str(text)]:
            return partial(recorder.receive_text, _peer_named(peer), text, now)
        case "pong", [peer, str(payload)]:
            return partial(recorder.pong, _peer_named(peer), bytes.fromhex(payload), now)
        case "closed", [peer, int(code), str(reason)]:
            return partial(recorder.closed, _peer_named(peer), code, reason, now)
        case "send", [command]:
            return partial(recorder.send, decode_value(command), now)
        case method, _:
            raise ValueError(f"no method {method!r} with these arguments")


def _peer_named(name: str) -> Hashable:
    return Peer(name) if name in [each.value for each in Peer] else name


def _compare(
    number: int, recorded: Mapping[str, Any], replayed: Mapping[str, Any]
) -> Difference | None:
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

"""A recorded call under another configuration: where the bridge would have done something else.

Two bridges get the recorded inputs: one with the recorded configuration, one with the other. The
timers of the other one expire at its deadlines. Peers are not simulated: once the other bridge
sends something else, what the recording holds of them is no longer an answer to it.

One part of a configuration is known to the server, and matters only when the caller speaks: whether
it interrupts by itself. What the server confirms of it is changed to what the other bridge has
sent, and up to the caller's first speech during a response the recording stays an answer.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from attrs import define, field, frozen

from twilio_realtime_core import Bridge
from twilio_realtime_core.commands import Configure
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.machine.units import MS

from ..errors import UsageError
from .bridge_wrapper import BridgeLike
from .config_settings import ConfigSetting, apply_settings
from .encoded_actions import (
    comparable_action,
    describe_difference,
    event_of,
    is_sent,
    messages_of,
    outcome_of,
    reasons_of,
    turn_detection_of,
    type_of,
)
from .format import check_header, check_outcome, check_reasons, decode_line
from .inputs import STEP_ERRORS, RecordedAnswers, decode_config, decode_object, prepare_step
from .recorder import Recorder
from .redactor import Redactor, decode_value
from .replay import compare_steps

__all__ = [
    "MAX_DIFFERENCES",
    "Hypothetical",
    "WhatIf",
    "WhatIfDifference",
    "what_if",
]

MAX_DIFFERENCES: Final = 200
"""Steps that differ and are kept in full: a call that takes another course differs in most steps
from there on."""

_SPEECH_STARTED: Final = "input_audio_buffer.speech_started"
_CONFIRMATIONS: Final = ("session.created", "session.updated")

_Step = Mapping[str, Any]


@frozen
class WhatIfDifference:
    """A step in which the bridge would have done something else.

    `line` is its number in the file; for a timer of the other configuration alone (`is_extra`),
    that of the step before which it expires. `at_ns` is the time since the call's start,
    `step_input` the method and its arguments as JSON. `recorded` and `other` are the actions under
    both configurations, as JSON; the reasons are pairs of a decision and its reason.
    `is_hypothetical`: it follows what peers may have answered otherwise.
    """

    line: int
    at_ns: int
    step_input: str
    recorded: tuple[str, ...]
    other: tuple[str, ...]
    recorded_reasons: tuple[tuple[str, str], ...]
    other_reasons: tuple[tuple[str, str], ...]
    is_extra: bool = False
    is_hypothetical: bool = False

    @property
    def left_out(self) -> tuple[str, ...]:
        """The recorded actions that are not taken under the other configuration."""
        return tuple(each for each in self.recorded if each not in self.other)

    @property
    def added(self) -> tuple[str, ...]:
        """The actions that are taken under the other configuration alone."""
        return tuple(each for each in self.other if each not in self.recorded)

    def to_json(self) -> dict[str, Any]:
        """Return the difference as an object for programs."""
        return {
            "line": self.line,
            "at_ms": self.at_ns / MS,
            "input": self.step_input,
            "extra": self.is_extra,
            "hypothetical": self.is_hypothetical,
            "recorded": list(self.recorded),
            "other": list(self.other),
            "recorded_why": [": ".join(each) for each in self.recorded_reasons],
            "other_why": [": ".join(each) for each in self.other_reasons],
        }


@frozen
class Hypothetical:
    """From where on the recording cannot tell what peers would have answered: the step after which
    their messages are no longer answers to what the bridge sends, and why."""

    line: int
    at_ns: int
    cause: str

    def to_json(self) -> dict[str, Any]:
        """Return it as an object for programs."""
        return {"line": self.line, "at_ms": self.at_ns / MS, "cause": self.cause}


@frozen
class WhatIf:
    """The result of a replay under another configuration.

    `steps` are those of the recording, `different_steps` how many of them, and of timers, differ;
    `differences` are the first `MAX_DIFFERENCES` of those. `is_cut_off`: the recording ends before
    its call. `differs_from_recording` is the line from which on this version of the bridge does not
    do what was recorded, even under the recorded configuration; `None`: it does.
    `server_interrupts`: whether the server interrupts by itself under the other configuration;
    `None`: as recorded. That alone counts as no difference.
    """

    settings: tuple[str, ...]
    steps: int
    different_steps: int
    differences: tuple[WhatIfDifference, ...]
    hypothetical: Hypothetical | None
    is_cut_off: bool
    differs_from_recording: int | None
    server_interrupts: bool | None

    def to_json(self) -> dict[str, Any]:
        """Return the result as an object for programs."""
        return {**self.figures(), "differences": [each.to_json() for each in self.differences]}

    def figures(self) -> dict[str, Any]:
        """Return the result as an object for programs, without what was said: when the steps
        differ, and not how."""
        return {
            "settings": list(self.settings),
            "steps": self.steps,
            "different_steps": self.different_steps,
            "different_at_ms": [each.at_ns / MS for each in self.differences],
            "hypothetical": None if self.hypothetical is None else self.hypothetical.to_json(),
            "cut_off": self.is_cut_off,
            "differs_from_recording": self.differs_from_recording,
            "server_interrupts": self.server_interrupts,
        }


def what_if(
    lines: Iterable[str],
    settings: Iterable[ConfigSetting],
    make_bridge: Callable[[CallConfig], BridgeLike] = Bridge,
) -> WhatIf:
    """Replay a recording under another configuration, to its end.

    Raises `UsageError` for settings that do not fit, for what is not a recording, and for another
    version of the format.
    """
    comparison = _Comparison(lines, tuple(settings), make_bridge)
    comparison.run()
    return comparison.result


@define(eq=False)
class _Run:
    """A bridge that repeats the steps of a recording."""

    recorder: Recorder
    written: deque[str]
    answers: RecordedAnswers
    now: int = field(init=False, default=0)

    @classmethod
    def create(
        cls,
        config: CallConfig,
        make_bridge: Callable[[CallConfig], BridgeLike],
        answers: RecordedAnswers,
        *,
        keep_audio: bool,
    ) -> "_Run":
        written = deque[str](maxlen=1)
        redactor = Redactor(keep_audio=keep_audio)
        return cls(
            Recorder(make_bridge(config), config, written.append, redactor), written, answers
        )

    @property
    def deadline(self) -> int | None:
        return None if self.recorder.has_ended else self.recorder.deadline

    def repeat(self, step: _Step) -> _Step:
        """Repeat a step; returns what is recorded of it, nothing after the end of the call."""
        self.now = max(self.now, step["at_ns"])
        return self._call(prepare_step(self.recorder, {**step, "at_ns": self.now}))

    def expire(self, now: int) -> _Step:
        """Have the timers expire."""
        self.now = max(self.now, now)
        return self._call(lambda: self.recorder.handle_timeout(self.now))

    def _call(self, method: Callable[[], object]) -> _Step:
        self.written.clear()
        with suppress(Exception):  # the recorder has written it
            method()
        return cast("_Step", decode_line(self.written[0])) if self.written else {}


@define(eq=False)
class _Comparison:
    """Two bridges on the inputs of a recording."""

    _lines: Iterable[str]
    _settings: tuple[ConfigSetting, ...]
    _make_bridge: Callable[[CallConfig], BridgeLike]
    _steps: int = field(init=False, default=0)
    _count: int = field(init=False, default=0)
    _differences: list[WhatIfDifference] = field(init=False, factory=list[WhatIfDifference])
    _hypothetical: Hypothetical | None = field(init=False, default=None)
    _differs_at: int | None = field(init=False, default=None)
    _active: set[str] = field(init=False, factory=set[str])
    """The responses that are being generated in the recording."""
    _interrupts: list[object] = field(init=False, factory=lambda: list[object]([True, True]))
    """Whether the server interrupts by itself, as the recorded and the other bridge sent it last;
    it does by default."""
    _recorded: _Run = field(init=False)
    _other: _Run = field(init=False)

    def run(self) -> None:
        """Compare all steps."""
        numbered = ((at, line) for at, line in enumerate(self._lines, 1) if line.endswith("\n"))
        self._open(decode_object(*next(numbered, (1, ""))))
        for number, line in numbered:
            step = decode_object(number, line)
            if "unrecordable" in step:
                break
            try:
                check_reasons(step)
                check_outcome(step)
                self._compare(number, step)
            except STEP_ERRORS as error:
                if isinstance(error, UsageError):
                    raise
                raise UsageError(f"line {number} is not a step of a recording: {error!r}") from None

    @property
    def result(self) -> WhatIf:
        return WhatIf(
            tuple(f"{each.name}={each.value}" for each in self._settings),
            self._steps,
            self._count,
            tuple(self._differences),
            self._hypothetical,
            not self._recorded.recorder.has_ended,
            self._differs_at,
            None if self._interrupts[0] == self._interrupts[1] else bool(self._interrupts[1]),
        )

    def _open(self, header: _Step) -> None:
        check_header(header)
        answers = RecordedAnswers()
        try:
            config = decode_config(header, answers)
            keep_audio = bool(header["has_audio"])
        except STEP_ERRORS as error:
            raise UsageError(f"line 1 has no configuration of a call: {error!r}") from None
        other = apply_settings(config, self._settings)
        make = self._make_bridge
        self._recorded = _Run.create(config, make, answers, keep_audio=keep_audio)
        self._other = _Run.create(other, make, answers, keep_audio=keep_audio)

    def _compare(self, number: int, step: _Step) -> None:
        if self._recorded.recorder.has_ended:
            raise ValueError("it follows the end of a call")
        self._expire_timers(number, step["at_ns"])
        self._recorded.answers.step = step
        recorded = self._recorded.repeat(step)
        if not recorded:
            raise ValueError("it is not the start of a call")
        if self._differs_at is None and compare_steps(number, step, recorded) is not None:
            self._differs_at = number
        is_hypothetical = self._hypothetical is not None  # this step's input is still an answer
        self._note_speech(number, step)
        other = self._other.repeat(self._adapted(step))
        self._add(number, step, recorded, other, is_hypothetical=is_hypothetical)
        self._steps += 1

    def _expire_timers(self, number: int, until_ns: int) -> None:
        """Have the timers of the other bridge expire that the recorded one does not have. Those
        that both have expire in the recorded steps, as late as the driver was."""
        while (due_ns := self._other.deadline) is not None and due_ns < until_ns:
            if due_ns == self._recorded.deadline:
                return
            done = self._other.expire(due_ns)
            step: _Step = {"at_ns": self._other.now, "method": "handle_timeout", "arguments": ()}
            is_hypothetical = self._hypothetical is not None
            self._add(number, step, {}, done, is_hypothetical=is_hypothetical, is_extra=True)

    def _add(
        self,
        number: int,
        step: _Step,
        recorded: _Step,
        other: _Step,
        *,
        is_hypothetical: bool,
        is_extra: bool = False,
    ) -> None:
        """Compare the outcomes of a step."""
        both = [outcome_of(recorded), outcome_of(other)]
        self._note_interruption_by_server(both)
        comparable = [list(map(comparable_action, actions)) for actions in both]
        if comparable[0] == comparable[1]:
            return
        sent = [[each for each in actions if is_sent(each)] for actions in comparable]
        if sent[0] != sent[1]:
            self._mark_hypothetical(number, step, describe_difference(*sent))
        self._count += 1
        if len(self._differences) < MAX_DIFFERENCES:
            step_input = json.dumps([step["method"], *step["arguments"]])
            actions = [tuple(map(json.dumps, each)) for each in both]
            reasons = [reasons_of(each) for each in (recorded, other)]
            self._differences.append(
                WhatIfDifference(
                    *(number, step["at_ns"], step_input, actions[0], actions[1]),
                    *(reasons[0], reasons[1], is_extra, is_hypothetical),
                )
            )

    # From where on peers might have answered something else.

    def _note_interruption_by_server(self, both: list[list[Any]]) -> None:
        for at, actions in enumerate(both):
            for message in messages_of(actions):
                detection = (
                    turn_detection_of(message) if type_of(message) == "session.update" else None
                )
                if detection is not None:
                    self._interrupts[at] = detection.get("interrupt_response", True)

    def _note_speech(self, number: int, step: _Step) -> None:
        """Note whether the server, by its own interruption, may have ended a response."""
        event = event_of(step)
        match event:
            case {"type": "response.created", "response": {"id": str(response_id)}}:
                self._active.add(response_id)
            case {"type": "response.done", "response": {"id": str(response_id)}}:
                self._active.discard(response_id)
            case {"type": kind} if kind == _SPEECH_STARTED:
                if self._active and self._interrupts[0] != self._interrupts[1]:
                    ends = "ends" if self._interrupts[1] else "does not end"
                    cause = f"the server {ends} its response by itself when the caller speaks"
                    self._mark_hypothetical(number, step, cause)
            case _:
                pass

    def _mark_hypothetical(self, number: int, step: _Step, cause: str) -> None:
        if self._hypothetical is None:
            self._hypothetical = Hypothetical(number, step["at_ns"], cause)

    # What the other bridge gets in place of a recorded input.

    def _adapted(self, step: _Step) -> _Step:
        command = step["arguments"][0] if step["method"] == "send" else None
        match command:
            case {"@": "Configure"}:
                configure: Configure = decode_value(command)
                given = [
                    each
                    for each in self._settings
                    if getattr(configure, each.path[0], None) is not None
                ]
                return {**step, "arguments": [Redactor().encode(apply_settings(configure, given))]}
            case _:
                return self._confirmed(step)

    def _confirmed(self, step: _Step) -> _Step:
        event = event_of(step)
        detection = turn_detection_of(event) if type_of(event) in _CONFIRMATIONS else None
        if detection is None or self._interrupts[0] == self._interrupts[1]:
            return step
        detection["interrupt_response"] = self._interrupts[1]
        return {**step, "arguments": [step["arguments"][0], json.dumps(event)]}

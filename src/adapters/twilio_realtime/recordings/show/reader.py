"""The steps of a recording as values, with the estimates of the bridge at each of them.

What happened is taken from the recording. A bridge that receives the same inputs gives what the
recording does not hold: how far each source was played by its estimate. Where that bridge acts in
another way than the recorded one, the estimates end.

A recording may be cut off at any byte: what comes before is read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, unique
from typing import Any, Final, TypeAlias, cast

from attrs import define, field, frozen

from twilio_realtime_core import Bridge
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.machine.actions import TWILIO, Action, Notify, Send, kind_of
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import CallEnded
from twilio_realtime_core.protocols import realtime, twilio
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ...errors import UsageError
from ..format import check_header, check_outcome, check_reasons
from ..inputs import (
    STEP_ERRORS,
    RecordedAnswers,
    decode_config,
    decode_object,
    peer_named,
    prepare_step,
)
from ..redactor import decode_value

__all__ = [
    "Positions",
    "RecordedReason",
    "RecordingEnding",
    "RecordingReader",
    "ShownStep",
    "UnknownAction",
    "session_number",
]

_LONGEST_CALL_NS: Final = 25 * 3600 * SECOND
"""Twilio ends a call after 24 hours
(https://www.twilio.com/docs/voice/api/call-resource, `time_limit`)."""

Positions: TypeAlias = tuple[PlaybackPosition, ...]


@unique
class RecordingEnding(Enum):
    """How a recording ends."""

    COMPLETE = "complete"
    CUT_OFF = "cut off"
    """It ends before the call does."""
    DAMAGED = "damaged"
    """A line is not a step; what follows it is left out."""
    UNRECORDABLE = "unrecordable"
    """A step could not be recorded."""


@frozen
class RecordedReason:
    """Why the bridge decided as it did where it had a choice; both are names in `snake_case`."""

    decision: str
    reason: str


@frozen
class UnknownAction:
    """An action that this version does not know, as recorded."""

    data: Any


@frozen
class ShownStep:
    """A step of a recording: `line` is its number in the file, `at_ns` the time since the call's
    start.

    `peer` is the name of the peer of an input; `event` is the input as a value: the event of a
    message, the command of the application, or `None`. `before` are the positions at this time,
    before the step, and `after` those after it, if it sent audio; `None`: they are not known.
    """

    line: int
    at_ns: int
    method: str
    arguments: tuple[Any, ...]
    peer: str | None
    event: object
    actions: tuple[object, ...]
    raw_actions: tuple[Any, ...]
    reasons: tuple[RecordedReason, ...]
    problem: str | None
    """`misuse`, or the type of the exception that the step raised."""
    before: Positions | None
    after: Positions | None


@define(eq=False)
class RecordingReader:
    """Reads the lines of a recording, as bytes; a line without an end is cut off.

    Raises `UsageError` at once for what is not a recording, or has another version of the format.
    After the iteration, `ending` and `differs_at` say how it ended.
    """

    _lines: Iterable[bytes]
    _make_bridge: Callable[[CallConfig], Bridge] = Bridge
    header: Mapping[str, Any] = field(init=False)
    config: CallConfig = field(init=False)
    ending: RecordingEnding = field(init=False, default=RecordingEnding.CUT_OFF)
    ending_line: int = field(init=False, default=1)
    """The number of the last line that was read."""
    ending_detail: str = field(init=False, default="")
    differs_at: tuple[int, int] | None = field(init=False, default=None)
    """The line and the time (ns) from which on the estimates are not known."""
    _bridge: Bridge | None = field(init=False)
    _answers: RecordedAnswers = field(init=False, factory=RecordedAnswers)
    _numbered: Iterator[tuple[int, bytes]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._numbered = enumerate(self._lines, 1)
        _, first = next(self._numbered, (1, b""))
        if not first.endswith(b"\n"):
            if first.startswith(b'{"format":"twilio-realtime-call"'):
                raise UsageError("the recording is cut off in its first line: it has no call")
            first += b"\n"
        self.header = decode_object(1, _decode_text(1, first))
        check_header(self.header)
        try:
            self.config = decode_config(self.header, self._answers)
            self._bridge = self._make_bridge(self.config)
        except STEP_ERRORS as error:
            raise UsageError(f"line 1 has no configuration of a call: {error!r}") from None

    @property
    def has_audio(self) -> bool:
        """Whether the recording has kept what was said."""
        return bool(self.header.get("has_audio"))

    def __iter__(self) -> Iterator[ShownStep]:
        """Yield the steps in order, up to the end of the call or of what can be read."""
        last_ns = 0
        for number, line in self._numbered:
            if not line.endswith(b"\n"):
                return
            self.ending_line = number
            try:
                data = decode_object(number, _decode_text(number, line))
                if "unrecordable" in data:
                    self.ending = RecordingEnding.UNRECORDABLE
                    self.ending_detail = str(data["unrecordable"])[:64]
                    return
                check_reasons(data)
                check_outcome(data)
                step = self._read_step(number, data)
                if not last_ns <= step.at_ns <= _LONGEST_CALL_NS:
                    raise ValueError("time runs backwards, or far ahead")
            except (UsageError, *STEP_ERRORS):
                self.ending = RecordingEnding.DAMAGED
                return
            last_ns = step.at_ns
            yield step
            if any(isinstance(each, Notify) and _is_end(each) for each in step.actions):
                self.ending = RecordingEnding.COMPLETE
                return

    def _read_step(self, number: int, data: Mapping[str, Any]) -> ShownStep:
        at_ns, method = data["at_ns"], data["method"]
        arguments: tuple[Any, ...] = tuple(data["arguments"])
        raw_actions: tuple[Any, ...] = tuple(data.get("actions", ()))
        if type(at_ns) is not int or not isinstance(method, str):
            raise TypeError("`at_ns` or `method`")
        actions = tuple(map(_decode_action, raw_actions))
        peer, event = _decode_input(method, arguments)
        before = None if self._bridge is None else self._positions(at_ns)
        self._repeat(number, data)
        has_sent = any(isinstance(each, Send) and each.peer is TWILIO for each in actions)
        after = self._positions(at_ns) if has_sent and self._bridge is not None else None
        problem = "misuse" if data.get("misuse") else data.get("raised")
        return ShownStep(
            *(number, at_ns, method, arguments, peer, event, actions, raw_actions),
            tuple(RecordedReason(each["decision"], each["reason"]) for each in data.get("why", ())),
            *(None if problem is None else str(problem)[:64], before, after),
        )

    def _positions(self, at_ns: int) -> Positions | None:
        return None if self._bridge is None else self._bridge.playback_positions(at_ns)

    def _repeat(self, number: int, data: Mapping[str, Any]) -> None:
        """Repeat a step; without a bridge from the first step on at which it acts otherwise."""
        if self._bridge is None:
            return
        self._answers.step = data
        repeat = prepare_step(self._bridge, data)
        is_expected = "misuse" in data or "raised" in data
        try:
            actions = cast("list[Action]", repeat())
        except Exception:  # a bug of the recorded bridge, or of this one
            is_equal = is_expected
        else:
            kinds = [_kind_of_recorded(each) for each in data.get("actions", ())]
            is_equal = not is_expected and kinds == [_kind_of_action(each) for each in actions]
        if not is_equal:
            self._bridge = None
            self.differs_at = number, data["at_ns"]


def session_number(peer: object) -> int:
    """Return the number of the session of the model, from 1, by the name of its connection."""
    _, _, number = str(peer).partition("-")
    return int(number) if number.isdecimal() else 1


def _decode_text(number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        where = "this" if number == 1 else f"line {number}"
        raise UsageError(f"{where} is not text: a recording is text in UTF-8") from None


def _is_end(action: Notify) -> bool:
    return isinstance(action.event, CallEnded)


def _decode_input(method: str, arguments: tuple[Any, ...]) -> tuple[str | None, object]:
    match method, arguments:
        case "receive_text", ("twilio", str(text)):
            return "twilio", twilio.decode(text)
        case "receive_text", (str(peer), str(text)):
            return peer, realtime.decode(text)
        case "send", (command,):
            return None, decode_value(command)
        case "opened" | "pong" | "closed" | "refused", (str(peer), *_):
            return peer, None
        case _:
            return None, None


def _decode_action(data: Any) -> object:
    try:
        match data:
            case {"@": "Send", "peer": str(peer), "message": message}:
                return Send(peer_named(peer), _decode_message(message))
            case _:
                return decode_value(data)
    except STEP_ERRORS:
        return UnknownAction(data)


def _decode_message(message: Any) -> Any:
    match message:
        case {"event": "media", "streamSid": str(sid), "media": {"payload": str(payload)}}:
            return twilio.Media(sid, payload)
        case {"event": "mark", "streamSid": str(sid), "mark": {"name": str(name)}}:
            return twilio.Mark(sid, name)
        case {"event": "clear", "streamSid": str(sid)}:
            return twilio.Clear(sid)
        case {"type": "input_audio_buffer.append", "audio": str(audio)}:
            return realtime.AppendAudio(audio)
        case _:
            return realtime.client_event(message)


def _kind_of_recorded(data: Any) -> object:
    match data:
        case {"@": "Send", "peer": peer, "message": {"event": kind} | {"type": kind}}:
            return ("Send", peer, kind)
        case {"@": "Notify", "event": {"@": kind}}:
            return ("Notify", kind)
        case {"@": kind}:
            return kind
        case _:
            return None


_TWILIO_KINDS: Final[Mapping[type, str]] = {
    twilio.Media: "media",
    twilio.Mark: "mark",
    twilio.Clear: "clear",
}


def _kind_of_action(action: Action) -> object:
    match action:
        case Send(peer, message):
            kind = _TWILIO_KINDS.get(type(message)) or getattr(message, "type", None)
            name = str(peer) if kind_of(peer) is not peer else getattr(peer, "value", peer)
            return ("Send", name, kind)
        case Notify(event):
            return ("Notify", type(event).__name__)
        case _:
            return type(action).__name__

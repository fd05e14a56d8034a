"""The messages of a call for people: those of both protocols, commands and notifications.

Audio is summarised: messages of one kind that follow each other closely become one entry of at most
a second.
"""

import json
from collections.abc import Iterator
from enum import Enum, unique
from typing import Any, Final, cast

from attrs import define, evolve, field, frozen

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.protocols import realtime, twilio

from .reader import RecordedReason, ShownStep, session_number

__all__ = ["Direction", "MessageEntry", "Messages", "describe_data", "is_repetition"]

_LONGEST_RUN_NS: Final = SECOND
_LONGEST_GAP_NS: Final = 100 * MS

_MAX_STRING_CHARACTERS: Final = 1_000
_MAX_ENTRY_CHARACTERS: Final = 4_000
"""Longer ones are shortened: the page of an hour has to stay small."""
_MAX_DEPTH: Final = 12

_LEFT_OUT: Final = frozenset({"AgentAudio", "RealtimeEvent", "TwilioMessage", "TypedRealtimeEvent"})
"""Notifications that only repeat a message."""


@unique
class Direction(Enum):
    """Between whom a message goes."""

    FROM_TWILIO = "from Twilio"
    TO_TWILIO = "to Twilio"
    FROM_MODEL = "from the model"
    TO_MODEL = "to the model"
    COMMAND = "command of the application"
    NOTIFICATION = "notification of the application"
    LINK = "connection"


@frozen
class MessageEntry:
    """A message, or a run of messages with audio: `count` of them from `at_ns` to `end_ns`, with
    `samples` of audio. `line` is that of the recording, `session` the number of the model's."""

    at_ns: int
    end_ns: int
    direction: Direction
    kind: str
    text: str = field(default="", repr=False)
    line: int = 0
    session: int = 1
    count: int = 1
    samples: int = 0
    reasons: tuple[RecordedReason, ...] = ()


@define(eq=False)
class Messages:
    """Takes steps in order."""

    entries: list[MessageEntry] = field(init=False, factory=list[MessageEntry])
    _runs: dict[tuple[Direction, str, int], int] = field(
        init=False, factory=dict[tuple[Direction, str, int], int]
    )
    """The entry of the latest run of each kind, by its index."""

    def add_step(self, step: ShownStep) -> None:
        """Take a step."""
        first = len(self.entries)
        for each in _input_entries(step):
            self._add(each)
        for data in step.raw_actions:
            for each in _action_entries(step, data):
                self._add(each)
        if step.reasons:
            if len(self.entries) == first:
                names = ", ".join(each.decision.replace("_", " ") for each in step.reasons)
                entry = MessageEntry(step.at_ns, step.at_ns, Direction.LINK, names, line=step.line)
                self.entries.append(entry)
            self.entries[-1] = evolve(self.entries[-1], reasons=step.reasons)

    def _add(self, entry: MessageEntry) -> None:
        if not entry.samples:
            self.entries.append(entry)
            return
        key = entry.direction, entry.kind, entry.session
        index = self._runs.get(key)
        if index is not None:
            run = self.entries[index]
            is_near = entry.at_ns - run.end_ns <= _LONGEST_GAP_NS
            if is_near and entry.at_ns - run.at_ns < _LONGEST_RUN_NS:
                self.entries[index] = evolve(
                    run,
                    end_ns=entry.at_ns,
                    count=run.count + 1,
                    samples=run.samples + entry.samples,
                )
                return
        self._runs[key] = len(self.entries)
        self.entries.append(entry)


def _input_entries(step: ShownStep) -> Iterator[MessageEntry]:
    at_ns, line = step.at_ns, step.line
    match step.method, step.event, step.arguments:
        case "receive_text", twilio.MediaEvent(media=twilio.MediaBody(payload=payload)), _:
            samples = count_samples(payload) or 0
            yield MessageEntry(
                *(at_ns, at_ns, Direction.FROM_TWILIO, "media"), line=line, samples=samples
            )
        case "receive_text", realtime.OutputAudioDeltaEvent(delta=delta), _:
            kind, samples = "response.output_audio.delta", count_samples(delta) or 0
            yield MessageEntry(
                *(at_ns, at_ns, Direction.FROM_MODEL, kind),
                line=line,
                samples=samples,
                session=session_number(step.peer),
            )
        case "receive_text", _, (peer, str(text)):
            direction = Direction.FROM_TWILIO if peer == "twilio" else Direction.FROM_MODEL
            data = _parse(text)
            yield MessageEntry(
                *(at_ns, at_ns, direction, _kind_of(data), describe_data(data), line),
                session=session_number(step.peer),
            )
        case "send", _, (data,):
            kind = _class_of(data)
            yield MessageEntry(at_ns, at_ns, Direction.COMMAND, kind, describe_data(data), line)
        case "opened" | "closed" | "refused" as method, _, (peer, *rest):
            kind = f"{peer} {method}"
            yield MessageEntry(at_ns, at_ns, Direction.LINK, kind, describe_data(rest), line)
        case _:  # what timeouts and pongs do is in the actions
            pass


def _action_entries(step: ShownStep, data: Any) -> Iterator[MessageEntry]:
    at_ns, line = step.at_ns, step.line
    match data:
        case {"@": "Send", "peer": peer, "message": message}:
            direction = Direction.TO_TWILIO if peer == "twilio" else Direction.TO_MODEL
            samples = _samples_of(message)
            yield MessageEntry(
                *(at_ns, at_ns, direction, _kind_of(message)),
                *("" if samples else describe_data(message), line, session_number(peer)),
                samples=samples,
            )
        case {"@": "Notify", "event": event}:
            kind = _class_of(event)
            if not is_repetition(data):
                yield MessageEntry(
                    at_ns, at_ns, Direction.NOTIFICATION, kind, describe_data(event), line
                )
        case {"@": "Open" | "Close" as kind, "peer": peer}:
            text = f"{kind.lower()} {peer}"
            yield MessageEntry(at_ns, at_ns, Direction.LINK, text, describe_data(data), line)
        case _:
            pass


def _is_piece(event: Any) -> bool:
    """Whether a notification is a piece of a text, and so repeats a message."""
    match event:
        case {"@": "AgentTranscript" | "AgentText" | "CallerTranscript", "final": False}:
            return True
        case _:
            return False


def _samples_of(message: Any) -> int:
    match message:
        case {"media": {"payload": str(payload)}} | {
            "type": "input_audio_buffer.append",
            "audio": str(payload),
        }:
            return count_samples(payload) or 0
        case _:
            return 0


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _kind_of(data: Any) -> str:
    match data:
        case {"type": str(kind)} | {"event": str(kind)}:
            return kind[:80]
        case _:
            return "not JSON"


def _class_of(data: Any) -> str:
    match data:
        case {"@": "SendEvent", "event": {"@": str(kind)}} | {"@": str(kind)}:
            return kind[:80]
        case _:
            return "data"


def is_repetition(action: Any) -> bool:
    """Whether an action notifies of what a message has said already."""
    match action:
        case {"@": "Notify", "event": event}:
            return _class_of(event) in _LEFT_OUT or _is_piece(event)
        case _:
            return False


def describe_data(data: Any) -> str:
    """Return JSON for people, without audio and with long texts shortened."""
    text = json.dumps(_shorten(data, _MAX_DEPTH), separators=(",", ":"))
    if len(text) > _MAX_ENTRY_CHARACTERS:
        rest = len(text) - _MAX_ENTRY_CHARACTERS
        return f"{text[:_MAX_ENTRY_CHARACTERS]}… ({rest:,} more characters are in the recording)"
    return text


def _shorten(data: Any, depth: int) -> Any:
    match data:
        case dict() | list() if depth == 0:
            return "…"
        case dict():
            fields = cast("dict[str, Any]", data)
            return {
                name: _shorten_field(name, value, depth)
                for name, value in fields.items()
                if name != "@"
            }
        case list():
            return [_shorten(each, depth - 1) for each in cast("list[object]", data)]
        case str() if len(data) > _MAX_STRING_CHARACTERS:
            rest = len(data) - _MAX_STRING_CHARACTERS
            return f"{data[:_MAX_STRING_CHARACTERS]}… ({rest:,} more characters)"
        case _:
            return data


def _shorten_field(name: str, value: Any, depth: int) -> Any:
    is_audio = name in ("payload", "audio", "base64") and isinstance(value, str)
    if is_audio and len(value) > 32:  # noqa: PLR2004 - a ping's payload is shorter
        return f"({count_samples(value) or 0:,} samples of audio)"
    return _shorten(value, depth - 1)

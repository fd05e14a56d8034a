"""The story of a call: the steps of its bridge that matter, a line or two each, to be read.

     2.579 s  Twilio: mark, name 3
              -> notifies PlaybackFinished

Audio, pings and the marks that measure round trips are left out, and ids are numbered in the order
in which they appear.
"""

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import groupby
from typing import Any, Final, cast

import attrs
from attrs import define, field

from twilio_realtime_core.commands import Command
from twilio_realtime_core.machine.actions import (
    Action,
    Close,
    Notify,
    Open,
    Peer,
    Refusal,
    Send,
    SendPing,
)
from twilio_realtime_core.protocols.realtime import AppendAudio
from twilio_realtime_core.protocols.twilio import Mark, Media

from ..impairments.rules import kind_of
from ..reference import CallMachine
from ..world.steps import Step

__all__ = ["IdNumbers", "NarratedBridge", "is_notable", "tell_step"]

_WIDTH: Final = 100
"""The most characters of a line."""

_AUDIO: Final = frozenset({"media", "response.output_audio.delta"})
"""Messages of peers that carry audio, many each second."""

_ROUTINE: Final = frozenset(
    {
        *("conversation.item.done", "rate_limits.updated", "response.output_audio.done"),
        *("conversation.item.input_audio_transcription.delta", "response.content_part.added"),
        *("response.content_part.done", "response.output_audio_transcript.delta"),
        *("response.function_call_arguments.delta", "response.output_audio_transcript.done"),
        *("response.output_item.added", "response.output_item.done"),
        *("mark", "AgentTranscript", "CallerTranscript", "ItemUpdated"),
    }
)
"""Messages and notifications that follow from others, many for each response. They are left out
where a step has nothing else."""

_MEANINGS: Final[Mapping[str, str]] = {
    "input_audio_buffer.speech_started": "the caller speaks",
    "input_audio_buffer.speech_stopped": "the caller has stopped",
    "response.created": "the model begins a response",
    "response.done": "the model has ended a response",
    "PlaybackStarted": "the agent is heard",
    "PlaybackFinished": "the agent was heard",
}
"""Who speaks, where the name of a message or notification does not say it in plain words."""

_FIELDS: Final = (
    *("id", "response_id", "item_id", "call_id", "previous_item_id", "name", "status", "code"),
    *("audio_start_ms", "audio_end_ms"),
)
"""Fields of a message that are shown, and those of the objects in it."""

_OBJECTS: Final = ("response", "item", "error", "mark", "dtmf", "status_details")
"""Objects of a message that are searched for such fields."""

_ID: Final = re.compile(r"\b(resp|item|call|event|sess|conv|MZ|CA|AC)_?(?=\w*\d)\w{12,}")
_ID_KINDS: Final[Mapping[str, str]] = {
    "resp": "response",
    "sess": "session",
    "conv": "conversation",
    "MZ": "stream",
    "CA": "phone call",
    "AC": "account",
}
_PEERS: Final = {Peer.TWILIO: "Twilio", Peer.REALTIME: "the model"}


class IdNumbers:
    """Numbers for the ids of one call: `item_E6U0xTPZVJMpFY0jK2HEx` is `item 1`."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def replace(self, text: str) -> str:
        """Replace the ids in a text by their numbers."""
        return _ID.sub(self._name, text)

    def _name(self, match: re.Match[str]) -> str:
        id_, kind = match[0], _ID_KINDS.get(match[1], match[1])
        if id_ not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[id_] = f"{kind} {self._counts[kind]}"
        return self._names[id_]


@define(eq=False)
class NarratedBridge:
    """Takes the place of a bridge, and keeps its notable steps."""

    _bridge: CallMachine
    steps: list[Step] = field(init=False, factory=list[Step])

    @property
    def deadline(self) -> int | None:
        """That of the bridge."""
        return self._bridge.deadline

    def start(self, now: int) -> list[Action]:
        """Start the call."""
        return self._keep("start", now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self._keep("opened", now, peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message is received."""
        return self._keep("receive_text", now, peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong is received."""
        return self._keep("pong", now, peer, payload)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """The server refuses to open a socket."""
        return self._keep("refused", now, peer, refusal)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is closed."""
        return self._keep("closed", now, peer, code, reason)

    def handle_timeout(self, now: int) -> list[Action]:
        """Do what is due."""
        return self._keep("handle_timeout", now)

    def send(self, command: Command, now: int) -> list[Action]:
        """Carry out a command of the application."""
        return self._keep("send", now, command)

    def _keep(self, method: str, now: int, *arguments: object) -> list[Action]:
        try:
            actions: list[Action] = getattr(self._bridge, method)(*arguments, now)
        except Exception:  # the last step of a story
            self.steps.append(Step(now, "bridge", method, arguments, ()))
            raise
        step = Step(now, "bridge", method, arguments, tuple(actions))
        if is_notable(step):
            self.steps.append(step)
        return actions


def is_notable(step: Step) -> bool:
    """Whether a step of a bridge belongs in a story: it is more than audio that passes, a round
    trip that is measured, or one of many events that follow from another."""
    match step.method, step.arguments:
        case "receive_text", (_, str(text)):
            is_quiet = (kind := kind_of(text)) in _AUDIO or kind in _ROUTINE
        case (("pong" | "handle_timeout"), _):
            is_quiet = True
        case _:
            is_quiet = False
    return not is_quiet or any(name not in _ROUTINE for name, _ in _tell_outputs(step.outputs))


def tell_step(step: Step, ids: IdNumbers) -> list[str]:
    """Return the lines that describe a step."""
    indent = " " * 14
    lines = [f"{step.at_ns / 1e9:8.3f} s    {_tell_input(step)}"]
    for output, same in groupby(text for _, text in _tell_outputs(step.outputs)):
        times = len(list(same))
        lines.append(f"{indent}-> {output}{f' ({times} times)' if times > 1 else ''}")
    return [_cut(ids.replace(line)) for line in lines]


def _tell_input(step: Step) -> str:
    match step.method, step.arguments:
        case "start", _:
            return "the call is accepted"
        case "opened", (peer,):
            return f"{_peer_name(peer)}'s socket opens"
        case "closed", (peer, code, _):
            return f"{_peer_name(peer)}'s socket is closed, code {code}"
        case "receive_text", (peer, str(text)):
            kind, details = _read(text)
            name = kind or "a message that is no event"
            return f"{_peer_name(peer).removeprefix('the ')}: {_with_details(name, details)}"
        case "send", (command,):
            return f"application: {_plain(command)}"
        case "handle_timeout", _:
            return "a timer of the bridge is due"
        case _:
            return step.method.replace("_", " ")


def _tell_outputs(outputs: Sequence[object]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of each output but audio, pings, and the mark after a ping."""
    previous: object = None
    for output in outputs:
        is_round_trip = isinstance(previous, SendPing)
        previous = output
        match output:
            case SendPing() | Send(message=AppendAudio() | Media()):
                pass
            case Send(message=Mark()) if is_round_trip:
                pass
            case Send(peer, message):
                kind, details = _read(message.encode())
                yield kind, f"sends {_peer_name(peer)} {_with_details(kind, details)}"
            case Notify(event):
                kind = type(event).__name__
                yield kind, f"notifies {_with_details(kind, _event_details(event))}"
            case Close(peer, code, _):
                yield "", f"closes {_peer_name(peer)}'s socket, code {code}"
            case Open(peer):
                yield "", f"opens {_peer_name(peer)}'s socket"
            case _:
                yield "", _plain(output)


def _with_details(kind: str, details: Iterable[str]) -> str:
    meaning = f" ({_MEANINGS[kind]})" if kind in _MEANINGS else ""
    return kind + meaning + "".join(f", {each}" for each in details)


def _event_details(event: object) -> Iterator[str]:
    """Yield the short fields of a notification; of an item only its id."""
    kind = type(event)
    if not attrs.has(kind):
        return
    for field_ in attrs.fields(kind):
        name, value = field_.name, getattr(event, field_.name)
        if not field_.repr:  # it may hold words
            continue
        match value:
            case Enum():
                yield f"{name} {value.name}"
            case bool() | int() | float():
                yield f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            case str() if _ID.fullmatch(value):
                yield value
            case str() if value:
                yield f"{name} {value}"
            case _:
                id_: object = getattr(value, "id", None)
                if isinstance(id_, str):
                    yield id_


def _read(text: str) -> tuple[str, list[str]]:
    """Return the kind of a message, and its fields that are shown."""
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError):
        return "", []
    if not isinstance(message, dict):
        return "", []
    fields = cast("dict[str, Any]", message)
    kind = fields.get("type", fields.get("event"))
    return str(kind or ""), list(_shown_fields(fields))


def _shown_fields(fields: Mapping[str, Any]) -> Iterator[str]:
    for name in _FIELDS:
        value = fields.get(name)
        if isinstance(value, int) or (isinstance(value, str) and value):
            yield str(value) if _ID.fullmatch(str(value)) else f"{name} {value}"
    for name in _OBJECTS:
        inner = fields.get(name)
        if isinstance(inner, dict):
            yield from _shown_fields(cast("dict[str, Any]", inner))


def _plain(value: object) -> str:
    """Return a command as its `repr` without what it leaves open."""
    text = re.sub(r"(, )?\b\w+=(None|False|''|\(\)|\[\])(?=[,)])", "", repr(value))
    return text.replace("(, ", "(").replace("()", "")


def _peer_name(peer: object) -> str:
    return _PEERS.get(peer, str(peer)) if isinstance(peer, Peer) else str(peer)


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"

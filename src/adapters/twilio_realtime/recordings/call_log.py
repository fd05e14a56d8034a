"""What a bridge was told and what it asked for, noted as it happens, and as lines of JSON."""

import json
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from typing import Any, Final, cast

import attrs

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.commands import Command, SendEvent
from twilio_realtime_core.machine.actions import Action, Send

from ..sim.reference import CallMachine
from ..sim.world.world import Step

__all__ = ["CallLog", "as_json"]

_ARGUMENTS: Final = {
    "opened": ("peer",),
    "receive_text": ("peer", "text"),
    "pong": ("peer", "payload"),
    "closed": ("peer", "code", "reason"),
    "send": ("command",),
}
"""What the methods of a call are told beside the time."""


@attrs.define(eq=False)
class CallLog:
    """Takes a bridge's place, changes nothing, and notes each step. A `MessageMachine`.

    `on_step` is told of each step once it is taken, before anything of it is carried out. The
    times of steps are in ns since `start`. All is kept: a minute of a call takes 2 MB.
    """

    _bridge: CallMachine
    _on_step: Callable[[Step], None]
    began_ns: int = attrs.field(init=False, default=0)
    """When the call was started, by the clock of whoever drives it."""
    steps: list[Step] = attrs.field(init=False, factory=list[Step])

    @property
    def deadline(self) -> int | None:
        """That of the bridge."""
        return self._bridge.deadline

    def start(self, now: int) -> list[Action]:
        """Begin."""
        self.began_ns = now
        return self._noted(self._bridge.start, now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self._noted(self._bridge.opened, now, peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come."""
        return self._noted(self._bridge.receive_text, now, peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        return self._noted(self._bridge.pong, now, peer, payload)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone."""
        return self._noted(self._bridge.closed, now, peer, code, reason)

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come."""
        return self._noted(self._bridge.handle_timeout, now)

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application."""
        return self._noted(self._bridge.send, now, command)

    def _noted(
        self, method: Callable[..., list[Action]], now: int, *arguments: object
    ) -> list[Action]:
        outputs = method(*arguments, now)
        step = Step(now - self.began_ns, "bridge", method.__name__, arguments, tuple(outputs))
        self.steps.append(step)
        self._on_step(step)
        return outputs


def as_json(step: Step) -> str:
    """A step as an object on one line: `at_ns`, `method`, `arguments` by name, `outputs`.

    Messages are the JSON that they are on the wire, except that audio is replaced by how much of
    it there is. What was said in words stays.
    """
    names = _ARGUMENTS.get(step.method, ())
    return json.dumps(
        {
            "at_ns": step.at_ns,
            "method": step.method,
            "arguments": {
                name: _message(value)
                if isinstance(value, str) and name == "text"
                else _plain(value)
                for name, value in zip(names, step.arguments, strict=True)
            },
            "outputs": [_plain(output) for output in step.outputs],
        },
        ensure_ascii=False,
    )


def _plain(value: object) -> Any:
    """A value of the core as JSON has it: objects with their class as `type`."""
    match value:
        case Send(peer, message):
            return {"type": "Send", "peer": _plain(peer), "message": _message(message.encode())}
        case SendEvent(event):
            return {"type": "SendEvent", "event": _message(event.encode())}
        case Enum():
            return value.value
        case bytes():
            return value.decode("latin-1")
        case tuple():
            return [_plain(each) for each in cast("tuple[object, ...]", value)]
        case Mapping():
            return _without_audio(value)
        case _:
            kind = type(value)
            if not attrs.has(kind):
                return value
            fields = {each.name: _plain(getattr(value, each.name)) for each in attrs.fields(kind)}
            return {"type": kind.__name__, **fields}


def _message(text: str) -> Any:
    """A message on the wire; text that is no JSON stays text."""
    try:
        return _without_audio(json.loads(text))
    except ValueError:
        return text


def _without_audio(value: Any) -> Any:
    """`payload` of Twilio's media, `audio` of what is appended or retrieved, `delta` of speech."""
    match value:
        case {"type": "response.output_audio.delta", "delta": str(audio), **rest}:
            return {**rest, "type": value["type"], "delta": _length(audio)}
        case dict():
            return {
                name: _length(each)
                if name in ("payload", "audio") and isinstance(each, str)
                else _without_audio(each)
                for name, each in cast("dict[str, Any]", value).items()
            }
        case list():
            return [_without_audio(each) for each in cast("list[object]", value)]
        case _:
            return value


def _length(audio: str) -> str:
    samples = count_samples(audio)
    return "no audio" if samples is None else f"{samples} bytes of audio"

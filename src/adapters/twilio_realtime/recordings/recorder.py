"""Writes a call down as it happens, and runs a bridge on what was written.

bridge = Recorder(Bridge(config), config, write)  # in the bridge's place
replay(file).difference  # None, or the first one
"""

import json
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol, cast

from attrs import define, evolve, field, frozen

from twilio_realtime_core import Bridge
from twilio_realtime_core.commands import Command
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.config.interruption_policy import InterruptionAttempt
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Notify, Peer
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.notifications import CallEnded, InterruptionBlocked
from twilio_realtime_core.values.block_cause import BlockCause
from twilio_realtime_core.values.items import ConversationItem
from twilio_realtime_core.values.playback_position import PlaybackPosition

from ..errors import UsageError
from .format import FORMAT, VERSION, Hider, decode, parse, written

__all__ = ["BridgeLike", "Difference", "Recorder", "Replayed", "replay"]


_LOST: Final = "lost"
"""Says of a line that it stands for a step that could not be written down."""


def _nothing() -> None:
    """Nobody is told."""


class BridgeLike(MessageMachine, Protocol):
    """A bridge, or what stands for one."""

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether `CallEnded` was notified."""
        ...

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The conversation so far."""
        ...

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """How far each content part has been heard."""
        ...


@define(eq=False, weakref_slot=True)
class Recorder:
    """Takes a bridge's place, changes nothing, and writes each step as a line of JSON.

    `write` is given whole lines, with their ends, as soon as there are any; nothing more after
    `CallEnded`. With `audio`, that is kept; else silence of the same length stands for it. Keys,
    tokens, accounts, custom parameters and all digits of what was said or pressed are left out.

    The call goes on whatever happens here: a step that cannot be written down is the last line, and
    says so; where `write` raises, nothing more is written.
    """

    _bridge: BridgeLike
    _config: CallConfig
    _write: Callable[[str], object]
    _hider: Hider = field(factory=Hider)
    _done: Callable[[], object] = field(default=_nothing, kw_only=True, alias="done")
    """Called after the last line."""
    _began_ns: int | None = field(init=False, default=None)
    _is_over: bool = field(init=False, default=False)
    """Nothing more is written."""

    @property
    def deadline(self) -> int | None:
        """That of the bridge."""
        return self._bridge.deadline

    @property
    def has_ended(self) -> bool:
        """That of the bridge."""
        return self._bridge.has_ended

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """Those of the bridge."""
        return self._bridge.items

    def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
        """As the bridge has it."""
        return self._bridge.playback_positions(now)

    def start(self, now: int) -> list[Action]:
        """Begin."""
        if self._began_ns is None:
            self._began_ns = now
            self._put(self._head)
        return self._noted(list, self._bridge.start, now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self._noted(lambda: [_name(peer)], self._bridge.opened, now, peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come."""
        method = self._bridge.receive_text
        return self._noted(lambda: [_name(peer), self._hider.text(text)], method, now, peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        method = self._bridge.pong
        return self._noted(lambda: [_name(peer), payload.hex()], method, now, peer, payload)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone."""
        return self._noted(
            lambda: [_name(peer), code, self._hider.reason(reason)],
            *(self._bridge.closed, now, peer, code, reason),
        )

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come."""
        return self._noted(list, self._bridge.handle_timeout, now)

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application."""
        return self._noted(lambda: [self._hider.value(command)], self._bridge.send, now, command)

    def _noted(
        self,
        told: Callable[[], list[Any]],
        method: Callable[..., list[Action]],
        now: int,
        *arguments: object,
    ) -> list[Action]:
        """What a method returns, or raises; only then is it seen what there is to be written."""
        if self._began_ns is None or self._is_over:  # misuse, or a late event
            return method(*arguments, now)
        step = partial(self._step, told, method, now)
        try:
            outputs = method(*arguments, now)
        except LocalProtocolError:
            self._put(lambda: {**step(), "misuse": True})
            raise
        except Exception as error:  # a bug: this is the step that shows it
            name = type(error).__name__
            self._put(lambda: {**step(), "raised": name})
            raise
        self._put(lambda: {**step(), **self._outcome(outputs)}, is_last=any(map(_is_end, outputs)))
        return outputs

    def _head(self) -> dict[str, Any]:
        head = {"format": FORMAT, "version": VERSION, "audio": self._hider.audio}
        return {**head, "config": self._hider.value(self._config)}

    def _step(
        self, told: Callable[[], list[Any]], method: Callable[..., object], now: int
    ) -> dict[str, Any]:
        return {"at": self._since_start(now), "do": method.__name__, "with": told()}

    def _outcome(self, outputs: Iterable[Action]) -> dict[str, Any]:
        deadline = self._bridge.deadline
        return {
            "out": [self._hider.value(output) for output in outputs],
            "deadline": None if deadline is None else self._since_start(deadline),
        }

    def _since_start(self, now: int) -> int:
        return now - (self._began_ns or 0)

    def _put(self, line: Callable[[], Mapping[str, Any]], *, is_last: bool = False) -> None:
        try:
            text = written(line())
        except Exception as error:  # without this step, those that follow would mean nothing
            text, is_last = written({_LOST: type(error).__name__}), True
        try:
            self._write(text)
        except Exception:  # half of the line may be there
            is_last = True
        if is_last:
            self._is_over = True
            with suppress(Exception):
                self._done()


def _is_end(output: Action) -> bool:
    return isinstance(output, Notify) and isinstance(output.event, CallEnded)


def _name(peer: Hashable) -> object:
    return peer.value if isinstance(peer, Enum) else str(peer)


@frozen
class Difference:
    """Where a bridge does something else than was recorded: the number of the line, from 1, the
    time of it in the call (ns), what the bridge was told, and what came of it, then and now."""

    line: int
    at_ns: int
    told: str
    recorded: tuple[str, ...]
    now: tuple[str, ...]

    @property
    def first(self) -> tuple[str, str]:
        """The first thing in which both differ: recorded, and now. `nothing` stands for none."""
        longest = max(len(self.recorded), len(self.now))
        both = (each + ("nothing",) * (longest - len(each)) for each in (self.recorded, self.now))
        return next(pair for pair in zip(*both, strict=True) if pair[0] != pair[1])


@frozen
class Replayed:
    """How a recorded call has gone again: so many steps as they went, up to the first difference,
    if there is one. `is_cut_off`: there is none, but no `CallEnded` either: the recording stopped
    before the call did, or the call is not over."""

    steps: int
    difference: Difference | None = None
    is_cut_off: bool = False


def replay(
    lines: Iterable[str], make_bridge: Callable[[CallConfig], BridgeLike] = Bridge
) -> Replayed:
    """Run a bridge on a recorded call, up to the first difference.

    A last line that is not whole was being written when the call was lost: it is left out.
    Raises `UsageError` for what is no recorded call, or one of another version.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.endswith("\n"))
    again = deque[str](maxlen=1)
    answers = _Answers()
    recorder = _begin(next(numbered, (1, "")), make_bridge, again.append, answers)
    steps = 0
    for number, line in numbered:
        recorded = _parse(number, line)
        if _LOST in recorded:
            break
        try:
            tell = _told(recorder, recorded)
        except (AttributeError, KeyError, TypeError, ValueError, LocalProtocolError) as error:
            raise UsageError(f"line {number} is no step of a recorded call: {error!r}") from None
        answers.step = recorded
        again.clear()
        with suppress(Exception):  # whatever it raises, the recorder has written
            tell()
        if not again:
            what = "follows the end of a call" if steps else "is no start of a call"
            raise UsageError(f"line {number} {what}: a file holds a call from start to end")
        now = parse(again[0])
        if now != recorded:
            return Replayed(steps, _difference(number, recorded, now))
        steps += 1
    return Replayed(steps, is_cut_off=not recorder.has_ended)


@define(eq=False)
class _Answers:
    """Stands for the application's predicate, and answers as that did: the caller was not let in
    where it is told so, or where the predicate itself has raised something."""

    step: Mapping[str, Any] = field(init=False, factory=dict[str, Any])
    """The step that is repeated, as it was recorded."""

    def predicate(self, attempt: InterruptionAttempt) -> bool:
        """An answer."""
        del attempt
        if "raised" in self.step:
            raise type(self.step["raised"], (Exception,), {})
        return _BLOCKED not in self.step.get("out", ())


_BLOCKED: Final = Hider().value(Notify(InterruptionBlocked(BlockCause.APPLICATION)))


def _begin(
    first: tuple[int, str],
    make_bridge: Callable[[CallConfig], BridgeLike],
    write: Callable[[str], object],
    answers: _Answers,
) -> Recorder:
    head = _parse(*first)
    if head.get("format") != FORMAT:
        raise UsageError("this is no recorded call: its first line does not say that it is one")
    if head.get("version") != VERSION:
        raise UsageError(
            f"this call was recorded in version {head.get('version')} of the format, and this "
            f"program knows version {VERSION}: take one that is as old, or as new, as the file"
        )
    try:
        config: CallConfig = decode(head["config"])
        if config.interruption.predicate is not None:
            policy = evolve(config.interruption, predicate=answers.predicate)
            config = evolve(config, interruption=policy)
        return Recorder(make_bridge(config), config, write, Hider(audio=bool(head["audio"])))
    except (AttributeError, KeyError, TypeError, ValueError, LocalProtocolError) as error:
        raise UsageError(f"line 1 holds no configuration of a call: {error!r}") from None


def _parse(number: int, line: str) -> dict[str, Any]:
    try:
        data = parse(line)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"line {number} is no JSON object: this is no recorded call")
    return cast("dict[str, Any]", data)


def _told(recorder: Recorder, step: Mapping[str, Any]) -> Callable[[], object]:
    """What tells a bridge again what it was told."""
    now: int = step["at"]
    match step["do"], step["with"]:
        case "start" | "handle_timeout" as method, []:
            return partial(getattr(recorder, method), now)
        case "opened", [peer]:
            return partial(recorder.opened, _peer(peer), now)
        case "receive_text", [peer, str(text)]:
            return partial(recorder.receive_text, _peer(peer), text, now)
        case "pong", [peer, str(payload)]:
            return partial(recorder.pong, _peer(peer), bytes.fromhex(payload), now)
        case "closed", [peer, int(code), str(reason)]:
            return partial(recorder.closed, _peer(peer), code, reason, now)
        case "send", [command]:
            return partial(recorder.send, decode(command), now)
        case what, _:
            raise ValueError(f"nobody can be told {what!r}")


def _peer(name: str) -> Hashable:
    return Peer(name) if name in [each.value for each in Peer] else name


def _difference(number: int, recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Difference:
    told = json.dumps([recorded["do"], *recorded["with"]])
    return Difference(number, recorded["at"], told, _outcome(recorded), _outcome(now))


def _outcome(step: Mapping[str, Any]) -> tuple[str, ...]:
    """What came of a step, a line for each output, and the deadline after it."""
    if step.get("misuse"):
        return ("misuse",)
    if _LOST in step:
        return (f"nothing that can be written down: {step[_LOST]}",)
    if "raised" in step:
        return (f"raised {step['raised']}",)
    outputs = (json.dumps(each) for each in step.get("out", ()))
    return (*outputs, f"deadline {step.get('deadline')}")

"""A small call in which all that the protocols allow may happen, in any order that they allow.

The agent says two items. Each of its ends has its own order: the model's server goes through its
response, answers what the bridge has sent to it, and may cancel by itself where it hears the
caller; the phone echoes the marks whose audio it has played; the caller speaks, and hangs up; the
application interrupts, and hangs up; time passes.
"""

import json
from collections.abc import Iterator
from enum import Enum, unique
from typing import Any, Final, Self

from attrs import define, field

from calling import (
    SESSION,
    Call,
    audio_done,
    created,
    delta,
    item_done,
    mark,
    response_done,
    server_error,
    speech_started,
    stop,
)
from snapshots import CONFIG
from twilio_realtime.sim.reference import CallMachine
from twilio_realtime_core import Encodable, Fault, HangUp, Interrupt, Peer
from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.actions import Action, Notify, Send
from twilio_realtime_core.machine.units import MS, samples_to_ns
from twilio_realtime_core.notifications import CallEnded
from twilio_realtime_core.protocols.realtime import CancelResponse, DeleteItem, TruncateItem
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media

__all__ = ["Happening", "SmallCall"]

_TICK_NS: Final = 370 * MS
"""By then the first item has been heard, and half of the second."""


@unique
class Happening(Enum):
    """What can happen next."""

    SAYS = "the server goes on with its response"
    ANSWERS = "the server does what the bridge has asked for"
    REFUSES = "the server refuses a cancel, since the response is done"
    CANCELS = "the server cancels, since the caller speaks"
    SPEAKS = "the caller speaks"
    ECHOES = "the phone echoes a mark"
    TICKS = "time passes"
    INTERRUPTS = "the application interrupts"
    STOPS = "the caller hangs up"
    HANGS_UP = "the application hangs up"


_ONCE: Final = (Happening.SPEAKS, Happening.TICKS, Happening.INTERRUPTS)
_ENDS: Final = (Happening.STOPS, Happening.HANGS_UP)

# What the server says: a name for each event, in place of the event, keeps a call small.
_SAYS: Final = ("i", "i done", "j", "j done", "done")
_ENDS_OF_CANCELLED: Final = {
    "i done": ("i done", "cancelled"),
    "j done": ("j done", "cancelled"),
}
_TEXT: Final = {
    name: json.dumps(event)
    for name, event in {
        "i": delta(2160),  # with a mark behind its first frame, and one at its end
        "i done": item_done(),
        "j": delta(1600, item="j"),
        "j done": item_done(item="j"),
        "done": response_done(),
        "cancelled": response_done(status="cancelled"),
    }.items()
}


@define(eq=False)
class SmallCall:
    """One such call, so far. A fault fails: nobody does anything wrong."""

    _bridge: CallMachine
    _server_cancels: bool
    _now: int
    ended: bool = field(init=False, default=False)
    _to_say: tuple[str, ...] = field(init=False, default=_SAYS)
    _cancelling: bool = field(init=False, default=False)
    _asked: tuple[Encodable, ...] = field(init=False, default=())
    _once: tuple[Happening, ...] = field(init=False, default=_ONCE)
    _played_at: int = field(init=False, default=0)
    _marks: tuple[tuple[int, str], ...] = field(init=False, default=())
    """Those under way: when what is before each has been played (ns), and its name."""

    @classmethod
    def begin(cls, *, server_cancels: bool) -> Self:
        """The agent has been heard once, and begins again to speak. `server_cancels`: the server
        cancels its response when it hears the caller; else the bridge does."""
        session = json.loads(json.dumps(SESSION))
        session["audio"]["input"]["turn_detection"]["interrupt_response"] = server_cancels
        call = Call.ready(CONFIG, session)
        for event in (created("p"), delta(800, "p", "h"), audio_done("p", "h")):
            call.model(event)
        call.hear(1000)
        for event in (item_done("p", "h"), response_done("p"), created()):
            call.model(event)
        return cls(call.bridge, server_cancels, call.now)

    @property
    def choices(self) -> list[Happening]:
        """What may happen next: always something, until the call has ended."""
        choices = [*_ENDS, *self._once]
        if self._to_say:
            choices.append(Happening.SAYS)
        if self._cancelling:
            choices.append(Happening.CANCELS)
        if self._asked:
            late = isinstance(self._asked[0], CancelResponse) and not self._to_say
            choices.append(Happening.REFUSES if late else Happening.ANSWERS)
        if self._marks and self._marks[0][0] <= self._now:
            choices.append(Happening.ECHOES)
        return choices

    def happen(self, happening: Happening) -> set[type]:
        """Let it happen. One that ends the call ends all of it. Returns the kinds of all that the
        bridge sends and tells."""
        if happening in self._once:
            self._once = tuple(each for each in self._once if each is not happening)
        return {kind for actions in self._steps(happening) for kind in self._done(actions)}

    def _steps(self, happening: Happening) -> Iterator[list[Action]]:
        match happening:
            case Happening.SAYS:
                yield self._say_next()
            case Happening.ANSWERS | Happening.REFUSES:
                event, *rest = self._asked
                self._asked = tuple(rest)
                yield self._answer(event)
            case Happening.CANCELS:
                yield self._cancel()
            case Happening.SPEAKS:
                self._cancelling = self._server_cancels and bool(self._to_say)
                yield self._model(speech_started())
            case Happening.ECHOES:
                (_, name), *rest_of_marks = self._marks
                self._marks = tuple(rest_of_marks)
                yield self._phone(mark(name))
            case Happening.TICKS:
                self._now += _TICK_NS
                yield self._bridge.handle_timeout(self._now)
            case Happening.INTERRUPTS:
                yield self._bridge.send(Interrupt(), self._now)
            case Happening.STOPS:
                yield self._phone(stop())
                yield self._closed(Peer.TWILIO)
                yield self._closed(Peer.REALTIME)
            case Happening.HANGS_UP:
                yield self._bridge.send(HangUp(), self._now)
                yield self._closed(Peer.REALTIME)
                yield self._closed(Peer.TWILIO)

    # The model's server.

    def _say_next(self) -> list[Action]:
        name, *rest = self._to_say
        self._to_say = tuple(rest)
        self._cancelling &= bool(rest)
        return self._model(_TEXT[name])

    def _cancel(self) -> list[Action]:
        """What has begun is ended, and then the response."""
        self._cancelling = False
        self._to_say = _ENDS_OF_CANCELLED.get(self._to_say[0], ("cancelled",))
        return self._say_next()

    def _answer(self, event: Encodable) -> list[Action]:
        match event:
            case CancelResponse() if self._to_say:
                return self._cancel()
            case CancelResponse(event_id=event_id):
                return self._model(server_error("late", event_id, "response_cancel_not_active"))
            case TruncateItem(item_id, index, end_ms):
                cut = {"item_id": item_id, "content_index": index, "audio_end_ms": end_ms}
                return self._model({"type": "conversation.item.truncated", **cut})
            case DeleteItem(item_id):
                return self._model({"type": "conversation.item.deleted", "item_id": item_id})
            case _:
                raise AssertionError(f"{event} is not what an interruption asks for")

    # To the bridge, and from it.

    def _model(self, event: dict[str, Any] | str) -> list[Action]:
        text = event if isinstance(event, str) else json.dumps(event)
        return self._bridge.receive_text(Peer.REALTIME, text, self._now)

    def _phone(self, message: dict[str, Any]) -> list[Action]:
        return self._bridge.receive_text(Peer.TWILIO, json.dumps(message), self._now)

    def _closed(self, peer: Peer) -> list[Action]:
        return self._bridge.closed(peer, 1000, "", self._now)

    def _done(self, actions: list[Action]) -> Iterator[type]:
        for action in actions:
            match action:
                case Send(Peer.TWILIO, message):
                    self._to_phone(message)
                    yield type(message)
                case Send(_, event):
                    self._asked += (event,)
                    yield type(event)
                case Notify(event):
                    assert not isinstance(event, Fault)
                    assert not self.ended
                    self.ended = isinstance(event, CallEnded)
                    yield type(event)
                case _:
                    pass

    def _to_phone(self, message: Encodable) -> None:
        match message:
            case Media(payload=payload):
                begins_at = max(self._played_at, self._now)
                self._played_at = begins_at + samples_to_ns(count_samples(payload) or 0)
            case Mark(name=name):
                self._marks += ((max(self._played_at, self._now), name),)
            case Clear():
                self._played_at = self._now
                self._marks = tuple((self._now, name) for _, name in self._marks)
            case _:
                pass

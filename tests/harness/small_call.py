"""A small call in which everything that the protocols allow can happen, in any allowed order.

The agent sends two items. Each side has an order of its own: the model's server goes through its
response, answers the events of the bridge, and may cancel by itself when it detects the caller; the
phone echoes the marks whose audio it has played; the caller speaks, and hangs up; the application
interrupts, and hangs up; time passes.
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

__all__ = ["NextEvent", "SmallCall"]

_TICK_NS: Final = 370 * MS
"""How much time passes at once: after it, the first item and half of the second have been heard."""


@unique
class NextEvent(Enum):
    """What can happen next."""

    RESPONSE_EVENT = "the server sends the next event of its response"
    ANSWER = "the server answers an event of the bridge"
    REFUSAL = "the server refuses a cancel, since the response is done"
    SERVER_CANCEL = "the server cancels, since the caller speaks"
    SPEECH = "the caller speaks"
    MARK_ECHO = "the phone echoes a mark"
    TIME = "time passes"
    INTERRUPT = "the application interrupts"
    STOP = "the caller hangs up"
    HANG_UP = "the application hangs up"


_ONCE: Final = (NextEvent.SPEECH, NextEvent.TIME, NextEvent.INTERRUPT)
_ENDS: Final = (NextEvent.STOP, NextEvent.HANG_UP)

# Events of the server, by short names, which keep a call small; those that come at once.
_RESPONSE_EVENTS: Final = (("i",), ("i done",), ("j",), ("j done", "done"))
_CANCELLED_ENDS: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("i done",): ("i done", "cancelled"),
    ("j done", "done"): ("j done", "cancelled"),
}
_EVENT_TEXTS: Final = {
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
    """A small call so far. Any fault fails the test, since no peer does anything wrong."""

    _bridge: CallMachine
    _is_server_cancelling: bool
    _now: int
    has_ended: bool = field(init=False, default=False)
    _unsent_events: tuple[tuple[str, ...], ...] = field(init=False, default=_RESPONSE_EVENTS)
    _is_cancel_pending: bool = field(init=False, default=False)
    _unanswered_events: tuple[Encodable, ...] = field(init=False, default=())
    _single_events: tuple[NextEvent, ...] = field(init=False, default=_ONCE)
    _played_until_ns: int = field(init=False, default=0)
    _marks: tuple[tuple[int, str], ...] = field(init=False, default=())
    """Pending marks: when everything before each has been played (ns), and its name."""

    @classmethod
    def start(cls, *, server_cancels: bool) -> Self:
        """Start the call: the agent has been heard once, and starts another response. With
        `server_cancels` the server cancels its response when it detects the caller; otherwise the
        bridge does."""
        session = json.loads(json.dumps(SESSION))
        session["audio"]["input"]["turn_detection"]["interrupt_response"] = server_cancels
        call = Call.ready(CONFIG, session)
        for event in (created("p"), delta(800, "p", "h"), audio_done("p", "h")):
            call.model(event)
        call.play(1000)
        for event in (item_done("p", "h"), response_done("p"), created()):
            call.model(event)
        return cls(call.bridge, server_cancels, call.now)

    @property
    def possible_events(self) -> list[NextEvent]:
        """What can happen next: always something, until the call has ended."""
        choices = [*_ENDS, *self._single_events]
        if self._unsent_events:
            choices.append(NextEvent.RESPONSE_EVENT)
        if self._is_cancel_pending:
            choices.append(NextEvent.SERVER_CANCEL)
        if self._unanswered_events:
            late = (
                isinstance(self._unanswered_events[0], CancelResponse) and not self._unsent_events
            )
            choices.append(NextEvent.REFUSAL if late else NextEvent.ANSWER)
        if self._marks and self._marks[0][0] <= self._now:
            choices.append(NextEvent.MARK_ECHO)
        return choices

    def apply(self, event: NextEvent) -> set[type]:
        """Let an event happen, to its end if it ends the call. Returns the classes of all messages
        and notifications of the bridge."""
        if event in self._single_events:
            self._single_events = tuple(each for each in self._single_events if each is not event)
        return {kind for actions in self._steps(event) for kind in self._record(actions)}

    def _steps(self, event: NextEvent) -> Iterator[list[Action]]:
        match event:
            case NextEvent.RESPONSE_EVENT:
                yield self._send_next_event()
            case NextEvent.ANSWER | NextEvent.REFUSAL:
                unanswered, *rest = self._unanswered_events
                self._unanswered_events = tuple(rest)
                yield self._answer(unanswered)
            case NextEvent.SERVER_CANCEL:
                yield self._cancel()
            case NextEvent.SPEECH:
                self._is_cancel_pending = self._is_server_cancelling and bool(self._unsent_events)
                yield self._receive_from_model(speech_started())
            case NextEvent.MARK_ECHO:
                (_, name), *rest_of_marks = self._marks
                self._marks = tuple(rest_of_marks)
                yield self._receive_from_phone(mark(name))
            case NextEvent.TIME:
                self._now += _TICK_NS
                yield self._bridge.handle_timeout(self._now)
            case NextEvent.INTERRUPT:
                yield self._bridge.send(Interrupt(), self._now)
            case NextEvent.STOP:
                yield self._receive_from_phone(stop())
                yield self._close(Peer.TWILIO)
                yield self._close(Peer.REALTIME)
            case NextEvent.HANG_UP:
                yield self._bridge.send(HangUp(), self._now)
                yield self._close(Peer.REALTIME)
                yield self._close(Peer.TWILIO)

    # The model's server.

    def _send_next_event(self) -> list[Action]:
        names, *rest = self._unsent_events
        self._unsent_events = tuple(rest)
        self._is_cancel_pending &= bool(rest)
        texts = [_EVENT_TEXTS[name] for name in names]
        return [action for text in texts for action in self._receive_from_model(text)]

    def _cancel(self) -> list[Action]:
        """Finish what has started, and then the response."""
        self._is_cancel_pending = False
        self._unsent_events = (_CANCELLED_ENDS.get(self._unsent_events[0], ("cancelled",)),)
        return self._send_next_event()

    def _answer(self, event: Encodable) -> list[Action]:
        match event:
            case CancelResponse() if self._unsent_events:
                return self._cancel()
            case CancelResponse(event_id=event_id):
                return self._receive_from_model(
                    server_error("late", event_id, "response_cancel_not_active")
                )
            case TruncateItem(item_id, index, end_ms):
                cut = {"item_id": item_id, "content_index": index, "audio_end_ms": end_ms}
                return self._receive_from_model({"type": "conversation.item.truncated", **cut})
            case DeleteItem(item_id):
                return self._receive_from_model(
                    {"type": "conversation.item.deleted", "item_id": item_id}
                )
            case _:
                raise AssertionError(f"{event} is not an event of an interruption")

    # To and from the bridge.

    def _receive_from_model(self, event: dict[str, Any] | str) -> list[Action]:
        text = event if isinstance(event, str) else json.dumps(event)
        return self._bridge.receive_text(Peer.REALTIME, text, self._now)

    def _receive_from_phone(self, message: dict[str, Any]) -> list[Action]:
        return self._bridge.receive_text(Peer.TWILIO, json.dumps(message), self._now)

    def _close(self, peer: Peer) -> list[Action]:
        return self._bridge.closed(peer, 1000, "", self._now)

    def _record(self, actions: list[Action]) -> Iterator[type]:
        for action in actions:
            match action:
                case Send(Peer.TWILIO, message):
                    self._enqueue(message)
                    yield type(message)
                case Send(_, event):
                    self._unanswered_events += (event,)
                    yield type(event)
                case Notify(event):
                    assert not isinstance(event, Fault)
                    assert not self.has_ended
                    self.has_ended = isinstance(event, CallEnded)
                    yield type(event)
                case _:
                    pass

    def _enqueue(self, message: Encodable) -> None:
        match message:
            case Media(payload=payload):
                begins_at = max(self._played_until_ns, self._now)
                self._played_until_ns = begins_at + samples_to_ns(count_samples(payload) or 0)
            case Mark(name=name):
                self._marks += ((max(self._played_until_ns, self._now), name),)
            case Clear():
                self._played_until_ns = self._now
                self._marks = tuple((self._now, name) for _, name in self._marks)
            case _:
                pass

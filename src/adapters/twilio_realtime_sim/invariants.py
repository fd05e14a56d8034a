"""What is always true of a call, judged from what a bridge is told and what it asks for.

`Checked(Bridge(...))` takes the bridge's place anywhere and holds each of its steps against every
invariant, one class for each. Nothing is believed of the bridge: only its inputs and its outputs
count, and from them `Facts` are gathered that the invariants share. The numbers have gaps: the
other invariants compare several runs, or speak of bytes, and are not held step by step.
"""

import json
from collections.abc import Callable, Hashable
from typing import ClassVar, Final, Protocol

from twilio_realtime_core import realtime, twilio
from twilio_realtime_core.actions import Action, Close, Message, Notify, Peer, Send, SendPing
from twilio_realtime_core.audio import PCMU, count_samples
from twilio_realtime_core.commands import Command
from twilio_realtime_core.early import MAX_EARLY_EVENTS, MAX_EARLY_SAMPLES
from twilio_realtime_core.machine import MessageMachine
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioDropped,
    PlaybackFinished,
    PlaybackStarted,
    SessionReady,
)
from twilio_realtime_core.playout import MAX_UNHEARD_SAMPLES
from twilio_realtime_core.times import whole_ms

from .call_facts import Facts, Leg, Told, speaks_pcmu
from .world import Step

__all__ = ["INVARIANTS", "CallMachine", "Checked", "Invariant", "InvariantBroken"]


class CallMachine(MessageMachine, Protocol):
    """A bridge, or what stands for one."""

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application."""
        ...


class InvariantBroken(AssertionError):  # noqa: N818 - it says what has happened
    """Invariant `number` (0: the contract of every machine) does not hold after `step`."""

    def __init__(self, number: int, text: str, step: Step) -> None:
        super().__init__(f"invariant {number}: {text}\n{step}")
        self.number = number
        self.text = text
        self.step = step


class Checked:
    """A bridge whose every step is checked; raises `InvariantBroken`. A `MessageMachine`."""

    def __init__(self, bridge: CallMachine) -> None:
        self._bridge = bridge
        self._facts = Facts()
        self._invariants = [each(self._facts) for each in INVARIANTS]

    @property
    def deadline(self) -> int | None:
        """That of the bridge."""
        return self._bridge.deadline

    def start(self, now: int) -> list[Action]:
        """Begin."""
        return self._checked(self._bridge.start, now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self._checked(self._bridge.opened, now, peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come."""
        return self._checked(self._bridge.receive_text, now, peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        return self._checked(self._bridge.pong, now, peer, payload)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone."""
        return self._checked(self._bridge.closed, now, peer, code, reason)

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come."""
        return self._checked(self._bridge.handle_timeout, now)

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application."""
        return self._checked(self._bridge.send, now, command)

    def _checked(
        self, method: Callable[..., list[Action]], now: int, *arguments: object
    ) -> list[Action]:
        before = self._bridge.deadline
        outputs = method(*arguments, now)  # misuse raises here, and has not happened
        step = Step(now, "bridge", method.__name__, arguments, tuple(outputs))
        told = Told(step, before, self._bridge.deadline)
        self._facts.told(told)
        for action in outputs:
            for each in self._invariants:
                _hold(each, each.on_output(action, told), step)
            self._facts.asked(action, told)
        for each in self._invariants:
            _hold(each, each.after(told), step)
        self._facts.finish(told)
        return outputs


def _hold(invariant: "Invariant", complaint: str | None, step: Step) -> None:
    if complaint is not None:
        raise InvariantBroken(invariant.number, complaint, step)


class Invariant:
    """What must hold. The methods say what is wrong, or `None`."""

    number: ClassVar[int]

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def on_output(self, action: Action, told: Told) -> str | None:
        """What is wrong with an output, by the facts from before it."""
        del action, told
        return None

    def after(self, told: Told) -> str | None:
        """What is wrong now that a step is over."""
        del told
        return None


class Contract(Invariant):
    """After `handle_timeout` the deadline lies ahead; called early, it changes nothing."""

    number = 0

    def after(self, told: Told) -> str | None:
        if told.step.method != "handle_timeout":
            return None
        now, before, deadline = told.step.when, told.deadline_before, told.deadline
        if (before is None or now < before) and (told.step.outputs or deadline != before):
            return "handle_timeout before the deadline changed something"
        if deadline is not None and deadline <= now:
            return f"after handle_timeout({now}) the deadline is {deadline}"
        return None


class Legs(Invariant):
    """Nothing goes to Twilio before `start` or after its end, nothing to Realtime before it is open
    or after its end, no caller audio before the session is configured."""

    number = 1

    def on_output(self, action: Action, told: Told) -> str | None:
        match action:
            case Send(Peer.TWILIO, message):
                sid = getattr(message, "stream_sid", None)
                if not self.facts.streaming:
                    return f"{type(message).__name__} to Twilio, where no stream is"
                if sid != self.facts.stream_sid:
                    return f"{type(message).__name__} to another stream than that of start"
            case SendPing(Peer.TWILIO) if not self.facts.streaming:
                return "a ping to Twilio, where no stream is"
            case Send(Peer.REALTIME, message) if self.facts.legs[Peer.REALTIME] is not Leg.OPEN:
                return f"{type(message).__name__} to Realtime, which is not open"
            case Send(Peer.REALTIME, realtime.AppendAudio()) if not self.facts.ready:
                return "audio for a session that is not configured"
            case _:
                return None
        return None


class CallerAudio(Invariant):
    """What is appended is the caller's audio and that of commands as it came, with the events of
    commands in their places: in order, each once, less what is reported as dropped."""

    number = 2

    def on_output(self, action: Action, told: Told) -> str | None:
        match action:
            case Send(Peer.REALTIME, realtime.AppendAudio() as audio):
                if not self.facts.is_next(audio):
                    return "appended audio that is not what came next"
            case Notify(CallerAudioDropped(samples)):
                oldest = self.facts.oldest_audio(samples)
                if sum(count_samples(each.audio) or 0 for each in oldest) != samples:
                    return f"{samples} samples dropped, which are not the oldest messages"
            case _:
                return None
        return None

    def after(self, told: Told) -> str | None:
        if self.facts.ready and self.facts.live and self.facts.waiting:
            return "the session is ready, and something still waits for it"
        return None


class Silence(Invariant):
    """After a `clear` there is no media of a response whose interruption is committed, ever: all
    media is what the model said, in order, of responses that may still be heard."""

    number = 3

    def on_output(self, action: Action, told: Told) -> str | None:
        match action:
            case Send(Peer.TWILIO, twilio.Media(payload=payload)):
                if self.facts.part_of(payload) is None:
                    return "media that is not what comes next of what may be heard"
            case _:
                return None
        return None


class Heard(Invariant):
    """An item of the history is truncated between what marks confirm and what was sent, and deleted
    only if no mark confirms any of it; the history does not hold other items."""

    number = 4

    def on_output(self, action: Action, told: Told) -> str | None:
        match action:
            case Send(Peer.REALTIME, realtime.TruncateItem() as event) if self.facts.is_own(event):
                key = event.item_id, event.content_index
                least = whole_ms(self.facts.judged.confirmed_of(*key))
                most = whole_ms(self.facts.judged.sent_of(*key))
                if not least <= event.audio_end_ms <= most:
                    return f"truncated at {event.audio_end_ms} ms, not in {least} to {most}"
            case Send(Peer.REALTIME, realtime.DeleteItem() as event) if self.facts.is_own(event):
                if event.item_id in self.facts.heard_items:
                    return "deleted an item of which something was heard"
            case _:
                return None
        if self.facts.is_outside(event.item_id):
            return "corrected an item that the history does not hold"
        return None


class Marks(Invariant):
    """Mark names are unique, and echoes after a clear never count as heard."""

    number = 5

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._names: set[str] = set()

    def on_output(self, action: Action, told: Told) -> str | None:
        match action:
            case Send(Peer.TWILIO, twilio.Mark(name=name)):
                if name in self._names:
                    return "a mark's name was used before"
                self._names.add(name)
            case Notify(PlaybackStarted() as event) if isinstance(told.event, twilio.MarkEcho):
                if not self.facts.confirms(event.item_id, event.content_index, whole=False):
                    return "an echo made audio count as heard that it says nothing of"
            case Notify(PlaybackFinished() as event) if isinstance(told.event, twilio.MarkEcho):
                if not self.facts.confirms(event.item_id, event.content_index, whole=True):
                    return "an echo made a part count as heard that it says nothing of"
            case _:
                return None
        return None


class Requests(Invariant):
    """A cancel goes out only for a response not known to be done, and once; a truncate at most
    once for each item, content part and interruption."""

    number = 6

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._cancelled: set[str] = set()
        self._truncated: set[tuple[str, int]] = set()

    def on_output(self, action: Action, told: Told) -> str | None:
        match action:
            case Send(Peer.REALTIME, realtime.CancelResponse(id_) as event):
                if not self.facts.is_own(event):
                    return None
                if id_ is None or not self.facts.is_generating(id_) or id_ in self._cancelled:
                    return "a cancel of no response that is being generated"
                self._cancelled.add(id_)
            case Send(Peer.REALTIME, realtime.TruncateItem(item_id, index) as event):
                if not self.facts.is_own(event):
                    return None
                if (item_id, index) in self._truncated:
                    return "a part was truncated twice in one interruption"
                self._truncated.add((item_id, index))
            case _:
                return None
        return None

    def after(self, told: Told) -> str | None:
        self._truncated.clear()
        return None


class Formats(Invariant):
    """Every `session.update`, and every `response.create` that names a format, pins G.711 µ-law
    without a rate; a `session.updated` that says otherwise ends the call."""

    number = 8

    def on_output(self, action: Action, told: Told) -> str | None:
        match action:
            case Send(Peer.REALTIME, message) if not isinstance(message, realtime.AppendAudio):
                if not _is_pinned(message):
                    return "an event that does not pin the audio format"
            case Notify(SessionReady(session)) if not speaks_pcmu(session):
                return "a session of another format counts as ready"
            case _:
                return None
        return None

    def after(self, told: Told) -> str | None:
        wrong = isinstance(told.event, realtime.SessionUpdated) and not speaks_pcmu(
            told.event.session
        )
        if wrong and self.facts.live:
            return "the call goes on with another format"
        return None


def _is_pinned(message: Message) -> bool:
    match json.loads(message.encode()):
        case {"type": "session.update", "session": {"audio": {"input": heard, "output": said}}}:
            return bool(heard.get("format") == said.get("format") == PCMU)
        case {"type": "session.update"}:
            return False
        case {"type": "response.create", "response": {"audio": {"output": {"format": named}}}}:
            return bool(named == PCMU)
        case _:
            return True


class Limits(Invariant):
    """Every queue has a limit: what waits for the session, and what waits at Twilio."""

    number = 9

    def after(self, told: Told) -> str | None:
        if self.facts.waiting_samples > MAX_EARLY_SAMPLES:
            return f"{self.facts.waiting_samples} samples of caller audio wait"
        events = sum(not isinstance(each, realtime.AppendAudio) for each in self.facts.waiting)
        if events > MAX_EARLY_EVENTS:
            return f"{events} events wait"
        audio = self.facts.sound.waiting(told.step.when)
        if audio > MAX_UNHEARD_SAMPLES:
            return f"{audio} samples wait to be played"
        return None


class End(Invariant):
    """The end of a leg ends both, each with one close; `CallEnded` comes once both are closed, or
    were waited for in vain. After it there are no outputs to any input, and no deadline."""

    number = 10

    def on_output(self, action: Action, told: Told) -> str | None:
        if self.facts.ended:
            return "an output after CallEnded"
        match action:
            case Close(Peer() as peer) if self.facts.legs[peer] not in (Leg.OPENING, Leg.OPEN):
                return f"{peer.value} is closed, though it is not open"
            case Notify(CallEnded()):
                in_vain = told.step.method == "handle_timeout"
                if not in_vain and any(leg not in _OVER for leg in self.facts.legs.values()):
                    return "CallEnded before both legs are closed"
            case _:
                return None
        return None

    def after(self, told: Told) -> str | None:
        if self.facts.ended:
            return "a deadline after CallEnded" if told.deadline is not None else None
        legs = self.facts.legs.values()
        if not self.facts.live and any(leg in (Leg.OPENING, Leg.OPEN) for leg in legs):
            return "one leg has ended, and the other goes on"
        if not self.facts.live and all(leg in _OVER for leg in legs):
            return "both legs are closed, and there is no CallEnded"
        return None


_OVER: Final = (Leg.NONE, Leg.CLOSED)

INVARIANTS: Final[tuple[type[Invariant], ...]] = (
    Contract,
    Legs,
    CallerAudio,
    Silence,
    Heard,
    Marks,
    Requests,
    Formats,
    Limits,
    End,
)

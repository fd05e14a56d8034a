"""`Checked`: a bridge whose every step is held against the invariants."""

from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol

from twilio_realtime_core.commands import Command, SendEvent
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.machine.actions import Action, Peer
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.protocols import realtime, twilio

from ..world.world import Step
from .audio import CallerAudio, Heard, Marks, Silence
from .conversation import Answers, Requests
from .facts import Facts
from .interruptions import Attempts, Cancels, Corrections
from .item_notifications import Items, Tools
from .lifecycle import Contract, End, Legs, Liveness
from .limits import Formats, Limits
from .notifications import Copies, Notifies
from .step_record import (
    ByKind,
    Ends,
    Gone,
    Invariant,
    Opened,
    Ponged,
    Started,
    TimedOut,
    Told,
    value_of,
)

__all__ = ["INVARIANTS", "CallMachine", "Checked", "InvariantBroken"]

INVARIANTS: Final[tuple[type[Invariant], ...]] = (
    Contract,
    Legs,
    CallerAudio,
    Silence,
    Attempts,
    Heard,
    Corrections,
    Marks,
    Requests,
    Cancels,
    Answers,
    Formats,
    Limits,
    End,
    Liveness,
    Notifies,
    Copies,
    Items,
    Tools,
)


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
    """A bridge whose every step is checked; raises `InvariantBroken`. A `MessageMachine`.

    `config` is that of its calls, which says how long what is waited for.
    """

    def __init__(self, bridge: CallMachine, config: CallConfig | None = None) -> None:
        self._bridge = bridge
        facts = Facts(config or CallConfig())
        self._line = facts.line
        self._liveness = Liveness(facts)
        others = [each(facts) for each in INVARIANTS if each is not Liveness]
        invariants = [*others, self._liveness]
        told, asked = facts.of_the_call, facts.of_the_call[::-1]
        self._ends = ends = Ends(invariants, (facts.line, *told))
        to_tell = ((facts.line,), "told"), (told, "told"), (invariants, "on_input")
        self._inputs = ByKind("inputs", to_tell, ends)
        to_ask = (invariants, "on_output"), ((*asked, facts.line), "asked")
        self._outputs = ByKind("outputs", to_ask, ends)
        self.deadline = bridge.deadline
        """That of the bridge."""

    def start(self, now: int) -> list[Action]:
        """Begin."""
        return self._checked(self._bridge.start, Started(), now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self._checked(self._bridge.opened, Opened(peer), now, peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come."""
        event = twilio.decode(text) if peer is Peer.TWILIO else realtime.decode(text)
        return self._checked(self._bridge.receive_text, event, now, peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        return self._checked(self._bridge.pong, Ponged(), now, peer, payload)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone."""
        return self._checked(self._bridge.closed, Gone(peer), now, peer, code, reason)

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come."""
        return self._checked(self._bridge.handle_timeout, TimedOut(), now)

    def send(self, command: Command, now: int) -> list[Action]:
        """A command of the application."""
        event = command.event if isinstance(command, SendEvent) else command
        return self._checked(self._bridge.send, event, now, command)

    def must_have_ended(self, now: int) -> None:
        """Raise `InvariantBroken` if the call goes on: its faults have stopped, somebody has hung
        up, and the time that it was given is over."""
        overdue = self._liveness.overdue(now)
        if overdue is not None:
            step = Step(now, "bridge", "must_have_ended", (), ())
            raise InvariantBroken(Liveness.number, overdue, step)

    def _checked(
        self, method: Callable[..., list[Action]], event: object, now: int, *arguments: object
    ) -> list[Action]:
        before = self.deadline
        outputs = method(*arguments, now)  # misuse raises here, and has not happened
        self.deadline = self._bridge.deadline
        told = Told(now, event, outputs, before, self.deadline, method, arguments)
        was_live = self._line.live
        line_told, facts_told, judges, concerned = self._inputs[type(event)]
        for take in line_told:
            take(told)
        if was_live:  # afterwards nothing means anything
            for take in facts_told:
                take(told)
        for judge in judges:
            if (wrong := judge(told)) is not None:
                raise _broken(judge, wrong, told)
        for action in outputs:
            value = value_of(action)
            judges, facts_asked, bits = self._outputs[type(value)]
            concerned |= bits
            for judge in judges:
                if (wrong := judge(value, told)) is not None:
                    raise _broken(judge, wrong, told)
            for take in facts_asked:
                take(value, told)
        judges, finishes = self._ends[concerned]
        for judge in judges:
            if (wrong := judge(told)) is not None:
                raise _broken(judge, wrong, told)
        for finish in finishes:
            finish(told)
        return outputs


def _broken(judge: Any, wrong: str, told: Told) -> InvariantBroken:
    return InvariantBroken(judge.__self__.number, wrong, told.step)

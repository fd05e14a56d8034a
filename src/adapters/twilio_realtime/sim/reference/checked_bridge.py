"""`CheckedBridge`: a bridge each of whose steps is judged by the invariants."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from twilio_realtime_core.commands import Command, SendEvent
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.machine.actions import Action, Peer
from twilio_realtime_core.machine.contract import MessageMachine

from ..world.world import Step
from .expected.call import ExpectedCall
from .invariants import INVARIANTS
from .invariants.lifecycle import BoundedWaits
from .reading import read_realtime, read_twilio
from .step_record import (
    Dispatch,
    PongReceived,
    SocketClosed,
    SocketOpened,
    StartRequested,
    StepEnds,
    StepRecord,
    TimeoutHandled,
    read_output,
)

__all__ = ["CallMachine", "CheckedBridge", "InvariantBroken"]


class CallMachine(MessageMachine, Protocol):
    """A bridge, or what takes its place."""

    def send(self, command: Command, now: int) -> list[Action]:
        """Carry out a command of the application."""
        ...


class InvariantBroken(AssertionError):  # noqa: N818 - it says what has happened
    """Invariant `number` (0: the contract of every machine) does not hold after `step`."""

    def __init__(self, number: int, text: str, step: Step) -> None:
        super().__init__(f"invariant {number}: {text}\n{step}")
        self.number = number
        self.text = text
        self.step = step


class CheckedBridge:
    """A bridge each of whose steps is judged; raises `InvariantBroken`. A `MessageMachine`.

    `config` is that of the bridge; it holds the time limits.
    """

    def __init__(self, bridge: CallMachine, config: CallConfig | None = None) -> None:
        self._bridge = bridge
        call = ExpectedCall(config or CallConfig())
        links, parts = call.links, call.dependent_parts
        self._links = links
        self._bounded_waits = BoundedWaits(call)
        others = [each(call) for each in INVARIANTS if each is not BoundedWaits]
        invariants = [*others, self._bounded_waits]
        self._step_ends = step_ends = StepEnds(invariants, (links, *parts))
        for_input = ((links,), "apply_input"), (parts, "apply_input"), (invariants, "check_input")
        self._inputs = Dispatch("inputs", for_input, step_ends)
        for_output = (invariants, "check_output"), ((*parts[::-1], links), "apply_output")
        self._outputs = Dispatch("outputs", for_output, step_ends)
        self.deadline = bridge.deadline
        """That of the bridge."""

    def start(self, now: int) -> list[Action]:
        """Start the call."""
        return self._check(self._bridge.start, StartRequested(), now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self._check(self._bridge.opened, SocketOpened(peer), now, peer)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message is received."""
        event = read_twilio(text) if peer is Peer.TWILIO else read_realtime(text)
        return self._check(self._bridge.receive_text, event, now, peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong is received."""
        return self._check(self._bridge.pong, PongReceived(), now, peer, payload)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is closed."""
        return self._check(self._bridge.closed, SocketClosed(peer), now, peer, code, reason)

    def handle_timeout(self, now: int) -> list[Action]:
        """Do what is due."""
        return self._check(self._bridge.handle_timeout, TimeoutHandled(), now)

    def send(self, command: Command, now: int) -> list[Action]:
        """Carry out a command of the application."""
        event = command.event if isinstance(command, SendEvent) else command
        return self._check(self._bridge.send, event, now, command)

    def check_ended(self, now: int) -> None:
        """Raise `InvariantBroken` if the call is not over: call it once all faults have stopped,
        somebody has hung up, and the time for the end is over."""
        wrong = self._bounded_waits.check_ended(now)
        if wrong is not None:
            step = Step(now, "bridge", "check_ended", (), ())
            raise InvariantBroken(BoundedWaits.number, wrong, step)

    def _check(
        self, method: Callable[..., list[Action]], event: object, now: int, *arguments: object
    ) -> list[Action]:
        deadline_before = self.deadline
        actions = method(*arguments, now)  # misuse raises here, and changes nothing
        self.deadline = self._bridge.deadline
        values = [read_output(each) for each in actions]
        step = StepRecord(
            now, event, actions, values, deadline_before, self.deadline, method, arguments
        )
        was_live = self._links.is_live
        apply_to_links, apply_to_parts, checks, concerned = self._inputs[type(event)]
        for apply in apply_to_links:
            apply(step)
        if was_live:  # what comes after the end has no meaning
            for apply in apply_to_parts:
                apply(step)
        for check in checks:
            if (wrong := check(step)) is not None:
                raise _broken(check, wrong, step)
        for value in values:
            checks, apply_to_all, bits = self._outputs[type(value)]
            concerned |= bits
            for check in checks:
                if (wrong := check(value, step)) is not None:
                    raise _broken(check, wrong, step)
            for apply in apply_to_all:
                apply(value, step)
        checks, finishes = self._step_ends[concerned]
        for check in checks:
            if (wrong := check(step)) is not None:
                raise _broken(check, wrong, step)
        for finish in finishes:
            finish(step)
        return actions


def _broken(check: Any, wrong: str, step: StepRecord) -> InvariantBroken:
    return InvariantBroken(check.__self__.number, wrong, step.trace_step)

"""`CheckedBridge`: a bridge each of whose steps is judged by the invariants."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from twilio_realtime_core.commands import Command, SendEvent
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.machine.actions import Action, Peer, Refusal
from twilio_realtime_core.machine.contract import MessageMachine

from ..world.world import Step
from .expected.call import ExpectedCall
from .forwarded_frames import ForwardedFrames, is_forwarded
from .invariants import INVARIANTS
from .invariants.lifecycle import BoundedWaits
from .later_sessions import LaterSessions, outlives_session
from .reading import read_realtime, read_twilio
from .received import ReceivedMedia
from .session_log import SessionLog
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
    """Invariant `number` (0: the contract of every machine), called `name`, does not hold after
    `step`."""

    def __init__(self, number: int, text: str, step: Step, name: str = "") -> None:
        super().__init__(f"invariant {number}: {text}\n{step}")
        self.number = number
        self.name = name
        self.text = text
        self.step = step


class CheckedBridge:
    """A bridge each of whose steps is judged; raises `InvariantBroken`. A `MessageMachine`.

    `config` is that of the bridge; it holds the time limits. With `judges_all`, each step is judged
    by all invariants and in full, and not only by those that it concerns: the verdicts are the
    same, and take longer.
    """

    def __init__(
        self, bridge: CallMachine, config: CallConfig | None = None, *, judges_all: bool = False
    ) -> None:
        self._bridge = bridge
        call = ExpectedCall(config or CallConfig())
        links, parts = call.links, call.dependent_parts
        self._links = links
        self._bounded_waits = BoundedWaits(call)
        others = [each(call) for each in INVARIANTS if each is not BoundedWaits]
        invariants = [*others, self._bounded_waits]
        self._frames = ForwardedFrames(call, invariants, (links, *parts))
        self._has_frame_path = self._frames.is_possible and not judges_all
        self._step_ends = step_ends = StepEnds(invariants, (links, *parts), judges_all=judges_all)
        for_input = ((links,), "apply_input"), (parts, "apply_input"), (invariants, "check_input")
        self._inputs = Dispatch("inputs", for_input, step_ends)
        for_output = (invariants, "check_output"), ((*parts[::-1], links), "apply_output")
        self._outputs = Dispatch("outputs", for_output, step_ends)
        policy = call.config.reconnect
        self._reconnect_timeout_ms = None if policy is None else policy.timeout_ms
        self._log = None if policy is None else SessionLog()
        self._later: LaterSessions | None = None
        """The judge of a call that has lost a session, in place of all others."""
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
        if peer is not Peer.TWILIO:
            return self._check(self._bridge.receive_text, read_realtime(text), now, peer, text)
        if self._later is not None:
            return self._check(self._bridge.receive_text, read_twilio(text), now, peer, text)
        event = read_twilio(text)
        if type(event) is ReceivedMedia and self._has_frame_path:
            samples = self._frames.count_samples(event)
            if samples is not None:
                return self._check_frame(event, samples, text, now)
        return self._check(self._bridge.receive_text, event, now, peer, text)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong is received."""
        return self._check(self._bridge.pong, PongReceived(), now, peer, payload)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """The server refuses to open a socket."""
        return self._check(self._bridge.refused, SocketClosed(peer), now, peer, refusal)

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
        ended = self._bounded_waits if self._later is None else self._later
        wrong = ended.check_ended(now)
        if wrong is not None:
            step = Step(now, "bridge", "check_ended", (), ())
            raise InvariantBroken(BoundedWaits.number, wrong, step, BoundedWaits.name)

    def _check_frame(self, frame: ReceivedMedia, samples: int, text: str, now: int) -> list[Action]:
        """Pass a frame to the bridge; judge it by itself if it is only forwarded."""
        deadline_before = self.deadline
        actions = self._bridge.receive_text(Peer.TWILIO, text, now)
        self.deadline = deadline = self._bridge.deadline
        if deadline == deadline_before and is_forwarded(frame, actions):
            for check in self._frames.checks:
                if (wrong := check(frame, samples, now, deadline)) is not None:
                    step = Step(now, "bridge", "receive_text", (Peer.TWILIO, text), tuple(actions))
                    raise _broken(check, wrong, step)
            if self._log is not None:
                self._log.add_frame(Peer.REALTIME, frame.payload)
            return actions
        values = [read_output(each) for each in actions]
        method, arguments = self._bridge.receive_text, (Peer.TWILIO, text)
        self._judge(
            StepRecord(now, frame, actions, values, deadline_before, deadline, method, arguments)
        )
        return actions

    def _check(
        self, method: Callable[..., list[Action]], event: object, now: int, *arguments: object
    ) -> list[Action]:
        deadline_before = self.deadline
        actions = method(*arguments, now)  # misuse raises here, and changes nothing
        self.deadline = deadline = self._bridge.deadline
        values = [read_output(each) for each in actions]
        self._judge(
            StepRecord(now, event, actions, values, deadline_before, deadline, method, arguments)
        )
        return actions

    def _is_of_later_session(self, step: StepRecord) -> bool:
        """Judge a step of a call that has outlived a session; whether it is one."""
        log, later = self._log, self._later
        if later is None and self._links.is_live and outlives_session(step):
            self._log = log = log or SessionLog()
            self._later = later = LaterSessions(log, self._reconnect_timeout_ms)
        if log is None:
            return False
        log.add_input(step)
        if later is not None and (wrong := later.check(step)) is not None:
            raise _broken(later.check, wrong, step.trace_step)
        log.add_outputs(step)
        return later is not None

    def _judge(self, step: StepRecord) -> None:
        if self._is_of_later_session(step):
            return
        was_live = self._links.is_live
        apply_to_links, apply_to_parts, checks, concerned = self._inputs[type(step.event)]
        for apply in apply_to_links:
            apply(step)
        if was_live:  # what comes after the end has no meaning
            for apply in apply_to_parts:
                apply(step)
        for check in checks:
            if (wrong := check(step)) is not None:
                raise _broken(check, wrong, step.trace_step)
        for value in step.values:
            checks, apply_to_all, bits = self._outputs[type(value)]
            concerned |= bits
            for check in checks:
                if (wrong := check(value, step)) is not None:
                    raise _broken(check, wrong, step.trace_step)
            for apply in apply_to_all:
                apply(value, step)
        if step.deadline != step.deadline_before:
            concerned |= self._step_ends.deadline_bits
        checks, finishes = self._step_ends[concerned]
        for check in checks:
            if (wrong := check(step)) is not None:
                raise _broken(check, wrong, step.trace_step)
        for finish in finishes:
            finish(step)


def _broken(check: Any, wrong: str, step: Step) -> InvariantBroken:
    judge = check.__self__
    return InvariantBroken(judge.number, wrong, step, judge.name)

"""A call whose bridge is faulty: its actions are changed before the invariants check them.

call = FaultyCall.ready()
call.add(to_twilio(Clear(SID)))
with breaks(3):
    call.nudge()
"""

from collections.abc import Callable, Hashable
from typing import Any

import pytest

from calling import Call
from twilio_realtime.sim.reference import InvariantBroken
from twilio_realtime_core import Bridge, Command, LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Notify, Peer, Refusal, Send
from twilio_realtime_core.protocols.realtime import ClientEvent
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media

Change = Callable[[list[Action]], list[Action]]


def unchanged(actions: list[Action]) -> list[Action]:
    return actions


class FaultyBridge(Bridge):
    """A bridge whose actions go through `change`."""

    change: Change = staticmethod(unchanged)
    wrong_deadline_ns: int | None = None
    is_never_due = False
    is_refusing = True

    @property
    def deadline(self) -> int | None:
        right = None if self.is_never_due else super().deadline
        return right if self.wrong_deadline_ns is None else self.wrong_deadline_ns

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        return self.change(super().receive_text(peer, text, now))

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self.change(super().refused(peer, refusal, now))

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return self.change(super().closed(peer, code, reason, now))

    def handle_timeout(self, now: int) -> list[Action]:
        return self.change(super().handle_timeout(now))

    def send(self, command: Command, now: int) -> list[Action]:
        try:
            return self.change(super().send(command, now))
        except LocalProtocolError:
            if self.is_refusing:
                raise
            return self.change([])


class FaultyCall(Call):
    faulty_bridge: FaultyBridge

    def build(self) -> Bridge:
        self.faulty_bridge = FaultyBridge(self.config)
        return self.faulty_bridge

    def change(self, change: Change) -> None:
        self.faulty_bridge.change = change

    def add(self, *actions: Action) -> None:
        """Append these actions to each result from now on."""
        self.change(lambda right: [*right, *actions])

    def nudge(self) -> None:
        """Take a step that changes nothing."""
        self.phone({"event": "unknown"})

    def leave_out(self, kind: type) -> None:
        """Leave messages and notifications of a class out of each result from now on."""
        self.change(lambda right: [each for each in right if not isinstance(_value(each), kind)])


def _value(action: Action) -> object:
    match action:
        case Send(_, message):
            return message
        case Notify(event):
            return event
        case _:
            return action


def to_twilio(message: Media | Mark | Clear) -> Action:
    return Send(Peer.TWILIO, message)


def to_model(event: ClientEvent) -> Action:
    return Send(Peer.REALTIME, event)


def breaks(number: int) -> Any:
    return pytest.raises(InvariantBroken, match=f"^invariant {number}: ")

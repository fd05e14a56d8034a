"""A peer whose clock is fast or slow."""

from collections.abc import Hashable
from typing import Final

from attrs import define

from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.contract import MessageMachine

__all__ = ["DriftingMachine"]

_PPM: Final = 1_000_000


@define(eq=False)
class DriftingMachine:
    """A machine whose clock gains `ppm` millionths (loses them, if negative) on that of the world.

    Crystals of telephones and servers differ by up to a hundred.
    """

    machine: MessageMachine
    ppm: int

    @property
    def deadline(self) -> int | None:
        """That of the machine, in the world's time."""
        deadline = self.machine.deadline
        return None if deadline is None else -(-deadline * _PPM // (_PPM + self.ppm))

    def to_local_ns(self, now: int) -> int:
        """What its clock shows at `now`."""
        return now * (_PPM + self.ppm) // _PPM

    def start(self, now: int) -> list[Action]:
        """Begin."""
        return self.machine.start(self.to_local_ns(now))

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """A socket is open."""
        return self.machine.opened(peer, self.to_local_ns(now))

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """A message has come."""
        return self.machine.receive_text(peer, text, self.to_local_ns(now))

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """A pong has come."""
        return self.machine.pong(peer, payload, self.to_local_ns(now))

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """A socket is gone."""
        return self.machine.closed(peer, code, reason, self.to_local_ns(now))

    def handle_timeout(self, now: int) -> list[Action]:
        """The deadline may have come."""
        return self.machine.handle_timeout(self.to_local_ns(now))

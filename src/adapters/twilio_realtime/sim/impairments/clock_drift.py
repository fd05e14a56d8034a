"""A peer whose clock runs fast or slow."""

from collections.abc import Hashable
from typing import Final

from attrs import define

from twilio_realtime_core.machine.actions import Action, Refusal
from twilio_realtime_core.machine.contract import MessageMachine

__all__ = ["DriftingMachine"]

_PPM: Final = 1_000_000
"""Millionths in a whole."""


@define(eq=False)
class DriftingMachine:
    """A message machine whose clock runs faster or slower than the clock of the world.

    It gains `ppm` millionths, or loses them if negative: crystals of telephones and servers differ
    by up to a hundred.
    """

    machine: MessageMachine
    ppm: int

    @property
    def deadline(self) -> int | None:
        """The deadline of the machine, in the time of the world (ns)."""
        deadline = self.machine.deadline
        return None if deadline is None else -(-deadline * _PPM // (_PPM + self.ppm))

    def to_local_ns(self, now: int) -> int:
        """Return what the machine's clock shows at `now` (ns)."""
        return now * (_PPM + self.ppm) // _PPM

    def start(self, now: int) -> list[Action]:
        """Start the machine."""
        return self.machine.start(self.to_local_ns(now))

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Report an open socket to the machine."""
        return self.machine.opened(peer, self.to_local_ns(now))

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """Report a message to the machine."""
        return self.machine.receive_text(peer, text, self.to_local_ns(now))

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """Report a pong to the machine."""
        return self.machine.pong(peer, payload, self.to_local_ns(now))

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """Report a refused socket to the machine."""
        return self.machine.refused(peer, refusal, self.to_local_ns(now))

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """Report a closed socket to the machine."""
        return self.machine.closed(peer, code, reason, self.to_local_ns(now))

    def handle_timeout(self, now: int) -> list[Action]:
        """Do what is due."""
        return self.machine.handle_timeout(self.to_local_ns(now))

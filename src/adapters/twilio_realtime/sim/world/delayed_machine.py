"""A long way between a machine and the network: all bytes arrive later, in both directions.

What is under way is kept in order, and the machine is told of it at the very time it arrives, so it
finds itself that far away from its peer, however soon or late it is driven.
"""

from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeAlias

from attrs import define, field

from twilio_realtime_core import ByteAction, ByteMachine, Connect, Notify, SendBytes, Shutdown

__all__ = ["DelayedMachine"]

_MachineCall: TypeAlias = Callable[[int], list[ByteAction]]


@define(eq=False)
class DelayedMachine:
    """A `ByteMachine`: `machine`, `one_way_ns` away. Byte streams open without delay.

    What is under way is no more than its peer, or it, sends in that time.
    """

    _machine: ByteMachine
    _one_way_ns: int
    _now: int = field(init=False, default=0)
    """When the machine was told something the last time."""
    _inbound: deque[tuple[int, _MachineCall]] = field(
        init=False, factory=deque[tuple[int, _MachineCall]]
    )
    _outbound: deque[tuple[int, SendBytes | Shutdown]] = field(
        init=False, factory=deque[tuple[int, SendBytes | Shutdown]]
    )

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        due = [queue[0][0] for queue in (self._inbound, self._outbound) if queue]
        if self._machine.deadline is not None:
            due.append(self._machine.deadline)
        return min(due, default=None)

    def start(self, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        return self._call_machine(self._machine.start, now)

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        return self.call(partial(self._machine.connected, peer), now)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        return self.call(partial(self._machine.connect_failed, peer, reason), now)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """See `ByteMachine`. The machine receives them later."""
        told = partial(self._machine.receive_bytes, peer, data)
        self._inbound.append((now + self._one_way_ns, told))
        return self.handle_timeout(now)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """See `ByteMachine`. The machine hears of it later."""
        told = partial(self._machine.receive_eof, peer)
        self._inbound.append((now + self._one_way_ns, told))
        return self.handle_timeout(now)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        out: list[ByteAction] = []
        while (due := self.deadline) is not None and due <= now:
            if self._outbound and self._outbound[0][0] == due:
                out.append(self._outbound.popleft()[1])
            elif self._inbound and self._inbound[0][0] == due:
                out += self._call_machine(self._inbound.popleft()[1], due)
            else:
                out += self._call_machine(self._machine.handle_timeout, due)
        return out

    def call(self, method: _MachineCall, now: int) -> list[ByteAction]:
        """Have the machine do something of its own accord."""
        return self.handle_timeout(now) + self._call_machine(method, now)

    def _call_machine(self, method: _MachineCall, at_ns: int) -> list[ByteAction]:
        """Tell the machine; what is done at once of what it asks. The rest goes on its way."""
        self._now = max(self._now, at_ns)  # a deadline may have been in the past when it was set
        out: list[ByteAction] = []
        for action in method(self._now):
            match action:
                case SendBytes() | Shutdown():
                    self._outbound.append((self._now + self._one_way_ns, action))
                case Connect() | Notify():
                    out.append(action)
        return out

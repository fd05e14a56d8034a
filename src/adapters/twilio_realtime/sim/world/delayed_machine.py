"""A byte machine with latency between it and the network, in both directions.

Items in transit keep their order, and the machine receives each at the exact time of its arrival,
however early or late it is driven.
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
    """A `ByteMachine`: `machine`, at a one-way latency of `one_way_ns`. Byte streams open without
    delay.

    It holds no more than what the peer, and the machine, send within that time.
    """

    _machine: ByteMachine
    _one_way_ns: int
    _now: int = field(init=False, default=0)
    """When the machine was called last (ns)."""
    _inbound: deque[tuple[int, _MachineCall]] = field(
        init=False, factory=deque[tuple[int, _MachineCall]]
    )
    _outbound: deque[tuple[int, SendBytes | Shutdown]] = field(
        init=False, factory=deque[tuple[int, SendBytes | Shutdown]]
    )

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        due_ns = [queue[0][0] for queue in (self._inbound, self._outbound) if queue]
        if self._machine.deadline is not None:
            due_ns.append(self._machine.deadline)
        return min(due_ns, default=None)

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
        """See `ByteMachine`. The machine receives them one way later."""
        receive = partial(self._machine.receive_bytes, peer, data)
        self._inbound.append((now + self._one_way_ns, receive))
        return self.handle_timeout(now)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """See `ByteMachine`. The machine receives it one way later."""
        receive = partial(self._machine.receive_eof, peer)
        self._inbound.append((now + self._one_way_ns, receive))
        return self.handle_timeout(now)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        actions: list[ByteAction] = []
        while (due_ns := self.deadline) is not None and due_ns <= now:
            if self._outbound and self._outbound[0][0] == due_ns:
                actions.append(self._outbound.popleft()[1])
            elif self._inbound and self._inbound[0][0] == due_ns:
                actions += self._call_machine(self._inbound.popleft()[1], due_ns)
            else:
                actions += self._call_machine(self._machine.handle_timeout, due_ns)
        return actions

    def call(self, method: _MachineCall, now: int) -> list[ByteAction]:
        """Call `method(now)` of the machine, after everything that is due."""
        return self.handle_timeout(now) + self._call_machine(method, now)

    def _call_machine(self, method: _MachineCall, at_ns: int) -> list[ByteAction]:
        """Call the machine; return its immediate actions, and delay what it sends."""
        self._now = max(self._now, at_ns)  # a deadline may have been in the past when it was set
        actions: list[ByteAction] = []
        for action in method(self._now):
            match action:
                case SendBytes() | Shutdown():
                    self._outbound.append((self._now + self._one_way_ns, action))
                case Connect() | Notify():
                    actions.append(action)
        return actions

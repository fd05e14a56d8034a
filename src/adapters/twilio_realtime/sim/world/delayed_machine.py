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

__all__ = ["Distant"]

_Told: TypeAlias = Callable[[int], list[ByteAction]]


@define(eq=False)
class Distant:
    """A `ByteMachine`: `machine`, `one_way_ns` away. Byte streams open without delay.

    What is under way is no more than its peer, or it, sends in that time.
    """

    _machine: ByteMachine
    _one_way_ns: int
    _now: int = field(init=False, default=0)
    """When the machine was told something the last time."""
    _inward: deque[tuple[int, _Told]] = field(init=False, factory=deque[tuple[int, _Told]])
    _outward: deque[tuple[int, SendBytes | Shutdown]] = field(
        init=False, factory=deque[tuple[int, SendBytes | Shutdown]]
    )

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        due = [queue[0][0] for queue in (self._inward, self._outward) if queue]
        if self._machine.deadline is not None:
            due.append(self._machine.deadline)
        return min(due, default=None)

    def start(self, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        return self._tell(self._machine.start, now)

    def connected(self, peer: Hashable, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        return self.do(partial(self._machine.connected, peer), now)

    def connect_failed(self, peer: Hashable, reason: str, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        return self.do(partial(self._machine.connect_failed, peer, reason), now)

    def receive_bytes(self, peer: Hashable, data: bytes, now: int) -> list[ByteAction]:
        """See `ByteMachine`. The machine receives them later."""
        told = partial(self._machine.receive_bytes, peer, data)
        self._inward.append((now + self._one_way_ns, told))
        return self.handle_timeout(now)

    def receive_eof(self, peer: Hashable, now: int) -> list[ByteAction]:
        """See `ByteMachine`. The machine hears of it later."""
        told = partial(self._machine.receive_eof, peer)
        self._inward.append((now + self._one_way_ns, told))
        return self.handle_timeout(now)

    def handle_timeout(self, now: int) -> list[ByteAction]:
        """See `ByteMachine`."""
        out: list[ByteAction] = []
        while (due := self.deadline) is not None and due <= now:
            if self._outward and self._outward[0][0] == due:
                out.append(self._outward.popleft()[1])
            elif self._inward and self._inward[0][0] == due:
                out += self._tell(self._inward.popleft()[1], due)
            else:
                out += self._tell(self._machine.handle_timeout, due)
        return out

    def do(self, act: _Told, now: int) -> list[ByteAction]:
        """Have the machine do something of its own accord."""
        return self.handle_timeout(now) + self._tell(act, now)

    def _tell(self, told: _Told, when: int) -> list[ByteAction]:
        """Tell the machine; what is done at once of what it asks. The rest goes on its way."""
        self._now = max(self._now, when)  # a deadline may have been in the past when it was set
        out: list[ByteAction] = []
        for action in told(self._now):
            match action:
                case SendBytes() | Shutdown():
                    self._outward.append((self._now + self._one_way_ns, action))
                case Connect() | Notify():
                    out.append(action)
        return out

"""Virtual time: machines, the links that join them, and one heap of what happens when.

`MessageWorld` joins machines that speak in messages, `ByteWorld` those that speak in bytes; here
is what both have in common. A world does to its machines what a driver does, only that nothing
takes time but what is said to: the same machines, links and seed give the same run, always.

1. `add` each machine, `join` their peers, two by two.
2. `run`, `run_until` or `step`; `call` a method of a machine in between.
3. Look at `notifications`, at `trace`, or at the machines.
"""

import heapq
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from enum import Enum, unique
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from attrs import Factory, define, field, validators

from twilio_realtime_core.machine.actions import Notify

from ..choices import Choices
from .steps import Step

__all__ = [
    "MAX_STEPS_PER_INSTANT",
    "LinkDirection",
    "LinkEnd",
    "LinkEndState",
    "Machine",
    "Node",
    "SimConnection",
    "SimLink",
    "SimulationError",
    "Step",
    "TimeLimitError",
    "World",
]

MAX_STEPS_PER_INSTANT: Final = 10_000
"""Steps in one instant after which time is taken to stand still: two machines answer each other
over a link without latency. A call of three machines takes some dozens."""


class SimulationError(AssertionError):
    """A machine broke its contract, or a simulation cannot be what was asked for."""


class TimeLimitError(SimulationError):
    """What was waited for has not come by the time that it was given."""


class Machine(Protocol):
    """What machines of both kinds have."""

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` (ns)."""
        ...

    def start(self, now: int) -> Sequence[object]:
        """Begin."""
        ...

    def handle_timeout(self, now: int) -> Sequence[object]:
        """The deadline may have come."""
        ...


M = TypeVar("M", bound=Machine)


@define(eq=False)
class LinkDirection:
    """One direction of a link. Make another class of it for a way with jitter or stalls."""

    latency_ns: int = field(validator=validators.ge(0))

    def transit_ns(self, size_bytes: int, now: int) -> int:
        """How long (ns) `size` bytes, or characters, that are sent at `now` take until they are
        there. Whatever it says, order is kept."""
        del size_bytes
        return self.propagation_ns(now)

    def propagation_ns(self, now: int) -> int:
        """The part of that which does not depend on the size."""
        del now
        return self.latency_ns


@define(eq=False)
class Node(Generic[M]):
    """A machine in a world."""

    name: str
    machine: M
    timer_ns: int | None = field(init=False, default=None)
    """Its deadline, which the heap holds."""
    links: "dict[Hashable, tuple[SimLink[M], int]]" = field(
        init=False, factory=dict[Hashable, "tuple[SimLink[M], int]"]
    )
    """By peer: what the peer is joined by, and which end of that is here."""


@define(eq=False)
class LinkEnd(Generic[M]):
    """One end of a link: a machine, and what it calls the other end."""

    node: Node[M]
    peer: Hashable


@unique
class LinkEndState(Enum):
    """What one end knows of a connection."""

    PENDING = "untold"
    """It has dialled and had no answer, or has not been dialled yet."""
    OPEN = "open"
    """It may send, and is told what arrives."""
    CLOSING = "closing"
    """It has asked for an end: it may not send, and is told nothing but the end."""
    EOF_RECEIVED = "ended"
    """It has been told that no more comes, and may still send (byte streams only)."""
    CLOSED = "closed"
    """It knows of the end, and is told nothing more."""


@define(eq=False)
class SimLink(Generic[M]):
    """What joins two machines. It carries one connection at a time, which either end may dial."""

    ends: tuple[LinkEnd[M], LinkEnd[M]]
    directions: tuple[LinkDirection, LinkDirection]
    """From the first end to the second, and back."""
    connect_ns: int = 0
    """What a dial takes on top of the latency: name, TCP and TLS."""
    is_accepting: bool = True
    """Whether a dial succeeds."""
    ping_count: int = 0
    """WebSocket pings carried so far."""
    connections: "list[SimConnection[M] | None]" = field(init=False, factory=lambda: [None, None])
    """By end: the connection it knows of last. (A new dial may be under way.)"""
    last_arrivals_ns: list[int] = field(init=False, factory=lambda: [0, 0])
    """By way: when the last thing sent on it arrives. Nothing overtakes."""
    cuts: list[tuple[int, bool] | None] = field(init=False, factory=lambda: [None, None])
    """By way: how many bytes may still be written before the stream is cut, and whether that is a
    reset (byte streams only)."""


@define(eq=False)
class SimConnection(Generic[M]):
    """One dial of a link and what came of it."""

    link: SimLink[M]
    states: list[LinkEndState] = field(init=False, factory=lambda: [LinkEndState.PENDING] * 2)
    is_lost: bool = field(init=False, default=False)
    """Nothing is carried any more."""


_Event: TypeAlias = tuple[
    int, int, SimConnection[M] | None, Callable[..., None], tuple[object, ...]
]
"""When (ns), in which order, on which connection if on any, what happens, and to what."""


@define(eq=False, kw_only=True)
class World(ABC, Generic[M]):
    """Machines under virtual time, which begins at 0.

    `choices` decides what is left to chance; if it is not given, `seed` does. `trace_limit`: so
    many of the last steps are kept in `trace` (none by default: they cost more than they tell while
    all is well).
    """

    seed: int = 0
    trace_limit: int = 0
    choices: Choices = field(
        default=Factory(lambda self: Choices.from_seed(self.seed), takes_self=True)
    )

    now: int = field(init=False, default=0)
    """Nanoseconds since the world began."""
    notifications: list[tuple[int, str, object]] = field(
        init=False, factory=list[tuple[int, str, object]]
    )
    """When, by which machine, and the event."""
    trace: deque[Step] = field(init=False)
    step_observers: list[Callable[[Step], None]] = field(
        init=False, factory=list[Callable[[Step], None]]
    )
    """Called after every step, once its outputs have been carried out."""
    notification_listeners: list[Callable[[str, object], None]] = field(
        init=False, factory=list[Callable[[str, object], None]]
    )
    """Told of every notification: by which machine, and the event. They may look, and ask for
    something to be done later (see `at`)."""

    _nodes: dict[str, Node[M]] = field(init=False, factory=dict[str, Node[M]])
    _events: list[_Event[M]] = field(init=False, factory=list[_Event[M]])
    _event_count: int = field(init=False, default=0)
    _steps_this_instant: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.trace = deque(maxlen=self.trace_limit)

    # Building it.

    def add(self, name: str, machine: M) -> None:
        """Put in a machine. It is started by the next step, in the order of adding."""
        if name in self._nodes:
            raise SimulationError(f"there is a machine named {name} already")
        node = self._nodes[name] = Node(name, machine)
        self._push_event(self.now, self._deliver, node, machine.start)

    def join(
        self,
        one: tuple[str, Hashable],
        other: tuple[str, Hashable],
        *,
        latency_ns: int = 0,
        connect_ns: int = 0,
        directions: tuple[LinkDirection, LinkDirection] | None = None,
    ) -> SimLink[M]:
        """Join a peer of one machine to a peer of another: each is (name of machine, its peer).

        `latency_ns` is one way, the same in both directions unless `ways` gives each its own.
        """
        ends = (
            LinkEnd(self._node_named(one[0]), one[1]),
            LinkEnd(self._node_named(other[0]), other[1]),
        )
        link = SimLink(
            ends, directions or (LinkDirection(latency_ns), LinkDirection(latency_ns)), connect_ns
        )
        for side, end in enumerate(ends):
            if end.peer in end.node.links:
                raise SimulationError(f"{end.node.name}: {end.peer} is joined already")
            end.node.links[end.peer] = link, side
        return link

    def link(self, name: str, peer: Hashable) -> SimLink[M]:
        """The link that a peer of a machine is joined to."""
        return self._link_of(self._node_named(name), peer)[0]

    # Letting time pass.

    def step(self) -> bool:
        """Let the next thing happen; `False` if nothing is left to happen."""
        if not self._events:
            return False
        when, _, connection, happen, arguments = heapq.heappop(self._events)
        self._steps_this_instant = self._steps_this_instant + 1 if when == self.now else 0
        if self._steps_this_instant > MAX_STEPS_PER_INSTANT:
            raise SimulationError(f"time stands still at {when} ns{self._trace_tail()}")
        self.now = when
        if connection is None or not connection.is_lost:
            happen(*arguments)
        return True

    def run(self, until_ns: int) -> None:
        """Let everything happen up to and at `until_ns`, which is `now` afterwards."""
        while self._events and self._events[0][0] <= until_ns:
            self.step()
        self.now = max(self.now, until_ns)

    def run_until(self, predicate: Callable[[], bool], limit_ns: int) -> None:
        """Take steps until `predicate()` holds; `NotInTime` if it does not by `limit_ns`."""
        while not predicate():
            if not self._events or self._events[0][0] > limit_ns:
                raise TimeLimitError(f"not so by {limit_ns} ns{self._trace_tail()}")
            self.step()

    def call(self, name: str, method: str, *arguments: object) -> None:
        """Call `method(*arguments, now)` of a machine, and carry out what it asks for."""
        node = self._node_named(name)
        self._deliver(node, getattr(node.machine, method), *arguments)

    def schedule(self, at_ns: int, job: Callable[[], None]) -> None:
        """Call `do` at `when` (ns), or at once if that is past: a fault begins, or somebody acts
        from outside."""
        self._push_event(max(at_ns, self.now), job)

    @abstractmethod
    def sever(self, link: SimLink[M]) -> None:
        """Lose the link's connection, now: what is on its way is gone, and both ends hear of it."""

    # Giving machines their inputs.

    def _deliver(
        self, node: Node[M], method: Callable[..., Sequence[object]], *arguments: object
    ) -> None:
        now, machine = self.now, node.machine
        outputs = method(*arguments, now)
        step = None
        if self.trace_limit or self.step_observers:
            step = Step(now, node.name, method.__name__, arguments, tuple(outputs))
            self.trace.append(step)
        for action in outputs:
            if isinstance(action, Notify):
                self.notifications.append((now, node.name, action.event))
                for listener in self.notification_listeners:
                    listener(node.name, action.event)
            else:
                self._perform(node, action)
        if (deadline := machine.deadline) != node.timer_ns:
            node.timer_ns = deadline
            if deadline is not None:
                self._push_event(max(deadline, now), self._fire_timer, node, deadline)
        if step is not None:
            for observer in self.step_observers:
                observer(step)

    @abstractmethod
    def _perform(self, node: Node[M], action: object) -> None: ...

    def _fire_timer(self, node: Node[M], deadline_ns: int) -> None:
        if node.timer_ns != deadline_ns:
            return
        node.timer_ns = None
        self._deliver(node, node.machine.handle_timeout)
        if node.timer_ns is not None and node.timer_ns <= self.now:
            raise SimulationError(
                f"{node.name}: after handle_timeout({self.now}) its deadline is {node.timer_ns}"
            )

    # Connections.

    def _dial(self, node: Node[M], peer: Hashable) -> None:
        link, side = self._link_of(node, peer)
        old = link.connections[side]
        if old is not None and old.states[side] is not LinkEndState.CLOSED:
            raise SimulationError(
                f"{node.name} dials {peer}, which is not closed{self._trace_tail()}"
            )
        link.connections[side] = connection = SimConnection(link)
        self._transmit(connection, side, self._arrive_dial, extra_ns=link.connect_ns)

    def _arrive_dial(self, connection: SimConnection[M], side: int) -> None:
        if not connection.link.is_accepting:
            connection.states[side] = LinkEndState.CLOSED
            self._transmit(connection, side, self._arrive_refusal)
            return
        connection.link.connections[side] = connection
        connection.states[side] = LinkEndState.OPEN
        self._transmit(connection, side, self._arrive_acceptance)
        self._report_open(connection.link.ends[side])

    def _arrive_acceptance(self, connection: SimConnection[M], side: int) -> None:
        if connection.states[side] is LinkEndState.PENDING:
            connection.states[side] = LinkEndState.OPEN
            self._report_open(connection.link.ends[side])

    def _arrive_refusal(self, connection: SimConnection[M], side: int) -> None:
        if connection.states[side] is LinkEndState.PENDING:
            connection.states[side] = LinkEndState.CLOSED
            self._report_refused(connection.link.ends[side])

    @abstractmethod
    def _report_open(self, end: LinkEnd[M]) -> None: ...

    @abstractmethod
    def _report_refused(self, end: LinkEnd[M]) -> None: ...

    def _transmit(
        self,
        connection: SimConnection[M],
        side: int,
        arrive: Callable[..., None],
        *arguments: object,
        size_bytes: int = 0,
        extra_ns: int = 0,
    ) -> None:
        """Send from `side`: `arrive(connection, the other side, *arguments)` in due time, unless
        the connection is lost by then."""
        link = connection.link
        when = self.now + extra_ns + link.directions[side].transit_ns(size_bytes, self.now)
        link.last_arrivals_ns[side] = when = max(when, link.last_arrivals_ns[side])
        event = when, self._event_count, connection, arrive, (connection, 1 - side, *arguments)
        heapq.heappush(self._events, event)
        self._event_count += 1

    def _sendable_connection(
        self, node: Node[M], peer: Hashable, verb: str
    ) -> tuple[SimConnection[M], int]:
        """The connection that a machine sends on, which must be open to it."""
        link, side = self._link_of(node, peer)
        connection = link.connections[side]
        if connection is None or connection.states[side] not in _SENDABLE_STATES:
            raise SimulationError(
                f"{node.name} {verb} to {peer}, which is not open{self._trace_tail()}"
            )
        return connection, side

    def _link_of(self, node: Node[M], peer: Hashable) -> tuple[SimLink[M], int]:
        joined = node.links.get(peer)
        if joined is None:
            raise SimulationError(f"{node.name}: {peer} is not joined to anything")
        return joined

    def _node_named(self, name: str) -> Node[M]:
        if name not in self._nodes:
            raise SimulationError(f"there is no machine named {name}")
        return self._nodes[name]

    def _push_event(self, at_ns: int, handle: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._events, (at_ns, self._event_count, None, handle, arguments))
        self._event_count += 1

    def _trace_tail(self) -> str:
        """The last steps, as far as there is a trace, to end a message with."""
        return "".join(f"\n{step}" for step in list(self.trace)[-20:])


_SENDABLE_STATES = (LinkEndState.OPEN, LinkEndState.EOF_RECEIVED)

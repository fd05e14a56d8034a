"""Virtual time: machines, the links that join them, and one queue of events ordered by time.

`MessageWorld` joins machines that exchange messages, `ByteWorld` machines that exchange bytes; this
module holds what both share. A world calls its machines as a driver does, but only the links take
time. The same machines, links and seed always give the same run.

1. `add` each machine and `join` their peers in pairs.
2. `run`, `run_until` or `step`; `call` a method of a machine in between.
3. Inspect `notifications`, `trace`, or the machines.
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
    "Event",
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
"""Steps in one instant after which the simulation fails: two machines answer each other over a link
without latency. A call of three machines takes a few dozen."""


class SimulationError(AssertionError):
    """A machine broke its contract, or the simulation was set up wrongly."""


class TimeLimitError(SimulationError):
    """The condition that `run_until` waits for did not hold by its time limit."""


class Machine(Protocol):
    """What message machines and byte machines share."""

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` (ns)."""
        ...

    def start(self, now: int) -> Sequence[object]:
        """Begin."""
        ...

    def handle_timeout(self, now: int) -> Sequence[object]:
        """Do what is due at `now`."""
        ...


M = TypeVar("M", bound=Machine)


@define(eq=False)
class LinkDirection:
    """One direction of a link, with a constant latency. Subclass it to add jitter or stalls."""

    latency_ns: int = field(validator=validators.ge(0))

    def transmit(self, size_bytes: int, now: int) -> int:
        """Send `size_bytes` bytes, or characters, at `now`; return how long they take to arrive
        (ns). The world keeps the order of arrival whatever this returns."""
        del size_bytes
        return self.latency_ns if type(self) is LinkDirection else self.propagation_ns(now)

    def propagation_ns(self, now: int) -> int:
        """Return the part of the transit time that does not depend on the size (ns)."""
        del now
        return self.latency_ns

    def constant_ns(self, now: int) -> int | None:
        """Return how long whatever is sent from `now` on takes, unless somebody changes that;
        `None` if it varies, or is not known."""
        del now
        return self.latency_ns if type(self) is LinkDirection else None


@define(eq=False)
class Node(Generic[M]):
    """A machine in a world."""

    name: str
    machine: M
    timer_ns: int | None = field(init=False, default=None)
    """The deadline of the machine for which the event queue holds a timer (ns)."""
    links: "dict[Hashable, tuple[SimLink[M], int]]" = field(
        init=False, factory=dict[Hashable, "tuple[SimLink[M], int]"]
    )
    """By peer: the link that the peer is joined to, and the index of this machine's end."""


@define(eq=False)
class LinkEnd(Generic[M]):
    """One end of a link: a machine, and its key for the peer at the other end."""

    node: Node[M]
    peer: Hashable


@unique
class LinkEndState(Enum):
    """The state of a connection as one end sees it."""

    PENDING = "pending"
    """The end has dialled and has no answer yet, or its peer's dial has not arrived yet."""
    OPEN = "open"
    """The end may send, and receives what arrives."""
    CLOSING = "closing"
    """The end has asked to close: it may not send, and receives only the close."""
    EOF_RECEIVED = "eof_received"
    """The end has received EOF and may still send (byte streams only)."""
    CLOSED = "closed"
    """The end has been notified of the close, and receives nothing more."""


@define(eq=False)
class SimLink(Generic[M]):
    """The link between two machines. It carries one connection at a time, which either end may
    dial."""

    ends: tuple[LinkEnd[M], LinkEnd[M]]
    directions: tuple[LinkDirection, LinkDirection]
    """From the first end to the second, and back."""
    connect_ns: int = 0
    """How long a dial takes on top of the latency: DNS, TCP and TLS."""
    is_accepting: bool = True
    """Whether a dial succeeds."""
    ping_count: int = 0
    """WebSocket pings carried so far."""
    connections: "list[SimConnection[M] | None]" = field(init=False, factory=lambda: [None, None])
    """By end: the last connection that the end has seen. (A new dial may be under way.)"""
    last_arrivals_ns: list[int] = field(init=False, factory=lambda: [0, 0])
    """By direction: when the last item sent arrives. Nothing overtakes."""
    cuts: list[tuple[int, bool] | None] = field(init=False, factory=lambda: [None, None])
    """By direction: how many bytes may still be written before the stream is cut, and whether the
    cut is a reset (byte streams only)."""


@define(eq=False)
class SimConnection(Generic[M]):
    """One dial of a link, and the connection that resulted."""

    link: SimLink[M]
    states: list[LinkEndState] = field(init=False, factory=lambda: [LinkEndState.PENDING] * 2)
    is_lost: bool = field(init=False, default=False)
    """Whether the connection is lost: it carries nothing more."""


Event: TypeAlias = tuple[int, int, SimConnection[M] | None, Callable[..., None], tuple[object, ...]]
"""Time (ns), sequence number, connection if there is one, handler, and the handler's arguments."""


@define(eq=False, kw_only=True)
class World(ABC, Generic[M]):
    """Machines under virtual time, which starts at 0.

    `choices` makes all random decisions; by default they come from `seed`. `trace` keeps the last
    `trace_limit` steps (none by default, since a trace is expensive).
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
    """Every notification so far: time (ns), name of the machine, and the event."""
    trace: deque[Step] = field(init=False)
    step_observers: list[Callable[[Step], None]] = field(
        init=False, factory=list[Callable[[Step], None]]
    )
    """Called after every step, once its outputs have been carried out."""
    notification_listeners: list[Callable[[str, object], None]] = field(
        init=False, factory=list[Callable[[str, object], None]]
    )
    """Called with every notification: the name of the machine, and the event. Listeners may inspect
    the world, and `schedule` jobs."""

    join_later: Callable[[str, Hashable], SimLink[M]] | None = field(init=False, default=None)
    """Joins a peer that a machine dials, by the machine's name, and that is not joined yet: a later
    connection to the same server. Returns the link."""

    _nodes: dict[str, Node[M]] = field(init=False, factory=dict[str, Node[M]])
    _events: list[Event[M]] = field(init=False, factory=list[Event[M]])
    _event_count: int = field(init=False, default=0)
    _steps_this_instant: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.trace = deque(maxlen=self.trace_limit)

    # Build the world.

    def add(self, name: str, machine: M) -> None:
        """Add a machine. The next step starts it; machines start in the order in which they were
        added.

        Raises `SimulationError` if the name is taken.
        """
        if name in self._nodes:
            raise SimulationError(f"there is already a machine named {name}")
        node = self._nodes[name] = Node(name, machine)
        self._push_event(self.now, None, self._deliver, (node, machine.start))

    def join(
        self,
        first: tuple[str, Hashable],
        second: tuple[str, Hashable],
        *,
        latency_ns: int = 0,
        connect_ns: int = 0,
        directions: tuple[LinkDirection, LinkDirection] | None = None,
    ) -> SimLink[M]:
        """Join a peer of one machine to a peer of another; each is a pair of the machine's name and
        its key for the peer.

        `latency_ns` is one way, the same in both directions unless `directions` gives each its own.
        Raises `SimulationError` if a peer is joined already or a machine does not exist.
        """
        ends = (
            LinkEnd(self._node_named(first[0]), first[1]),
            LinkEnd(self._node_named(second[0]), second[1]),
        )
        link = SimLink(
            ends, directions or (LinkDirection(latency_ns), LinkDirection(latency_ns)), connect_ns
        )
        for side, end in enumerate(ends):
            if end.peer in end.node.links:
                raise SimulationError(f"{end.node.name}: {end.peer} is already joined")
            end.node.links[end.peer] = link, side
        return link

    def link(self, name: str, peer: Hashable) -> SimLink[M]:
        """Return the link that a peer of a machine is joined to (`SimulationError`: there is
        none)."""
        return self._link_of(self._node_named(name), peer)[0]

    # Let time pass.

    def step(self) -> bool:
        """Handle the next event; `False` if none is left."""
        if not self._events:
            return False
        at_ns, _, connection, handle, arguments = heapq.heappop(self._events)
        if at_ns != self.now:
            self.now, self._steps_this_instant = at_ns, 0
        elif self._steps_this_instant < MAX_STEPS_PER_INSTANT:
            self._steps_this_instant += 1
        else:
            raise SimulationError(f"time does not advance beyond {at_ns} ns{self._trace_tail()}")
        if connection is None or not connection.is_lost:
            handle(*arguments)
        return True

    def run(self, until_ns: int) -> None:
        """Handle every event up to and at `until_ns`, which is `now` afterwards."""
        events, step = self._events, self.step
        while events and events[0][0] <= until_ns:
            step()
        self.now = max(self.now, until_ns)

    def run_until(self, predicate: Callable[[], bool], limit_ns: int) -> None:
        """Take steps until `predicate()` holds (`TimeLimitError`: it does not by `limit_ns`)."""
        while not predicate():
            if not self._events or self._events[0][0] > limit_ns:
                raise TimeLimitError(
                    f"the condition does not hold by {limit_ns} ns{self._trace_tail()}"
                )
            self.step()

    def call(self, name: str, method: str, *arguments: object) -> None:
        """Call `method(*arguments, now)` of a machine, and carry out the actions that it
        returns."""
        node = self._node_named(name)
        self._deliver(node, getattr(node.machine, method), *arguments)

    def schedule(self, at_ns: int, job: Callable[[], None]) -> None:
        """Call `job` at `at_ns`, or as the next event if that time has passed."""
        self._push_event(max(at_ns, self.now), None, job, ())

    @abstractmethod
    def sever(self, link: SimLink[M]) -> None:
        """Lose the link's connection now: what is in transit is lost, and both ends are
        notified."""

    # Deliver inputs to machines.

    def _deliver(
        self, node: Node[M], method: Callable[..., Sequence[object]], *arguments: object
    ) -> None:
        self._carry_out(node, method, arguments, method(*arguments, self.now))

    def _carry_out(
        self,
        node: Node[M],
        method: Callable[..., object],
        arguments: tuple[object, ...],
        outputs: Sequence[object],
    ) -> None:
        """Carry out what a machine returns to an input."""
        now, step = self.now, None
        if self.trace_limit or self.step_observers:
            step = Step(now, node.name, method.__name__, arguments, tuple(outputs))
            self.trace.append(step)
        for action in outputs:
            if type(action) is Notify:
                self.notifications.append((now, node.name, action.event))
                for listener in self.notification_listeners:
                    listener(node.name, action.event)
            else:
                self._perform(node, action)
        deadline = node.machine.deadline
        if deadline != node.timer_ns:
            node.timer_ns = deadline
            if deadline is not None:
                self._push_event(max(deadline, now), None, self._fire_timer, (node, deadline))
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
        if peer not in node.links and self.join_later is not None:
            self.join_later(node.name, peer)
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
        """Send from `side`: call `arrive(connection, the other side, *arguments)` when it arrives,
        unless the connection is lost by then."""
        link, now = connection.link, self.now
        at_ns = now + extra_ns + link.directions[side].transmit(size_bytes, now)
        link.last_arrivals_ns[side] = at_ns = max(at_ns, link.last_arrivals_ns[side])
        self._push_event(at_ns, connection, arrive, (connection, 1 - side, *arguments))

    def _sendable_connection(
        self, node: Node[M], peer: Hashable, verb: str
    ) -> tuple[SimConnection[M], int]:
        """Return the connection that a machine sends on (`SimulationError`: it is not open)."""
        link, side = node.links.get(peer) or self._link_of(node, peer)
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

    def _push_event(
        self,
        at_ns: int,
        connection: SimConnection[M] | None,
        handle: Callable[..., None],
        arguments: tuple[object, ...],
    ) -> None:
        heapq.heappush(self._events, (at_ns, self._event_count, connection, handle, arguments))
        self._event_count += 1

    def _trace_tail(self) -> str:
        """Return the last steps, if a trace is kept, to append to an error message."""
        return "".join(f"\n{step}" for step in list(self.trace)[-20:])


_SENDABLE_STATES = (LinkEndState.OPEN, LinkEndState.EOF_RECEIVED)

"""Silence in one go: stretches of a call in which nothing happens but frames of silence.

While the caller is silent, the phone sends a frame of silence every 20 ms, the bridge appends it,
and the model ignores it. Up to the next other event of the world, such frames pass in one go: the
phone makes all of them, the bridge receives *each of them, at its time*, and the model receives all
appends at once. Nothing is left out of the bridge and its judges, only work of the world and of the
two ends. The result is the same as one by one: times, audio, counts, and the order of events. If
the bridge does anything but append the same silence, the stretch ends with that frame, and the
phone takes back those that it would have sent later.

It takes a source and a sink of silence, joined to one relay by links of constant latency.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from attrs import define, field

from twilio_realtime_core.machine.actions import Action, Send
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.units import MS

from .world import Event, LinkEndState, Node, SimConnection, SimLink

__all__ = [
    "SilencePath",
    "SilenceSink",
    "SilenceSource",
    "SilentFrame",
    "SilentHop",
    "SilentMessage",
    "SilentStretch",
    "find_silence_path",
    "start_silent_stretch",
]

SilentFrame: TypeAlias = tuple[int, str]
"""When a frame of silence is sent (ns), and its text."""


class SilenceSource(ABC):
    """A machine that sends one frame of silence after another to its one peer, by its timer."""

    __slots__ = ()

    frame_ms: int
    """How long a frame lasts (ms)."""

    @abstractmethod
    def take_silent_frames(self, until_ns: int) -> list[SilentFrame]:
        """Send frames, while they are all that is due, and due before `until_ns`."""

    @abstractmethod
    def return_frames(self, frames: Sequence[SilentFrame]) -> None:
        """Take back the frames that were sent last: they are still to be sent."""


class SilenceSink(ABC):
    """A machine that may have nothing to do with silence."""

    __slots__ = ()

    @abstractmethod
    def ignores_silence(self, text: str) -> bool:
        """Whether a message of its one peer, and any number of the same, has no effect but to be
        counted, as things stand and until a timer is due."""

    @abstractmethod
    def receive_silence(self, text: str, count: int, now: int) -> None:
        """Receive `count` times the same message, which it ignores, the last at `now`."""


_Node: TypeAlias = Node[MessageMachine]
_Connection: TypeAlias = SimConnection[MessageMachine]
_Event: TypeAlias = Event[MessageMachine]

_BOTH_OPEN: Final = [LinkEndState.OPEN] * 2


@define(eq=False)
class SilentHop:
    """One of the two links on the way of silence; `near` and `far` are the indexes of the ends
    where messages leave and arrive."""

    link: SimLink[MessageMachine]
    near: int
    far: int

    @property
    def far_peer(self) -> Hashable:
        """The key by which the machine where messages arrive knows the one where they leave."""
        return self.link.ends[self.far].peer

    def open_connection(self) -> _Connection | None:
        """Return the connection, if it is open at both ends."""
        connection = self.link.connections[self.near]
        is_open = connection is not None and connection.states == _BOTH_OPEN
        return connection if is_open else None

    def transmit(self, now: int) -> int:
        """Send a message, whose latency is constant; return when it arrives (ns)."""
        link, near = self.link, self.near
        at_ns = now + link.directions[near].latency_ns
        if at_ns < link.last_arrivals_ns[near]:
            return link.last_arrivals_ns[near]
        link.last_arrivals_ns[near] = at_ns
        return at_ns

    def transmit_all(self, times_ns: Iterable[int]) -> list[int]:
        """Send messages, each no sooner than the one before; return when they arrive (ns)."""
        link, near = self.link, self.near
        latency_ns, last_ns = link.directions[near].latency_ns, link.last_arrivals_ns[near]
        arrivals_ns = [max(each + latency_ns, last_ns) for each in times_ns]
        if arrivals_ns:
            link.last_arrivals_ns[near] = arrivals_ns[-1]
        return arrivals_ns


@define(eq=False)
class SilentMessage:
    """A frame or an append on its way. `event` is that of the world, if it has one."""

    sent_ns: int
    arrives_ns: int
    hop: SilentHop
    text: str
    event: _Event | None = None


@define(eq=False)
class SilencePath:
    """The way of silence in a world: by two hops from a source to a relay, and on to a sink."""

    source_node: _Node
    source: SilenceSource
    relay_node: _Node
    sink: SilenceSink
    hops: tuple[SilentHop, SilentHop]
    blocked_until_ns: int = field(init=False, default=0)
    """Before that, no stretch can start."""
    is_open: bool = field(init=False, default=True)
    """Whether both hops had connections when a stretch was last to start."""


def find_silence_path(nodes: Iterable[_Node]) -> SilencePath | None:
    """Return the way of silence among some nodes, if there is one: of several, the latest that is
    open."""
    paths = list(_find_paths(nodes))
    is_open = (each for each in paths if each.hops[1].open_connection() is not None)
    return next(is_open, paths[0] if paths else None)


def _find_paths(nodes: Iterable[_Node]) -> Iterator[SilencePath]:
    for node in nodes:
        source = node.machine
        if isinstance(source, SilenceSource) and len(node.links) == 1:
            ((link, near),) = node.links.values()
            relay_node = link.ends[1 - near].node
            for other_link, side in reversed(relay_node.links.values()):
                sink = other_link.ends[1 - side].node.machine
                if other_link is not link and isinstance(sink, SilenceSink):
                    hops = SilentHop(link, near, 1 - near), SilentHop(other_link, side, 1 - side)
                    yield SilencePath(node, source, relay_node, sink, hops)


_FEWEST_FRAMES: Final = 3
"""The shortest stretch that is worth the effort."""

_PAUSE_NS: Final = 200 * MS
"""How long not to try again where no stretch could start, or no frame was appended: what prevents
it, such as a caller who speaks, mostly lasts for longer."""


def start_silent_stretch(
    path: SilencePath, events: Sequence[_Event], arrive_text: Callable[..., None], until_ns: int
) -> "SilentStretch | None":
    """Start the stretch that the events of a world allow, up to and at `until_ns`; `None`, and
    nothing has changed, if they allow none that is worth the effort."""
    now = events[0][0]
    path.blocked_until_ns = now + _PAUSE_NS
    first, second = (hop.open_connection() for hop in path.hops)
    if first is None or second is None:
        path.is_open = False
        return None
    if any(hop.link.directions[hop.near].constant_ns(now) is None for hop in path.hops):
        return None
    ways = (first, path.hops[0].far), (second, path.hops[1].far)
    end_ns = until_ns + 1
    for at_ns, _, _, handle, arguments in events:
        if at_ns < end_ns:
            is_on_way = handle == arrive_text and arguments[:2] in ways
            is_timer = bool(arguments) and arguments[0] is path.source_node
            end_ns = end_ns if is_on_way or is_timer else at_ns
    if end_ns - now < _FEWEST_FRAMES * path.source.frame_ms * MS:
        path.blocked_until_ns = end_ns
        return None
    stretch = SilentStretch(path, end_ns)
    for event in sorted(events):
        if event[3] == arrive_text and event[4][:2] in ways:
            stretch.add_message(event, is_append=event[4][0] is second)
        elif not event[4] or event[4][0] is not path.source_node:
            stretch.kept_events.append(event)
    if not stretch.take_frames():
        return None
    path.blocked_until_ns = 0
    return stretch


@define(eq=False)
class SilentStretch:
    """A stretch of silence, which ends before `end_ns`.

    Pass each of `arrivals` to the relay, and what it returns to `forward`, until that is false;
    then call `finish`.
    """

    path: SilencePath
    end_ns: int
    kept_events: list[_Event] = field(init=False, factory=list[_Event])
    """Events of the world that are still to come, other than the timer of the source."""
    _frames: deque[SilentMessage] = field(init=False, factory=deque[SilentMessage])
    _appends: deque[SilentMessage] = field(init=False, factory=deque[SilentMessage])
    _new_appends: list[int] = field(init=False, factory=list[int])
    """When the appends of this stretch were sent (ns)."""
    _new_frames: deque[SilentFrame] = field(init=False, factory=deque[SilentFrame])
    """Frames that the source has made, and that are not on their way."""
    _append_text: str | None = field(init=False, default=None)

    def add_message(self, event: _Event, *, is_append: bool) -> None:
        """Add a frame or an append that is on its way."""
        at_ns, _, _, _, arguments = event
        messages, hop = (self._appends if is_append else self._frames), self.path.hops[is_append]
        messages.append(SilentMessage(0, at_ns, hop, str(arguments[2]), event))

    def take_frames(self) -> bool:
        """Have the source send its frames; `False`, and nothing has changed, if it has none, or
        what is on its way to the sink has an effect."""
        texts = {each.text for each in self._appends}
        if len(texts) > 1 or not all(map(self.path.sink.ignores_silence, texts)):
            return False
        self._append_text = next(iter(texts), None)
        self._new_frames.extend(self.path.source.take_silent_frames(self.end_ns))
        deadline = self.path.source_node.machine.deadline
        if deadline is not None:  # it may do something else than send a frame
            self.end_ns = min(self.end_ns, deadline)
        return bool(self._new_frames)

    def arrivals(self) -> Iterator[SilentFrame]:
        """Yield the frames that arrive at the relay, and when (ns)."""
        hop, frames, new_frames = self.path.hops[0], self._frames, self._new_frames
        while frames and frames[0].arrives_ns < self.end_ns:
            message = frames.popleft()
            yield message.arrives_ns, message.text
        while new_frames and not frames:
            due_ns, text = new_frames.popleft()
            at_ns = hop.transmit(due_ns)
            if at_ns < self.end_ns:
                yield at_ns, text
            else:
                frames.append(SilentMessage(due_ns, at_ns, hop, text))

    def forward(self, actions: Sequence[Action], now: int) -> bool:
        """Forward what the relay returns, and return whether it is nothing, or the same append as
        before, which the sink ignores. If it is not, nothing has changed."""
        relay_node, hop = self.path.relay_node, self.path.hops[1]
        if relay_node.machine.deadline != relay_node.timer_ns:
            return False
        if not actions:
            return True
        action = actions[0]
        if len(actions) > 1 or type(action) is not Send:
            return False
        if relay_node.links.get(action.peer) != (hop.link, hop.near):
            return False
        text = action.message.encode()
        if text != self._append_text:
            if self._append_text is not None or not self.path.sink.ignores_silence(text):
                return False
            self._append_text = text
        self._new_appends.append(now)
        return True

    def finish(self, end_ns: int) -> list[SilentMessage]:
        """Let the rest happen until `end_ns`; return what is on its way then, as sent."""
        if not self._new_appends:
            self.path.blocked_until_ns = end_ns + _PAUSE_NS
        hop, frames, new_frames = self.path.hops[0], self._frames, self._new_frames
        while new_frames and new_frames[0][0] < end_ns:
            due_ns, text = new_frames.popleft()
            frames.append(SilentMessage(due_ns, hop.transmit(due_ns), hop, text))
        self.path.source.return_frames(new_frames)
        appends = self._deliver_appends(end_ns)
        messages = [*appends, *frames]  # an append goes before a frame of the same time
        self.kept_events += [each.event for each in messages if each.event is not None]
        return sorted((each for each in messages if each.event is None), key=_sent_ns)

    def _deliver_appends(self, end_ns: int) -> list[SilentMessage]:
        """Have the sink receive what arrives before a time; return what is still on its way."""
        text, hop = self._append_text or "", self.path.hops[1]
        appends, sent_ns = list(self._appends), self._new_appends
        new_arrivals_ns = hop.transmit_all(sent_ns)
        arrivals_ns = [*(each.arrives_ns for each in appends), *new_arrivals_ns]
        count = bisect_left(arrivals_ns, end_ns)
        if count:
            self.path.sink.receive_silence(text, count, arrivals_ns[count - 1])
        new_count = max(0, count - len(appends))
        on_way = zip(sent_ns[new_count:], new_arrivals_ns[new_count:], strict=True)
        return [*appends[count:], *(SilentMessage(*times, hop, text) for times in on_way)]


def _sent_ns(message: SilentMessage) -> int:
    return message.sent_ns

"""The calls in progress, for pages that show them.

A call hands its notifications over and goes on: each costs an entry in a queue of every open page,
and that queue is limited. A page that is slow misses events, which are counted; then it gets a
snapshot of all calls, from which it can go on.
"""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import CallEnded, CallStarted

from ...telemetry.observer import CallObserver
from .live_events import LiveEvent, describe_event

__all__ = [
    "MAX_KEPT_EVENTS",
    "MAX_QUEUED_EVENTS",
    "MAX_SHOWN_CALLS",
    "LiveBatch",
    "LiveCalls",
    "LiveQueue",
]

MAX_QUEUED_EVENTS: Final = 1_000
"""Events that wait for one page: a tenth of a second of as many calls as are shown has a few dozen,
so a page that is this far behind does not read."""

MAX_SHOWN_CALLS: Final = 50
"""Calls that pages show at a time, more than anybody looks at. Others that begin are left out, so
that a snapshot is made within a few milliseconds."""

MAX_KEPT_EVENTS: Final = 64
"""Events of a call that are kept for snapshots: the last turns."""

_FRAGMENTS: Final = ("agent.words", "caller.words")
"""Events that are kept for snapshots only if they are final, since the last one has all."""

_Kept: TypeAlias = tuple[float, str, Mapping[str, Any]]
"""The time of an event (ms), its name and its fields."""

_Entry: TypeAlias = tuple[int, float, str, Mapping[str, Any]]
"""The number of a call, the time of an event (ms), its name and its fields."""


@frozen
class LiveBatch:
    """What a page gets at a time. `calls` replaces all that it knows of calls in progress, if it is
    not `None`; `dropped` counts the events that it has missed."""

    calls: list[Mapping[str, Any]] | None
    events: list[_Entry]
    dropped: int


@define(eq=False)
class _ShownCall:
    number: int
    call_sid: str | None
    started_ms: float
    with_words: bool
    events: "deque[tuple[float, str, Mapping[str, Any]]]" = field(
        init=False,
        factory=lambda: deque[tuple[float, str, Mapping[str, Any]]](maxlen=MAX_KEPT_EVENTS),
    )

    def keep(self, at_ms: float, event: LiveEvent) -> None:
        """Keep an event for snapshots."""
        name, fields = event
        if name not in _FRAGMENTS or fields["final"]:
            self.events.append((at_ms, name, fields))

    def describe(self) -> Mapping[str, Any]:
        """Return what a snapshot says of the call."""
        return {
            "number": self.number,
            "call_sid": self.call_sid,
            "started_ms": self.started_ms,
            "events": list(self.events),
        }


@define(eq=False)
class LiveQueue:
    """The events that wait for one page. A new one begins with a snapshot."""

    _calls: "LiveCalls" = field(alias="calls")
    _events: list[_Entry] = field(init=False, factory=list[_Entry])
    _needs_snapshot: bool = field(init=False, default=True)
    _dropped: int = field(init=False, default=0)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._events and not self._needs_snapshot

    @property
    def queued(self) -> int:
        """The number of events that wait."""
        return len(self._events)

    def put(self, entry: _Entry) -> None:
        """Append an event; or count it and all others, if there are too many. Never waits."""
        if self._needs_snapshot:  # which will say all that is kept
            return
        self._events.append(entry)
        if len(self._events) > MAX_QUEUED_EVENTS:
            self._dropped += len(self._events)
            self._events.clear()
            self._needs_snapshot = True

    def take(self) -> LiveBatch:
        """Remove and return all that waits."""
        calls = self._calls.snapshot() if self._needs_snapshot else None
        batch = LiveBatch(calls, self._events, self._dropped)
        self._events, self._needs_snapshot, self._dropped = [], False, 0
        return batch


@define(eq=False)
class LiveCalls:
    """The calls in progress, and the queues of the pages that show them.

    `with_words` shows what is said in every call; what is said in those of the page itself, as
    `is_of_page` says of a call SID, is always shown there.
    """

    with_words: bool
    is_of_page: Callable[[str], bool]
    _calls: dict[int, _ShownCall] = field(init=False, factory=dict[int, _ShownCall])
    _queues: list[LiveQueue] = field(init=False, factory=list[LiveQueue])
    _numbers: "count[int]" = field(init=False, factory=lambda: count(1))

    @property
    def pages(self) -> int:
        """The number of pages that show the calls."""
        return len(self._queues)

    def observe_call(self) -> CallObserver:
        """Return the observer of a new connection, which may become a call."""
        return _LiveObserver(self)

    def open_queue(self) -> LiveQueue:
        """Return the queue of a new page."""
        queue = LiveQueue(self)
        self._queues.append(queue)
        return queue

    def close_queue(self, queue: LiveQueue) -> None:
        """The page is gone."""
        self._queues.remove(queue)

    def snapshot(self) -> list[Mapping[str, Any]]:
        """Return what is known of the calls in progress."""
        return [each.describe() for each in self._calls.values()]

    def begin(self, event: CallStarted, at_ms: float) -> int | None:
        """Show a call; return its number, or `None` if there are too many."""
        number = next(self._numbers)
        if len(self._calls) >= MAX_SHOWN_CALLS:
            return None
        is_of_page = event.call_sid is not None and self.is_of_page(event.call_sid)
        with_words = self.with_words or is_of_page
        self._calls[number] = _ShownCall(number, event.call_sid, at_ms, with_words)
        return number

    def add(self, number: int, event: object, at_ms: float) -> None:
        """Show a notification of a call."""
        call = self._calls[number]
        described = describe_event(event, with_words=call.with_words)
        if described is None:
            return
        call.keep(at_ms, described)
        if isinstance(event, CallEnded):
            del self._calls[number]
        for queue in self._queues:
            queue.put((number, at_ms, *described))


@define(eq=False)
class _LiveObserver:
    """Hands the notifications of one connection over, once it is a call."""

    _calls: LiveCalls
    _number: int | None = field(init=False, default=None)

    def on_notification(self, event: object, now: int) -> None:
        """See `CallObserver.on_notification`."""
        at_ms = now / MS
        if self._number is None and isinstance(event, CallStarted):
            self._number = self._calls.begin(event, at_ms)
        if self._number is not None:
            self._calls.add(self._number, event, at_ms)
            if isinstance(event, CallEnded):
                self._number = None

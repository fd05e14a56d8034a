"""The queue of notifications between a call and its reader. The call never waits for the reader."""

from collections import deque
from collections.abc import Callable
from typing import Final

from anyio import Event
from anyio.lowlevel import checkpoint
from attrs import define, field

from twilio_realtime_core.conversation.conversation import MAX_ITEMS
from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallerAudioDropped,
    CallerAudioPadded,
    CallerTranscript,
    RateLimitsUpdated,
    RealtimeEvent,
    TwilioMessage,
    TypedRealtimeEvent,
)

from .phone_events import CallEvent

__all__ = ["DROP_THRESHOLD", "MAX_QUEUED_NOTIFICATIONS", "Mailbox", "is_droppable"]

DROP_THRESHOLD: Final = 512
"""Queued notifications from which on droppable ones are dropped: ten seconds of raw messages of
Twilio, 50 a second."""

MAX_QUEUED_NOTIFICATIONS: Final = DROP_THRESHOLD + 512 + MAX_ITEMS
"""Queued notifications above which the mailbox overflows. A lively conversation makes about ten a
second of those that are never dropped; a reader who is minutes behind will not catch up. The space
above `DROP_THRESHOLD` holds what one read can bring: 64 KiB contain 500 of the shortest events, and
one may restore a session that gets none of the items."""


def is_droppable(event: CallEvent) -> bool:
    """Whether a slow reader can do without `event`: audio, pieces of a text that is notified whole
    later, raw messages, and what a faulty peer could cause without limit."""
    match event:
        case AgentText() | AgentTranscript() | CallerTranscript():
            return not event.final
        case AgentAudio() | CallerAudioDropped() | CallerAudioPadded():
            return True
        case TwilioMessage() | RealtimeEvent() | TypedRealtimeEvent() | Fault():
            return True
        case RateLimitsUpdated():  # the next one says all that this one does
            return True
        case _:
            return False


def _ignore() -> None:
    """Ignore an overflow."""


@define(eq=False, repr=False)
class Mailbox:
    """A bounded queue of notifications, an async iterator for one reading task at a time.

    `on_overflow` is called once, when a notification that must not be dropped does not fit. From
    then on only the notifications of `close` are accepted.
    """

    _on_overflow: Callable[[], None] = _ignore
    dropped_count: int = field(init=False, default=0)
    """Notifications that were not queued."""
    _queue: deque[CallEvent] = field(init=False, factory=deque[CallEvent])
    _has_overflowed: bool = field(init=False, default=False)
    _is_closed: bool = field(init=False, default=False)
    _arrival: Event | None = field(init=False, default=None)
    """Set when something arrives; present while a task waits for that."""

    def put(self, event: CallEvent) -> None:
        """Queue `event`, or drop it; after `close` it is ignored.

        If it overflows the queue, a `Fault` of the kind `OVERFLOW` takes its place.
        """
        if self._is_closed:
            return
        queued = len(self._queue)
        if self._has_overflowed or (queued >= DROP_THRESHOLD and is_droppable(event)):
            self.dropped_count += 1
        elif queued < MAX_QUEUED_NOTIFICATIONS:
            self._append(event)
        else:
            self._has_overflowed = True
            self.dropped_count += 1
            message = f"{MAX_QUEUED_NOTIFICATIONS} notifications wait to be read"
            self._append(Fault(None, FaultKind.OVERFLOW, message))
            self._on_overflow()

    def close(self, *last: CallEvent) -> None:
        """Queue `last`, whatever the limit, and end the iteration after it."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.extend(last)
            self._wake_reader()

    def discard(self) -> None:
        """Close the mailbox and drop what is queued: there is no reader any more."""
        self.close()
        self._queue.clear()

    def __aiter__(self) -> "Mailbox":
        return self

    async def __anext__(self) -> CallEvent:
        await checkpoint()  # a reader who only reads must leave the loop to others
        while not self._queue:
            if self._is_closed:
                raise StopAsyncIteration
            await self._wait_for_arrival()
        return self._queue.popleft()

    async def _wait_for_arrival(self) -> None:
        if self._arrival is not None:
            raise LocalProtocolError("another task reads the notifications of this call already")
        self._arrival = Event()
        try:
            await self._arrival.wait()
        finally:
            self._arrival = None

    def _append(self, event: CallEvent) -> None:
        self._queue.append(event)
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._arrival is not None:
            self._arrival.set()

"""What waits for a reader who may be slow, so that the call does not wait for him."""

from collections import deque
from typing import Final

from anyio import Event
from anyio.lowlevel import checkpoint
from attrs import define, field

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallerAudioDropped,
    CallerAudioPadded,
    CallerTranscript,
    Notification,
    RealtimeEvent,
    TwilioMessage,
)

__all__ = ["LIMIT", "LOSSY_LIMIT", "Mailbox", "is_lossy"]

LOSSY_LIMIT: Final = 512
"""Notifications that may wait before lossy ones are dropped: ten seconds of raw messages of Twilio,
50 a second."""

LIMIT: Final = 1024
"""Notifications that may wait before the call is given up. A lively conversation makes some ten a
second of those that are never dropped; who is a minute behind will not catch up. There is room for
what one read can bring above the lossy ones: 64 KiB hold 500 of the shortest events."""


def is_lossy(event: Notification) -> bool:
    """Whether a reader who is slow can do without it: sound, pieces of what is told in full later,
    raw messages, and what a peer could make without end by doing wrong."""
    match event:
        case AgentText() | AgentTranscript() | CallerTranscript():
            return not event.final
        case AgentAudio() | CallerAudioDropped() | CallerAudioPadded():
            return True
        case TwilioMessage() | RealtimeEvent() | Fault():
            return True
        case _:
            return False


@define(eq=False, repr=False)
class Mailbox:
    """Notifications in order, for one reader at a time. `dropped` counts those that he missed."""

    dropped: int = field(init=False, default=0)
    _waiting: deque[Notification] = field(init=False, factory=deque[Notification])
    _full: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)
    _arrival: Event | None = field(init=False, default=None)

    def put(self, event: Notification) -> bool:
        """Add what has happened. False, once: it is full, so that nothing but the end is added any
        more; the reader is told by a `Fault`."""
        waiting = len(self._waiting)
        if self._closed:
            return True
        if self._full or (waiting >= LOSSY_LIMIT and is_lossy(event)):
            self.dropped += 1
            return True
        if waiting >= LIMIT:
            self._full = True
            self.dropped += 1
            event = Fault(None, FaultKind.OVERFLOW, f"{LIMIT} notifications wait to be read")
        self._waiting.append(event)
        self._wake()
        return not self._full

    def close(self, *last: Notification) -> None:
        """Nothing comes any more but `last`, for which there is always room."""
        if not self._closed:
            self._closed = True
            self._waiting.extend(last)
            self._wake()

    def abandon(self) -> None:
        """Nobody reads any more."""
        self.close()
        self._waiting.clear()

    def __aiter__(self) -> "Mailbox":
        return self

    async def __anext__(self) -> Notification:
        await checkpoint()  # a reader who only reads must leave the loop to others
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            await self._wait()
        return self._waiting.popleft()

    async def _wait(self) -> None:
        if self._arrival is not None:
            raise LocalProtocolError("another task reads the notifications of this call already")
        self._arrival = Event()
        try:
            await self._arrival.wait()
        finally:
            self._arrival = None

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()

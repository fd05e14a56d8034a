"""The queue of what is sent over somebody else's WebSocket, which takes it when it can."""

from collections import deque
from typing import Final, TypeAlias

import anyio
from attrs import define, field

from twilio_realtime_core.machine.actions import Close, Send, SendPing
from twilio_realtime_core.protocols.twilio import Clear, Media

from ..runtime.base_driver import MAX_UNSENT_BYTES
from .splitter import HostedAction

__all__ = ["OutgoingMessage", "OutgoingQueue"]

OutgoingMessage: TypeAlias = str | SendPing | Close
"""A text message, or another action."""

_MEDIA: Final = True


@define(eq=False, repr=False)
class OutgoingQueue:
    """What is to be sent to Twilio, in order; an async iterator for one task, which ends after a
    `Close`, and when the queue is closed.

    A `clear` does not wait behind audio: that is dropped from the queue, since Twilio would drop it
    at the `clear`. Marks stay, and Twilio echoes them as it does those that it clears. Above
    `limit_bytes` the queue takes nothing more, and `overflowed` is set.
    """

    limit_bytes: int = MAX_UNSENT_BYTES
    overflowed: anyio.Event = field(init=False, factory=anyio.Event)
    _queue: deque[tuple[bool, OutgoingMessage]] = field(
        init=False, factory=deque[tuple[bool, OutgoingMessage]]
    )
    """Messages, each with whether it is audio."""
    _queued_bytes: int = field(init=False, default=0)
    _is_closed: bool = field(init=False, default=False)
    _arrival: anyio.Event | None = field(init=False, default=None)
    """Set when something arrives; present while a task waits for that."""

    def put(self, action: HostedAction) -> None:
        """Queue an action. It is ignored once the queue is closed, and behind a `Close`."""
        if self._is_closed:
            return
        match action:
            case Send(message=message):
                if isinstance(message, Clear):
                    self._drop_media()
                self._put(message.encode(), is_media=isinstance(message, Media))
            case _:
                self._put(action)

    def close(self) -> None:
        """End the iteration once the queue is empty."""
        self._is_closed = True
        self._wake()

    def discard(self) -> None:
        """End the iteration, and drop what is queued: nothing can be sent any more."""
        self._queue.clear()
        self.close()

    def __aiter__(self) -> "OutgoingQueue":
        return self

    async def __anext__(self) -> OutgoingMessage:
        while not self._queue:
            if self._is_closed:
                raise StopAsyncIteration
            self._arrival = anyio.Event()
            await self._arrival.wait()
            self._arrival = None
        _, message = self._queue.popleft()
        if isinstance(message, str):
            self._queued_bytes -= len(message)
        return message

    def _put(self, message: OutgoingMessage, *, is_media: bool = False) -> None:
        if isinstance(message, str):
            if self._queued_bytes > self.limit_bytes:
                self.discard()
                self.overflowed.set()
                return
            self._queued_bytes += len(message)
        self._queue.append((is_media, message))
        if isinstance(message, Close):
            self._is_closed = True
        self._wake()

    def _drop_media(self) -> None:
        kept = [each for each in self._queue if each[0] is not _MEDIA]
        self._queue.clear()
        self._queue.extend(kept)
        self._queued_bytes = sum(len(text) for _, text in kept if isinstance(text, str))

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()

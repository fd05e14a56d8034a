"""Callbacks by kind of notification, for who prefers them to a loop.

handlers = Handlers()

@handlers.on(KeyPressed)
def key_pressed(call: Call, event: KeyPressed) -> None:
    call.send(Interrupt())
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from attrs import define, field

from twilio_realtime_core.notifications import Notification

from .call import Call

__all__ = ["Handler", "Handlers"]

E = TypeVar("E", bound=Notification)
Handler: TypeAlias = Callable[[Call, E], Awaitable[None] | None]


@define(eq=False, repr=False)
class Handlers:
    """An agent made of callbacks. They are called one after the other, each with the call and what
    has happened, in the order of the notifications, then of registration; the next one waits for
    an async one to end. What waits long is better given to `Call.start_soon`.

    A call's `Handlers` end with it; an exception of one ends the call, as one of any agent does.
    """

    _handlers: list[tuple[type[Any], Handler[Any]]] = field(
        init=False, factory=list[tuple[type[Any], "Handler[Any]"]]
    )

    def on(self, kind: type[E]) -> Callable[[Handler[E]], Handler[E]]:
        """Register the function that is decorated, sync or async, for notifications of a kind."""

        def register(handler: Handler[E]) -> Handler[E]:
            self._handlers.append((kind, handler))
            return handler

        return register

    async def __call__(self, call: Call) -> None:
        """Look after a call: this is an `Agent`."""
        async for event in call:
            for kind, handler in self._handlers:
                if isinstance(event, kind):
                    waiting = handler(call, event)
                    if waiting is not None:
                        await waiting

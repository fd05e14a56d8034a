"""An agent made of callbacks, each for one kind of notification.

handlers = Handlers()

@handlers.on(KeyPressed)
def key_pressed(call: Call, event: KeyPressed) -> None:
    call.send(Interrupt())
"""

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from attrs import define, field

from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.machine.arguments import CALLABLE, FieldRule

from .call import Call
from .hooks import CallHooks
from .phone_events import CallEvent

__all__ = ["Handlers", "NotificationHandler"]

_KIND: Final = FieldRule("a class of notifications", lambda value: isinstance(value, type))

E = TypeVar("E", bound=CallEvent)
NotificationHandler: TypeAlias = Callable[[Call, E], object]
"""A callback of `Handlers`, sync or async. What it returns is not used."""


@define(eq=False, repr=False)
class Handlers(CallHooks):
    """An agent made of callbacks, to be passed wherever a `CallHandler` is.

    Handlers are called one after the other, in the order of the notifications and then of their
    registration; an async one is awaited before the next is called. Run what takes long by
    `Call.start_soon`. An exception of a handler ends the call, as one of any agent does.
    """

    _handlers: list[tuple[type[Any], NotificationHandler[Any]]] = field(
        init=False, factory=list[tuple[type[Any], "NotificationHandler[Any]"]]
    )

    def on(self, kind: type[E]) -> Callable[[NotificationHandler[E]], NotificationHandler[E]]:
        """Register the decorated function, sync or async, for notifications of the class `kind`.

        Raises `LocalProtocolError` for what is no class, or no function.
        """
        _KIND.check("kind", kind)

        def register(handler: NotificationHandler[E]) -> NotificationHandler[E]:
            CALLABLE.check("handler", handler)
            self._handlers.append((kind, handler))
            return handler

        return register

    def off(self, kind: type[E], handler: NotificationHandler[E]) -> None:
        """Remove a handler of `kind`, for all calls that use these handlers, from the next
        notification on. If it was registered several times, the latest registration is removed.

        Raises `LocalProtocolError` if the handler is not registered for `kind`.
        """
        _KIND.check("kind", kind)
        for index in reversed(range(len(self._handlers))):
            if self._handlers[index] == (kind, handler):
                del self._handlers[index]
                return
        raise LocalProtocolError(f"the handler is not registered for {kind.__name__}")

    async def __call__(self, call: Call) -> None:
        """Handle the notifications of a call until it has ended."""
        async for event in call:
            for kind, handler in tuple(self._handlers):
                if isinstance(event, kind):
                    result = handler(call, event)
                    if inspect.isawaitable(result):
                        await result

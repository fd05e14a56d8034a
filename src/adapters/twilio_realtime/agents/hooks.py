"""What an agent decides about a call before and after it handles the call: hooks.

@agent.incoming
async def choose(incoming: IncomingCall) -> Accept | Reject:
    return Reject("busy") if incoming.from_ in BLOCKED else Accept()

`Agent` and `Handlers` have hooks; `FunctionAgent` adds them to an async function.
"""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from attrs import define, field

from twilio_realtime_core.machine.arguments import CALLABLE, NULL

from .call import Call, CallHandler
from .decisions import AfterStreamHandler, IncomingCallHandler

__all__ = ["CallHooks", "FunctionAgent", "GoodbyeHandler", "find_hooks"]

GoodbyeHandler: TypeAlias = Callable[[Call], object]
"""A function, sync or async, that says goodbye to a caller, since the service is about to end. What
it returns is not used."""

_HANDLER: Final = CALLABLE | NULL

H = TypeVar("H", bound=IncomingCallHandler)
A = TypeVar("A", bound=AfterStreamHandler)
G = TypeVar("G", bound=GoodbyeHandler)


@define(eq=False, repr=False)
class CallHooks:
    """The hooks of an agent; of each there is one, and the last one that is registered counts."""

    incoming_handler: IncomingCallHandler | None = field(
        init=False, default=None, validator=_HANDLER
    )
    """The function that `incoming` has registered."""
    after_stream_handler: AfterStreamHandler | None = field(
        init=False, default=None, validator=_HANDLER
    )
    """The function that `after_stream` has registered."""
    goodbye_handler: GoodbyeHandler | None = field(init=False, default=None, validator=_HANDLER)
    """The function that `goodbye` has registered."""

    def incoming(self, handler: H) -> H:
        """Register the decorated function, sync or async, to decide about incoming calls.

        It gets an `IncomingCall`, the webhook's request, and returns `Accept`, `Reject`,
        `Redirect`, a TwiML document, or `None`, which accepts the call. A sync one must not block.
        Twilio hangs up on a caller who waits for longer than 15 s; an exception refuses the call.
        """
        self.incoming_handler = handler
        return handler

    def after_stream(self, handler: A) -> A:
        """Register the decorated function, sync or async, to decide how a call continues after its
        stream has ended.

        It gets a `StreamEnd` and returns `Accept` for a new stream, `Reject`, `Redirect`, a TwiML
        document, or `None`, which hangs up. Without it, the end of the stream ends the call.
        """
        self.after_stream_handler = handler
        return handler

    def goodbye(self, handler: G) -> G:
        """Register the decorated function, sync or async, to say goodbye in calls that are left
        when a service ends and its time to drain is over.

        It gets the `Call`, beside the agent, which runs on. Once it has returned, the call is
        closed; if it has sent a `HangUp`, that ends the call instead, so that
        `HangUp(after_playback=True)` lets the caller hear what was said. All of it may take 10 s.
        """
        self.goodbye_handler = handler
        return handler


@define(eq=False, repr=False)
class FunctionAgent(CallHooks):
    """An agent made of an async function of a `Call`, for a function that needs hooks.

    @FunctionAgent
    async def agent(call: Call) -> None: ...

    @agent.incoming
    def choose(incoming: IncomingCall) -> Reject: ...
    """

    function: CallHandler = field(validator=CALLABLE)

    async def __call__(self, call: Call) -> None:
        """Handle one call with the function."""
        await self.function(call)


def find_hooks(agent: CallHandler | None) -> CallHooks:
    """Return the hooks of an agent; without any, hooks of which none is registered."""
    return agent if isinstance(agent, CallHooks) else CallHooks()

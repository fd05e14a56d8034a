"""Decisions about a call: whether it is accepted, by which agent, and how it continues.

@agent.incoming
async def choose(incoming: IncomingCall) -> Accept | Reject:
    if incoming.from_ in BLOCKED:
        return Reject("busy")
    return Accept(agent=sales if incoming.to == SALES else support)
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

from attrs import field, frozen

from twilio_realtime_core import CallConfig, LocalProtocolError
from twilio_realtime_core.notifications import CallEnded
from twilio_realtime_core.transport.http import HttpResponse
from twilio_realtime_core.webhook import (
    HANG_UP_TWIML,
    RejectReason,
    redirect_twiml,
    reject_twiml,
)

from .incoming_call import IncomingCall

__all__ = [
    "Accept",
    "AcceptedHandler",
    "AfterStreamHandler",
    "Decision",
    "IncomingCallHandler",
    "PendingAnswer",
    "Redirect",
    "Reject",
    "StreamEnd",
    "decision_twiml",
]

AcceptedHandler: TypeAlias = Callable[..., Awaitable[None]]
"""A `CallHandler`, for modules that `call` imports."""


@frozen(kw_only=True)
class Accept:
    """Answer the call, and connect it to an agent."""

    agent: AcceptedHandler | None = field(default=None, repr=False)
    """The agent that handles it. `None`: the one that was asked."""
    parameters: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """Added to `CallStarted.custom_parameters`. They stay in this process, so they may hold what
    Twilio and the recording are not to have."""
    config: CallConfig | None = field(default=None, repr=False)
    """The configuration of the call, in place of that of the service and of the agent. An `Agent`
    adds its instructions, voice and model where it leaves them open, and its functions. Where `url`
    is the default, the URL of the service or of the agent is used, and so is their model if `model`
    is the default: the key of a gateway is not sent to OpenAI. The key is sent to any other `url`
    that is given here."""

    def __attrs_post_init__(self) -> None:
        if self.agent is not None and not callable(self.agent):
            raise LocalProtocolError(f"Accept.agent is no agent, but a {type(self.agent).__name__}")


@frozen
class Reject:
    """Refuse the call without answering it. The caller hears that the number is not in service
    ("rejected"), or a busy tone ("busy")."""

    reason: RejectReason = "rejected"

    def __attrs_post_init__(self) -> None:
        reject_twiml(self.reason)


@frozen
class Redirect:
    """Have Twilio ask another URL, absolute or a path of this server, what to do with the call."""

    url: str = field(repr=False)
    method: Literal["GET", "POST"] = "POST"

    def __attrs_post_init__(self) -> None:
        redirect_twiml(self.url, self.method)


Decision: TypeAlias = Accept | Reject | Redirect | str
"""What is decided about a call; a string is a TwiML document."""

IncomingCallHandler: TypeAlias = Callable[
    [IncomingCall], Decision | Awaitable[Decision | None] | None
]
"""A function, sync or async, that decides about an incoming call; `None` accepts it."""


@frozen
class StreamEnd:
    """The end of a call's stream, when Twilio asks how the call continues."""

    ended: CallEnded | None
    """How the call with the agent ended; `None` if it has not ended here, or is not known."""
    call: IncomingCall
    """Twilio's request."""
    parameters: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """The parameters with which the call was accepted."""


AfterStreamHandler: TypeAlias = Callable[[StreamEnd], Decision | Awaitable[Decision | None] | None]
"""A function, sync or async, that decides how a call continues after its stream; `None` hangs
up."""


def decision_twiml(decision: Reject | Redirect | str | None) -> str:
    """Return the TwiML of any decision but `Accept`; `None` hangs up.

    Raises `LocalProtocolError` for what is no decision.
    """
    match decision:
        case None:
            return HANG_UP_TWIML
        case Reject(reason=reason):
            return reject_twiml(reason)
        case Redirect(url=url, method=method):
            return redirect_twiml(url, method)
        case str() if decision.lstrip().startswith("<"):
            return decision
        case _:
            raise LocalProtocolError(
                "a decision about a call is Accept, Reject, Redirect or a TwiML document, not a "
                f"{type(decision).__name__}"
            )


@frozen(eq=False)
class PendingAnswer:
    """A request that is answered once the application has decided."""

    decide: Callable[[], Awaitable[HttpResponse]]
    """Ask the application, and return the answer. Raises what the application raises."""

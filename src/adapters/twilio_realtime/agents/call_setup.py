"""What was decided about a call: the webhook's decision, on its way to the stream."""

from collections.abc import Mapping

from attrs import define, field

from twilio_realtime_core import CallConfig
from twilio_realtime_core.notifications import CallEnded

from .call import CallHandler
from .call_control import CallControl
from .incoming_call import IncomingCall

__all__ = ["CallSetup"]


@define(eq=False)
class CallSetup:
    """What was decided about a call, for its stream."""

    agent: CallHandler | None
    """The agent that handles the call; `None`: the code that opens the connection decides."""
    config: CallConfig
    """The configuration of the call, complete."""
    incoming: IncomingCall | None = None
    """Twilio's request; `None` for a stream that no webhook has announced."""
    parameters: Mapping[str, str] = field(factory=dict[str, str])
    """Added to `CallStarted.custom_parameters`."""
    ended: CallEnded | None = None
    """How the call ended, once it has."""
    control: CallControl | None = None
    """What Twilio can be asked about the call, if a webhook has announced it."""

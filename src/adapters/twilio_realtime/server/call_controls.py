"""What a service keeps to control its calls: the REST client, who follows them, what comes next."""

from attrs import define, field

from ..agents.call_control import CallControl, NextDecisions
from ..twilio_api.client import TwilioClient
from .phone_calls import PhoneCalls

__all__ = ["CallControls"]


@define(eq=False)
class CallControls:
    """Makes the `CallControl` of each call. `asks_after_stream`: Twilio asks what follows each
    stream."""

    twilio: TwilioClient | None
    asks_after_stream: bool
    phone_calls: PhoneCalls = field(init=False, factory=PhoneCalls)
    after_stream: NextDecisions = field(init=False, factory=NextDecisions)
    after_dial: NextDecisions = field(init=False, factory=NextDecisions)

    def make(self, base_url: str, *, detects_machines: bool) -> CallControl:
        """Return the control of a call whose webhook is reached at `base_url`."""
        return CallControl(
            base_url=base_url,
            twilio=self.twilio,
            asks_after_stream=self.asks_after_stream,
            detects_machines=detects_machines,
            after_stream=self.after_stream,
            after_dial=self.after_dial,
            follow=self.phone_calls.follow,
            unfollow=self.phone_calls.unfollow,
        )

"""The reference model of one call, gathered from the inputs and outputs of its bridge.

Where the peers and the bridge disagree, the model believes the peers.
"""

from attrs import define, field

from twilio_realtime_core.config.call import CallConfig

from ..step_record import ExpectedState
from .conversation import ExpectedConversation
from .links import ExpectedLinks
from .requests import ExpectedRequests
from .responses import ExpectedResponses
from .speech import ExpectedSpeech
from .uplink import ExpectedUplink

__all__ = ["ExpectedCall"]


@define(eq=False)
class ExpectedCall:
    """The parts of the model. `config` is that of the call; it holds the time limits."""

    config: CallConfig = field(factory=CallConfig)
    links: ExpectedLinks = field(init=False, factory=ExpectedLinks)
    conversation: ExpectedConversation = field(init=False, factory=ExpectedConversation)
    uplink: ExpectedUplink = field(init=False)
    requests: ExpectedRequests = field(init=False)
    responses: ExpectedResponses = field(init=False, factory=ExpectedResponses)
    speech: ExpectedSpeech = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.uplink = ExpectedUplink(self.links, self.conversation)
        self.requests = ExpectedRequests(self.links, self.uplink, self.responses, self.config)
        self.speech = ExpectedSpeech(
            self.links, self.uplink, self.requests, self.responses, self.config
        )

    @property
    def dependent_parts(self) -> tuple[ExpectedState, ...]:
        """All parts but `links`. Each reads only those before it. So inputs are applied in this
        order, and outputs in reverse, which leaves the parts before as they were in the bridge."""
        return self.conversation, self.uplink, self.requests, self.speech

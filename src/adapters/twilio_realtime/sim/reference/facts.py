"""All that is known of a call from what its bridge was told and asked for, to judge it by.

Where something is not what it should be, facts believe the peers and not the bridge.
"""

from attrs import define, field

from twilio_realtime_core.config.call import CallConfig

from .history import History
from .links import Line
from .requests import Asks
from .speech import Speech
from .step_record import Fact
from .to_model import ToModel

__all__ = ["Facts"]


@define(eq=False)
class Facts:
    """What has happened so far. `config` is that of the call, which says how long what is waited
    for."""

    config: CallConfig = field(factory=CallConfig)
    line: Line = field(init=False, factory=Line)
    history: History = field(init=False, factory=History)
    to_model: ToModel = field(init=False)
    asks: Asks = field(init=False)
    speech: Speech = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.to_model = ToModel(self.line, self.history)
        self.asks = Asks(self.to_model)
        self.speech = Speech(self.line, self.to_model, self.asks)

    @property
    def of_the_call(self) -> tuple[Fact, ...]:
        """All but `line`. Each looks only at those before it: so inputs are told in this order, and
        outputs in the reverse, which leaves those before it as the bridge found them."""
        return self.history, self.to_model, self.asks, self.speech

"""The policy for a model that falls silent: it owes a response, and sends no event."""

from attrs import field, frozen

from ..machine.arguments import BOOLEAN, integer
from .fields import AUDIO

__all__ = ["ModelSilencePolicy"]


@frozen(kw_only=True)
class ModelSilencePolicy:
    """What the bridge does when no event of the model was received for five seconds while a
    response was generated or requested (`ModelSilent`).

    The responses concerned are cancelled each time, and requested again, `ask_again` times in a
    row; then the call is ended, once all that was received is heard. A policy that does none of
    the three leaves all to the application, and nothing is cancelled.

    Raises `LocalProtocolError` for a field of the wrong type or out of range.
    """

    ask_again: int = field(default=1, validator=integer(0, 2**31 - 1))
    """How often in a row the response is requested again."""
    clip: bytes = field(default=b"", validator=AUDIO, repr=lambda clip: f"<{len(clip)} samples>")
    """Audio that is played to the caller each time: G.711 µ-law, 8 kHz, one byte a sample."""
    hang_up: bool = field(default=True, validator=BOOLEAN)
    """Whether the call is ended when the model is silent once more."""

    @property
    def only_notifies(self) -> bool:
        """Whether all is left to the application."""
        return not (self.ask_again or self.clip or self.hang_up)

"""The policy for a model that falls silent: it owes a response, and sends no event."""

from typing import Any

from attrs import field, frozen

from ..errors import LocalProtocolError

__all__ = ["ModelSilencePolicy"]


def _check_clip(_policy: object, _field: Any, value: Any) -> None:
    if not isinstance(value, bytes):
        raise LocalProtocolError(
            f"ModelSilencePolicy.clip must be bytes of µ-law audio, not {type(value).__name__}"
        )


def _check_count(_policy: object, _field: Any, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise LocalProtocolError(
            f"ModelSilencePolicy.ask_again must be a number of times, 0 or more, not {value!r}"
        )


@frozen(kw_only=True)
class ModelSilencePolicy:
    """What the bridge does when no event of the model was received for five seconds while a
    response was generated or requested (`ModelSilent`).

    The responses concerned are cancelled each time, and requested again, `ask_again` times in a
    row; then the call is ended, once all that was received is heard. A policy that does none of
    the three leaves all to the application, and nothing is cancelled.

    Raises `LocalProtocolError` for a clip that is not bytes, and for a number that is not a whole
    one of 0 or more.
    """

    ask_again: int = field(default=1, validator=_check_count)
    """How often in a row the response is requested again."""
    clip: bytes = field(
        default=b"", validator=_check_clip, repr=lambda clip: f"<{len(clip)} samples>"
    )
    """Audio that is played to the caller each time: G.711 µ-law, 8 kHz, one byte a sample."""
    hang_up: bool = True
    """Whether the call is ended when the model is silent once more."""

    @property
    def only_notifies(self) -> bool:
        """Whether all is left to the application."""
        return not (self.ask_again or self.clip or self.hang_up)

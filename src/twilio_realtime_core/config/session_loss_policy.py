"""The policy for a call whose model is lost for good."""

from attrs import field, frozen

from ..machine.arguments import BOOLEAN, milliseconds
from .fields import AUDIO

__all__ = ["SessionLossPolicy"]


def _count_samples(audio: bytes) -> str:
    return f"<{len(audio)} samples>"


@frozen(kw_only=True)
class SessionLossPolicy:
    """What becomes of a call once no session of the model can be had (`SessionLost` without another
    attempt). By default the call ends when all that Twilio holds was heard.

    Raises `LocalProtocolError` for a field of the wrong type or out of range.
    """

    goodbye_clip: bytes = field(default=b"", validator=AUDIO, repr=_count_samples)
    """Audio that is played to the caller before the call ends: G.711 µ-law, 8 kHz, one byte a
    sample."""
    ends_stream: bool = field(default=False, validator=BOOLEAN)
    """Whether the stream is closed at once instead, so that what follows `<Connect>` in the TwiML,
    or its `action`, decides how the phone call goes on."""
    ask_timeout_ms: int = field(default=0, validator=milliseconds(0))
    """How long the application may take to end the call in its own way, by commands such as `Play`
    and `HangUp`, before the above is done. 0: it is not asked."""

"""The configuration of a call: its session, where that is, and how long to wait for what."""

from typing import Final
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from ..errors import LocalProtocolError
from ..machine.actions import Peer
from ..protocols.realtime import URL
from .audio_format import check_encodable, pin_event
from .interruption_policy import IMMEDIATE, InterruptionPolicy, disable_server_interruption
from .session import SessionConfig
from .start_delay_history import StartDelayHistory

__all__ = ["CallConfig", "SessionConfig", "check_encodable", "pin_event", "session_url"]

_MAX_MS: Final = 2**31 - 1
"""The longest time a timer of 32-bit milliseconds holds: 24 days, and a session lasts an hour. A
longer one was meant in another unit."""


@frozen
class CallConfig:
    """How a call is to be. `Configure` may change `session`, `model` and `url` for one call.

    Headers are not configured here: the API key belongs to the driver, and `OpenAI-Beta` must not
    be sent (the server closes with 4000, `beta_api_shape_disabled`).

    Raises `LocalProtocolError` if `url` is not a ws:// or wss:// URL, if the session leaves
    interruption to the server while `interruption` does not interrupt immediately, or if a time is
    out of range, up to 2,147,483,647 ms.
    """

    session: SessionConfig = field(factory=SessionConfig)
    """The configuration of the Realtime session."""
    model: str = "gpt-realtime"
    """The model, which `url` gets as `?model=` unless it has a query."""
    url: str = field(default=URL, repr=False)
    """The Realtime endpoint, ws:// or wss://. It may have a query, such as `?call_id=`."""
    configure_timeout_ms: int = 0
    """How long after `CallStarted` to wait for `Configure` before these values are used; 0: do not
    wait."""
    start_timeout_ms: int = 10_000
    """For Twilio's `start`, which follows the opening of the socket at once."""
    session_timeout_ms: int = 15_000
    """For the session to be open and configured, which takes about a second."""
    closing_timeout_ms: int = 10_000
    """For both sockets to be closed at the end; longer than the driver's own close time-out."""
    inactivity_timeout_ms: int | None = 750
    """How long no frame may arrive while the caller speaks before silence is sent in their place,
    so that turn detection notices the end of the turn; `None`: for ever."""
    interruption: InterruptionPolicy = IMMEDIATE
    """When a caller who speaks interrupts the agent."""
    start_delay_history: StartDelayHistory = field(factory=StartDelayHistory)
    """What earlier calls have shown (`Bridge.start_delay_history`), for the first quarter second,
    when this one has shown nothing yet."""
    notify_agent_audio: bool = False
    """Whether the agent's audio is notified, as `AgentAudio`."""
    raw_messages: frozenset[Peer] = frozenset()
    """The peers of which every message is notified, as `TwilioMessage` or `RealtimeEvent`."""

    def __attrs_post_init__(self) -> None:
        session_url(self.url, self.model)
        if not self.interruption.interrupts_immediately:
            disable_server_interruption(self.session.to_update_event().session, first=True)
        _check_time("configure_timeout_ms", self.configure_timeout_ms, 0)
        _check_time("start_timeout_ms", self.start_timeout_ms, 1)
        _check_time("session_timeout_ms", self.session_timeout_ms, 1)
        _check_time("closing_timeout_ms", self.closing_timeout_ms, 1)
        if self.inactivity_timeout_ms is not None:
            _check_time("inactivity_timeout_ms", self.inactivity_timeout_ms, 1)


def _check_time(name: str, value_ms: int, least_ms: int) -> None:
    if not least_ms <= value_ms <= _MAX_MS:
        raise LocalProtocolError(
            f"CallConfig.{name} must be {least_ms} to {_MAX_MS} ms, not {value_ms}"
        )


def session_url(url: str, model: str) -> str:
    """Where to open the session: `url`, and the model in its query unless it has one of its own.

    Raises `LocalProtocolError` if `url` is no ws:// or wss:// URL, or the model is no Unicode. The
    URL is not shown, since it may hold a token.
    """
    try:
        parts = urlsplit(url)
        query = "" if parts.query else f"?model={quote(model, safe='')}"
    except ValueError:
        parts, query = None, ""
    if parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise LocalProtocolError(
            "the url needs to be ws:// or wss:// with a host, and the model to be Unicode"
        )
    return url + query

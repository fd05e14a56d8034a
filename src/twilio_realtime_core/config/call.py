"""The configuration of a call: its session, its endpoint, its time-outs and its interruptions."""

from typing import Final
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from ..errors import LocalProtocolError
from ..machine.actions import Peer
from ..protocols.realtime import URL
from .interruption_policy import IMMEDIATE, InterruptionPolicy, disable_server_interruption
from .session import SessionConfig
from .start_delay_history import StartDelayHistory

__all__ = ["CallConfig", "SessionConfig", "session_url"]

_MAX_MS: Final = 2**31 - 1
"""The longest duration that a timer of 32-bit milliseconds holds: 24 days, and a session lasts an
hour. A longer one was meant in another unit."""


@frozen
class CallConfig:
    """The configuration of a call. `Configure` may replace `session`, `model` and `url` for one
    call.

    Headers are not configured here: the API key belongs to the driver, and `OpenAI-Beta` must not
    be sent (the server closes with 4000, `beta_api_shape_disabled`).

    Raises `LocalProtocolError` if `url` is not a ws:// or wss:// URL, if the session leaves
    interruption to the server while `interruption` does not interrupt immediately, or if a duration
    is out of range, up to 2,147,483,647 ms.
    """

    session: SessionConfig = field(factory=SessionConfig)
    """The configuration of the Realtime session."""
    model: str = "gpt-realtime"
    """The model. It is added to `url` as `?model=`, unless `url` has a query."""
    url: str = field(default=URL, repr=False)
    """The Realtime endpoint, ws:// or wss://. It may have a query, such as `?call_id=`."""
    configure_timeout_ms: int = 0
    """How long after `CallStarted` the bridge waits for `Configure` before it uses these values.
    0: it does not wait."""
    start_timeout_ms: int = 10_000
    """How long after the socket is open Twilio may take to send `start`. It sends it at once."""
    session_timeout_ms: int = 15_000
    """How long the session may take to be open and configured. It takes about a second."""
    closing_timeout_ms: int = 10_000
    """How long both sockets may take to close at the end of a call; longer than the driver's own
    close time-out."""
    inactivity_timeout_ms: int | None = 750
    """How long no frame may be received while the caller speaks before silence is sent in their
    place, so that turn detection notices the end of the turn. `None`: no silence is sent."""
    interruption: InterruptionPolicy = IMMEDIATE
    """When a caller who speaks interrupts the agent."""
    start_delay_history: StartDelayHistory = field(factory=StartDelayHistory)
    """The start delays of earlier calls (`Bridge.start_delay_history`). They are used for the first
    quarter second of a call, when it has none yet."""
    notify_agent_audio: bool = False
    """Whether the agent's audio is notified, as `AgentAudio`."""
    raw_messages: frozenset[Peer] = frozenset()
    """The peers of which every message is notified, as `TwilioMessage` or `RealtimeEvent`."""

    def __attrs_post_init__(self) -> None:
        session_url(self.url, self.model)
        if not self.interruption.interrupts_immediately:
            disable_server_interruption(self.session.to_update_event().session, is_initial=True)
        _check_duration("configure_timeout_ms", self.configure_timeout_ms, 0)
        _check_duration("start_timeout_ms", self.start_timeout_ms, 1)
        _check_duration("session_timeout_ms", self.session_timeout_ms, 1)
        _check_duration("closing_timeout_ms", self.closing_timeout_ms, 1)
        if self.inactivity_timeout_ms is not None:
            _check_duration("inactivity_timeout_ms", self.inactivity_timeout_ms, 1)


def _check_duration(name: str, value_ms: int, minimum_ms: int) -> None:
    if not minimum_ms <= value_ms <= _MAX_MS:
        raise LocalProtocolError(
            f"CallConfig.{name} must be {minimum_ms} to {_MAX_MS} ms, not {value_ms}"
        )


def session_url(url: str, model: str) -> str:
    """Return the URL at which to open the session: `url`, with `?model=` unless it has a query.

    Raises `LocalProtocolError` if `url` is not a ws:// or wss:// URL, or if the model is not valid
    Unicode. The message does not contain the URL, which may contain a token.
    """
    try:
        parts = urlsplit(url)
        query = "" if parts.query else f"?model={quote(model, safe='')}"
    except ValueError:
        parts, query = None, ""
    if parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise LocalProtocolError(
            "the url must be ws:// or wss:// with a host, and the model must be valid Unicode"
        )
    return url + query

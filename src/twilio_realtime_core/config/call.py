"""The configuration of a call: its session, where that is, and how long to wait for what."""

from typing import Final
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from ..errors import LocalProtocolError
from ..machine.actions import Peer
from ..machine.units import MS, SECOND
from ..protocols.realtime import URL
from .audio_format import check_encodable, pin_event
from .interruption_policy import IMMEDIATE, InterruptionPolicy, disable_server_interruption
from .session import SessionConfig
from .start_delay_history import StartDelayHistory

__all__ = ["CallConfig", "SessionConfig", "check_encodable", "pin_event", "session_url"]

_LONGEST_MS: Final = 2**31 - 1
"""The longest time a timer of 32-bit milliseconds holds: 24 days, and a session lasts an hour. What
is longer was meant in another unit."""


@frozen
class CallConfig:
    """How a call is to be. `Configure` may change `session`, `model` and `url` for one call.

    `url` is the Realtime endpoint; the model is added to it as `?model=`, unless it has a query of
    its own (such as `?call_id=`). No header is named here: the key is the driver's business, and
    `OpenAI-Beta` must not be sent (the server closes with 4000, `beta_api_shape_disabled`).

    `await_configuration_ns`: how long after `CallStarted` to wait for `Configure` before the
    defaults are used; 0 does not wait. `start_timeout_ns`: for Twilio's `start`, which follows the
    opening of the socket at once. `session_timeout_ns`: for the session to be open and configured,
    which takes about a second. `ending_timeout_ns`: for both sockets to be closed; longer than the
    driver's own close time-out. `inactivity_timeout_ns`: how long no frame may come while the
    caller speaks before silence is put in their place, so that turn detection hears the end of the
    turn; `None`: never. `interruption`: when a caller who speaks interrupts the agent.
    `line_history`: what earlier calls have shown of the line (`Bridge.line_history`), for the first
    quarter second, when this one has shown nothing yet.
    `agent_audio`: the agent's audio is notified (`AgentAudio`). `raw_messages`: the peers whose
    every message is notified.

    Raises `LocalProtocolError` if `url` is no ws:// or wss:// URL, if the session leaves it to the
    server to interrupt where `interruption` does not do so at once, or if a time is not more than 0
    (`await_configuration_ns`: less than 0; `inactivity_timeout_ns`: less than 1 ms) or more than
    2,147,483,647 ms.
    """

    session: SessionConfig = field(factory=SessionConfig)
    model: str = "gpt-realtime"
    url: str = field(default=URL, repr=False)
    await_configuration_ns: int = 0
    start_timeout_ns: int = 10 * SECOND
    session_timeout_ns: int = 15 * SECOND
    ending_timeout_ns: int = 10 * SECOND
    inactivity_timeout_ns: int | None = 750 * MS
    interruption: InterruptionPolicy = IMMEDIATE
    start_delay_history: StartDelayHistory = field(factory=StartDelayHistory)
    notify_agent_audio: bool = False
    raw_messages: frozenset[Peer] = frozenset()

    def __attrs_post_init__(self) -> None:
        session_url(self.url, self.model)
        if not self.interruption.interrupts_immediately:
            disable_server_interruption(self.session.to_update_event().session, first=True)
        _check_time("await_configuration_ns", self.await_configuration_ns, 0)
        _check_time("start_timeout_ns", self.start_timeout_ns, 1)
        _check_time("session_timeout_ns", self.session_timeout_ns, 1)
        _check_time("ending_timeout_ns", self.ending_timeout_ns, 1)
        if self.inactivity_timeout_ns is not None:
            _check_time("inactivity_timeout_ns", self.inactivity_timeout_ns, MS)


def _check_time(name: str, value: int, least: int) -> None:
    if not least <= value <= _LONGEST_MS * MS:
        raise LocalProtocolError(
            f"CallConfig.{name} must be {least} to {_LONGEST_MS * MS} ns "
            f"({_LONGEST_MS} ms), not {value}"
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

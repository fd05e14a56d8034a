"""The configuration of a call: its session, its endpoint, its time-outs and its interruptions."""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from attrs import field, frozen

from ..machine.actions import Peer
from ..machine.arguments import (
    BOOLEAN,
    CALLABLE,
    MIN_TIMEOUT_MS,
    NULL,
    instance_of,
    milliseconds,
    well_formed,
)
from ..machine.websocket_url import WEBSOCKET_URL, split_url
from ..protocols.realtime import URL
from ..values.items import ConversationItem, as_items, check_items, check_unique_ids
from .fields import AUDIO
from .interruption_policy import IMMEDIATE, InterruptionPolicy, disable_server_interruption
from .model_silence_policy import ModelSilencePolicy
from .reconnect_policy import ReconnectPolicy
from .session import SessionConfig
from .session_loss_policy import SessionLossPolicy
from .start_delay_history import StartDelayHistory

__all__ = ["MODEL", "CallConfig", "SessionConfig", "session_url"]


def _find_model_fault(model: str) -> str | None:
    try:
        return None if quote(model) else "it is empty"
    except UnicodeEncodeError:
        return "it has lone surrogates"


MODEL: Final = well_formed("text that is not empty", _find_model_fault, str)
"""The name of a model, which a URL can hold. It may be of a subclass of `str`, such as an enum."""

_TIMEOUT: Final = milliseconds(MIN_TIMEOUT_MS)
_INACTIVITY: Final = milliseconds(20) | NULL
"""A frame of Twilio lasts 20 ms: in less, frames are missing though none is."""


def _find_odd_peer(peers: frozenset[object]) -> str | None:
    odd = sorted(type(each).__name__ for each in peers if not isinstance(each, Peer))
    return f"it holds {odd[0]}" if odd else None


_PEERS: Final = well_formed("a frozenset of Peer", _find_odd_peer, frozenset)


def _check_unique(_config: object, _attribute: object, items: tuple[ConversationItem, ...]) -> None:
    check_unique_ids(items, "CallConfig.resume")


def _count_samples(audio: bytes) -> str:
    return f"<{len(audio)} samples>"


@frozen
class CallConfig:
    """The configuration of a call. `Configure` may replace `session`, `model` and `url` for one
    call.

    Headers are not configured here: the API key belongs to the driver, and `OpenAI-Beta` must not
    be sent (the server closes with 4000, `beta_api_shape_disabled`).

    Raises `LocalProtocolError` if a field is of the wrong type, if `url` is not a ws:// or wss://
    URL without user information and fragment, if two items to resume have the same id, if the
    session leaves interruption to the server while `interruption` does not interrupt immediately,
    or if a duration is out of range: 100 to 2,147,483,647 ms for a time-out of a peer, from 20 ms
    for `inactivity_timeout_ms`, from 0 for `configure_timeout_ms`.
    """

    session: SessionConfig = field(factory=SessionConfig, validator=instance_of(SessionConfig))
    """The configuration of the Realtime session."""
    model: str = field(default="gpt-realtime-2.1", validator=MODEL)
    """The model. It is added to `url` as `?model=`, unless `url` has a query."""
    url: str = field(default=URL, repr=False, validator=WEBSOCKET_URL)
    """The Realtime endpoint, ws:// or wss://. It may have a query, such as `?call_id=`."""
    configure_timeout_ms: int = field(default=0, validator=milliseconds(0))
    """How long after `CallStarted` the bridge waits for `Configure` before it uses these values.
    0: it does not wait."""
    start_timeout_ms: int = field(default=10_000, validator=_TIMEOUT)
    """How long after the socket is open Twilio may take to send `start`. It sends it at once."""
    session_timeout_ms: int = field(default=15_000, validator=_TIMEOUT)
    """How long the first session may take to be open and configured, over all attempts. It takes
    about a second."""
    reconnect: ReconnectPolicy | None = field(
        factory=ReconnectPolicy, validator=instance_of(ReconnectPolicy) | NULL
    )
    """How to connect to the model again where that fails, is lost, or is about to expire. `None`:
    the call ends with its session."""
    on_session_lost: SessionLossPolicy = field(
        factory=SessionLossPolicy, validator=instance_of(SessionLossPolicy)
    )
    """What becomes of the call once no session can be had."""
    waiting_clip: bytes = field(default=b"", validator=AUDIO, repr=_count_samples)
    """Audio that is played to the caller if the first session takes more than a second, until the
    agent speaks: G.711 μ-law, 8 kHz, one byte a sample."""
    summarize_history: Callable[[tuple[ConversationItem, ...]], str] | None = field(
        default=None, validator=CALLABLE | NULL
    )
    """Returns the text that stands for the oldest items of a conversation that is too long to be
    restored (500 items, 256 kB). They are left out if it is `None`, and if the function raises or
    returns no text, which is notified as a `Fault`. It must not block."""
    closing_timeout_ms: int = field(default=10_000, validator=_TIMEOUT)
    """How long both sockets may take to close at the end of a call; longer than the driver's own
    close time-out."""
    inactivity_timeout_ms: int | None = field(default=750, validator=_INACTIVITY)
    """How long no frame may be received while the caller speaks before silence is sent in their
    place, so that turn detection notices the end of the turn. `None`: no silence is sent."""
    idle_timeout_ms: int | None = field(default=900_000, validator=_TIMEOUT | NULL)
    """How long Twilio may send no audio before the call is ended. It sends a frame every 20 ms,
    also of silence; nothing that lasts a quarter of an hour is a stall. `None`: any time."""
    max_call_ms: int | None = field(default=4 * 60 * 60 * 1000, validator=_TIMEOUT | NULL)
    """How long the call may last, from the start of the stream: four hours, as at Twilio unless its
    account says otherwise. `None`: any time."""
    interruption: InterruptionPolicy = field(
        default=IMMEDIATE, validator=instance_of(InterruptionPolicy)
    )
    """When a caller who speaks interrupts the agent."""
    on_model_silent: ModelSilencePolicy = field(
        factory=ModelSilencePolicy, validator=instance_of(ModelSilencePolicy)
    )
    """What to do when the model falls silent while it owes a response. By default the response is
    cancelled and requested again once, and then the call is ended."""
    resume: tuple[ConversationItem, ...] = field(
        default=(), converter=as_items, validator=[check_items, _check_unique]
    )
    """The conversation of an earlier call (`Bridge.items`), which the first session is told as it
    was heard, as after a session that was lost. What cannot be created, such as an output without
    its call, is left out. No two items can have the same id."""
    start_delay_history: StartDelayHistory = field(
        factory=StartDelayHistory, validator=instance_of(StartDelayHistory)
    )
    """The start delays of earlier calls (`Bridge.start_delay_history`). They are used for the first
    quarter second of a call, when it has none yet."""
    respond_to_mcp: bool = field(default=True, validator=BOOLEAN)
    """Whether the model is asked to respond to the outcome of a call of an MCP tool, and to an
    approval that is denied. `False`: the application asks for it with `CreateResponse`."""
    notify_agent_audio: bool = field(default=False, validator=BOOLEAN)
    """Whether the agent's audio is notified, as `AgentAudio`."""
    notify_typed_events: bool = field(default=False, validator=BOOLEAN)
    """Whether every event of the Realtime server is notified as a value of its class, as
    `TypedRealtimeEvent`."""
    raw_messages: frozenset[Peer] = field(default=frozenset[Peer](), validator=_PEERS)
    """The peers of which every message is notified, as `TwilioMessage` or `RealtimeEvent`."""

    def __attrs_post_init__(self) -> None:
        if not self.interruption.interrupts_immediately:
            disable_server_interruption(self.session.to_update_event().session, is_initial=True)


def session_url(url: str, model: str) -> str:
    """Return the URL at which to open the session: `url`, with `?model=` unless it has a query.

    Raises `LocalProtocolError` if `url` is not a ws:// or wss:// URL. The message does not contain
    the URL, which may contain a token.
    """
    if split_url(url).query:
        return url
    return f"{url.removesuffix('?')}?model={quote(model, safe='')}"

"""The lifecycles of a call as tables; nothing else decides them.

A table says, for each state, which inputs are possible and where they lead. An input that a state
does not list makes no sense there: `Lifecycle.step` says so, nothing changes, and whoever caused it
hears of it. The diagrams in `docs/states.md` are generated from these tables.
"""

from collections.abc import Mapping
from enum import Enum, unique
from types import MappingProxyType
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

__all__ = [
    "ACTIVE_RESPONSE",
    "RESPONSE",
    "SESSION",
    "STREAM",
    "TURN",
    "ActiveResponseInput",
    "ActiveResponseState",
    "Lifecycle",
    "LifecycleFactory",
    "ResponseInput",
    "ResponseState",
    "SessionInput",
    "SessionState",
    "StreamInput",
    "StreamState",
    "Table",
    "TurnInput",
    "TurnState",
]

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741

Table: TypeAlias = Mapping[S, Mapping[I, S]]


class Lifecycle(Generic[S, I]):
    """One thing's way through its table."""

    __slots__ = ("_possible", "_table", "state")

    def __init__(self, table: Table[S, I], state: S) -> None:
        self._table = table
        self._possible = table[state]
        self.state = state

    def step(self, event: I) -> bool:
        """Take the transition for `event`; `False`, and no change, if there is none."""
        state = self._possible.get(event)
        if state is None:
            return False
        if state is not self.state:
            self.state = state
            self._possible = self._table[state]
        return True


class LifecycleFactory(Protocol):
    """What makes the lifecycles of a call: `Lifecycle`, or what returns a subclass of it that
    observes the transitions."""

    def __call__(self, table: Table[S, I], state: S) -> Lifecycle[S, I]:
        """Return a lifecycle that follows `table` and starts in `state`."""
        ...


class _Input(Enum):
    """What can happen. It is looked up with each message; to hash its name would take 0.2 µs."""

    __hash__ = object.__hash__


@unique
class StreamState(Enum):
    """The Media Stream, and the socket that carries it."""

    UNOPENED = "unopened"
    AWAITING_START = "waiting for start"
    STREAMING = "streaming"
    STOPPED = "stopped"
    CLOSING = "closing"
    CLOSED = "closed"


@unique
class StreamInput(_Input):
    """What can happen to a stream: the socket's events, Twilio's messages, our close.

    Messages that cross our close are late, not wrong; the bridge does not look at them.
    """

    OPENED = "opened"
    CONNECTED = "connected"
    START = "start"
    START_AGAIN = "start again"
    """A `start` with the stream SID that the stream already has."""
    MEDIA = "media"
    MARK = "mark"
    DTMF = "dtmf"
    STOP = "stop"
    CLOSE = "close"
    """We close the socket."""
    CLOSED = "closed"


STREAM: Final[Table[StreamState, StreamInput]] = MappingProxyType(
    {
        StreamState.UNOPENED: {
            StreamInput.OPENED: StreamState.AWAITING_START,
            StreamInput.CLOSE: StreamState.CLOSED,
            StreamInput.CLOSED: StreamState.CLOSED,
        },
        StreamState.AWAITING_START: {
            StreamInput.CONNECTED: StreamState.AWAITING_START,
            StreamInput.START: StreamState.STREAMING,
            StreamInput.STOP: StreamState.STOPPED,
            StreamInput.CLOSE: StreamState.CLOSING,
            StreamInput.CLOSED: StreamState.CLOSED,
        },
        StreamState.STREAMING: {
            StreamInput.START: StreamState.STREAMING,
            StreamInput.MEDIA: StreamState.STREAMING,
            StreamInput.MARK: StreamState.STREAMING,
            StreamInput.DTMF: StreamState.STREAMING,
            StreamInput.STOP: StreamState.STOPPED,
            StreamInput.CLOSE: StreamState.CLOSING,
            StreamInput.CLOSED: StreamState.CLOSED,
        },
        # `stop` ends the call, which closes the socket in the same step.
        StreamState.STOPPED: {
            StreamInput.CLOSE: StreamState.CLOSING,
        },
        StreamState.CLOSING: {
            StreamInput.CLOSED: StreamState.CLOSED,
        },
        StreamState.CLOSED: {},
    }
)


@unique
class SessionState(Enum):
    """The Realtime session, and the socket that carries it."""

    UNOPENED = "unopened"
    OPENING = "opening"
    CONFIGURING = "configuring"
    READY = "ready"
    CLOSING = "closing"
    CLOSED = "closed"


@unique
class SessionInput(_Input):
    """What can happen to a session."""

    OPEN = "open"
    """We ask for the socket."""
    OPENED = "opened"
    """The socket is open; our `session.update` goes out."""
    CONFIGURED = "configured"
    """A `session.updated` that has the audio formats we need."""
    CLOSE = "close"
    """We close the socket."""
    CLOSED = "closed"


SESSION: Final[Table[SessionState, SessionInput]] = MappingProxyType(
    {
        SessionState.UNOPENED: {
            SessionInput.OPEN: SessionState.OPENING,
            SessionInput.CLOSE: SessionState.CLOSED,
        },
        SessionState.OPENING: {
            SessionInput.OPENED: SessionState.CONFIGURING,
            SessionInput.CLOSE: SessionState.CLOSING,
            SessionInput.CLOSED: SessionState.CLOSED,
        },
        SessionState.CONFIGURING: {
            SessionInput.CONFIGURED: SessionState.READY,
            SessionInput.CLOSE: SessionState.CLOSING,
            SessionInput.CLOSED: SessionState.CLOSED,
        },
        SessionState.READY: {
            SessionInput.CONFIGURED: SessionState.READY,
            SessionInput.CLOSE: SessionState.CLOSING,
            SessionInput.CLOSED: SessionState.CLOSED,
        },
        # The socket may still come up while our close is under way.
        SessionState.CLOSING: {
            SessionInput.OPENED: SessionState.CLOSING,
            SessionInput.CLOSED: SessionState.CLOSED,
        },
        SessionState.CLOSED: {},
    }
)


@unique
class ResponseState(Enum):
    """A response of the model, from the first we hear of it."""

    GENERATING = "generating"
    CANCELLING = "cancelling"
    """The application cancelled it; what has come, and still comes, is played."""
    INTERRUPTED = "interrupted"
    """The caller must hear no more of it, but the server still generates."""
    DONE = "done"
    """Generated to the end; its audio may still be waiting to be played."""
    INTERRUPTED_DONE = "silenced"
    """Interrupted, and no longer generated."""


@unique
class ResponseInput(_Input):
    """What can happen to a response."""

    CREATED = "created"
    AUDIO = "audio"
    CANCEL = "cancel"
    """The application sends `response.cancel`."""
    INTERRUPT = "interrupt"
    """It is to be heard no more, whether or not the server still generates it."""
    DONE = "done"


# A straggler, audio of an interrupted response, is expected: it is dropped, and no fault. Audio
# after `response.done` is a fault of the server, unless the response was interrupted.
RESPONSE: Final[Table[ResponseState, ResponseInput]] = MappingProxyType(
    {
        ResponseState.GENERATING: {
            ResponseInput.CREATED: ResponseState.GENERATING,
            ResponseInput.AUDIO: ResponseState.GENERATING,
            ResponseInput.CANCEL: ResponseState.CANCELLING,
            ResponseInput.INTERRUPT: ResponseState.INTERRUPTED,
            ResponseInput.DONE: ResponseState.DONE,
        },
        ResponseState.CANCELLING: {
            ResponseInput.CREATED: ResponseState.CANCELLING,
            ResponseInput.AUDIO: ResponseState.CANCELLING,
            ResponseInput.INTERRUPT: ResponseState.INTERRUPTED,
            ResponseInput.DONE: ResponseState.DONE,
        },
        ResponseState.INTERRUPTED: {
            ResponseInput.CREATED: ResponseState.INTERRUPTED,
            ResponseInput.AUDIO: ResponseState.INTERRUPTED,
            ResponseInput.DONE: ResponseState.INTERRUPTED_DONE,
        },
        ResponseState.DONE: {
            ResponseInput.INTERRUPT: ResponseState.INTERRUPTED_DONE,
        },
        ResponseState.INTERRUPTED_DONE: {
            ResponseInput.AUDIO: ResponseState.INTERRUPTED_DONE,
        },
    }
)


@unique
class ActiveResponseState(Enum):
    """The place of the one response that the conversation can have at a time."""

    FREE = "free"
    REQUESTED = "asked for"
    """Our request is sent, and not answered."""
    ACTIVE = "active"
    """A response is being generated; `response.done` with its id ends it."""
    ACTIVE_UNKNOWN_ID = "taken"
    """Some response is being generated, but its id is not known: the next that ends is it."""


@unique
class ActiveResponseInput(_Input):
    """What can happen to the slot."""

    REQUEST = "ask"
    """We send a request, `response.create`."""
    CREATED = "created"
    """A response begins: the answer to ours, or one of turn detection."""
    CREATED_AGAIN = "created again"
    """`response.created` with an id that a response before it had."""
    DONE = "done"
    """The response that was created last has ended."""
    OTHER_DONE = "other done"
    """Another has."""
    BUSY = "busy"
    """The server refuses our request: a response is active already."""
    REFUSED = "refused"
    """The server refuses our request for any other reason."""
    EARLIER_REFUSED = "not answered"
    """The server refuses one before it, which a response of turn detection had seemed to answer."""


# A response that begins takes the place of one whose end has not been told yet: the server has one
# at a time, and the end of a cancelled response may be told late.
ACTIVE_RESPONSE: Final[Table[ActiveResponseState, ActiveResponseInput]] = MappingProxyType(
    {
        ActiveResponseState.FREE: {
            ActiveResponseInput.REQUEST: ActiveResponseState.REQUESTED,
            ActiveResponseInput.CREATED: ActiveResponseState.ACTIVE,
            ActiveResponseInput.OTHER_DONE: ActiveResponseState.FREE,
            ActiveResponseInput.EARLIER_REFUSED: ActiveResponseState.FREE,
        },
        ActiveResponseState.REQUESTED: {
            ActiveResponseInput.CREATED: ActiveResponseState.ACTIVE,
            ActiveResponseInput.CREATED_AGAIN: ActiveResponseState.ACTIVE_UNKNOWN_ID,
            ActiveResponseInput.OTHER_DONE: ActiveResponseState.REQUESTED,
            ActiveResponseInput.BUSY: ActiveResponseState.ACTIVE_UNKNOWN_ID,
            ActiveResponseInput.REFUSED: ActiveResponseState.FREE,
            ActiveResponseInput.EARLIER_REFUSED: ActiveResponseState.REQUESTED,
        },
        ActiveResponseState.ACTIVE: {
            ActiveResponseInput.CREATED: ActiveResponseState.ACTIVE,
            ActiveResponseInput.DONE: ActiveResponseState.FREE,
            ActiveResponseInput.OTHER_DONE: ActiveResponseState.ACTIVE,
            ActiveResponseInput.EARLIER_REFUSED: ActiveResponseState.ACTIVE,
        },
        ActiveResponseState.ACTIVE_UNKNOWN_ID: {
            ActiveResponseInput.CREATED: ActiveResponseState.ACTIVE,
            ActiveResponseInput.CREATED_AGAIN: ActiveResponseState.ACTIVE_UNKNOWN_ID,
            ActiveResponseInput.DONE: ActiveResponseState.FREE,
            ActiveResponseInput.OTHER_DONE: ActiveResponseState.FREE,
            ActiveResponseInput.EARLIER_REFUSED: ActiveResponseState.FREE,
        },
    }
)


@unique
class TurnState(Enum):
    """The caller's turn, as the server's turn detection sees it."""

    QUIET = "quiet"
    SPEAKING = "speaking"
    PAUSED = "paused"
    """Speech has stopped; the audio is not yet an item of the conversation."""


@unique
class TurnInput(_Input):
    """What turn detection tells."""

    SPEECH_STARTED = "speech started"
    SPEECH_STOPPED = "speech stopped"
    COMMITTED = "committed"
    """The audio has become an item: by turn detection, its time-out, or our own commit."""


TURN: Final[Table[TurnState, TurnInput]] = MappingProxyType(
    {
        TurnState.QUIET: {
            TurnInput.SPEECH_STARTED: TurnState.SPEAKING,
            TurnInput.SPEECH_STOPPED: TurnState.QUIET,  # committed by hand in mid-speech
            TurnInput.COMMITTED: TurnState.QUIET,
        },
        TurnState.SPEAKING: {
            TurnInput.SPEECH_STOPPED: TurnState.PAUSED,
            TurnInput.COMMITTED: TurnState.QUIET,
        },
        TurnState.PAUSED: {
            TurnInput.SPEECH_STARTED: TurnState.SPEAKING,
            TurnInput.COMMITTED: TurnState.QUIET,
        },
    }
)

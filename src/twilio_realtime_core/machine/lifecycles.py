"""The lifecycles of a call, as tables of transitions.

A table has, for each state, the possible inputs and the states that they lead to. An input that a
state does not list changes nothing: `Lifecycle.step` returns `False`, and its caller decides what
that means. The diagrams in `docs/explanation/lifecycles.md` are generated from these tables.
"""

from collections.abc import Mapping
from enum import Enum, unique
from types import MappingProxyType
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from .symbol import Symbol

__all__ = [
    "ACTIVE_RESPONSE",
    "FUNCTION_CALL",
    "RESPONSE",
    "SESSION",
    "STREAM",
    "TURN",
    "ActiveResponseInput",
    "ActiveResponseState",
    "FunctionCallInput",
    "FunctionCallState",
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
    """A state machine that follows a table. `state` is the current state."""

    __slots__ = ("_table", "_transitions", "state")

    def __init__(self, table: Table[S, I], state: S) -> None:
        self._table = table
        self._transitions = table[state]
        self.state = state

    def step(self, event: I) -> bool:
        """Make the transition for `event`. `False`: there is none, and nothing has changed."""
        state = self._transitions.get(event)
        if state is None:
            return False
        if state is not self.state:
            self.state = state
            self._transitions = self._table[state]
        return True


class LifecycleFactory(Protocol):
    """A factory for the lifecycles of a call: `Lifecycle`, or a function that returns a subclass of
    it, which can observe the transitions."""

    def __call__(self, table: Table[S, I], state: S) -> Lifecycle[S, I]:
        """Return a lifecycle that follows `table` and starts in `state`."""
        ...


@unique
class StreamState(Symbol):
    """The state of the Media Stream, and of the socket that carries it."""

    UNOPENED = "unopened"
    AWAITING_START = "awaiting start"
    STREAMING = "streaming"
    STOPPED = "stopped"
    CLOSING = "closing"
    CLOSED = "closed"


@unique
class StreamInput(Symbol):
    """The inputs of a stream: events of the socket, messages from Twilio, our close.

    The bridge ignores messages that are received after our close; Twilio may send them until it
    receives the close.
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
class SessionState(Symbol):
    """The state of the Realtime session, and of the socket that carries it."""

    UNOPENED = "unopened"
    OPENING = "opening"
    CONFIGURING = "configuring"
    READY = "ready"
    CLOSING = "closing"
    CLOSED = "closed"


@unique
class SessionInput(Symbol):
    """The inputs of a session."""

    OPEN = "open"
    """We open the socket."""
    OPENED = "opened"
    """The socket is open; our `session.update` is sent."""
    CONFIGURED = "configured"
    """The server sent `session.updated` with the audio formats of a call."""
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
        # The socket may still open after our close.
        SessionState.CLOSING: {
            SessionInput.OPENED: SessionState.CLOSING,
            SessionInput.CLOSED: SessionState.CLOSED,
        },
        SessionState.CLOSED: {},
    }
)


@unique
class ResponseState(Symbol):
    """The state of a response of the model, from the first event that names it."""

    GENERATING = "generating"
    CANCELLING = "cancelling"
    """The application cancelled it. Its audio is played, including audio that is still received."""
    INTERRUPTED = "interrupted"
    """Nothing more of it is played, but the server still generates it."""
    DONE = "done"
    """It is generated. Its audio may not have been played yet."""
    INTERRUPTED_DONE = "interrupted and done"
    """Nothing more of it is played, and the server no longer generates it."""


@unique
class ResponseInput(Symbol):
    """The inputs of a response."""

    CREATED = "created"
    AUDIO = "audio"
    CANCEL = "cancel"
    """The application sends `response.cancel`."""
    INTERRUPT = "interrupt"
    """The rest of it must not be played, whether or not the server still generates it."""
    DONE = "done"


# Late audio of an interrupted response is expected: it is dropped, and is not a fault. Audio after
# `response.done` is a fault of the server, unless the response was interrupted.
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
class ActiveResponseState(Symbol):
    """The state of the conversation's active response, of which there is at most one at a time."""

    FREE = "free"
    REQUESTED = "requested"
    """Our request was sent, and is not answered yet."""
    ACTIVE = "active"
    """A response is being generated, until `response.done` with its id."""
    ACTIVE_UNKNOWN_ID = "active, unknown id"
    """A response is being generated whose id is unknown, until the next `response.done`."""


@unique
class ActiveResponseInput(Symbol):
    """The inputs of the active response."""

    REQUEST = "request"
    """We send a request, `response.create`."""
    CREATED = "created"
    """A response has started, for our request or by turn detection."""
    CREATED_AGAIN = "created again"
    """`response.created` has the id of an earlier response."""
    DONE = "done"
    """The response that was created last is done."""
    OTHER_DONE = "other done"
    """Another response is done."""
    BUSY = "busy"
    """The server has refused our request: a response is already active."""
    REFUSED = "refused"
    """The server has refused our request for another reason."""
    EARLIER_REFUSED = "earlier refused"
    """The server has refused an earlier request, after a response of turn detection was taken for
    the response to it."""
    EXPIRED = "expired"
    """Our request has no answer, or no event of the response was received, for too long."""


# A response that starts replaces one that is not done yet: the server has one at a time, and may
# send the `response.done` of a cancelled response late.
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
            ActiveResponseInput.EXPIRED: ActiveResponseState.FREE,
        },
        ActiveResponseState.ACTIVE: {
            ActiveResponseInput.CREATED: ActiveResponseState.ACTIVE,
            ActiveResponseInput.DONE: ActiveResponseState.FREE,
            ActiveResponseInput.OTHER_DONE: ActiveResponseState.ACTIVE,
            ActiveResponseInput.EARLIER_REFUSED: ActiveResponseState.ACTIVE,
            ActiveResponseInput.EXPIRED: ActiveResponseState.FREE,
        },
        ActiveResponseState.ACTIVE_UNKNOWN_ID: {
            ActiveResponseInput.CREATED: ActiveResponseState.ACTIVE,
            ActiveResponseInput.CREATED_AGAIN: ActiveResponseState.ACTIVE_UNKNOWN_ID,
            ActiveResponseInput.DONE: ActiveResponseState.FREE,
            ActiveResponseInput.OTHER_DONE: ActiveResponseState.FREE,
            ActiveResponseInput.EARLIER_REFUSED: ActiveResponseState.FREE,
            ActiveResponseInput.EXPIRED: ActiveResponseState.FREE,
        },
    }
)


@unique
class TurnState(Symbol):
    """The state of the caller's turn, according to the server's turn detection."""

    QUIET = "quiet"
    SPEAKING = "speaking"
    SPEAKING_COMMITTED = "speaking, committed"
    """The audio so far was committed, and the caller still speaks."""
    PAUSED = "paused"
    """The caller has stopped. The audio is not an item of the conversation yet."""
    COMMITTED = "committed"
    """The audio is an item of the conversation, and the server is to respond to it."""
    REPLAYED = "replayed"
    """The session is lost. The next one gets the audio again, and is to report the turn anew."""


@unique
class TurnInput(Symbol):
    """The inputs of the caller's turn."""

    STREAM_STARTED = "stream started"
    """Twilio has started another stream. It is unknown whether the caller speaks on it."""
    SPEECH_STARTED = "speech started"
    SPEECH_STOPPED = "speech stopped"
    COMMITTED = "committed"
    """The audio is now an item: by turn detection, its time-out, or our commit."""
    ANSWERED = "answered"
    """The response to the turn was created."""
    OVER = "over"
    """The server creates no response to the turn."""
    EXPIRED = "expired"
    """The turn was not committed, or no response to it was created, for too long."""
    DISCARDED = "discarded"
    """Turn detection was switched on or off, or the audio was cleared: no end will be reported."""
    SESSION_LOST = "session lost"
    """The session is replaced, and the next one need not hear the turn."""
    REPLAY = "replay"
    """The session is replaced, and the next one gets the audio of the turn."""


TURN: Final[Table[TurnState, TurnInput]] = MappingProxyType(
    {
        TurnState.QUIET: {
            TurnInput.STREAM_STARTED: TurnState.QUIET,
            TurnInput.SESSION_LOST: TurnState.QUIET,
            TurnInput.REPLAY: TurnState.REPLAYED,
            TurnInput.SPEECH_STARTED: TurnState.SPEAKING,
            TurnInput.SPEECH_STOPPED: TurnState.QUIET,  # of speech on an earlier stream
            TurnInput.COMMITTED: TurnState.QUIET,
        },
        TurnState.SPEAKING: {
            TurnInput.STREAM_STARTED: TurnState.QUIET,
            TurnInput.REPLAY: TurnState.REPLAYED,
            TurnInput.SPEECH_STOPPED: TurnState.PAUSED,
            TurnInput.COMMITTED: TurnState.SPEAKING_COMMITTED,
            TurnInput.ANSWERED: TurnState.QUIET,
            TurnInput.DISCARDED: TurnState.QUIET,
        },
        TurnState.SPEAKING_COMMITTED: {
            TurnInput.STREAM_STARTED: TurnState.QUIET,
            TurnInput.REPLAY: TurnState.REPLAYED,
            TurnInput.SPEECH_STARTED: TurnState.SPEAKING,
            TurnInput.SPEECH_STOPPED: TurnState.PAUSED,  # what was said since is not committed
            TurnInput.COMMITTED: TurnState.SPEAKING_COMMITTED,
            TurnInput.ANSWERED: TurnState.QUIET,
            TurnInput.EXPIRED: TurnState.QUIET,
            TurnInput.DISCARDED: TurnState.QUIET,
        },
        TurnState.PAUSED: {
            TurnInput.STREAM_STARTED: TurnState.QUIET,
            TurnInput.REPLAY: TurnState.REPLAYED,
            TurnInput.SPEECH_STARTED: TurnState.SPEAKING,
            TurnInput.COMMITTED: TurnState.COMMITTED,
            TurnInput.ANSWERED: TurnState.QUIET,
            TurnInput.EXPIRED: TurnState.QUIET,
            TurnInput.DISCARDED: TurnState.QUIET,
        },
        TurnState.COMMITTED: {
            TurnInput.STREAM_STARTED: TurnState.QUIET,
            TurnInput.SESSION_LOST: TurnState.QUIET,
            TurnInput.REPLAY: TurnState.REPLAYED,
            TurnInput.SPEECH_STARTED: TurnState.SPEAKING,
            TurnInput.SPEECH_STOPPED: TurnState.COMMITTED,  # of speech on an earlier stream
            TurnInput.COMMITTED: TurnState.COMMITTED,
            TurnInput.ANSWERED: TurnState.QUIET,
            TurnInput.OVER: TurnState.QUIET,
            TurnInput.EXPIRED: TurnState.QUIET,
        },
        TurnState.REPLAYED: {
            TurnInput.STREAM_STARTED: TurnState.QUIET,
            TurnInput.REPLAY: TurnState.REPLAYED,
            TurnInput.SPEECH_STARTED: TurnState.SPEAKING,
            TurnInput.SPEECH_STOPPED: TurnState.PAUSED,
            TurnInput.COMMITTED: TurnState.COMMITTED,
            TurnInput.ANSWERED: TurnState.QUIET,
            TurnInput.EXPIRED: TurnState.QUIET,
            TurnInput.DISCARDED: TurnState.QUIET,
        },
    }
)


@unique
class FunctionCallState(Symbol):
    """The state of a function call that the model has requested."""

    REQUESTED = "requested"
    """The application was notified, and has not given the output yet."""
    ANSWERED = "answered"
    """The application has given the output, which is sent after playback."""
    OUTPUT_SENT = "output sent"
    """The bridge has sent the output to the server."""


@unique
class FunctionCallInput(Symbol):
    """The inputs of a function call."""

    ANSWER = "answer"
    """The application gives the output."""
    SEND_OUTPUT = "send output"
    """The bridge sends it."""


FUNCTION_CALL: Final[Table[FunctionCallState, FunctionCallInput]] = MappingProxyType(
    {
        FunctionCallState.REQUESTED: {
            FunctionCallInput.ANSWER: FunctionCallState.ANSWERED,
        },
        FunctionCallState.ANSWERED: {
            FunctionCallInput.SEND_OUTPUT: FunctionCallState.OUTPUT_SENT,
        },
        FunctionCallState.OUTPUT_SENT: {},
    }
)

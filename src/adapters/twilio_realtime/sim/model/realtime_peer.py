"""The simulated Realtime server: a message machine at the other end of one connection."""

from collections.abc import Hashable, Sequence
from enum import Enum, auto, unique
from functools import partial
from typing import Final

from attrs import frozen

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Close, Refusal, Send, SendPing
from twilio_realtime_core.machine.arguments import check_time
from twilio_realtime_core.machine.units import SECOND

from ..world.silence import SilenceSink
from .client_requests import (
    ClientRequest,
    InvalidClientRequest,
    count_silence,
    decode_client_request,
)
from .connection import RealtimeConnection
from .conversation import StoredItem
from .conversation_edits import edit_conversation
from .event_queue import EventQueue
from .pace import Pace
from .responses import ReplySource, SimResponses
from .schema import ErrorBody, JsonObject
from .server_events import ServerEventWriter
from .session import RealtimeSession
from .turns import CallerTurns

__all__ = ["CLIENT", "OpeningError", "RealtimePeer", "SentError"]

CLIENT: Final = "client"
"""The key of the server's only peer."""

MAX_QUEUED_EVENTS: Final = 65_536
"""The most client events that can be queued for processing: several minutes' worth. Further ones
are refused."""

MAX_SESSION_NS: Final = 3_600 * SECOND
"""The longest duration of a session (API guide: 60 minutes)."""

_START_UNIX_S: Final = 1_785_214_050
"""The server's time of day when its clock shows 0 (unix seconds): a day in July 2026."""


@unique
class OpeningError(Enum):
    """Why the server closes a connection that it has just accepted: the code of its error."""

    INVALID_API_KEY = "invalid_api_key"
    MISSING_KEY = "missing_key"
    INVALID_MODEL = "invalid_model"
    MISSING_MODEL = "missing_model"
    BETA_API_SHAPE_DISABLED = "beta_api_shape_disabled"


@frozen
class SentError:
    """An error that the server sent: the type of the client event, and what was wrong with it."""

    event_type: str | None
    code: str | None
    message: str
    param: str | None
    event_id: str | None


@unique
class _State(Enum):
    NEW = auto()
    STARTED = auto()
    OPEN = auto()
    ENDED = auto()


class RealtimePeer(SilenceSink):
    """OpenAI's Realtime server over WebSocket, for one connection (a `MessageMachine`).

    `replies` is what the model says: a sequence of `Reply`, whose last one is repeated when it runs
    out, or a function of `ResponseRequest`. `transcripts` are those of the caller's turns in order,
    `None` for one whose transcription fails; they matter only if the session asks for
    transcription. `seed` decides all ids. `answer_turn_after_response`: whether a turn that ended
    during a response is answered when that response is done. `opening_error` (an `OpeningError`, or
    its value) is the reason to close the connection as soon as it is open; `max_duration_ns` ends
    it after that time. The ids of items and function calls end with `id_suffix`.

    Client events are processed one after another, each taking the time that `pace` says; only audio
    that arrives while nothing is queued is processed immediately.
    """

    def __init__(
        self,
        replies: ReplySource,
        *,
        seed: int = 0,
        pace: Pace | None = None,
        model: str = "gpt-realtime-2.1",
        transcripts: Sequence[str | None] = (),
        answer_turn_after_response: bool = False,
        opening_error: OpeningError | str | None = None,
        max_duration_ns: int = MAX_SESSION_NS,
        id_suffix: str = "",
    ) -> None:
        self.sent_errors: list[SentError] = []
        """Every error that the server sent, in order."""
        self._pace = pace or Pace()
        self._opening_error = None if opening_error is None else OpeningError(opening_error)
        self._max_duration_ns = max_duration_ns
        self._event_queue = EventQueue()
        self._writer = ServerEventWriter(self._event_queue, seed, _START_UNIX_S, id_suffix)
        self._connection = RealtimeConnection(
            self._pace,
            self._event_queue,
            self._writer,
            RealtimeSession(model),
            self._writer.new_id("conv"),
        )
        self._responses = SimResponses(
            self._connection, replies, answer_turn_after_response=answer_turn_after_response
        )
        self._turns = CallerTurns(self._connection, self._responses, transcripts)
        self._state = _State.NEW
        self._actions: list[Action] = []
        self._queued_count = 0
        self._busy_until_ns = 0

    @property
    def conversation(self) -> list[StoredItem]:
        """All items of the default conversation in order; deleted ones are marked as deleted."""
        return self._connection.conversation.items

    @property
    def session(self) -> JsonObject:
        """The effective session, as the last `session.updated` sent it. Do not change it."""
        return self._connection.session.wire

    @property
    def is_responding(self) -> bool:
        """Whether a response is active in the default conversation."""
        return self._responses.active is not None

    @property
    def deadline(self) -> int | None:
        """When to call `handle_timeout` at the latest (ns); `None`: not needed."""
        return self._event_queue.deadline

    def start(self, now: int) -> list[Action]:
        """Begin; the client will dial."""
        if self._state is not _State.NEW:
            raise LocalProtocolError("start was called twice")
        self._event_queue.run_due(now)
        self._state = _State.STARTED
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        """Open the session; `session.created` follows within milliseconds."""
        self._check_input(peer, now)
        if self._state is not _State.STARTED:
            raise LocalProtocolError("opened was called at the wrong time")
        self._state = _State.OPEN
        self._event_queue.run_due(now)
        if self._opening_error is not None:
            self._refuse_connection(self._opening_error)
        else:
            self._connection.session.open(
                self._writer.new_id("sess"), self._writer.unix_s + self._max_duration_ns // SECOND
            )
            self._event_queue.schedule_after(
                self._pace.session_created_ns, self._send_session_created
            )
            # No client event is answered before `session.created`.
            self._busy_until_ns = now + self._pace.session_created_ns
            self._event_queue.schedule_after(self._pace.ping_interval_ns, self._ping)
            self._event_queue.schedule_after(self._max_duration_ns, self._expire)
        return self._take_actions()

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        """Process a client event, or any other text that a client may send."""
        self._check_input(peer, now)
        if self._state in (_State.NEW, _State.STARTED):
            raise LocalProtocolError("a message was received before the connection was open")
        self._event_queue.run_due(now)
        if self._state is _State.OPEN:
            self._enqueue(decode_client_request(text))
        return self._take_actions()

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        """Ignore a pong."""
        self._check_input(peer, now)
        self._event_queue.run_due(now)
        return self._take_actions()

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        """A server opens no link, so none can be refused."""
        raise LocalProtocolError(f"a server opens no link, so {peer!r} cannot refuse one")

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        """End the session with its connection."""
        self._check_input(peer, now)
        self._end()
        self._event_queue.run_due(now)
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        """Do everything that is due, in order."""
        self._check_input(CLIENT, now)
        self._event_queue.run_due(now)
        return self._take_actions()

    # The contract of `SilenceSink`.

    def ignores_silence(self, text: str) -> bool:
        """Whether an append of silence has no effect but to be counted."""
        is_idle = self._state is _State.OPEN and not self._queued_count
        return is_idle and self._turns.ignores_silence and count_silence(text) > 0

    def receive_silence(self, text: str, count: int, now: int) -> None:
        """Receive the same append of silence, which is ignored, so many times."""
        self._event_queue.run_due(now)
        self._turns.append_silence(count * count_silence(text))

    def _check_input(self, peer: Hashable, now: int) -> None:
        if peer != CLIENT:
            raise LocalProtocolError(f"the server has no peer {peer!r}")
        if self._state is _State.NEW:
            raise LocalProtocolError("start has not been called")
        if type(now) is not int or now < self._event_queue.now:
            check_time(now, self._event_queue.now)

    def _take_actions(self) -> list[Action]:
        if self._connection.unsent:
            self._flush_events()
        actions, self._actions = self._actions, []
        return actions

    def _flush_events(self) -> None:
        """Turn the events written so far into actions, so that later actions come behind them."""
        unsent = self._connection.unsent
        self._actions += [Send(CLIENT, event) for event in unsent]
        unsent.clear()

    def _close(self, code: int, reason: str) -> None:
        self._flush_events()
        self._actions.append(Close(CLIENT, code, reason))
        self._end()

    def _end(self) -> None:
        self._state = _State.ENDED
        self._event_queue.clear()

    # What the server does by itself.

    def _send_session_created(self) -> None:
        self._connection.send_new("session.created", session=self.session)

    def _ping(self) -> None:
        self._flush_events()
        self._actions.append(SendPing(CLIENT, self._writer.new_ping_payload()))
        self._event_queue.schedule_after(self._pace.ping_interval_ns, self._ping)

    def _expire(self) -> None:
        minutes = self._max_duration_ns // (60 * SECOND)
        message = f"Your session hit the maximum duration of {minutes} minutes."
        self._send_error(ErrorBody("session_expired", message), None)
        self._close(1001, message)

    def _refuse_connection(self, reason: OpeningError) -> None:
        code: str | None = reason.value
        close_code = 4000
        match reason:
            case OpeningError.INVALID_API_KEY:
                close_code, message = 3000, "Incorrect API key provided."
            case OpeningError.MISSING_KEY:
                code, close_code = None, 3000
                message = "Missing bearer or basic authentication in header"
            case OpeningError.INVALID_MODEL:
                message = f"Model '{self.session['model']}' does not exist."
            case OpeningError.MISSING_MODEL:
                message = "You must provide a model parameter."
            case OpeningError.BETA_API_SHAPE_DISABLED:
                message = "The beta shape of the Realtime API is no longer supported."
        refusal = ErrorBody(code, message)
        self._send_error(refusal, None)
        self._close(close_code, ".".join(filter(None, (refusal.type, code))))

    # Client events.

    def _enqueue(self, request: ClientRequest | InvalidClientRequest) -> None:
        """Queue a client event; audio that arrives while nothing is queued is processed
        immediately."""
        now = self._event_queue.now
        if not self._queued_count and request.type == "input_audio_buffer.append":
            self._process(request)
        elif self._queued_count >= MAX_QUEUED_EVENTS:
            message = "Too many events are waiting to be processed."
            self._refuse(request, ErrorBody("rate_limit_exceeded", message))
        else:
            is_create = request.type == "response.create"
            pace = self._pace
            duration_ns = pace.response_created_ns if is_create else pace.client_event_ns
            self._busy_until_ns = max(now, self._busy_until_ns) + duration_ns
            self._queued_count += 1
            self._event_queue.schedule_after(
                self._busy_until_ns - now, partial(self._process_queued, request)
            )

    def _process_queued(self, request: ClientRequest | InvalidClientRequest) -> None:
        self._queued_count -= 1
        self._process(request)

    def _process(self, request: ClientRequest | InvalidClientRequest) -> None:
        refusal = (
            request.error
            if isinstance(request, InvalidClientRequest)
            else self._dispatch(request.body)
        )
        if refusal is not None:
            self._refuse(request, refusal)

    def _dispatch(self, body: JsonObject) -> ErrorBody | None:
        type_ = body["type"]
        if type_ == "input_audio_buffer.append":  # fifty times a second
            return self._turns.append(body["audio"])
        match type_:
            case "input_audio_buffer.commit":
                return self._turns.commit()
            case "input_audio_buffer.clear":
                self._turns.clear()
            case "session.update":
                return self._update_session(body["session"])
            case "response.create":
                return self._responses.create(body.get("response") or {})
            case "response.cancel":
                return self._responses.cancel(body.get("response_id"))
            case "session.close":
                self._close(1000, "")
            case _:
                return edit_conversation(self._connection, body)
        return None

    def _update_session(self, changes: JsonObject) -> ErrorBody | None:
        refusal = self._connection.session.update(
            changes,
            has_agent_audio=any(
                item.is_spoken and item.audio for item in self._connection.conversation
            ),
        )
        if refusal is None:
            self._turns.configure()
            self._connection.send_new("session.updated", session=self.session)
        return refusal

    def _refuse(self, request: ClientRequest | InvalidClientRequest, refusal: ErrorBody) -> None:
        self.sent_errors.append(
            SentError(request.type, refusal.code, refusal.message, refusal.param, request.event_id)
        )
        self._send_error(refusal, request.event_id)

    def _send_error(self, refusal: ErrorBody, event_id: str | None) -> None:
        error = {
            "type": refusal.type,
            "code": refusal.code,
            "message": refusal.message,
            "param": refusal.param,
            "event_id": event_id,
        }
        self._connection.send_new("error", error=error)

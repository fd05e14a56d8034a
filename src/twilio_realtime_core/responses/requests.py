"""Requests for responses, `response.create`: one at a time in the conversation, none lost.

The server has one active response in the conversation and refuses a second (OpenAI API reference,
"Realtime", `response.create`,
https://platform.openai.com/docs/api-reference/realtime-client-events/response/create). So a request
is queued here until the one before it is answered and its response is done. Turn detection creates
responses too: one that crosses a request of ours looks like the answer to it, until the server's
refusal shows that it was not. Then the request is queued again. Out-of-band responses
(`conversation: "none"`) run independently of all this.
"""

from collections import deque
from enum import Enum, unique
from operator import attrgetter
from typing import Final

from attrs import define, evolve, frozen

from ..errors import LocalProtocolError
from ..machine.lifecycles import (
    ACTIVE_RESPONSE,
    ActiveResponseInput,
    ActiveResponseState,
    Lifecycle,
    LifecycleFactory,
)
from ..protocols.realtime import CreateResponse, ServerError
from .responses import ResponseRecord

__all__ = ["MAX_REQUESTS", "PlaybackDecision", "RefusedRequest", "Requests"]

MAX_REQUESTS: Final = 32
"""Requests of the application that are queued: each is a response of some seconds, so the caller
would listen to 32 for minutes. Also requests remembered whose refusal may still come: it takes a
round trip, and the error of a forgotten one is notified as a fault."""

_EVENT_ID_PREFIX: Final = "bridge-request-"
"""Starts the event id of a request that has none, so that an error that names it is known."""

_BUSY: Final = "conversation_already_has_active_response"
"""The code of the error that asks to wait for `response.done`."""


@unique
class PlaybackDecision(Enum):
    """What becomes of the audio of a response that was just created."""

    PLAY = "play"
    SUPPRESS = "suppress"
    """It was interrupted while it was requested: none of it is played."""
    CANCEL = "cancel"
    """The same, and it is cancelled."""


@frozen
class RefusedRequest:
    """A request that the server has refused, by its event id. `is_final`: it was dropped, with all
    that it covered; otherwise it is queued again. `events` are what may be sent now, in order."""

    event_id: str | None
    is_final: bool
    events: tuple[CreateResponse, ...]


@define(eq=False)
class _Request:
    """A request, with its event id. `number` is its place in the order of all; `is_automatic`: any
    other automatic one can stand for it."""

    event: CreateResponse
    number: int
    is_automatic: bool

    @property
    def is_out_of_band(self) -> bool:
        """Whether its response is out of band."""
        response = self.event.response
        return response is not None and response.get("conversation") == "none"


class Requests:
    """The requests of one Realtime session; none is sent before `open`. Every list of events that a
    method returns is what may be sent now, in order; it counts as sent."""

    def __init__(self, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._is_open = False
        self._count = 0
        self._active = make_lifecycle(ACTIVE_RESPONSE, ActiveResponseState.FREE)
        self._decision = PlaybackDecision.PLAY
        self._active_id = ""
        self._answer_id = ""
        self._queued: deque[_Request] = deque()
        self._sent: _Request | None = None
        self._answered: deque[_Request] = deque(maxlen=MAX_REQUESTS)
        self._out_of_band: deque[_Request] = deque(maxlen=MAX_REQUESTS)

    @property
    def is_busy(self) -> bool:
        """Whether a response in the conversation is active, requested, or queued to be."""
        return self._active.state is not ActiveResponseState.FREE or bool(self._queued)

    @property
    def unanswered_count(self) -> int:
        """How many requests the server has not answered, or were not sent yet. Automatic ones that
        one request covers count once."""
        return len(self._queued) + (self._sent is not None) + len(self._out_of_band)

    # From the application.

    def check_capacity(self) -> None:
        """Raise `LocalProtocolError` if another request of the application cannot be queued."""
        if len(self._queued) >= MAX_REQUESTS:
            raise LocalProtocolError(
                f"response.create: {len(self._queued)} requests are queued already; wait for "
                "ResponseFinished or ResponseRefused"
            )

    def open(self) -> list[CreateResponse]:
        """Start to send requests, since the session is ready."""
        self._is_open = True
        return self._release()

    def enqueue_automatic(self) -> list[CreateResponse]:
        """Request a response to what the conversation holds. One that is still queued covers it;
        one that was sent does not, since it may not see what was added after it."""
        if not any(each.is_automatic for each in self._queued):
            self._enqueue(CreateResponse(), is_automatic=True)
        return self._release()

    def enqueue(self, event: CreateResponse) -> list[CreateResponse]:
        """Make a request of the application. It covers no other, and keeps its place and its event
        id.

        Raises `LocalProtocolError` as `check_capacity` does.
        """
        self.check_capacity()
        self._enqueue(event, is_automatic=False)
        return self._release()

    def interrupted(self, *, cancel: bool) -> None:
        """Suppress a response that is requested and not created, since the agent was interrupted;
        `created` returns the decision. `cancel`: it is cancelled. Requests that were not sent stay.

        Should the server refuse the request because of another response, no response to it was
        interrupted, and it is queued again like one that was not sent.
        """
        if cancel:
            self._decision = PlaybackDecision.CANCEL
        elif self._decision is PlaybackDecision.PLAY:
            self._decision = PlaybackDecision.SUPPRESS

    # From the model.

    def created(self, record: ResponseRecord, *, is_repeated: bool) -> PlaybackDecision:
        """Take a response that was created: the answer to our request, or one of turn detection. An
        out-of-band one answers the oldest such request. `is_repeated`: its id was announced before.
        """
        if not record.is_in_conversation and self._out_of_band:
            self._out_of_band.popleft()
            return PlaybackDecision.PLAY
        created = ActiveResponseInput.CREATED_AGAIN if is_repeated else ActiveResponseInput.CREATED
        if self._active.step(created):
            self._active_id = record.id
        if self._sent is None:
            return PlaybackDecision.PLAY
        self._answered.appendleft(self._sent)
        self._answer_id = record.id
        self._sent = None
        return self._decision

    def done(self, record: ResponseRecord, *, was_announced: bool) -> list[CreateResponse]:
        """Take a response that is done. If it was not announced before, its `response.created` was
        lost, and this counts as both."""
        if not was_announced:
            self.created(record, is_repeated=False)
        is_active = record.id == self._active_id
        self._active.step(ActiveResponseInput.DONE if is_active else ActiveResponseInput.OTHER_DONE)
        return self._release()

    def refused(self, error: ServerError) -> RefusedRequest | None:
        """Take an error; `None` if it refuses no request that is known here.

        A request in the conversation that met an active response is queued again, in its old place,
        until that response is done. An out-of-band one is not: nothing shows what it would have to
        wait for.
        """
        request = self._find_refused(error)
        if request is None:
            return None
        is_queued_again = error.code == _BUSY and not request.is_out_of_band
        if request is self._sent:
            self._sent = None
            self._active.step(
                ActiveResponseInput.BUSY if is_queued_again else ActiveResponseInput.REFUSED
            )
        elif request in self._out_of_band:
            self._out_of_band.remove(request)
        else:
            self._answered.remove(request)
            self._active.step(ActiveResponseInput.EARLIER_REFUSED)
        if is_queued_again:
            self._enqueue_again(request)
        return RefusedRequest(request.event.event_id, not is_queued_again, tuple(self._release()))

    # Inside.

    def _enqueue(self, event: CreateResponse, *, is_automatic: bool) -> None:
        self._count += 1
        if not event.event_id:
            event = evolve(event, event_id=f"{_EVENT_ID_PREFIX}{self._count}")
        self._queued.append(_Request(event, self._count, is_automatic))

    def _release(self) -> list[CreateResponse]:
        """Send what may be sent: of the conversation one request, if no response is active."""
        if not self._is_open:
            return []
        events: list[CreateResponse] = []
        queued, self._queued = self._queued, deque()
        for each in queued:
            if each.is_out_of_band:
                self._out_of_band.append(each)
            elif self._active.step(ActiveResponseInput.REQUEST):
                self._sent = each
                self._decision = PlaybackDecision.PLAY
            else:
                self._queued.append(each)
                continue
            events.append(each.event)
        return events

    def _enqueue_again(self, request: _Request) -> None:
        """Queue a request in its old place. An automatic one covers any that is queued."""
        others = (each for each in self._queued if not (request.is_automatic and each.is_automatic))
        self._queued = deque(sorted([request, *others], key=attrgetter("number")))

    def _find_refused(self, error: ServerError) -> _Request | None:
        """The request that an error refuses. One without an event id refuses the request in the
        conversation, if there is one: attributed to another, it would block all later requests,
        while a response that comes unexpectedly does no harm."""
        sent = [] if self._sent is None else [self._sent]
        if error.event_id:
            named = (*sent, *self._out_of_band, *self._answered)
            return next((one for one in named if one.event.event_id == error.event_id), None)
        if error.code == _BUSY:
            # Of those answered, only one whose seeming answer is still active can have met it.
            seems_answered = (
                self._active.state is ActiveResponseState.ACTIVE
                and self._active_id == self._answer_id
            )
            answered = list(self._answered)[:1] if seems_answered else []
            return next(iter((*sent, *answered)), None)
        if CreateResponse.type in error.message:
            return next(iter((*sent, *self._out_of_band)), None)
        return None

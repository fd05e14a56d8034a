"""The requests for responses, `response.create`: one at a time in the conversation, none lost.

The server has one active response in the conversation and refuses a second (API reference,
"Realtime", `response.create`). So a request waits here until the one before it is answered and its
response is done. Turn detection makes responses too: one that crosses a request of ours looks like
the answer to it, until the server's refusal tells that it was not. Then the request takes its turn
again. Responses outside the conversation (`conversation: "none"`) run beside all this.
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
from ..protocols.realtime import CreateResponse, Response, ServerError
from .responses import MAX_RESPONSES

__all__ = ["MAX_REQUESTS", "PlaybackDecision", "RefusedRequest", "Requests"]

MAX_REQUESTS: Final = 32
"""Requests by hand that wait: each is an answer of some seconds, so the caller would listen to 32
for minutes. Also requests remembered whose refusal may be under way: it takes a round trip, and of
those forgotten it counts as somebody else's."""

_OUR_ID: Final = "bridge-request-"
"""Begins the event id of a request that has none, so that an error of it can be told."""

_BUSY: Final = "conversation_already_has_active_response"
"""The code of the error that asks to wait for `response.done`."""


@unique
class PlaybackDecision(Enum):
    """What is to become of a response that has just been created."""

    PLAY = "heard"
    SUPPRESS = "silenced"
    """It was interrupted while it was asked for: none of it is to be heard."""
    CANCEL = "cancelled"
    """The same, and it is to be cancelled."""


@frozen
class RefusedRequest:
    """The server has refused the request with this event id. `final`: it is released, with all that
    it covered; otherwise it will be made again. `events` are what may be sent now, in order."""

    event_id: str | None
    is_final: bool
    events: tuple[CreateResponse, ...]


@define(eq=False)
class _Request:
    """A request, with its event id. `number` tells the order in which they were made; `automatic`:
    any other such one can stand for it."""

    event: CreateResponse
    number: int
    is_automatic: bool

    @property
    def is_out_of_band(self) -> bool:
        """Whether its response is outside the conversation."""
        response = self.event.response
        return response is not None and response.get("conversation") == "none"


class Requests:
    """The requests of one Realtime session; none is sent before `open`. Every list of events is
    what may be sent now, in order; it counts as sent."""

    def __init__(self, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._opened = False
        self._count = 0
        self._active = make_lifecycle(ACTIVE_RESPONSE, ActiveResponseState.FREE)
        self._decision = PlaybackDecision.PLAY
        self._active_id = ""
        self._answer_id = ""
        self._seen_ids: dict[str, None] = {}
        self._queued: deque[_Request] = deque()
        self._sent: _Request | None = None
        self._answered: deque[_Request] = deque(maxlen=MAX_REQUESTS)
        self._out_of_band: deque[_Request] = deque(maxlen=MAX_REQUESTS)

    @property
    def is_busy(self) -> bool:
        """Whether a response in the conversation is active, asked for, or waits to be."""
        return self._active.state is not ActiveResponseState.FREE or bool(self._queued)

    @property
    def unanswered_count(self) -> int:
        """How many requests the server has not answered, or were not sent yet. Automatic ones that
        one request covers count once."""
        return len(self._queued) + (self._sent is not None) + len(self._out_of_band)

    # From the application.

    def check_capacity(self) -> None:
        """Raise `LocalProtocolError` if another request by hand cannot be taken."""
        if len(self._queued) >= MAX_REQUESTS:
            raise LocalProtocolError(
                f"response.create: {len(self._queued)} requests wait already; wait for "
                "ResponseFinished or ResponseRefused"
            )

    def open(self) -> list[CreateResponse]:
        """The session is ready."""
        self._opened = True
        return self._release()

    def enqueue_automatic(self) -> list[CreateResponse]:
        """Ask for a response to what the conversation holds. One that still waits will do; one that
        is sent will not, since it may not see what was added after it."""
        if not any(each.is_automatic for each in self._queued):
            self._queue(CreateResponse(), automatic=True)
        return self._release()

    def enqueue(self, event: CreateResponse) -> list[CreateResponse]:
        """Make a request by hand. It stands for no other, and keeps its place and its event id.

        Raises `LocalProtocolError` where `check_room` would.
        """
        self.check_capacity()
        self._queue(event, automatic=False)
        return self._release()

    def interrupted(self, *, cancel: bool) -> None:
        """The agent was interrupted: a response that is asked for, and not created, is not to be
        heard; `created` will say so. `cancel`: it is to be cancelled. Requests that are not sent
        stay.

        Should the server refuse the request because of another response, it was never begun, and
        takes its turn like one that was not sent.
        """
        if cancel:
            self._decision = PlaybackDecision.CANCEL
        elif self._decision is PlaybackDecision.PLAY:
            self._decision = PlaybackDecision.SUPPRESS

    # From the model.

    def created(self, response: Response) -> PlaybackDecision:
        """A response has begun: the answer to our request, or one of turn detection. One outside
        the conversation answers the oldest request of its kind."""
        known = self._remember_id(response.id)
        if response.conversation_id is None and self._out_of_band:
            self._out_of_band.popleft()
            return PlaybackDecision.PLAY
        if self._active.step(
            ActiveResponseInput.CREATED_AGAIN if known else ActiveResponseInput.CREATED
        ):
            self._active_id = response.id
        if self._sent is None:
            return PlaybackDecision.PLAY
        self._answered.appendleft(self._sent)
        self._answer_id = response.id
        self._sent = None
        return self._decision

    def done(self, response: Response) -> list[CreateResponse]:
        """A response has ended. Of one never heard of, `created` was lost: it counts as both."""
        if response.id not in self._seen_ids:
            self.created(response)
        latest = response.id == self._active_id
        self._active.step(ActiveResponseInput.DONE if latest else ActiveResponseInput.OTHER_DONE)
        return self._release()

    def refused(self, error: ServerError) -> RefusedRequest | None:
        """The server has refused something; `None` if that is no request known here.

        A request in the conversation that met an active response is made again, in its old place,
        once that response is done. One outside the conversation is not: nothing tells what it would
        have to wait for.
        """
        request = self._find_refused(error)
        if request is None:
            return None
        again = error.code == _BUSY and not request.is_out_of_band
        if request is self._sent:
            self._sent = None
            self._active.step(ActiveResponseInput.BUSY if again else ActiveResponseInput.REFUSED)
        elif request in self._out_of_band:
            self._out_of_band.remove(request)
        else:
            self._answered.remove(request)
            self._active.step(ActiveResponseInput.EARLIER_REFUSED)
        if again:
            self._queue_again(request)
        return RefusedRequest(request.event.event_id, not again, tuple(self._release()))

    # Inside.

    def _queue(self, event: CreateResponse, *, automatic: bool) -> None:
        self._count += 1
        if not event.event_id:
            event = evolve(event, event_id=f"{_OUR_ID}{self._count}")
        self._queued.append(_Request(event, self._count, automatic))

    def _release(self) -> list[CreateResponse]:
        """Send what may be sent: of the conversation one request, if its place is free."""
        if not self._opened:
            return []
        events: list[CreateResponse] = []
        waiting, self._queued = self._queued, deque()
        for each in waiting:
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

    def _queue_again(self, request: _Request) -> None:
        """Let a request wait in its old place. An automatic one stands for any that waits."""
        others = (each for each in self._queued if not (request.is_automatic and each.is_automatic))
        self._queued = deque(sorted([request, *others], key=attrgetter("number")))

    def _remember_id(self, response_id: str) -> bool:
        """Remember an id of the server's; whether it was known. The oldest is forgotten first: it
        would pass for new, and a response that seems active ends with the next `response.done`."""
        if response_id in self._seen_ids:
            return True
        if len(self._seen_ids) >= MAX_RESPONSES:
            del self._seen_ids[next(iter(self._seen_ids))]
        self._seen_ids[response_id] = None
        return False

    def _find_refused(self, error: ServerError) -> _Request | None:
        """The request that an error is about. One without an event id is about the request in the
        conversation, if there is one: taken for another's, it would leave the place taken for ever,
        while a response that comes against expectation does no harm."""
        asked = [] if self._sent is None else [self._sent]
        if error.event_id:
            named = (*asked, *self._out_of_band, *self._answered)
            return next((one for one in named if one.event.event_id == error.event_id), None)
        if error.code == _BUSY:
            # Of those answered, only one whose seeming answer is still active can have met it.
            seeming = (
                self._active.state is ActiveResponseState.ACTIVE
                and self._active_id == self._answer_id
            )
            answered = list(self._answered)[:1] if seeming else []
            return next(iter((*asked, *answered)), None)
        if CreateResponse.type in error.message:
            return next(iter((*asked, *self._out_of_band)), None)
        return None

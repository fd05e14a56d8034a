"""The queue of the requests for responses that are not sent yet.

An automatic request is for a response to items that the bridge has sent. A response that was
created after the server had added these items covers it: the server's events show the order, since
it echoes each item as `conversation.item.added`.
"""

from collections import deque
from operator import attrgetter
from typing import Final

from attrs import define, evolve, field

from ..errors import LocalProtocolError
from ..machine.outbox import Outbox
from ..machine.reasons import Reason
from ..protocols.realtime import CreateResponse, Item
from .request import Request
from .sent_items import MAX_SENT_ITEMS, SentItems

__all__ = ["KNOWN", "MAX_REQUESTS", "RequestQueue"]

MAX_REQUESTS: Final = 32
"""Requests of the application that are queued: each is a response of some seconds, so the caller
would listen to 32 for minutes. Also requests remembered whose refusal may still come: it takes a
round trip, and the error of a forgotten one is notified as a fault."""

KNOWN: Final = ""
"""The key of items that the server has added by itself: a response created later covers them."""

_EVENT_ID_PREFIX: Final = "bridge-request-"
"""Starts the event id of a request that has none, so that an error that names it is known."""


@define(eq=False)
class RequestQueue:
    """The requests that are to be sent, in order, and the items that automatic ones follow."""

    _outbox: Outbox
    _count: int = field(init=False, default=0)
    _requests: deque[Request] = field(init=False, factory=deque[Request])
    _sent_items: SentItems = field(init=False, factory=SentItems)
    _uncovered_items: dict[str, None] = field(init=False, factory=dict[str, None])
    """Items that seemed covered by a response; should their echo come later, they were not."""

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def is_any_held(self) -> bool:
        """Whether a request waits for the active response, or for the answer to another."""
        return any(each.held_by is Reason.HELD_BY_RESPONSE for each in self._requests)

    # Requests.

    def check_capacity(self) -> None:
        """Raise `LocalProtocolError` if another request of the application cannot be queued."""
        if len(self._requests) >= MAX_REQUESTS:
            raise LocalProtocolError(
                f"response.create: {len(self._requests)} requests are queued already; wait for "
                "ResponseFinished or ResponseRefused"
            )

    def add(self, event: CreateResponse) -> None:
        """Add a request of the application. It covers no other, and keeps its place and its event
        id.

        Raises `LocalProtocolError` as `check_capacity` does.
        """
        self.check_capacity()
        self._append(event, is_automatic=False)

    def add_automatic(self, reason: Reason, *item_keys: str) -> None:
        """Request a response to what the conversation holds, above all to these items
        (`item_sent`). A request that is still queued covers it; one that was sent does not, since
        it may not see what was added after it."""
        self._outbox.explain(reason)
        for each in self._requests:
            if each.is_automatic:
                _merge(each, 1, item_keys)
                self._outbox.explain(Reason.DROPPED_AS_MERGED)
                return
        self._append(CreateResponse(), is_automatic=True, item_keys=item_keys)

    def add_copy(self, event: CreateResponse, reason: Reason) -> None:
        """Make a request once more that was answered, even if the queue is full."""
        self._outbox.explain(reason)
        self._append(event, is_automatic=False)

    def put_back(self, request: Request, reason: Reason) -> None:
        """Queue a request again that was sent, in its old place. An automatic one covers any that
        is queued."""
        self._outbox.explain(reason)
        request.held_by = None
        others = list(self._requests)
        if request.is_automatic:
            for each in [each for each in others if each.is_automatic]:
                _merge(request, each.count, each.item_keys)
                others.remove(each)
        self._requests = deque(sorted([request, *others], key=attrgetter("number")))

    def take_all(self) -> deque[Request]:
        """Take all requests out, in order. Each is to be sent, or goes back by `hold`."""
        requests, self._requests = self._requests, deque()
        return requests

    def hold(self, request: Request, reason: Reason) -> None:
        """Keep a request of `take_all` at the end of the queue, for a reason."""
        self._requests.append(request)
        if request.held_by is not reason:
            request.held_by = reason
            self._outbox.explain(reason)

    def _append(
        self, event: CreateResponse, *, is_automatic: bool, item_keys: tuple[str, ...] = ()
    ) -> None:
        self._count += 1
        if not event.event_id:
            event = evolve(event, event_id=f"{_EVENT_ID_PREFIX}{self._count}")
        self._requests.append(Request(event, self._count, is_automatic, item_keys))

    # The items that automatic requests follow, and the responses that cover these.

    def item_sent(self, key: str = "") -> str:
        """Note that an item is sent that the server will echo. `key`: the call id of an output, or
        the item's own id; without one it is a message of the user. Returns the key."""
        return self._sent_items.add(key)

    def item_added(self, item: Item) -> None:
        """Note that the server has added an item, perhaps one that an automatic request follows."""
        key = self._sent_items.take(item)
        if key in self._uncovered_items:  # the response that was to cover it was created before
            del self._uncovered_items[key]
            self.add_automatic(Reason.REQUESTED_FOR_LATE_ITEM, key)

    def is_echoed(self, request: Request) -> bool:
        """Whether the server has added all items that a request follows."""
        return not self._sent_items.missing(request.item_keys)

    def request_sent(self, request: Request) -> None:
        """Note that a request is sent, whose response will cover its items."""
        for key in request.item_keys:
            self._uncovered_items.pop(key, None)

    def response_created(self, answered: Request | None) -> None:
        """Drop the automatic request that is queued, if the response that was just created covers
        it: one of turn detection (`None`) covers what was sent before, and so does the answer to an
        automatic request where the server had the items before."""
        for each in self._requests:
            if not each.is_automatic or not each.item_keys:
                continue
            if answered is None:
                late = self._sent_items.missing(each.item_keys)
                self._uncovered_items |= dict.fromkeys(late)
            elif not (answered.is_automatic and self.is_echoed(each)):
                continue
            self._requests.remove(each)
            self._outbox.explain(Reason.DROPPED_AS_COVERED)
            return

    def session_lost(self) -> None:
        """Request a response to the items that no echo has shown to be covered: the next session
        gets them after what was said in this one."""
        keys = tuple(self._uncovered_items)
        self._uncovered_items.clear()
        if keys:
            self.add_automatic(Reason.REQUESTED_FOR_LATE_ITEM, *keys)


def _merge(request: Request, count: int, item_keys: tuple[str, ...]) -> None:
    """Make an automatic request stand for `count` others, which follow these items."""
    request.count += count
    request.item_keys = (*request.item_keys, *item_keys)[-MAX_SENT_ITEMS:]

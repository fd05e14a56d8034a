"""The expected queue of requests for responses, and the items that automatic ones follow."""

from collections import deque
from functools import partial
from operator import attrgetter
from typing import Any, Final

from attrs import define, evolve, field, frozen

from ..limits import MAX_UNECHOED_ITEMS
from ..wire import is_list, is_object
from .events import is_out_of_band

__all__ = ["BY_SERVER", "ExpectedQueue", "ExpectedRequest"]

BY_SERVER: Final = "by the server"
"""The key of items that the server has added by itself."""


@frozen
class ExpectedRequest:
    """A request. It follows the entries of the uplink with numbers below `after`; `place` is its
    place in the order of requests. An automatic one can stand for any other such one: for `count`
    of them, to the items `keys`."""

    event: dict[str, Any]
    after: int
    place: int
    is_automatic: bool = False
    waits_for_caller: bool = True
    keys: tuple[str, ...] = ()
    count: int = 1
    sent_at_ns: int = 0
    is_interrupted: bool = False
    is_cancel_requested: bool = False
    """The interruption requested a cancel."""
    is_cancelled: bool = False
    """A command has cancelled its response before that started."""
    is_covered: bool = False
    """The response that seems to answer it was created when the server had its items."""

    is_repeated: bool = False
    """It was sent before, to a model that was silent."""

    @property
    def is_wanted(self) -> bool:
        """Whether the caller will hear its response."""
        return not (self.is_interrupted or self.is_cancelled)

    @property
    def is_out_of_band(self) -> bool:
        """Whether it is for a response outside the conversation."""
        return is_out_of_band(self.event)

    @property
    def metadata(self) -> Any:
        """What the response repeats of it."""
        response: dict[str, Any] = self.event.get("response") or {}
        return response.get("metadata") or {}

    @property
    def is_silent(self) -> bool:
        """Whether its response is outside the conversation and has no audio."""
        response: dict[str, Any] = self.event.get("response") or {}
        return self.is_out_of_band and response.get("output_modalities") == ["text"]


@define(eq=False)
class ExpectedQueue:
    """The requests that are to be sent, in their order."""

    requests: list[ExpectedRequest] = field(init=False, factory=list[ExpectedRequest])
    _places: int = field(init=False, default=0)
    _message_count: int = field(init=False, default=0)
    _unechoed: deque[str] = field(
        init=False, factory=partial(deque[str], maxlen=MAX_UNECHOED_ITEMS)
    )
    """Items of ours that the server has not added yet."""
    _crossed: set[str] = field(init=False, factory=set[str])
    """Items that a response seems to cover, unless the server adds them only afterwards."""

    def __len__(self) -> int:
        return len(self.requests)

    def add(self, event: dict[str, Any], after: int, *, waits_for_caller: bool) -> None:
        """Add a request of the application."""
        request = ExpectedRequest(
            event, after, self._next_place(), waits_for_caller=waits_for_caller
        )
        self.requests.append(request)

    def add_automatic(self, after: int, *keys: str, count: int = 1) -> None:
        """Add an automatic request; one that is queued stands for all."""
        for index, each in enumerate(self.requests):
            if each.is_automatic:
                keys = (*each.keys, *keys)
                count += each.count
                self.requests[index] = evolve(each, after=after, keys=keys, count=count)
                return
        event = {"type": "response.create"}
        request = ExpectedRequest(event, after, self._next_place(), is_automatic=True, keys=keys)
        self.requests.append(request)

    def add_copy(self, request: ExpectedRequest) -> None:
        """Add a request once more that was answered, behind all others."""
        self.requests.append(evolve(request, place=self._next_place()))

    def put_back(self, request: ExpectedRequest) -> None:
        """Queue a request again in its place; an automatic one stands for all that wait."""
        for each in [each for each in self.requests if request.is_automatic and each.is_automatic]:
            self.requests.remove(each)
            request = evolve(
                request,
                after=max(request.after, each.after),
                keys=(*request.keys, *each.keys),
                count=request.count + each.count,
            )
        self.requests.append(request)
        self.requests.sort(key=attrgetter("place"))

    def take(self, request: ExpectedRequest) -> None:
        """Remove a request, since it is sent."""
        self.requests.remove(request)
        self._crossed -= set(request.keys)

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    # The items that automatic requests follow, and the responses that cover these.

    def add_item(self, key: str) -> None:
        """Note that an item is sent that the server will echo."""
        self._unechoed.append(key)

    def add_message(self, item_id: str | None = None) -> str:
        """Note that a message of the user is sent; return its key."""
        self._message_count += 1
        key = item_id or f"message {self._message_count}"
        self._unechoed.append(key)
        return key

    def take_echo(self, item: Any) -> str | None:
        """Note that the server has added an item. Return its key if a response to it is to be
        requested again, since the one that seemed to cover it was created before."""
        key: str = item.call_id if item.type == "function_call_output" else item.id
        if item.type == "message" and item.fields.get("role") == "user":
            parts = item.fields.get("content")
            types = [e.get("type") for e in parts if is_object(e)] if is_list(parts) else []
            messages = [each for each in self._unechoed if each.startswith("message ")]
            if key not in self._unechoed and "input_audio" not in types:
                key = messages[0] if messages else ""
        if key not in self._unechoed:
            return None
        self._unechoed.remove(key)
        if key not in self._crossed:
            return None
        self._crossed.remove(key)
        return key

    def is_echoed(self, request: ExpectedRequest) -> bool:
        """Whether the server has added all items that a request follows."""
        return not set(request.keys) & set(self._unechoed)

    def cover(self, answered: ExpectedRequest | None) -> None:
        """Drop the automatic request that the response which starts covers: it answers `answered`,
        or is one of turn detection."""
        for each in [each for each in self.requests if each.is_automatic and each.keys]:
            late = set(each.keys) & set(self._unechoed)
            if answered is None:
                self._crossed |= late
            elif late or not answered.is_automatic:
                continue
            self.requests.remove(each)

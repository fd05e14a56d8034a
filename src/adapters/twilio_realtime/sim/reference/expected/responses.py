"""The expected responses of the model, as far as its events show them."""

from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field

from ..limits import ANSWER_NS
from ..received import (
    RESPONSE_EVENTS,
    ReceivedAudioEnd,
    ReceivedItemDone,
    ReceivedMcpCallEnd,
    ReceivedMcpCallStart,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
    ReceivedResponseEnd,
    ReceivedResponseStart,
)
from .playback import PartId

__all__ = ["ExpectedResponse", "ExpectedResponses"]

_UNNAMED: Final = "unnamed "
"""Starts what stands for the id of a response that has started without one."""


@define(eq=False)
class ExpectedResponse:
    """A response of the model."""

    is_in_conversation: bool = True
    is_announced: bool = False
    """Its start was received."""
    is_done: bool = False
    is_interrupted: bool = False
    """Nothing more of it may be heard."""
    is_cancelled: bool = False
    """A command or the bridge has cancelled it."""
    is_given_up: bool = False
    """The bridge has cancelled it since the model was silent."""
    is_text: bool = False
    """The server has said that it has no audio."""
    is_lost: bool = False
    """Another response of the conversation has started since, or nothing of it was received for
    too long."""
    progress_ns: int = 0
    """When something of it was received."""
    last_part: PartId | None = None
    """The part of which audio was received last."""
    items: set[str] = field(factory=set[str])
    """Items that were added, or are done."""
    open_items: set[str] = field(factory=set[str])
    """Items that were added and are not done."""
    has_done_item: bool = False
    ended_parts: set[PartId] = field(factory=set[PartId])

    @property
    def is_current(self) -> bool:
        """Whether it is being generated, and may be heard or read."""
        return not (self.is_done or self.is_interrupted)

    @property
    def may_be_heard(self) -> bool:
        """Whether more of it is to be expected."""
        return self.is_current and not self.is_lost

    @property
    def is_over(self) -> bool:
        """Whether nothing more of it is to be expected, though the server has not said its end."""
        return self.is_lost or self.is_given_up

    def is_expected(self, now: int) -> bool:
        """Whether more of it is to be expected, since something was received of it lately."""
        return self.may_be_heard and now < self.progress_ns + ANSWER_NS

    @property
    def is_complete(self) -> bool:
        """Whether nothing need follow but its end: its audio and items are complete."""
        part = self.last_part
        if part is not None and part not in self.ended_parts:
            return False
        spoken: set[str] = set() if part is None else {part[0]}
        return not self.open_items - spoken and (part is not None or self.has_done_item)


@define(eq=False)
class ExpectedResponses:
    """All responses of a session, by their ids, in the order of their first events."""

    by_id: dict[str, ExpectedResponse] = field(init=False, factory=dict[str, ExpectedResponse])
    of_item: dict[str, str] = field(init=False, factory=dict[str, str])
    """By item, the id of its response."""
    ended_id: str | None = field(init=False, default=None)
    """The response that ends in this step by an event that does not name it."""
    _started_tools: set[str] = field(init=False, factory=set[str])
    _ended_tools: set[str] = field(init=False, factory=set[str])
    """Calls of MCP tools, by item."""
    _unnamed_count: int = field(init=False, default=0)

    # Queries.

    def find(self, response_id: str) -> ExpectedResponse | None:
        """Return a response that is known."""
        return self.by_id.get(response_id)

    def is_out_of_band(self, item_id: str) -> bool:
        """Whether an item belongs to a response outside the conversation."""
        response = self.by_id.get(self.of_item.get(item_id, ""))
        return response is not None and not response.is_in_conversation

    def is_generating(self, response_id: str) -> bool:
        """Whether a response is known, and not known to be done."""
        response = self.by_id.get(response_id)
        return response is not None and not response.is_done

    def is_interrupted(self, response_id: str) -> bool:
        """Whether a response of the conversation was interrupted."""
        response = self.by_id.get(response_id)
        return response is not None and response.is_in_conversation and response.is_interrupted

    def is_current(self, response_id: str) -> bool:
        """Whether a response is being generated that may be heard. Without an id it is the latest
        that has none."""
        latest = self.unnamed()[-1:]
        response = self.by_id.get(response_id or "".join(latest))
        if response is None or not response.is_current:
            return False
        return response.is_in_conversation or not response.is_text

    @property
    def has_interruptible(self) -> bool:
        """Whether a response of the conversation is being generated that may be heard."""
        return any(each.is_in_conversation and each.may_be_heard for each in self.by_id.values())

    def is_any_owed(self, now: int) -> bool:
        """Whether more of a response has to be received: audio, or items. A response that waits for
        a tool of an MCP server owes nothing."""
        return any(
            each.is_expected(now)
            and not (each.is_cancelled or each.is_complete or self.is_tool_at_work(id_))
            for id_, each in self.by_id.items()
        )

    def is_tool_at_work(self, response_id: str) -> bool:
        """Whether a response waits for a tool of an MCP server."""
        response = self.by_id.get(response_id)
        return response is not None and not response.items.isdisjoint(self._running_tools)

    @property
    def _running_tools(self) -> set[str]:
        return self._started_tools - self._ended_tools

    def is_speech_expected(self, now: int) -> bool:
        """Whether more is certain to be said by a response that is generated."""
        return any(not each.is_text and each.is_expected(now) for each in self.by_id.values())

    def is_growing(self, part: PartId) -> bool:
        """Whether more of a part may be received."""
        response = self.by_id[self.of_item[part[0]]]
        return response.is_current and part not in response.ended_parts

    def uncancelled(self, heard_items: Iterable[str], *, in_conversation: bool) -> set[str]:
        """Return the responses that are being generated and were not cancelled: those out of band
        that may have audio or whose items are heard, and those `in_conversation`, if these count.
        The id is empty where it is not known; then only the one of the conversation can be
        cancelled."""
        heard = {self.of_item[item_id] for item_id in heard_items}
        found = {
            id_: each
            for id_, each in self.by_id.items()
            if not each.is_done
            and not each.is_cancelled
            and (in_conversation if each.is_in_conversation else not each.is_text or id_ in heard)
        }
        unnamed = [found.pop(id_) for id_ in self.unnamed() if id_ in found]
        is_any = any(each.is_in_conversation and not each.is_lost for each in unnamed)
        return {*found, ""} if is_any else {*found}

    def unnamed(self) -> list[str]:
        """Return the responses that have started without an id, and that no event has named."""
        return [id_ for id_ in self.by_id if id_.startswith(_UNNAMED)]

    def named(self, response_id: str | None) -> list[ExpectedResponse]:
        """Return the response of an id; without one, all that no event has named, and that may go
        on."""
        if response_id:
            return [self.get_or_create(response_id)]
        unnamed = [self.by_id[id_] for id_ in self.unnamed()]
        return [each for each in unnamed if not each.is_lost]

    def active(self, response_id: str) -> list[ExpectedResponse]:
        """Return the response of an id; without one, the one of the conversation that has started
        last, whatever has named it since."""
        if response_id:
            return [self.get_or_create(response_id)]
        found = [each for each in self.by_id.values() if each.is_in_conversation]
        return [each for each in found if not each.is_done][-1:]

    # What events of the model, and commands, change.

    def get_or_create(self, response_id: str) -> ExpectedResponse:
        """Return the response that an event names. The first event that names one whose start had
        no id is of that one."""
        unnamed = [id_ for id_ in self.unnamed() if not self.by_id[id_].is_done]
        if response_id not in self.by_id and unnamed:  # it must be of one of them
            named = min(unnamed, key=lambda id_: self.by_id[id_].is_over)
            self.by_id = {
                response_id if id_ == named else id_: each for id_, each in self.by_id.items()
            }
        return self.by_id.setdefault(response_id, ExpectedResponse())

    def start(self, event: ReceivedResponseStart, now: int) -> str:
        """Apply the start of a response; return its id, or what stands for it."""
        self._unnamed_count += not event.response_id
        id_ = event.response_id or f"{_UNNAMED}{self._unnamed_count}"
        response = self.by_id.setdefault(id_, ExpectedResponse())
        _note(response, now, is_out_of_band=event.is_out_of_band)
        response.is_announced = True
        response.is_text = bool(event.is_text)
        if not event.is_out_of_band:  # the server has one of the conversation at a time
            for other_id, each in self.by_id.items():
                is_before = each.is_in_conversation and not each.is_done and other_id != id_
                each.is_lost |= is_before
        return id_

    def apply_event(self, event: object, now: int) -> None:
        """Apply an event of the model, other than the start of a response."""
        if isinstance(event, RESPONSE_EVENTS) and not isinstance(event, ReceivedResponseEnd):
            self._progress(event.response_id, now)
        match event:
            case ReceivedResponseEnd():
                self._end(event, now)
            case ReceivedOutputItemAdded(response_id, item):
                response = self.get_or_create(response_id)  # its start may be lost
                response.open_items.add(item.id)
                response.items.add(item.id)
                response.progress_ns = now
            case ReceivedOutputItemDone(response_id, item):
                response = self.get_or_create(response_id)
                response.open_items.discard(item.id)
                response.items.add(item.id)
                response.has_done_item, response.progress_ns = True, now
                if item.has_outcome:
                    self._ended_tools.add(item.id)
                self.of_item[item.id] = response_id
            case ReceivedMcpCallStart(item_id):
                self._started_tools.add(item_id)
            case ReceivedMcpCallEnd(item_id):
                self._ended_tools.add(item_id)
            case ReceivedItemDone(item) if item.has_outcome:
                self._ended_tools.add(item.id)
            case ReceivedAudioEnd(response_id, item_id, index):
                response = self.get_or_create(response_id)
                response.ended_parts.add((item_id, index))
                response.progress_ns = now
            case _:
                pass

    def _progress(self, response_id: str, now: int) -> None:
        response = self.by_id.get(response_id or "".join(self.unnamed()[-1:]))
        if response is not None:
            response.progress_ns = now

    def _end(self, event: ReceivedResponseEnd, now: int) -> None:
        id_, is_out_of_band = event.response_id, event.is_out_of_band
        if not id_:
            self.ended_id = self._under_way(event)
            if self.ended_id is None:
                return
            id_ = self.ended_id
            if self.by_id[id_].is_announced:
                is_out_of_band = not self.by_id[id_].is_in_conversation
        response = self.get_or_create(id_)
        _note(response, now, is_out_of_band=is_out_of_band)
        response.is_done = True

    def _under_way(self, end: ReceivedResponseEnd) -> str | None:
        """Return the response that ends, where the event does not name it: the latest that is being
        generated, if it can be, that was stopped where it is cancelled, of its kind, and above all
        the one that has its items."""
        found = [id_ for id_, each in self.by_id.items() if not each.is_done]
        items = {each.id for each in end.output}
        tests: tuple[Callable[[ExpectedResponse], bool], ...] = (
            lambda each: not items.isdisjoint(each.items),
            lambda each: each.is_in_conversation is not end.is_out_of_band,
            lambda each: (each.is_cancelled or each.is_interrupted) is (end.status == "cancelled"),
        )
        for is_likely in tests:
            found = [id_ for id_ in found if is_likely(self.by_id[id_])] or found
        return found[-1] if found else None

    def cancel(self, response_id: str | None) -> bool:
        """Apply a cancel of a response, or of all in the conversation of which more is expected;
        return whether one of them was not cancelled before."""
        was_cancelled = sum(each.is_cancelled for each in self.by_id.values())
        for id_, each in self.by_id.items():
            is_active = each.is_in_conversation and not each.is_lost
            is_named = is_active if response_id is None else id_ == response_id
            each.is_cancelled |= is_named and not each.is_done
        return sum(each.is_cancelled for each in self.by_id.values()) > was_cancelled

    def interrupt_all(self) -> None:
        """Let nothing more of what is being said, or would be, be heard."""
        for response in self.by_id.values():
            is_heard = response.is_in_conversation or not response.is_text
            response.is_interrupted |= is_heard and not response.is_done

    def mark_lost(self, now: int) -> None:
        """Expect nothing more of those of which nothing was received for too long."""
        for each in self.by_id.values():
            each.is_lost |= now >= each.progress_ns + ANSWER_NS and not each.is_done


def _note(response: ExpectedResponse, now: int, *, is_out_of_band: bool) -> None:
    response.is_in_conversation = not is_out_of_band
    response.is_lost, response.progress_ns = False, now

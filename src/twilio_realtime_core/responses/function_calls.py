"""The functions that the model wants called: each announced once, and answered once.

A call is announced when its item is done and complete. One that was cut short by an interruption
has arguments cut short, and wants no answer. A response outside the conversation announces none:
its items are not in the conversation, so that an output would name a call that the server does not
know, and be refused.

The model goes on when all calls of its response have their outputs: before, it would miss some.

Source: OpenAI API reference, "Realtime", `response.output_item.done`, `function_call_output`.
"""

from typing import Final

from attrs import define

from ..errors import Fault, FaultKind, LocalProtocolError
from ..machine.actions import Peer
from ..notifications import FunctionCallRequested
from ..protocols.realtime import Item

__all__ = ["MAX_CALLS", "FunctionCalls"]

MAX_CALLS: Final = 1024
"""Calls remembered: several for each response of an hour. The oldest that have their answer are
forgotten first. Only of an application that answers none are there more: then no more are announced
but reported, since an answer to each that was announced must remain possible."""


@define
class _Call:
    """A call of a response. `answered`: by the application; `given`: the output was sent."""

    response_id: str
    answered: bool = False
    given: bool = False


class FunctionCalls:
    """The calls of one Realtime session, by `call_id`."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._wanting: set[str] = set()

    def item_done(
        self, response_id: str, item: Item, *, in_conversation: bool
    ) -> FunctionCallRequested | Fault | None:
        """An item of a response is done. Returns what to notify."""
        complete = item.type == "function_call" and item.status == "completed"
        if not complete or not in_conversation or not item.call_id or not item.name:
            return None
        if item.call_id in self._calls:
            return None
        if len(self._calls) >= MAX_CALLS and not self._forget_one():
            message = f"function call: {MAX_CALLS} are without an answer; this one is left out"
            return Fault(Peer.REALTIME, FaultKind.OVERFLOW, message)
        self._calls[item.call_id] = _Call(response_id)
        return FunctionCallRequested(
            item.call_id, item.name, item.arguments or "", response_id, item.id
        )

    def _forget_one(self) -> bool:
        oldest = next((call_id for call_id, call in self._calls.items() if call.given), None)
        return oldest is not None and self._calls.pop(oldest).given

    def check_answer(self, call_id: str) -> None:
        """Raise `LocalProtocolError` if a call cannot be answered: never announced, or answered."""
        call = self._calls.get(call_id)
        if call is None:
            raise LocalProtocolError(
                "call_id is that of no function call: use that of a FunctionCallRequested"
            )
        if call.answered:
            raise LocalProtocolError("call_id is that of a function call that has its output")

    def mark_answered(self, call_id: str) -> None:
        """The application has answered an announced call; the output may have to wait."""
        self._calls[call_id].answered = True

    def is_known(self, call_id: str) -> bool:
        """Whether a call was announced."""
        return call_id in self._calls

    def mark_output_sent(self, call_id: str, *, respond: bool) -> str:
        """The output of an answered call is sent; `respond`: the model is to go on with it. Returns
        the id of the call's response."""
        call = self._calls[call_id]
        call.given = True
        if respond:
            self.mark_followup(call.response_id)
        return call.response_id

    def mark_followup(self, response_id: str) -> None:
        """The model is to go on after a response, since something of it has its outcome."""
        if len(self._wanting) < MAX_CALLS:  # only of responses that never end are there more
            self._wanting.add(response_id)

    def take_followup(self, response_id: str) -> bool:
        """Whether the model is to go on now, if the response has ended: an output of it wants that,
        and no call of it is without one. Says so once."""
        together = (each for each in self._calls.values() if each.response_id == response_id)
        if response_id not in self._wanting or not all(each.given for each in together):
            return False
        self._wanting.remove(response_id)
        return True

    @property
    def open_call_ids(self) -> tuple[str, ...]:
        """The calls that have no answer yet, oldest first."""
        return tuple(call_id for call_id, call in self._calls.items() if not call.answered)

"""The function calls that the model requests: each is notified once, and answered once.

A call is notified when its item is done and complete, as it is unless its status says otherwise:
the status is optional. One that was cut short by an interruption has arguments cut short, and needs
no output. An out-of-band response requests none: its items are not in the conversation, so the
server would refuse an output as that of an unknown call.

The model responds to the outputs once all calls of its response have one: before, it would miss
some.

Source: OpenAI API reference, "Realtime", `response.output_item.done`, `function_call_output`,
https://platform.openai.com/docs/api-reference/realtime-server-events.
"""

from typing import Final

from attrs import define, evolve

from ..errors import Fault, FaultKind, LocalProtocolError
from ..machine.actions import Peer
from ..machine.lifecycles import (
    FUNCTION_CALL,
    FunctionCallInput,
    FunctionCallState,
    Lifecycle,
    LifecycleFactory,
)
from ..notifications import FunctionCallRequested
from ..protocols.realtime import Item
from ..values.items import ConversationItem, FunctionCall
from .responses import ResponseRecord

__all__ = ["MAX_CALLS", "FunctionCalls"]

MAX_CALLS: Final = 1024
"""Calls remembered: several for each response of an hour. The oldest whose output was sent are
forgotten first. Only an application that answers none causes more: then no more are notified but
reported, since an answer to each that was notified must remain possible."""


@define(eq=False)
class _FunctionCall:
    """A call, and the response that it belongs to."""

    record: ResponseRecord
    item: Item
    lifecycle: Lifecycle[FunctionCallState, FunctionCallInput]

    @property
    def is_answered(self) -> bool:
        """Whether the application gave the output."""
        return self.lifecycle.state is not FunctionCallState.REQUESTED

    @property
    def is_output_sent(self) -> bool:
        """Whether the output was sent to the server."""
        return self.lifecycle.state is FunctionCallState.OUTPUT_SENT


class FunctionCalls:
    """The function calls of one Realtime session, by `call_id`."""

    def __init__(self, make_lifecycle: LifecycleFactory = Lifecycle) -> None:
        self._make_lifecycle = make_lifecycle
        self._calls: dict[str, _FunctionCall] = {}

    def item_done(self, record: ResponseRecord, item: Item) -> FunctionCallRequested | Fault | None:
        """Take an item of a response that is done. Returns what to notify."""
        is_complete = item.type == "function_call" and item.status in (None, "completed")
        if not is_complete or not record.is_in_conversation or not item.call_id or not item.name:
            return None
        if item.call_id in self._calls:
            return None
        if len(self._calls) >= MAX_CALLS and not self._forget_one():
            message = f"function call: {MAX_CALLS} have no output; this one is not notified"
            return Fault(Peer.REALTIME, FaultKind.OVERFLOW, message)
        lifecycle = self._make_lifecycle(FUNCTION_CALL, FunctionCallState.REQUESTED)
        self._calls[item.call_id] = _FunctionCall(record, item, lifecycle)
        record.unsent_outputs += 1
        return FunctionCallRequested(
            item.call_id, item.name, item.arguments or "", record.id, item.id
        )

    def _forget_one(self) -> bool:
        oldest = next((id_ for id_, call in self._calls.items() if call.is_output_sent), None)
        if oldest is None:
            return False
        del self._calls[oldest]
        return True

    def check_answer(self, call_id: str) -> None:
        """Raise `LocalProtocolError` if a call cannot be answered: unknown, or answered."""
        call = self._calls.get(call_id)
        if call is None:
            raise LocalProtocolError(
                "call_id is not that of a function call: use that of a FunctionCallRequested"
            )
        if call.is_answered:
            raise LocalProtocolError("call_id is that of a function call that has its output")

    def complete(self, item: ConversationItem) -> ConversationItem:
        """Return an item of the conversation; one of a call that was notified as it was then, which
        the conversation may not know yet."""
        if not isinstance(item, FunctionCall) or item.call_id not in self._calls:
            return item
        done = self._calls[item.call_id].item
        return evolve(item, arguments=done.arguments or "", is_complete=True)

    def is_known(self, call_id: str) -> bool:
        """Whether a call was notified, and is remembered."""
        return call_id in self._calls

    @property
    def open_call_ids(self) -> tuple[str, ...]:
        """The calls that the application has not answered, oldest first."""
        return tuple(id_ for id_, call in self._calls.items() if not call.is_answered)

    def mark_answered(self, call_id: str) -> None:
        """Note that the application gave the output of a call; it may be deferred."""
        self._calls[call_id].lifecycle.step(FunctionCallInput.ANSWER)

    def mark_output_sent(
        self, call_id: str, *, respond: bool, waits_for_others: bool = True
    ) -> ResponseRecord:
        """Note that the output of an answered call is sent. `respond`: the model is to respond to
        it; `waits_for_others`: once the other calls of its response have theirs. Returns the
        response of the call."""
        call = self._calls[call_id]
        call.lifecycle.step(FunctionCallInput.SEND_OUTPUT)
        call.record.unsent_outputs -= 1
        call.record.is_followup_requested |= respond
        call.record.is_followup_urgent |= respond and not waits_for_others
        if respond:
            call.record.sent_outputs.append(call_id)
        return call.record
